//! Imported bundles against the exporter's, at full size.

use std::path::{Path, PathBuf};

use mdetr::{Frame, Grounder, GrounderOptions, Query, RawOutputs, Rle};
use mdetr_weights::Import;

/// Largest differences of logits and answers, and of boxes.
const LOGITS: f32 = 1e-5;
const BOXES: f32 = 1e-6;
const MASK_IOU: f64 = 0.9999;
const PICTURES: [(u32, u32, &str); 2] = [
    (352, 256, "a small red cube left of the blue ball"),
    (640, 427, "what is the person without a helmet holding?"),
];

/// A picture that is nowhere flat: RGB, packed.
fn picture(width: u32, height: u32) -> Vec<u8> {
    let pixel = |i: u32| {
        let (x, y) = (i % width, i / width);
        let wave = f64::from(x * x + 3 * y * y) / 900.0;
        [
            (x * 255 / width) as u8,
            (y * 255 / height) as u8,
            (127.0 + 120.0 * wave.sin()) as u8,
        ]
    };
    (0..width * height).flat_map(pixel).collect()
}

/// What a bundle says of each picture, and the masks of all queries.
fn outputs(bundle: &Path) -> Vec<(RawOutputs, Vec<Rle>)> {
    let options = GrounderOptions {
        engine: mdetr::EngineKind::Tract.into(),
        score_threshold: Some(0.0),
        // The exporter's bundles for tests take pictures as they are, the imported ones scale them.
        short_side: Some(256),
        ..GrounderOptions::default()
    };
    let grounder = Grounder::load(bundle, options).unwrap();
    let answer = |(width, height, text): (u32, u32, &str)| {
        let query = Query::parse("q", text).unwrap();
        grounder.set_queries(vec![query]).unwrap();
        let pixels = picture(width, height);
        let frame = Frame::rgb(width, height, &pixels).unwrap();
        let raw = grounder.outputs(&frame, &grounder.standing()).unwrap();
        let found = grounder.ground(&frame).unwrap().queries.remove(0);
        let masks = found.detections.into_iter().filter_map(|found| found.mask);
        (raw.into_iter().next().unwrap(), masks.collect())
    };
    PICTURES.into_iter().map(answer).collect()
}

fn most(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

/// In `MDETR_OFFICIAL`, a folder that `reference-official --full` wrote.
#[test]
#[ignore = "needs 10 GB in MDETR_OFFICIAL: make test-models FULL=1"]
fn imports_equal_the_exporters_at_full_size() {
    let folder = std::env::var_os("MDETR_OFFICIAL").expect("MDETR_OFFICIAL is a folder");
    let folder = PathBuf::from(folder);
    let scratch = tempfile::tempdir_in(&folder).unwrap();
    let mut checked = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let checkpoint = entry.unwrap().path();
        if checkpoint.extension().is_none_or(|ending| ending != "pth") {
            continue;
        }
        let exported = checkpoint.with_extension("");
        let name = exported.file_name().unwrap().to_string_lossy().into_owned();
        let out = scratch.path().join("imported");
        let tokenizer = exported.join("tokenizer.json");
        let mut import = Import::new(&checkpoint, tokenizer, &out);
        import.replaces = true;
        let bundle = import.run(&mut |_| true).unwrap();
        assert!(name.ends_with(bundle.manifest().name.strip_prefix("mdetr_").unwrap()));
        same_size(&exported, &out);
        let pairs = outputs(&exported).into_iter().zip(outputs(&out));
        for (i, ((expected, masks), (found, drawn))) in pairs.enumerate() {
            let logits = most(&found.logits, &expected.logits);
            let boxes = most(found.boxes.as_flattened(), expected.boxes.as_flattened());
            let heads = found.answers.iter().zip(&expected.answers);
            let answers = heads.map(|((head, found), (same, expected))| {
                assert_eq!(head, same);
                most(found, expected)
            });
            let answers = answers.fold(0.0, f32::max);
            assert_eq!(masks.len(), drawn.len());
            let overlaps = masks
                .iter()
                .zip(&drawn)
                .map(|(a, b)| if a == b { 1.0 } else { a.iou(b) });
            let overlap = overlaps.fold(1.0, f64::min);
            println!(
                "{name} {i}: logits {logits:.1e}, boxes {boxes:.1e}, {} answers {answers:.1e}, {} masks {overlap:.6}",
                found.answers.len(),
                drawn.len()
            );
            assert!(
                logits <= LOGITS && boxes <= BOXES && answers <= LOGITS,
                "{name}"
            );
            assert!(overlap >= MASK_IOU, "{name}");
        }
        checked += 1;
    }
    assert_eq!(checked, 8);
}

/// The imported graphs take as much room, but for names, and for biases that are alike, of which the exporter writes one.
fn same_size(exported: &Path, imported: &Path) {
    for graph in ["text.onnx", "vision.onnx", "fusion.onnx"] {
        let length = |bundle: &Path| std::fs::metadata(bundle.join(graph)).unwrap().len();
        let (a, b) = (length(exported), length(imported));
        assert!(a.abs_diff(b) < a / 200, "{graph}: {a} and {b}");
    }
}
