//! From READY to PAUSED and back: neither waits for what takes long.

use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::common::{PATIENCE, RGB, collect, harness, init, mdetr, pad, pipeline, rgb_frame, stat};

/// More texts than any machine encodes while a state changes.
const MANY: u64 = 3000;

fn many() -> gst::Array {
    gst::Array::new((0..MANY).map(|number| format!("cube number {number}")))
}

fn progress(bus: &gst::Bus) -> Vec<gst::ProgressType> {
    let mut told = Vec::new();
    while let Some(message) = bus.pop_filtered(&[gst::MessageType::Progress]) {
        if let gst::MessageView::Progress(progress) = message.view() {
            let (kind, code, text) = progress.get();
            assert_eq!(code, "mdetr-start");
            assert!(!text.is_empty());
            told.push(kind);
        }
    }
    told
}

#[test]
fn neither_pausing_nor_stopping_waits_for_texts() {
    for mode in ["every-frame", "live"] {
        let pipeline = pipeline(&format!(
            "videotestsrc is-live=true ! video/x-raw,format=RGB,width=64,height=48
             ! MDETR mode={mode} workers=1 ! fakesink sync=false"
        ));
        let element = pipeline.by_name("mdetr").expect("named");
        element.set_property("queries", many());
        let frames = collect(&pad(&pipeline, "mdetr", "src"));
        pipeline.set_state(gst::State::Playing).expect("plays");
        let bus = pipeline.bus().expect("a pipeline has a bus");
        let begun = Instant::now();
        while stat::<u64>(&element, "text-encoder-runs") == 0 {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(5));
        }
        if mode == "live" {
            // A live frame comes through meanwhile, without detections.
            while frames.lock().expect("no panic").is_empty() {
                assert!(begun.elapsed() < Duration::from_secs(60));
                std::thread::sleep(Duration::from_millis(5));
            }
        } else {
            assert!(frames.lock().expect("no panic").is_empty());
        }
        pipeline.set_state(gst::State::Ready).expect("stops");
        let encoded = stat::<u64>(&element, "text-encoder-runs");
        assert!(
            encoded < MANY,
            "{mode}: stopped after all of {encoded} texts"
        );
        // NULL clears the bus.
        let told = progress(&bus);
        pipeline.set_state(gst::State::Null).expect("stops");
        for frame in frames.lock().expect("no panic").iter() {
            assert!(gstmdetr::meta::read(frame).is_empty(), "{mode}");
        }
        if mode == "live" {
            assert_eq!(told, []);
        } else {
            assert_eq!(
                told[..2],
                [gst::ProgressType::Start, gst::ProgressType::Continue]
            );
            // The cancellation is told once the text at hand is encoded.
            assert!(matches!(told[2..], [] | [gst::ProgressType::Canceled]));
        }
    }
}

#[test]
fn the_first_frame_waits_for_the_queries_and_progress_ends() {
    init();
    let element = mdetr("a red cube");
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = harness(&element, RGB);
    let frame = harness.push_and_pull(rgb_frame(64, 48, 0));
    let found = gstmdetr::meta::read(&frame.expect("comes out"));
    assert_eq!(found[0].grounding.queries[0].query.text(), "a red cube");
    assert_eq!(
        progress(&bus),
        [
            gst::ProgressType::Start,
            gst::ProgressType::Continue,
            gst::ProgressType::Complete
        ]
    );
}

#[test]
fn queries_that_cannot_be_encoded_end_the_stream_with_one_error() {
    for mode in ["every-frame", "live"] {
        let long = "red ".repeat(900);
        let pipeline = pipeline(&format!(
            "videotestsrc is-live=true ! video/x-raw,format=RGB,width=64,height=48
             ! MDETR mode={mode} query=\"{long}\" ! fakesink"
        ));
        let mdetr = pipeline.by_name("mdetr").expect("named");
        let bus = pipeline.bus().expect("a pipeline has a bus");
        pipeline
            .set_state(gst::State::Playing)
            .expect("plays at first");
        let (mut ours, mut others) = (Vec::new(), 0);
        // The source tells that it could not go on.
        while others == 0 {
            let message = bus.timed_pop_filtered(PATIENCE, &[gst::MessageType::Error]);
            let message = message.expect("an error");
            let gst::MessageView::Error(error) = message.view() else {
                continue;
            };
            if error.src() == Some(mdetr.upcast_ref()) {
                ours.push(error.error().to_string());
            } else {
                others += 1;
            }
        }
        pipeline.set_state(gst::State::Null).expect("stops");
        assert_eq!(ours.len(), 1, "{mode}: {ours:?}");
        assert!(ours[0].contains("tokens"), "{mode}: {ours:?}");
    }
}

#[test]
fn queries_set_while_the_model_loads_follow_and_bad_ones_change_nothing() {
    init();
    let element = mdetr("a red cube");
    let mut harness = harness(&element, RGB);
    element.set_property("query", "[");
    let frame = harness.push_and_pull(rgb_frame(64, 48, 0));
    let found = gstmdetr::meta::read(&frame.expect("comes out"));
    assert_eq!(found[0].grounding.queries[0].query.text(), "a red cube");
    element.set_property("query", "all balls");
    let begun = Instant::now();
    loop {
        let frame = harness.push_and_pull(rgb_frame(64, 48, 0));
        let found = gstmdetr::meta::read(&frame.expect("comes out"));
        if found[0].grounding.queries[0].query.text() == "all balls" {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
