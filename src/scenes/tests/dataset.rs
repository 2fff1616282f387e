//! Data sets on disk: the same whoever writes them, complete, resumable.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mdetr_scenes::dataset::{DatasetOptions, sample, write};
use mdetr_scenes::{Mix, Rle, SceneOptions, ScenesError};
use serde_json::Value;

fn options(count: usize) -> DatasetOptions {
    DatasetOptions {
        count,
        seed: 11,
        scene: SceneOptions {
            width: 160,
            height: 120,
            ..SceneOptions::default()
        },
        captions: 3,
        mix: Mix::training(),
        masks: true,
        overwrite: false,
    }
}

/// Every file of a directory, by name.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            for (inner, bytes) in contents(&entry.path()) {
                files.insert(format!("{name}/{inner}"), bytes);
            }
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

fn json(dir: &Path, file: &str) -> Value {
    serde_json::from_slice(&fs::read(dir.join(file)).unwrap()).unwrap()
}

#[test]
fn threads_and_count_change_nothing() {
    let (one, four, more) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    for (threads, count, dir) in [(1, 6, &one), (4, 6, &four), (3, 9, &more)] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| write(dir.path(), &options(count), || ()))
            .unwrap();
    }
    let (one, four, more) = (
        contents(one.path()),
        contents(four.path()),
        contents(more.path()),
    );
    assert_eq!(one.len(), 6 + 3);
    assert!(one == four);
    for (name, bytes) in one.iter().filter(|(name, _)| name.ends_with(".png")) {
        assert!(more[name] == *bytes, "{name}");
    }
    let first = image::load_from_memory(&one["images/000000.png"])
        .unwrap()
        .to_rgb8();
    assert_eq!(first.dimensions(), (160, 120));
    assert_eq!(first.into_raw(), sample(&options(1), 0).rendering.rgb);
}

#[test]
fn seeds_and_indices_give_different_scenes() {
    let first = sample(&options(1), 0);
    assert_ne!(first.scene, sample(&options(1), 1).scene);
    let mut other = options(1);
    other.seed += 1;
    assert_ne!(first.scene, sample(&other, 0).scene);
    assert_ne!(sample(&other, 0).scene, sample(&options(1), 1).scene);
}

#[test]
fn annotations_say_what_the_samples_say() {
    let dir = tempfile::tempdir().unwrap();
    let summary = write(dir.path(), &options(8), || ()).unwrap();
    assert_eq!(
        (summary.rendered, summary.kept, summary.captions),
        (8, 0, 24)
    );
    let all = json(dir.path(), "annotations.json");
    let annotations = all["annotations"].as_array().unwrap();
    assert_eq!(annotations.len(), summary.annotations);
    assert_eq!(all["categories"][0]["name"], "object");
    for (n, image) in all["images"].as_array().unwrap().iter().enumerate() {
        let sample = sample(&options(8), n / 3);
        let caption = &sample.captions[n % 3];
        assert_eq!(image["id"], n + 1);
        assert_eq!(image["original_img_id"], n / 3);
        assert_eq!(image["file_name"], format!("{:06}.png", n / 3));
        assert_eq!(
            (&image["width"], &image["height"]),
            (&160.into(), &120.into())
        );
        assert_eq!(image["caption"], caption.text);
        assert_eq!(
            image["dataset_name"],
            format!("tabletop-{}", caption.kind.name())
        );
        let grounded = caption.phrases.iter().filter(|p| !p.objects.is_empty());
        let eval: Vec<_> = grounded.map(|p| p.spans.clone()).collect();
        assert_eq!(
            image["tokens_positive_eval"],
            serde_json::to_value(eval).unwrap()
        );
        let own: Vec<&Value> = annotations
            .iter()
            .filter(|a| a["image_id"] == n + 1)
            .collect();
        let expected = caption.spans_by_object();
        assert_eq!(own.len(), expected.len());
        for (annotation, (object, spans)) in own.into_iter().zip(expected) {
            let visible = &sample.truth.objects[object];
            assert_eq!(annotation["object"], object);
            assert_eq!(
                annotation["tokens_positive"],
                serde_json::to_value(spans).unwrap()
            );
            assert_eq!(
                annotation["bbox"],
                serde_json::to_value(visible.bbox).unwrap()
            );
            assert_eq!(annotation["area"], visible.area);
            assert_eq!(
                annotation["segmentation"]["size"],
                serde_json::json!([120, 160])
            );
            let code = annotation["segmentation"]["counts"].as_str().unwrap();
            assert_eq!(
                Rle::from_coco_string(code, 160, 120).as_ref(),
                Some(&visible.rle)
            );
        }
    }
    let scenes = json(dir.path(), "scenes.json");
    for (i, entry) in scenes["scenes"].as_array().unwrap().iter().enumerate() {
        let sample = sample(&options(8), i);
        assert_eq!(
            entry["objects"].as_array().unwrap().len(),
            sample.scene.objects.len()
        );
        let first = &sample.scene.objects[0];
        assert_eq!(entry["objects"][0]["colour"], first.colour.word());
        assert_eq!(entry["objects"][0]["words"], first.words());
    }
}

#[test]
fn masks_can_be_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(2);
    options.masks = false;
    write(dir.path(), &options, || ()).unwrap();
    let all = json(dir.path(), "annotations.json");
    let annotations = all["annotations"].as_array().unwrap();
    assert!(annotations.iter().all(|a| a.get("segmentation").is_none()));
    let scenes = json(dir.path(), "scenes.json");
    assert!(scenes["scenes"][0]["objects"][0]["segmentation"]["counts"].is_string());
}

#[test]
fn an_interrupted_run_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &options(5), || ()).unwrap();
    let whole = contents(dir.path());
    fs::remove_file(dir.path().join("annotations.json")).unwrap();
    fs::remove_file(dir.path().join("images/000003.png")).unwrap();
    let summary = write(dir.path(), &options(5), || ()).unwrap();
    assert_eq!((summary.rendered, summary.kept), (1, 4));
    assert!(contents(dir.path()) == whole);
}

#[test]
fn another_data_set_is_not_mixed_in() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &options(2), || ()).unwrap();
    let mut other = options(2);
    other.seed = 12;
    let error = write(dir.path(), &other, || ()).unwrap_err();
    assert!(matches!(error, ScenesError::OtherDataset { .. }));
    let text = error.to_string();
    assert!(
        text.contains("seed 11") && text.contains("seed 12") && text.contains("--overwrite"),
        "{text}"
    );
    other.overwrite = true;
    assert_eq!(write(dir.path(), &other, || ()).unwrap().rendered, 2);
}

#[test]
fn what_others_wrote_is_kept() {
    for (name, directory) in [
        ("annotations.json", false),
        ("scenes.json", false),
        ("recipe.json", false),
        ("images/000000.png", true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        if directory {
            fs::create_dir(path.parent().unwrap()).unwrap();
        }
        fs::write(&path, "mine").unwrap();
        let before = contents(dir.path());
        for overwrite in [false, true] {
            let options = DatasetOptions {
                overwrite,
                ..options(1)
            };
            let error = write(dir.path(), &options, || {}).unwrap_err().to_string();
            assert!(error.contains("choose an empty directory"), "{error}");
            assert!(contents(dir.path()) == before, "{name}");
        }
    }
    // An empty directory of pictures is nobody's work.
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("images")).unwrap();
    write(dir.path(), &options(1), || {}).unwrap();
}

#[test]
fn impossible_wishes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (width, height) in [(0, 240), (320, 0), (16, 16), (100_000, 75_000), (640, 100)] {
        let mut options = options(1);
        (options.scene.width, options.scene.height) = (width, height);
        let error = write(dir.path(), &options, || ()).unwrap_err().to_string();
        assert!(error.contains(&format!("{width}x{height}")), "{error}");
    }
    for (min, max) in [(0, 3), (4, 3), (2, 99)] {
        let mut options = options(1);
        (options.scene.min_objects, options.scene.max_objects) = (min, max);
        let error = write(dir.path(), &options, || ()).unwrap_err();
        assert!(matches!(error, ScenesError::ObjectCount { .. }), "{error}");
    }
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = write(&file, &options(1), || ()).unwrap_err();
    assert!(error.to_string().contains("file/images"), "{error}");
}
