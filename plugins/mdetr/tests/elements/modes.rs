//! The two modes: what waits, what is skipped, what is said about it.

use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::common::{PATIENCE, RGB, collect, harness, mdetr, pad, pipeline, rgb_frame, run, stat};

#[test]
fn every_frame_mode_answers_every_frame_with_its_own_result() {
    let pipeline = pipeline(
        "videotestsrc num-buffers=20 ! video/x-raw,format=RGB,width=64,height=48
         ! MDETR query=\"a red cube\" workers=3 max-in-flight=7 ! fakesink",
    );
    let frames = collect(&pad(&pipeline, "mdetr", "src"));
    run(&pipeline).expect("a sound pipeline");
    for frame in frames.lock().expect("done").iter() {
        let found = gstmdetr::meta::read(frame);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].age, gst::ClockTime::ZERO);
    }
    let element = pipeline.by_name("mdetr").expect("named");
    assert_eq!(stat::<u64>(&element, "inferred"), 20);
    assert_eq!(stat::<u64>(&element, "skipped"), 0);
}

#[test]
fn with_an_interval_frames_carry_the_last_result_and_its_age() {
    let pipeline = pipeline(
        "videotestsrc num-buffers=10 ! video/x-raw,format=RGB,width=64,height=48,framerate=25/1
         ! MDETR query=\"a red cube\" inference-interval=3 ! fakesink",
    );
    let frames = collect(&pad(&pipeline, "mdetr", "src"));
    run(&pipeline).expect("a sound pipeline");
    let ages: Vec<u64> = frames
        .lock()
        .expect("done")
        .iter()
        .map(|frame| gstmdetr::meta::read(frame)[0].age.mseconds())
        .collect();
    assert_eq!(ages, [0, 40, 80, 0, 40, 80, 0, 40, 80, 0]);
    assert_eq!(
        stat::<u64>(&pipeline.by_name("mdetr").expect("named"), "inferred"),
        4
    );
}

#[test]
fn live_mode_skips_inference_never_frames() {
    let pipeline = pipeline(
        "videotestsrc is-live=true num-buffers=400 ! video/x-raw,format=RGB,width=640,height=480,framerate=100/1
         ! MDETR mode=live workers=1 query=\"a red cube\" ! fakesink name=sink",
    );
    let frames = collect(&pad(&pipeline, "mdetr", "src"));
    let bus = pipeline.bus().expect("a pipeline has a bus");
    pipeline.set_state(gst::State::Playing).expect("plays");
    let mut qos = None;
    loop {
        let message = bus.timed_pop(PATIENCE).expect("EOS");
        match message.view() {
            gst::MessageView::Qos(message) => qos = Some(message.stats().1),
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{error:?}"),
            _ => (),
        }
    }
    let element = pipeline.by_name("mdetr").expect("named");
    let (inferred, skipped) = (
        stat::<u64>(&element, "inferred"),
        stat::<u64>(&element, "skipped"),
    );
    pipeline.set_state(gst::State::Null).expect("stops");
    assert_eq!(frames.lock().expect("done").len(), 400);
    assert!(
        skipped > 0 && inferred > 0 && inferred + skipped <= 400,
        "{inferred} {skipped}"
    );
    assert!(qos.is_some(), "skipping was not reported");
}

#[test]
fn live_mode_attaches_the_newest_result_with_its_age() {
    let element = mdetr("a red cube");
    element.set_property_from_str("mode", "live");
    let mut harness = harness(&element, RGB);
    let first = harness
        .push_and_pull(rgb_frame(64, 48, 0))
        .expect("passes at once");
    assert!(
        gstmdetr::meta::read(&first).is_empty(),
        "no result can be finished yet"
    );
    let begun = Instant::now();
    while stat::<u64>(&element, "inferred") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    let later = harness
        .push_and_pull(rgb_frame(64, 48, 10))
        .expect("passes at once");
    let found = gstmdetr::meta::read(&later);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].age, gst::ClockTime::from_mseconds(400));
}

#[test]
fn live_mode_adds_no_latency_and_every_frame_mode_says_its_own() {
    for (mode, expected) in [("live", 0), ("every-frame", 5 * 40)] {
        let element = mdetr("a red cube");
        element.set_property_from_str("mode", mode);
        element.set_property("max-in-flight", 5u32);
        let mut harness = harness(&element, RGB);
        harness.set_upstream_latency(gst::ClockTime::from_mseconds(70));
        let latency = harness.query_latency().expect("answered");
        assert_eq!(latency.mseconds(), 70 + expected, "{mode}");
    }
}

#[test]
fn statistics_outlive_the_run() {
    let pipeline = pipeline(
        "videotestsrc num-buffers=5 ! video/x-raw,format=RGB,width=64,height=48
         ! MDETR query=\"a red cube\" ! fakesink",
    );
    let element = pipeline.by_name("mdetr").expect("named");
    assert_eq!(stat::<u64>(&element, "frames"), 0);
    run(&pipeline).expect("a sound pipeline");
    assert_eq!(stat::<u64>(&element, "frames"), 5);
    assert_eq!(stat::<u64>(&element, "revision"), 1);
    assert_eq!(stat::<String>(&element, "engine"), "tract");
    assert!(stat::<String>(&element, "engine-reason").contains("tract"));
    assert!(stat::<f64>(&element, "latency-median-ms") > 0.0);
}
