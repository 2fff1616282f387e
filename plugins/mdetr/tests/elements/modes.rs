//! The two modes: what waits, what is skipped, what is said about it.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::common::{
    PATIENCE, RGB, collect, harness, mdetr, pad, pipeline, rgb_frame, run, small_mdetr, stat,
};

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
         ! SMALL_MDETR query=\"a red cube\" inference-interval=3 ! fakesink",
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
        "videotestsrc is-live=true num-buffers=1000 ! video/x-raw,format=RGB,width=640,height=480,framerate=100/1
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
    assert_eq!(frames.lock().expect("done").len(), 1000);
    assert!(
        skipped > 0 && inferred > 0 && inferred + skipped <= 1000,
        "{inferred} {skipped}"
    );
    assert!(qos.is_some(), "skipping was not reported");
}

#[test]
fn live_mode_attaches_the_newest_result_with_its_age() {
    let element = small_mdetr("a red cube");
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
        let element = small_mdetr("a red cube");
        element.set_property_from_str("mode", mode);
        element.set_property("max-in-flight", 5u32);
        let mut harness = harness(&element, RGB);
        harness.set_upstream_latency(gst::ClockTime::from_mseconds(70));
        let latency = harness.query_latency().expect("answered");
        assert_eq!(latency.mseconds(), 70 + expected, "{mode}");
    }
}

#[test]
fn the_latency_rises_with_slow_frames_and_falls_again() {
    let element = mdetr("a red cube");
    element.set_property("workers", 1u32);
    element.set_property("max-in-flight", 1u32);
    element.set_property("short-side", 32u32);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let caps = "video/x-raw,format=RGB,width=64,height=48,framerate=1000/1";
    let mut harness = harness(&element, caps);
    harness
        .push_and_pull(rgb_frame(64, 48, 0))
        .expect("comes out");
    let ask = |queries: &gst::Array, revision: u64| {
        assert!(element.emit_by_name::<bool>("set-queries", &[queries]));
        while stat::<u64>(&element, "revision") < revision {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let mut push = |number: u64| {
        let frame = harness.push_and_pull(rgb_frame(64, 48, number));
        frame.expect("comes out");
        let told = bus.pop_filtered(&[gst::MessageType::Latency]).is_some();
        (harness.query_latency().expect("answered"), told)
    };
    ask(
        &gst::Array::new((0..40).map(|number| format!("cube number {number}"))),
        2,
    );
    push(1);
    let (slow, _) = push(2);
    assert!(slow > gst::ClockTime::from_mseconds(1), "{slow}");
    ask(&gst::Array::new(["a red cube"]), 3);
    // Other tests on this machine may slow down some of these too.
    let mut told = 0;
    let fast = (3..2000).find(|&number| {
        let (now, changed) = push(number);
        told += usize::from(changed);
        now < slow / 2
    });
    // 64 inferences count for the latency.
    assert!(fast.is_some_and(|number| number > 64), "{fast:?}");
    assert!(told > 0, "nobody was told");
}

#[test]
fn frames_are_scaled_to_what_the_target_rate_allows() {
    for (target, side) in [(0.01, 192), (1000.0, 128)] {
        let element = mdetr("a red cube");
        element.set_property("workers", 1u32);
        element.set_property("target-fps", target);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let caps = "video/x-raw,format=RGB,width=320,height=240,framerate=25/1";
        let mut harness = harness(&element, caps);
        let frame = harness.push_and_pull(rgb_frame(320, 240, 0));
        frame.expect("comes out");
        let told = bus
            .iter_filtered(&[gst::MessageType::Element])
            .find_map(|message| {
                let structure = message.structure()?;
                (structure.name() == "mdetr-short-side").then(|| structure.to_owned())
            });
        let told = told.expect("what was chosen");
        assert_eq!(told.get::<u32>("short-side"), Ok(side));
        assert_eq!(told.get::<f64>("target-fps"), Ok(target));
        let measured: f64 = told.get("frames-per-second").expect("a number");
        let warned = bus.pop_filtered(&[gst::MessageType::Warning]).is_some();
        assert_eq!(warned, measured < target, "{target}: {measured}");
    }
}

#[test]
fn no_frame_of_live_mode_waits_for_a_server_that_hangs() {
    // Connections are taken and never answered.
    let hanging = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = hanging.local_addr().expect("bound").port();
    let pipeline = pipeline(&format!(
        "videotestsrc is-live=true num-buffers=50 ! video/x-raw,format=RGB,width=64,height=48,framerate=100/1
         ! SMALL_MDETR mode=live query=\"a red cube\" engine=text:tract,vision:kserve,fusion:tract,mask:tract
         endpoints=grpc://127.0.0.1:{port} remote-deadline=600000 fallback=none ! fakesink"
    ));
    let frames = collect(&pad(&pipeline, "mdetr", "src"));
    // It waits for the end of the stream, and stops, in less time than the server is given.
    run(&pipeline).expect("no error");
    assert_eq!(frames.lock().expect("done").len(), 50);
    let element = pipeline.by_name("mdetr").expect("named");
    assert_eq!(stat::<u64>(&element, "inferred"), 0);
}

#[test]
fn the_local_engine_answers_where_there_is_no_server() {
    let pipeline = pipeline(
        "videotestsrc num-buffers=3 ! video/x-raw,format=RGB,width=64,height=48
         ! SMALL_MDETR query=\"a red cube\" engine=vision:kserve,fusion:tract endpoints=grpc://127.0.0.1:9
         fallback=tract workers=1 ! fakesink",
    );
    run(&pipeline).expect("a sound pipeline");
    let element = pipeline.by_name("mdetr").expect("named");
    assert_eq!(stat::<u64>(&element, "inferred"), 3);
    assert_eq!(stat::<u64>(&element, "fallback-runs"), 3);
    assert_eq!(stat::<u64>(&element, "remote-runs"), 0);
    assert!(stat::<u64>(&element, "remote-failures") > 0);
    assert!(stat::<String>(&element, "engine").contains("vision:kserve,fusion:tract"));
}

#[test]
fn statistics_outlive_the_run() {
    let pipeline = pipeline(
        "videotestsrc num-buffers=5 ! video/x-raw,format=RGB,width=64,height=48
         ! SMALL_MDETR query=\"a red cube\" ! fakesink",
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

#[test]
fn statistics_are_posted_at_the_end_of_the_stream() {
    for mode in ["every-frame", "live"] {
        let pipeline = pipeline(&format!(
            "videotestsrc num-buffers=5 ! video/x-raw,format=RGB,width=64,height=48
             ! SMALL_MDETR mode={mode} query=\"a red cube\" ! fakesink"
        ));
        let bus = pipeline.bus().expect("a pipeline has a bus");
        pipeline.set_state(gst::State::Playing).expect("plays");
        let (mut posted, mut ended) = (Vec::new(), false);
        while !ended {
            let message = bus.timed_pop(PATIENCE).expect("EOS");
            match message.view() {
                gst::MessageView::Element(element) => {
                    let stats = element.structure().expect("ours have one");
                    if stats.name() == "application/x-mdetr-stats" {
                        posted.push(stats.get::<u64>("frames").expect("counted"));
                    }
                }
                gst::MessageView::Eos(_) => ended = true,
                gst::MessageView::Error(error) => panic!("{error:?}"),
                _ => (),
            }
        }
        pipeline.set_state(gst::State::Null).expect("stops");
        assert_eq!(posted, [5], "{mode}");
    }
}

/// A gray frame with a white square whose left edge is at `x`; all of one level where `x` is 64.
fn square(number: u64, level: u8, x: usize) -> gst::Buffer {
    let mut buffer = rgb_frame(64, 48, number);
    {
        let buffer = buffer.get_mut().expect("the only reference");
        let mut map = buffer.map_writable().expect("system memory");
        for (index, pixel) in map.chunks_exact_mut(3).enumerate() {
            let inside = (x..x + 8).contains(&(index % 64)) && (20..28).contains(&(index / 64));
            pixel.fill(if inside { 255 } else { level });
        }
    }
    buffer
}

#[test]
fn a_still_scene_is_not_inferred_again() {
    let element = small_mdetr("a red cube");
    element.set_property("change-threshold", 0.05f32);
    let mut harness = harness(&element, RGB);
    let mut number = 0;
    // Age of the frame's result in frames, and its revision.
    let mut push = |level: u8, x: usize| {
        let frame = harness.push_and_pull(square(number, level, x));
        number += 1;
        let found = gstmdetr::meta::read(&frame.expect("comes out"));
        (found[0].age.mseconds() / 40, found[0].grounding.revision)
    };
    assert_eq!(
        [push(100, 64), push(100, 64), push(101, 64)],
        [(0, 1), (1, 1), (2, 1)]
    );
    assert_eq!(
        [push(100, 10), push(100, 10)],
        [(0, 1), (1, 1)],
        "an object came"
    );
    assert_eq!([push(100, 14), push(100, 14)], [(0, 1), (1, 1)], "it moved");
    // A drift too slow to be seen from frame to frame adds up.
    let drift: Vec<u64> = (1..=28).map(|step| push(100 + step, 14).0).collect();
    assert_eq!(
        drift.iter().filter(|&&age| age == 0).count(),
        2,
        "{drift:?}"
    );
    assert!(drift[0] > 0);
    let (inferred, unchanged) = (
        stat::<u64>(&element, "inferred"),
        stat::<u64>(&element, "unchanged"),
    );
    assert_eq!((inferred, unchanged), (5, 30));
    // Other thresholds and queries are answered at once.
    element.set_property("max-detections", 3u32);
    assert_eq!([push(128, 14), push(128, 14)], [(0, 1), (1, 1)]);
    element.set_property("query", "all balls");
    while stat::<u64>(&element, "revision") < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!([push(128, 14), push(128, 14)], [(0, 2), (1, 2)]);
    element.set_property("change-threshold", 0f32);
    assert_eq!([push(128, 14), push(128, 14)], [(0, 2), (0, 2)]);
}

#[test]
fn a_still_scene_is_not_inferred_again_in_live_mode() {
    let element = small_mdetr("a red cube");
    element.set_property_from_str("mode", "live");
    element.set_property("change-threshold", 0.05f32);
    let mut harness = harness(&element, RGB);
    let mut push = |number: u64, x: usize| {
        let frame = harness.push_and_pull(square(number, 100, x));
        gstmdetr::meta::read(&frame.expect("passes at once"))
    };
    let inferred = |count: u64| {
        let begun = Instant::now();
        while stat::<u64>(&element, "inferred") < count {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    push(0, 10);
    inferred(1);
    for number in 1..20 {
        let found = push(number, 10);
        assert_eq!(found[0].age, gst::ClockTime::from_mseconds(40 * number));
    }
    assert_eq!(stat::<u64>(&element, "inferred"), 1);
    assert_eq!(stat::<u64>(&element, "unchanged"), 19);
    push(20, 40);
    inferred(2);
    assert_eq!(stat::<u64>(&element, "skipped"), 0);
    assert_eq!(push(21, 40)[0].age, gst::ClockTime::from_mseconds(40));
}
