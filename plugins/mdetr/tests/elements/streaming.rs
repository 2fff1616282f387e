//! EOS, flushes, seeks and state changes: nothing is lost, nothing hangs.

use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::common::{
    RGB, collect, harness, init, mdetr, pad, pipeline, record, rgb_frame, run, small_mdetr,
};

#[test]
fn eos_waits_for_every_frame() {
    for mode in ["every-frame", "live"] {
        let element = mdetr("a red cube");
        element.set_property_from_str("mode", mode);
        element.set_property("max-in-flight", 8u32);
        let mut harness = harness(&element, RGB);
        for number in 0..20 {
            harness.push(rgb_frame(64, 48, number)).expect("taken");
        }
        assert!(harness.push_event(gst::event::Eos::new()));
        let mut times = Vec::new();
        for _ in 0..20 {
            times.push(harness.pull().expect("every frame comes out").pts());
        }
        let expected: Vec<_> = (0..20)
            .map(|n| Some(gst::ClockTime::from_mseconds(40 * n)))
            .collect();
        assert_eq!(times, expected, "{mode}");
        let last = loop {
            let event = harness.pull_event().expect("EOS comes out");
            if event.type_() == gst::EventType::Eos {
                break event;
            }
        };
        assert_eq!(last.type_(), gst::EventType::Eos);
    }
}

#[test]
fn serialized_events_keep_their_place() {
    let element = mdetr("a red cube");
    let order = record(&element.static_pad("src").expect("an always pad"));
    let mut harness = harness(&element, RGB);
    harness.push(rgb_frame(64, 48, 0)).expect("taken");
    let gap = gst::event::Gap::builder(gst::ClockTime::from_mseconds(40)).build();
    assert!(harness.push_event(gap));
    harness.push(rgb_frame(64, 48, 2)).expect("taken");
    let custom = gst::Structure::new_empty("marker");
    assert!(harness.push_event(gst::event::CustomDownstream::new(custom)));
    harness.push(rgb_frame(64, 48, 3)).expect("taken");
    assert!(harness.push_event(gst::event::Eos::new()));
    for _ in 0..3 {
        harness.pull().expect("three frames");
    }
    while !order.lock().expect("sound").order.contains(&"eos") {
        std::thread::sleep(Duration::from_millis(5));
    }
    let order = order.lock().expect("sound");
    let expected = [
        "stream-start",
        "caps",
        "segment",
        "frame",
        "gap",
        "frame",
        "custom-downstream",
        "frame",
        "eos",
    ];
    assert_eq!(order.order, expected);
}

#[test]
fn a_flush_drops_what_is_in_flight_and_goes_on() {
    for mode in ["every-frame", "live"] {
        let element = mdetr("a red cube");
        element.set_property_from_str("mode", mode);
        let mut harness = harness(&element, RGB);
        for round in 0..10 {
            for number in 0..3 {
                harness.push(rgb_frame(64, 48, number)).expect("taken");
            }
            assert!(harness.push_event(gst::event::FlushStart::new()));
            assert_eq!(
                harness.push(rgb_frame(64, 48, 9)),
                Err(gst::FlowError::Flushing),
                "{mode}"
            );
            assert!(harness.push_event(gst::event::FlushStop::new(true)));
            while harness.try_pull().is_some() {}
            let segment = gst::FormattedSegment::<gst::ClockTime>::new();
            assert!(harness.push_event(gst::event::Segment::new(&segment)));
            let pushed = harness
                .push_and_pull(rgb_frame(64, 48, 100 + round))
                .expect("goes on");
            assert_eq!(
                pushed.pts(),
                rgb_frame(64, 48, 100 + round).pts(),
                "{mode}: an old frame"
            );
            if mode == "live" {
                assert!(
                    gstmdetr::meta::read(&pushed).is_empty(),
                    "a result from before the flush"
                );
            }
        }
    }
}

#[test]
fn a_flush_unblocks_a_full_element() {
    let element = small_mdetr("a red cube");
    element.set_property("max-in-flight", 2u32);
    // Downstream takes nothing: its first frame blocks.
    let mut harness = harness(&element, RGB);
    let src = element.static_pad("src").expect("an always pad");
    src.add_probe(
        gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER,
        |_, _| gst::PadProbeReturn::Ok,
    );
    let sink = element.static_pad("sink").expect("an always pad");
    let peer = sink.peer().expect("the harness");
    let pusher = std::thread::spawn({
        let peer = peer.clone();
        move || {
            (0..20)
                .map(|n| peer.push(rgb_frame(64, 48, n)))
                .find(|flow| flow.is_err())
        }
    });
    std::thread::sleep(Duration::from_millis(300));
    assert!(!pusher.is_finished(), "backpressure is missing");
    let begun = Instant::now();
    assert!(harness.push_event(gst::event::FlushStart::new()));
    let flow = pusher.join().expect("no panic");
    assert_eq!(flow, Some(Err(gst::FlowError::Flushing)));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn seeks_while_playing_do_not_hang() {
    for mode in ["every-frame", "live"] {
        let pipeline = pipeline(&format!(
            "tabletopsrc ! video/x-raw,width=64,height=64,framerate=100/1 ! MDETR mode={mode}
             query=\"a red cube\" ! fakesink name=sink sync=true"
        ));
        pipeline.set_state(gst::State::Playing).expect("plays");
        let frames = collect(&pad(&pipeline, "mdetr", "src"));
        for second in 1..8 {
            std::thread::sleep(Duration::from_millis(50));
            frames.lock().expect("sound").clear();
            let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
            let target = gst::ClockTime::from_seconds(10 * second);
            pipeline.seek_simple(flags, target).expect("seekable");
            let (result, ..) = pipeline.state(gst::ClockTime::from_seconds(60));
            result.expect("prerolls after the seek");
        }
        pipeline.set_state(gst::State::Null).expect("stops");
        let frames = frames.lock().expect("sound");
        let last = gst::ClockTime::from_seconds(70);
        assert!(!frames.is_empty());
        assert!(
            frames.iter().all(|f| f.pts() >= Some(last)),
            "{mode}: a frame from before the seek"
        );
    }
}

#[test]
fn stopping_in_full_flight_is_prompt() {
    for mode in ["every-frame", "live"] {
        let pipeline = pipeline(&format!(
            "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=100/1
             ! MDETR mode={mode} query=\"a red cube\" ! fakesink sync=false"
        ));
        for _ in 0..4 {
            pipeline.set_state(gst::State::Playing).expect("plays");
            std::thread::sleep(Duration::from_millis(150));
            let begun = Instant::now();
            pipeline.set_state(gst::State::Null).expect("stops");
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{mode}: {:?}",
                begun.elapsed()
            );
        }
    }
}

#[test]
fn downstream_that_has_enough_ends_the_stream() {
    let pipeline = pipeline(
        "videotestsrc num-buffers=1000 ! video/x-raw,format=RGB,width=64,height=48
         ! SMALL_MDETR query=\"a red cube\" ! identity eos-after=5 ! fakesink",
    );
    let frames = collect(&pad(&pipeline, "mdetr", "sink"));
    run(&pipeline).expect("EOS, not an error");
    assert!(frames.lock().expect("done").len() < 100);
}

#[test]
fn a_failure_downstream_after_eos_is_reported() {
    let element = small_mdetr("a red cube");
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = harness(&element, RGB);
    let src = element.static_pad("src").expect("an always pad");
    let id = src.add_probe(gst::PadProbeType::BUFFER, |pad, info| {
        // The peer goes away while the frame is on its way.
        if let Some(peer) = pad.peer() {
            pad.unlink(&peer).expect("linked");
        }
        let _ = info;
        gst::PadProbeReturn::Ok
    });
    assert!(id.is_some());
    harness.push(rgb_frame(64, 48, 0)).expect("taken");
    harness.push_event(gst::event::Eos::new());
    let message = bus.timed_pop_filtered(crate::common::PATIENCE, &[gst::MessageType::Error]);
    assert!(message.is_some(), "nobody would ever hear of it");
}

/// Whatever comes in whatever order: no hang, no crash, no warning of GStreamer's own checks.
#[test]
fn a_storm_of_events_is_survived() {
    for mode in ["every-frame", "live"] {
        let element = small_mdetr("a red cube");
        element.set_property_from_str("mode", mode);
        let mut harness = harness(&element, RGB);
        let mut state = 0x2545_f491_4f6c_dd1du64;
        for step in 0..400 {
            // xorshift64, Marsaglia 2003.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            match state % 16 {
                0..=6 => drop(harness.push(rgb_frame(64, 48, step))),
                7 => drop(harness.push(gst::Buffer::with_size(step as usize).expect("small"))),
                8 => {
                    let gap = gst::event::Gap::builder(gst::ClockTime::from_mseconds(step)).build();
                    harness.push_event(gap);
                }
                9 | 10 => {
                    let side = if state.is_multiple_of(3) {
                        48
                    } else {
                        1 + state % 90
                    };
                    let caps =
                        format!("video/x-raw,format=RGB,width=64,height={side},framerate=25/1");
                    let caps: gst::Caps = caps.parse().expect("caps");
                    harness.push_event(gst::event::Caps::new(&caps));
                }
                11 => drop(harness.push_event(gst::event::Eos::new())),
                12 => element.set_property("query", ["a ball", "[", "a cone"][step as usize % 3]),
                13 => element.set_property("inference-interval", 1 + (state % 4) as u32),
                14 => drop(harness.push_upstream_event(gst::event::Reconfigure::new())),
                _ => {
                    harness.push_event(gst::event::FlushStart::new());
                    harness.push_event(gst::event::FlushStop::new(true));
                    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
                    harness.push_event(gst::event::Segment::new(&segment));
                }
            }
        }
        harness.push_event(gst::event::FlushStart::new());
        harness.push_event(gst::event::FlushStop::new(true));
        while harness.try_pull().is_some() {}
        harness.set_src_caps_str(RGB);
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        harness.push_event(gst::event::Segment::new(&segment));
        let pushed = harness
            .push_and_pull(rgb_frame(64, 48, 1000))
            .expect("works on");
        assert_eq!(pushed.pts(), rgb_frame(64, 48, 1000).pts(), "{mode}");
    }
}

/// Ages in milliseconds of the results on frames with these times, in mode every-frame with
/// `inference-interval=3`.
fn ages(segment: &gst::FormattedSegment<gst::ClockTime>, times: &[Option<u64>]) -> Vec<u64> {
    let element = small_mdetr("a red cube");
    element.set_property("inference-interval", 3u32);
    let mut harness = harness(&element, RGB);
    assert!(harness.push_event(gst::event::Segment::new(segment)));
    let mut frame = |(number, time): (usize, &Option<u64>)| {
        let mut buffer = rgb_frame(64, 48, number as u64);
        let writable = buffer.get_mut().expect("the only reference");
        writable.set_pts(time.map(gst::ClockTime::from_mseconds));
        let pushed = harness
            .push_and_pull(buffer)
            .expect("every frame comes out");
        assert_eq!(pushed.pts(), time.map(gst::ClockTime::from_mseconds));
        gstmdetr::meta::read(&pushed)[0].age.mseconds()
    };
    times.iter().enumerate().map(&mut frame).collect()
}

#[test]
fn results_have_an_age_in_reverse_playback() {
    init();
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_rate(-1.0);
    segment.set_stop(gst::ClockTime::from_seconds(1));
    let times = [600, 560, 520, 480, 440, 400].map(Some);
    assert_eq!(ages(&segment, &times), [0, 40, 80, 0, 40, 80]);
}

#[test]
fn ages_survive_timestamps_that_fall_in_the_middle_of_a_segment() {
    init();
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    let hour = 3_600_000;
    let times = [hour, hour + 40, 0, 40, 80, 120].map(Some);
    let found = ages(&segment, &times);
    assert_eq!(
        (found[0], found[1], found[3..].to_vec()),
        (0, 40, vec![0, 40, 80])
    );
    // By the time that passed since the frame that was inferred arrived.
    assert!(found[2] < 60_000, "{found:?}");
}

#[test]
fn ages_are_in_running_time() {
    init();
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_rate(2.0);
    let times = [0, 40, 80, 120, 160].map(Some);
    assert_eq!(ages(&segment, &times), [0, 20, 40, 0, 20]);
}

#[test]
fn a_result_is_carried_into_the_next_segment() {
    init();
    let element = small_mdetr("a red cube");
    element.set_property("inference-interval", 3u32);
    let mut harness = harness(&element, RGB);
    let mut push = |base: u64, time: u64| {
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_base(gst::ClockTime::from_mseconds(base));
        assert!(harness.push_event(gst::event::Segment::new(&segment)));
        let mut buffer = rgb_frame(64, 48, time);
        let writable = buffer.get_mut().expect("the only reference");
        writable.set_pts(gst::ClockTime::from_mseconds(time));
        let pushed = harness.push_and_pull(buffer).expect("comes out");
        gstmdetr::meta::read(&pushed)[0].age.mseconds()
    };
    // A file that is played again and again.
    assert_eq!(push(0, 960), 0);
    assert_eq!(push(1000, 0), 40);
    assert_eq!(push(1000, 40), 80);
}

#[test]
fn frames_without_timestamps_are_answered() {
    init();
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    let found = ages(&segment, &[None; 4]);
    assert_eq!((found[0], found[3]), (0, 0));
    let element = small_mdetr("a red cube");
    element.set_property_from_str("mode", "live");
    let mut harness = harness(&element, RGB);
    for number in 0..30 {
        let mut buffer = rgb_frame(64, 48, number);
        buffer.get_mut().expect("the only reference").set_pts(None);
        let pushed = harness.push_and_pull(buffer).expect("passes at once");
        assert_eq!(pushed.pts(), None);
        std::thread::sleep(Duration::from_millis(5));
    }
    let begun = Instant::now();
    let mut answered = false;
    while !answered {
        assert!(begun.elapsed() < Duration::from_secs(60));
        let mut buffer = rgb_frame(64, 48, 99);
        buffer.get_mut().expect("the only reference").set_pts(None);
        let pushed = harness.push_and_pull(buffer).expect("passes at once");
        answered = !gstmdetr::meta::read(&pushed).is_empty();
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn reverse_playback_reaches_its_end() {
    for mode in ["every-frame", "live"] {
        let pipeline = pipeline(&format!(
            "videotestsrc ! video/x-raw,format=RGB,width=64,height=48,framerate=25/1
             ! MDETR mode={mode} query=\"a red cube\" ! fakesink sync=true"
        ));
        pipeline.set_state(gst::State::Paused).expect("pauses");
        let (result, ..) = pipeline.state(gst::ClockTime::from_seconds(60));
        result.expect("prerolls");
        let frames = collect(&pad(&pipeline, "mdetr", "src"));
        pipeline
            .seek(
                -2.0,
                gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE,
                gst::SeekType::Set,
                gst::ClockTime::ZERO,
                gst::SeekType::Set,
                gst::ClockTime::from_seconds(1),
            )
            .expect("videotestsrc plays backwards");
        run(&pipeline).expect("EOS");
        let frames = frames.lock().expect("sound");
        let times: Vec<_> = frames.iter().map(|f| f.pts()).collect();
        assert!((25..=26).contains(&times.len()), "{mode}: {times:?}");
        assert_eq!(times.last(), Some(&Some(gst::ClockTime::ZERO)), "{mode}");
        assert!(times.is_sorted_by(|a, b| a > b), "{mode}: {times:?}");
    }
}

#[test]
fn a_pause_loses_no_frame() {
    for mode in ["every-frame", "live"] {
        let pipeline = pipeline(&format!(
            "videotestsrc num-buffers=120 ! video/x-raw,format=RGB,width=64,height=48,framerate=100/1
             ! SMALL_MDETR mode={mode} query=\"a red cube\" ! fakesink sync=true"
        ));
        let frames = collect(&pad(&pipeline, "mdetr", "src"));
        for _ in 0..4 {
            pipeline.set_state(gst::State::Playing).expect("plays");
            std::thread::sleep(Duration::from_millis(100));
            pipeline.set_state(gst::State::Paused).expect("pauses");
            std::thread::sleep(Duration::from_millis(50));
        }
        run(&pipeline).expect("EOS");
        let times: Vec<_> = frames
            .lock()
            .expect("sound")
            .iter()
            .map(|f| f.pts())
            .collect();
        let expected: Vec<_> = (0..120)
            .map(|n| Some(gst::ClockTime::from_mseconds(10 * n)))
            .collect();
        assert_eq!(times, expected, "{mode}");
    }
}
