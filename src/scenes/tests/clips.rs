//! Data sets of clips on disk: complete, resumable, the same whoever writes them.

use std::fs;
use std::path::Path;

use mdetr_scenes::clips::{ClipsOptions, Frames, Summary, write};
use mdetr_scenes::{SceneOptions, ScenesError};
use serde_json::Value;

fn options(frames: Frames) -> ClipsOptions {
    ClipsOptions {
        count: 4,
        seed: 3,
        scene: SceneOptions {
            width: 128,
            height: 96,
            ..SceneOptions::default()
        },
        captions: 5,
        frames,
        hiding: 0.0,
        overwrite: false,
    }
}

fn lines(dir: &Path) -> Vec<Value> {
    let text = fs::read_to_string(dir.join("clips.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_frame_is_there_with_its_boxes() {
    let dir = tempfile::tempdir().unwrap();
    let summary = write(dir.path(), &options(Frames::Some(6)), || ()).unwrap();
    let written = Summary {
        rendered: 24,
        kept: 0,
        captions: 20,
    };
    assert_eq!(summary, written);
    for clip in lines(dir.path()) {
        let objects = clip["objects"].as_array().unwrap().len();
        let frames = clip["frames"].as_array().unwrap();
        assert_eq!(frames.len(), 6);
        let times: Vec<f64> = frames.iter().map(|f| f["time"].as_f64().unwrap()).collect();
        assert!(times.is_sorted() && times[0] >= 0.0, "{times:?}");
        for frame in frames {
            let picture = image::open(dir.path().join(frame["file"].as_str().unwrap())).unwrap();
            assert_eq!((picture.width(), picture.height()), (128, 96));
            let boxes = frame["boxes"].as_array().unwrap();
            assert_eq!(boxes.len(), objects);
            for bbox in boxes.iter().filter(|b| !b.is_null()) {
                let [x, y, w, h] = [0, 1, 2, 3].map(|k| bbox[k].as_u64().unwrap());
                assert!(w > 0 && h > 0 && x + w <= 128 && y + h <= 96, "{bbox}");
            }
        }
        for caption in clip["captions"].as_array().unwrap() {
            assert_eq!(caption["known"].as_array().unwrap().len(), 6);
            for phrase in caption["phrases"].as_array().unwrap() {
                assert_eq!(phrase["objects"].as_array().unwrap().len(), 6);
            }
        }
    }
}

#[test]
fn what_is_there_is_kept_and_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let some = options(Frames::Some(4));
    write(dir.path(), &some, || ()).unwrap();
    let first = fs::read(dir.path().join("clips.jsonl")).unwrap();
    fs::remove_file(dir.path().join("frames/000002/001.png")).unwrap();
    fs::remove_file(dir.path().join("clips.jsonl")).unwrap();
    let again = write(dir.path(), &some, || ()).unwrap();
    assert_eq!((again.rendered, again.kept), (1, 15));
    assert_eq!(fs::read(dir.path().join("clips.jsonl")).unwrap(), first);
    let others = [
        options(Frames::Some(5)),
        options(Frames::Rate {
            fps: 5.0,
            dropped: 0.0,
        }),
        ClipsOptions {
            seed: 4,
            ..some.clone()
        },
    ];
    for other in others {
        let refused = write(dir.path(), &other, || ());
        assert!(
            matches!(refused, Err(ScenesError::OtherDataset { .. })),
            "{refused:?}"
        );
    }
    let foreign = tempfile::tempdir().unwrap();
    fs::write(foreign.path().join("clips.jsonl"), "mine\n").unwrap();
    let refused = write(foreign.path(), &some, || ());
    assert!(
        matches!(refused, Err(ScenesError::Foreign { .. })),
        "{refused:?}"
    );
    assert_eq!(
        fs::read(foreign.path().join("clips.jsonl")).unwrap(),
        b"mine\n"
    );
}

#[test]
fn a_rate_covers_the_story_and_loses_frames() {
    let dir = tempfile::tempdir().unwrap();
    let rate = |dropped| Frames::Rate { fps: 10.0, dropped };
    write(dir.path(), &options(rate(0.0)), || ()).unwrap();
    assert!(
        lines(dir.path())
            .iter()
            .all(|c| c["frames"].as_array().unwrap().len() == 80)
    );
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &options(rate(0.3)), || ()).unwrap();
    for clip in lines(dir.path()) {
        let frames = clip["frames"].as_array().unwrap();
        assert!((40..72).contains(&frames.len()), "{}", frames.len());
        for frame in frames {
            let tick = frame["time"].as_f64().unwrap() * 10.0;
            assert!((tick - tick.round()).abs() < 1e-6, "{tick}");
        }
    }
}
