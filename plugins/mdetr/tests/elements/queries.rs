//! Standing queries: encoded once, changed while playing.

use gst::prelude::*;

use crate::common::{PATIENCE, collect, pad, pipeline, run, stat};

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
    let pipeline = pipeline(&format!(
        "{SOURCE} ! MDETR queries=\"<\\\"a red cube\\\",\\\"all balls\\\">\" ! fakesink sync=true"
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
        "{SOURCE} ! MDETR query=\"a red cube\" ! fakesink sync=true"
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
        "{SOURCE} ! MDETR query=\"a red cube\" ! fakesink sync=true"
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
             ! MDETR text-cache-dir=\"{}\"
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

/// A structure that asks for queries.
fn request(text: &str) -> gst::Structure {
    format!("mdetr-set-queries, {text}")
        .parse()
        .expect("a structure")
}

#[test]
fn the_application_and_downstream_may_ask_for_queries() {
    let pipeline = pipeline(&format!(
        "{SOURCE} ! MDETR query=\"a red cube\" ! identity name=downstream ! fakesink sync=true"
    ));
    let element = pipeline.by_name("mdetr").expect("named");
    let notified = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = notified.clone();
    element.connect_notify(Some("queries"), move |_, _| {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    });
    pipeline.set_state(gst::State::Playing).expect("plays");
    assert_eq!(wait_for_queries(&pipeline), (1, vec!["q1".into()]));

    let ask = |text: &str| element.emit_by_name::<bool>("set-queries", &[&request(text)]);
    let query = |id: Option<&str>, text: &str| {
        let query = gst::Structure::builder("query").field("text", text);
        query.field_if_some("id", id).build()
    };
    let queries = [query(None, "all balls"), query(Some("cones"), "all cones")];
    let both = gst::Structure::builder("mdetr-set-queries")
        .field("queries", gst::Array::new(queries))
        .build();
    assert!(element.emit_by_name::<bool>("set-queries", &[&both]));
    let ids = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
    assert_eq!(wait_for_queries(&pipeline), (2, ids(&["q1", "cones"])));
    assert_eq!(element.property::<Option<String>>("query"), None);
    assert_eq!(notified.load(std::sync::atomic::Ordering::SeqCst), 1);

    let downstream = pad(&pipeline, "downstream", "sink");
    let send = |text: &str| {
        let event = gst::event::CustomUpstream::new(request(text));
        assert!(downstream.push_event(event), "nobody took {text}");
    };
    send("query=\"a green cone\"");
    assert_eq!(wait_for_queries(&pipeline), (3, ids(&["q1"])));
    assert_eq!(
        element.property::<Option<String>>("query").as_deref(),
        Some("a green cone")
    );

    for rubbish in [
        "query=5",
        "querry=\"a cube\"",
        "query=\"[a cube\"",
        "queries=<5>",
    ] {
        send(rubbish);
        let warning = wait_for(&pipeline, gst::MessageType::Warning);
        let gst::MessageView::Warning(warning) = warning.view() else {
            unreachable!("waited for");
        };
        let text = warning.error().to_string();
        assert!(text.contains("queries of before stay"), "{rubbish}: {text}");
        assert!(!ask(rubbish));
        wait_for(&pipeline, gst::MessageType::Warning);
    }
    assert!(!element.emit_by_name::<bool>(
        "set-queries",
        &[&gst::Structure::new_empty("mdetr-set-queries")]
    ));
    assert_eq!(
        element.property::<Option<String>>("query").as_deref(),
        Some("a green cone"),
        "rubbish changes nothing"
    );
    assert_eq!(stat::<u64>(&element, "revision"), 3);
    send("queries=<>");
    assert_eq!(wait_for_queries(&pipeline), (4, ids(&[])));
    pipeline.set_state(gst::State::Null).expect("stops");
}
