//! The tabletop source.

use gst::prelude::*;
use gst_video::VideoRegionOfInterestMeta;

use crate::common::{collect, pad, pipeline, run, seen};

fn frames(properties: &str, caps: &str) -> Vec<gst::Buffer> {
    let pipeline = pipeline(&format!(
        "tabletopsrc name=source {properties} ! video/x-raw,{caps} ! fakesink"
    ));
    let frames = collect(&pad(&pipeline, "source", "src"));
    run(&pipeline).expect("a sound pipeline");
    std::mem::take(&mut *frames.lock().expect("done"))
}

fn pixels(frames: &[gst::Buffer]) -> Vec<u64> {
    frames.iter().map(|frame| seen(frame).pixels).collect()
}

#[test]
fn the_seed_decides_everything() {
    let caps = "width=96,height=64";
    let first = frames("num-buffers=3 seed=7", caps);
    let again = frames("num-buffers=3 seed=7", caps);
    let other = frames("num-buffers=3 seed=8", caps);
    assert_eq!(pixels(&first), pixels(&again));
    assert_ne!(pixels(&first), pixels(&other));
    assert_ne!(pixels(&first)[0], pixels(&first)[1], "nothing moves");
}

#[test]
fn timestamps_are_exact() {
    let frames = frames("num-buffers=7", "width=64,height=64,framerate=30000/1001");
    for (index, frame) in frames.iter().enumerate() {
        let exact = |n: u64| gst::ClockTime::from_nseconds(n * 1001 * 1_000_000_000 / 30000);
        let index = index as u64;
        assert_eq!(frame.pts(), Some(exact(index)));
        assert_eq!(frame.duration(), Some(exact(index + 1) - exact(index)));
        assert_eq!(frame.offset(), index);
    }
}

#[test]
fn the_truth_is_attached() {
    let frames = frames("num-buffers=2 objects=3 seed=3", "width=160,height=120");
    for frame in &frames {
        let metas: Vec<_> = frame.iter_meta::<VideoRegionOfInterestMeta>().collect();
        assert!(!metas.is_empty() && metas.len() <= 3);
        for meta in metas {
            let (x, y, width, height) = meta.rect();
            assert!(width > 0 && height > 0 && x + width <= 160 && y + height <= 120);
            let label: String = meta
                .param("detection")
                .expect("attached")
                .get("label")
                .expect("text");
            assert_eq!(meta.roi_type(), label);
            let words = meta.param("tabletop").expect("attached");
            for field in ["size", "colour", "material", "shape"] {
                let word: String = words.get(field).expect(field);
                assert!(label.contains(&word), "{label}: {word}");
            }
        }
    }
}

#[test]
fn rows_are_padded_as_caps_say() {
    // 65 * 3 bytes is no multiple of four: GStreamer's rows have a byte of padding.
    let frames = frames("num-buffers=1", "width=65,height=64");
    assert_eq!(frames[0].size(), 196 * 64);
}

#[test]
fn other_sizes_than_can_be_rendered_are_refused() {
    let flat = pipeline("tabletopsrc num-buffers=1 ! video/x-raw,width=2000,height=100 ! fakesink");
    let error = run(&flat).expect_err("too flat");
    assert!(error.contains("2000x100"), "{error}");
    let tiny = gst::parse::launch("tabletopsrc ! video/x-raw,width=1,height=1 ! fakesink");
    assert!(tiny.is_err());
}

#[test]
fn seeking_lands_on_the_frame_of_that_time() {
    let pipeline = pipeline(
        "tabletopsrc name=source ! video/x-raw,width=64,height=64,framerate=25/1 ! fakesink name=sink",
    );
    pipeline.set_state(gst::State::Paused).expect("prerolls");
    pipeline
        .state(gst::ClockTime::from_seconds(60))
        .0
        .expect("prerolls");
    let frames = collect(&pad(&pipeline, "source", "src"));
    let target = gst::ClockTime::from_mseconds(1010);
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
    pipeline.seek_simple(flags, target).expect("seekable");
    pipeline
        .state(gst::ClockTime::from_seconds(60))
        .0
        .expect("prerolls");
    pipeline.set_state(gst::State::Null).expect("stops");
    let frames = frames.lock().expect("done");
    assert_eq!(frames[0].pts(), Some(gst::ClockTime::from_seconds(1)));
    assert_eq!(frames[0].offset(), 25);
}

#[test]
fn live_frames_come_at_their_time_or_not_at_all() {
    let begun = std::time::Instant::now();
    let frames = frames(
        "num-buffers=10 is-live=true",
        "width=64,height=64,framerate=50/1",
    );
    assert!(begun.elapsed() >= std::time::Duration::from_millis(170));
    assert_eq!(frames.len(), 10);
    let times: Vec<_> = frames
        .iter()
        .map(|frame| frame.pts().expect("set"))
        .collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    for pair in frames.windows(2) {
        let skipped = pair[1].offset() != pair[0].offset() + 1;
        assert_eq!(pair[1].flags().contains(gst::BufferFlags::DISCONT), skipped);
    }
}

#[test]
fn caps_are_fixed_to_the_usual() {
    let pipeline = pipeline("tabletopsrc name=source num-buffers=1 ! fakesink");
    pipeline.set_state(gst::State::Paused).expect("prerolls");
    pipeline
        .state(gst::ClockTime::from_seconds(60))
        .0
        .expect("prerolls");
    let caps = pad(&pipeline, "source", "src")
        .current_caps()
        .expect("negotiated");
    pipeline.set_state(gst::State::Null).expect("stops");
    let info = gst_video::VideoInfo::from_caps(&caps).expect("raw video");
    assert_eq!((info.width(), info.height()), (640, 480));
    assert_eq!(info.fps(), gst::Fraction::new(30, 1));
}
