//! Standing queries: encoded once, changed while playing.

use gst::glib;
use gst::prelude::*;

use crate::common::{PATIENCE, RGB, collect, harness, mdetr, pad, pipeline, rgb_frame, run, stat};

const SOURCE: &str = "videotestsrc ! video/x-raw,format=RGB,width=64,height=48,framerate=100/1";

fn wait_for(pipeline: &gst::Pipeline, kind: gst::MessageType) -> gst::Message {
    let bus = pipeline.bus().expect("a pipeline has a bus");
    let kinds = [kind, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(PATIENCE, &kinds).expect("a message");
    assert_eq!(message.type_(), kind, "{message:?}");
    message
}

/// The next `mdetr-queries`: revision and ids.
fn wait_for_queries(pipeline: &gst::Pipeline) -> (u64, Vec<String>) {
    loop {
        let message = wait_for(pipeline, gst::MessageType::Element);
        let structure = message.structure().expect("element messages have one");
        if structure.name() == "mdetr-queries" {
            let ids: gst::Array = structure.get("ids").expect("an array");
            let ids = ids.iter().map(|id| id.get().expect("a string")).collect();
            return (structure.get("revision").expect("a number"), ids);
        }
    }
}

#[test]
fn a_change_while_playing_is_taken_up_whole() {
    // A cache of its own, and so a model whose texts no other test has encoded.
    let cache = tempfile::tempdir().expect("a writable temporary directory");
    let pipeline = pipeline(&format!(
        "{SOURCE} ! MDETR text-cache-dir=\"{}\" queries=\"<\\\"a red cube\\\",\\\"all balls\\\">\" ! fakesink sync=true",
        cache.path().display()
    ));
    let frames = collect(&pad(&pipeline, "mdetr", "src"));
    let element = pipeline.by_name("mdetr").expect("named");
    pipeline.set_state(gst::State::Playing).expect("plays");
    assert_eq!(
        wait_for_queries(&pipeline),
        (1, vec!["q1".into(), "q2".into()])
    );
    let sets: [&[&str]; 3] = [
        &["a red cube", "all balls"],
        &["a small green cone"],
        &["a cube left of a ball", "a red cube", "two cylinders"],
    ];
    for (index, set) in sets.iter().enumerate().skip(1) {
        let reached = frames.lock().expect("sound").len() + 10;
        while frames.lock().expect("sound").len() < reached {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        element.set_property("queries", gst::Array::new(set.iter()));
        assert_eq!(wait_for_queries(&pipeline).0, index as u64 + 1);
    }
    let reached = frames.lock().expect("sound").len() + 20;
    while frames.lock().expect("sound").len() < reached {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    pipeline.set_state(gst::State::Null).expect("stops");

    let mut seen = Vec::new();
    for frame in frames.lock().expect("done").iter() {
        let found = gstmdetr::meta::read(frame);
        let grounding = &found[0].grounding;
        let texts: Vec<&str> = grounding.queries.iter().map(|r| r.query.text()).collect();
        assert_eq!(
            texts,
            sets[grounding.revision as usize - 1],
            "a mixed answer"
        );
        seen.push(grounding.revision);
    }
    assert!([1, 2, 3].iter().all(|revision| seen.contains(revision)));
    assert_eq!(
        stat::<u64>(&element, "text-encoder-runs"),
        5,
        "one text was known already"
    );
}

#[test]
fn a_bad_change_is_a_warning_and_the_old_queries_stay() {
    let pipeline = pipeline(&format!(
        "{SOURCE} ! SMALL_MDETR query=\"a red cube\" ! fakesink sync=true"
    ));
    let element = pipeline.by_name("mdetr").expect("named");
    pipeline.set_state(gst::State::Playing).expect("plays");
    wait_for_queries(&pipeline);
    for bad in ["[a red cube", ""] {
        element.set_property("query", bad);
        let message = wait_for(&pipeline, gst::MessageType::Warning);
        let gst::MessageView::Warning(warning) = message.view() else {
            unreachable!()
        };
        assert!(format!("{warning:?}").contains("stay"), "{warning:?}");
        assert_eq!(stat::<u64>(&element, "revision"), 1);
    }
    element.set_property("query", "all balls");
    assert_eq!(wait_for_queries(&pipeline), (2, vec!["q1".into()]));
    pipeline.set_state(gst::State::Null).expect("stops");
}

#[test]
fn queries_can_all_go_and_come_back() {
    let pipeline = pipeline(&format!(
        "{SOURCE} ! SMALL_MDETR query=\"a red cube\" ! fakesink sync=true"
    ));
    let element = pipeline.by_name("mdetr").expect("named");
    let frames = collect(&pad(&pipeline, "mdetr", "src"));
    pipeline.set_state(gst::State::Playing).expect("plays");
    wait_for_queries(&pipeline);
    element.set_property("query", None::<String>);
    assert_eq!(wait_for_queries(&pipeline), (2, vec![]));
    let begun = std::time::Instant::now();
    let unanswered = || {
        let frames = frames.lock().expect("sound");
        frames
            .last()
            .is_some_and(|frame| gstmdetr::meta::read(frame).is_empty())
    };
    while !unanswered() {
        assert!(begun.elapsed().as_secs() < PATIENCE.seconds());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    element.set_property("query", "all balls");
    assert_eq!(wait_for_queries(&pipeline).0, 3);
    pipeline.set_state(gst::State::Null).expect("stops");
}

#[test]
fn thresholds_change_while_playing() {
    let pipeline = pipeline(&format!(
        "{SOURCE} ! MDETR query=\"a red cube\" ! fakesink sync=true"
    ));
    let element = pipeline.by_name("mdetr").expect("named");
    let frames = collect(&pad(&pipeline, "mdetr", "src"));
    pipeline.set_state(gst::State::Playing).expect("plays");
    let detections_of_next = || {
        let reached = frames.lock().expect("sound").len() + 20;
        loop {
            if let Some(frame) = frames.lock().expect("sound").get(reached) {
                return gstmdetr::meta::read(frame)[0].grounding.queries[0]
                    .detections
                    .len();
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    assert!(detections_of_next() > 2);
    element.set_property("max-detections", 2u32);
    assert_eq!(detections_of_next(), 2);
    element.set_property("score-threshold", 1f32);
    assert_eq!(detections_of_next(), 0);
    pipeline.set_state(gst::State::Null).expect("stops");
}

#[test]
fn each_text_is_encoded_once_and_never_with_a_warm_cache() {
    let cache = tempfile::tempdir().expect("a writable temporary directory");
    let play = || {
        let pipeline = pipeline(&format!(
            "videotestsrc num-buffers=60 ! video/x-raw,format=RGB,width=64,height=48
             ! SMALL_MDETR text-cache-dir=\"{}\"
               queries=\"<\\\"a red cube\\\",\\\"all balls\\\",\\\"a cube left of a ball\\\">\" ! fakesink",
            cache.path().display()
        ));
        run(&pipeline).expect("a sound pipeline");
        pipeline.by_name("mdetr").expect("named")
    };
    let cold = play();
    assert_eq!(stat::<u64>(&cold, "frames"), 60);
    assert_eq!(stat::<u64>(&cold, "text-encoder-runs"), 3);
    let warm = play();
    assert_eq!(stat::<u64>(&warm, "text-encoder-runs"), 0);
    assert_eq!(stat::<u64>(&warm, "text-encoder-loads"), 0);
    assert_eq!(stat::<u64>(&warm, "cache-disk-hits"), 3);
    assert_eq!(stat::<u64>(&warm, "inferred"), 60);
}

#[test]
fn the_example_configuration_runs() {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/tabletop.toml");
    let pipeline = pipeline(&format!(
        "videotestsrc num-buffers=1 ! video/x-raw,format=RGB,width=64,height=48
         ! MDETR config=\"{config}\" ! fakesink"
    ));
    let frames = collect(&pad(&pipeline, "mdetr", "src"));
    run(&pipeline).expect("a sound pipeline");
    let found = gstmdetr::meta::read(&frames.lock().expect("done")[0]);
    assert_eq!(found[0].grounding.queries.len(), 3);
    assert_eq!(found[0].grounding.queries[0].query.id(), "red-left-of-blue");
}

fn set_queries(element: &gst::Element, queries: &[&str]) -> bool {
    element.emit_by_name("set-queries", &[&gst::Array::new(queries)])
}

fn set_queries_event(queries: glib::SendValue) -> gst::Event {
    let structure = gst::Structure::builder("mdetr-set-queries")
        .field("queries", queries)
        .build();
    gst::event::CustomUpstream::new(structure)
}

#[test]
fn the_action_signal_replaces_all_queries_or_nothing() {
    let pipeline = pipeline(&format!(
        "{SOURCE} ! SMALL_MDETR query=\"a red cube\" ! fakesink sync=true"
    ));
    let element = pipeline.by_name("mdetr").expect("named");
    // Before the start they are taken up with it.
    assert!(set_queries(&element, &["a ball"]));
    assert!(!set_queries(&element, &["[a ball"]));
    assert_eq!(element.property::<Option<String>>("query"), None);
    pipeline.set_state(gst::State::Playing).expect("plays");
    assert_eq!(wait_for_queries(&pipeline), (1, vec!["q1".into()]));
    assert!(set_queries(
        &element,
        &["all cones", "a cube left of a ball"]
    ));
    assert_eq!(
        wait_for_queries(&pipeline),
        (2, vec!["q1".into(), "q2".into()])
    );
    let structure = |id: &str| {
        gst::Structure::builder("query")
            .field("id", id)
            .field("text", "a cone")
            .build()
    };
    let twice = gst::Array::new([structure("a"), structure("a")]);
    assert!(!element.emit_by_name::<bool>("set-queries", &[&twice]));
    wait_for(&pipeline, gst::MessageType::Warning);
    assert!(!element.emit_by_name::<bool>("set-queries", &[&gst::Array::new([5])]));
    wait_for(&pipeline, gst::MessageType::Warning);
    assert_eq!(stat::<u64>(&element, "revision"), 2);
    assert_eq!(element.property::<gst::Array>("queries").len(), 2);
    assert!(set_queries(&element, &[]));
    assert_eq!(wait_for_queries(&pipeline), (3, vec![]));
    pipeline.set_state(gst::State::Null).expect("stops");
}

#[test]
fn an_event_from_downstream_changes_the_queries_and_rubbish_does_not() {
    let pipeline = pipeline(&format!(
        "{SOURCE} ! SMALL_MDETR query=\"a red cube\" ! identity ! fakesink name=sink sync=true"
    ));
    let frames = collect(&pad(&pipeline, "mdetr", "src"));
    let element = pipeline.by_name("mdetr").expect("named");
    let sink = pipeline.by_name("sink").expect("named");
    pipeline.set_state(gst::State::Playing).expect("plays");
    wait_for_queries(&pipeline);
    let array = |texts: &[&str]| gst::Array::new(texts).to_send_value();
    assert!(sink.send_event(set_queries_event(array(&["all balls", "a cone"]))));
    assert_eq!(
        wait_for_queries(&pipeline),
        (2, vec!["q1".into(), "q2".into()])
    );
    // Straight to the element, and through the pipeline.
    assert!(element.send_event(set_queries_event(array(&["a cone"]))));
    assert_eq!(wait_for_queries(&pipeline).0, 3);
    assert!(pipeline.send_event(set_queries_event(array(&["a cube"]))));
    assert_eq!(wait_for_queries(&pipeline).0, 4);
    let bare = gst::event::CustomUpstream::new(gst::Structure::new_empty("mdetr-set-queries"));
    for rubbish in [
        bare,
        set_queries_event(7.to_send_value()),
        set_queries_event(array(&["[a cone"])),
        set_queries_event(gst::Array::new([1.5f64]).to_send_value()),
    ] {
        assert!(!sink.send_event(rubbish.clone()), "{rubbish:?}");
        let message = wait_for(&pipeline, gst::MessageType::Warning);
        let gst::MessageView::Warning(warning) = message.view() else {
            unreachable!()
        };
        assert!(format!("{warning:?}").contains("stay"), "{warning:?}");
    }
    // Too long for the model is found out in the background.
    assert!(sink.send_event(set_queries_event(array(&[
        "cube and ".repeat(200).as_str()
    ]))));
    wait_for(&pipeline, gst::MessageType::Warning);
    let reached = frames.lock().expect("sound").len() + 10;
    while frames.lock().expect("sound").len() < reached {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    pipeline.set_state(gst::State::Null).expect("stops");
    let frames = frames.lock().expect("done");
    let found = gstmdetr::meta::read(frames.last().expect("some"));
    assert_eq!(found[0].grounding.revision, 4);
    assert_eq!(found[0].grounding.queries[0].query.text(), "a cube");
}

/// Each swap has a text that the encoder has never seen. A frame that waited for it would come out
/// after the message that says that the swap is done.
#[test]
fn no_frame_waits_for_an_encoding() {
    const SWAPS: u64 = 100;
    let cache = tempfile::tempdir().expect("a writable temporary directory");
    let element = mdetr("a red cube");
    element.set_property_from_str("mode", "live");
    element.set_property("text-cache-dir", cache.path().display().to_string());
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = harness(&element, RGB);
    let swapped = || {
        let kinds = [gst::MessageType::Element, gst::MessageType::Warning];
        let message = bus.pop_filtered(&kinds)?;
        let structure = message.structure().expect("no warning").to_owned();
        structure.get::<u64>("revision").ok()
    };
    while swapped() != Some(1) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut number = 0;
    let (mut passed_meanwhile, mut last) = (0, 0);
    let mut intervals = Vec::new();
    for swap in 0..SWAPS {
        assert!(set_queries(&element, &[&format!("cone number {swap}")]));
        let mut passed = 0;
        loop {
            let before = std::time::Instant::now();
            harness.push(rgb_frame(64, 48, number)).expect("taken");
            let frame = harness.try_pull().expect("a live frame passes at once");
            intervals.push(before.elapsed());
            assert_eq!(frame.pts(), rgb_frame(64, 48, number).pts());
            number += 1;
            for found in gstmdetr::meta::read(&frame) {
                assert!(found.grounding.revision >= last, "an older answer");
                last = found.grounding.revision;
            }
            if let Some(revision) = swapped() {
                assert_eq!(revision, swap + 2);
                break;
            }
            passed += 1;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        passed_meanwhile += u64::from(passed > 0);
    }
    assert_eq!(stat::<u64>(&element, "text-encoder-runs"), SWAPS + 1);
    assert_eq!(stat::<u64>(&element, "frames"), number);
    assert!(last > 1 && last <= SWAPS + 1);
    // A stall would let none pass.
    assert!(passed_meanwhile >= SWAPS / 2, "{passed_meanwhile}");
    intervals.sort_unstable();
    println!(
        "{number} frames, {passed_meanwhile} of {SWAPS} encodings with frames meanwhile; through the \
         element: median {:?}, longest {:?}",
        intervals[intervals.len() / 2],
        intervals[intervals.len() - 1]
    );
}

#[test]
fn packed_queries_take_one_fusion_and_can_be_unpacked_while_playing() {
    let cache = tempfile::tempdir().expect("a writable temporary directory");
    let texts = [
        "a red cube",
        "all balls",
        "a cube left of a ball",
        "two cones",
    ];
    let queries = texts.map(|text| format!("\\\"{text}\\\"")).join(",");
    let pipeline = pipeline(&format!(
        "{SOURCE} ! MDETR text-cache-dir=\"{}\" pack-queries=simple queries=\"<{queries}>\" ! fakesink sync=true",
        cache.path().display()
    ));
    let element = pipeline.by_name("mdetr").expect("named");
    let frames = collect(&pad(&pipeline, "mdetr", "src"));
    pipeline.set_state(gst::State::Playing).expect("plays");
    assert_eq!(wait_for_queries(&pipeline).0, 1);
    let wait_for_revision = |revision: u64| {
        let begun = std::time::Instant::now();
        let seen = || {
            let frames = frames.lock().expect("sound");
            let last = frames.last().map(|frame| gstmdetr::meta::read(frame));
            last.and_then(|found| found.first().map(|found| found.grounding.revision))
        };
        while seen() != Some(revision) {
            assert!(
                begun.elapsed() < PATIENCE.into(),
                "revision {revision} never came"
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    wait_for_revision(1);
    // The simple ones together, the relation by itself.
    assert_eq!(stat::<u64>(&element, "text-encoder-runs"), 2);
    element.set_property_from_str("pack-queries", "none");
    assert_eq!(wait_for_queries(&pipeline).0, 2);
    wait_for_revision(2);
    assert_eq!(stat::<u64>(&element, "text-encoder-runs"), 5);
    pipeline.set_state(gst::State::Null).expect("stops");

    let (mut packed, mut alone) = (0, 0);
    for frame in frames.lock().expect("done").iter() {
        let found = gstmdetr::meta::read(frame);
        let grounding = &found[0].grounding;
        let asked: Vec<&str> = grounding.queries.iter().map(|r| r.query.text()).collect();
        assert_eq!(asked, texts);
        match grounding.revision {
            1 => packed += 1,
            _ => alone += 1,
        }
        for result in &grounding.queries {
            assert!(!result.detections.is_empty(), "no threshold was set");
            for phrase in result.detections.iter().flat_map(|d| &d.phrases) {
                assert_eq!(phrase.span.slice(result.query.text()), phrase.text);
            }
        }
    }
    assert!(packed > 0 && alone > 0);
    let fused = stat::<u64>(&element, "fusion-runs");
    assert!(
        (2 * packed + 4 * alone..2 * packed + 4 * alone + 20).contains(&fused),
        "{fused} texts fused for {packed} frames with two captions and {alone} with four"
    );
}
