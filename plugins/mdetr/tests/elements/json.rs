//! Lines of JSON.

use gst::prelude::*;
use gst_video::VideoRegionOfInterestMeta;
use serde_json::Value;

use crate::common::{RGB, collect, harness, init, pad, pipeline, rgb_frame, run};

/// The frames' lines, each checked against the schema.
fn lines(description: &str) -> Vec<(gst::Buffer, Value)> {
    let pipeline = pipeline(description);
    let buffers = collect(&pad(&pipeline, "json", "src"));
    run(&pipeline).expect("a sound pipeline");
    let caps = pad(&pipeline, "json", "src").pad_template_caps();
    assert_eq!(
        caps.to_string(),
        "application/x-json, format=(string)mdetr/1"
    );
    let buffers = std::mem::take(&mut *buffers.lock().expect("done"));
    buffers
        .into_iter()
        .map(|buffer| {
            let line = parse(&buffer);
            (buffer, line)
        })
        .collect()
}

pub fn parse(buffer: &gst::BufferRef) -> Value {
    let schema: Value = serde_json::from_str(mdetr::report::SCHEMA).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    let map = buffer.map_readable().expect("system memory");
    let text = std::str::from_utf8(&map).expect("UTF-8");
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
    let line: Value = serde_json::from_str(text).expect("JSON");
    let faults: Vec<String> = validator
        .iter_errors(&line)
        .map(|e| e.to_string())
        .collect();
    assert!(faults.is_empty(), "{faults:?} in {text}");
    line
}

#[test]
fn each_frame_is_one_valid_line() {
    let lines = lines(
        "videotestsrc num-buffers=6 ! video/x-raw,format=RGB,width=64,height=48,framerate=25/1
         ! MDETR queries=\"<\\\"a red cube\\\",\\\"[all balls]\\\">\"
         ! mdetr2json name=json source=cam0 ! fakesink",
    );
    assert_eq!(lines.len(), 6);
    for (index, (buffer, line)) in lines.iter().enumerate() {
        let pts = 40_000_000 * index as u64;
        assert_eq!(buffer.pts(), Some(gst::ClockTime::from_nseconds(pts)));
        assert_eq!(buffer.duration(), Some(gst::ClockTime::from_mseconds(40)));
        assert_eq!(line["frame"], index);
        assert_eq!(line["pts_ns"], pts);
        assert_eq!(line["source"], "cam0");
        assert_eq!(line["size"], serde_json::json!([64, 48]));
        assert_eq!(line["revision"], 1);
        assert_eq!(line["age_ms"], 0.0);
        assert_eq!(
            line.get("utc"),
            None,
            "a test picture has no wall-clock time"
        );
        assert_eq!(line["queries"][0]["id"], "q1");
        assert_eq!(line["queries"][1]["text"], "all balls");
        assert_eq!(line["queries"][0]["present"], true);
    }
}

#[test]
fn absent_queries_are_listed() {
    let lines = lines(
        "videotestsrc num-buffers=1 ! video/x-raw,format=RGB,width=64,height=48
         ! mdetr model=MODEL score-threshold=1 query=\"a red cube\" ! mdetr2json name=json ! fakesink",
    );
    let query = &lines[0].1["queries"][0];
    assert_eq!(query["present"], false);
    assert_eq!(query["detections"], serde_json::json!([]));
}

#[test]
fn boxes_follow_the_size_of_the_frame() {
    let lines = lines(
        "videotestsrc num-buffers=1 ! video/x-raw,format=RGB,width=64,height=48 ! MDETR query=\"a red cube\"
         ! tee name=t  t. ! queue ! videoscale ! video/x-raw,width=640,height=480 ! mdetr2json name=json ! fakesink
         t. ! queue ! mdetr2json name=small ! fakesink",
    );
    let big = &lines[0].1;
    assert_eq!(big["size"], serde_json::json!([640, 480]));
    let boxes = big["queries"][0]["detections"]
        .as_array()
        .expect("detections");
    let right = boxes
        .iter()
        .map(|b| b["box"][0].as_f64().expect("x") + b["box"][2].as_f64().expect("width"));
    let right = right.fold(0.0, f64::max);
    assert!(right > 64.0 && right <= 640.01, "{right}");
}

#[test]
fn live_sources_have_a_wall_clock_time() {
    let before = chrono_free_now();
    let lines = lines(
        "videotestsrc is-live=true num-buffers=3 ! video/x-raw,format=RGB,width=64,height=48,framerate=25/1
         ! mdetr2json name=json ! fakesink",
    );
    for (_, line) in &lines {
        let utc = line["utc"].as_str().expect("a live frame has a time");
        assert!(utc.as_bytes() >= before.as_bytes(), "{utc} {before}");
    }
}

/// Now, as RFC 3339 writes it, by way of GStreamer.
fn chrono_free_now() -> String {
    init();
    let now = gst::DateTime::new_now_utc().expect("a clock");
    now.to_iso8601_string()
        .expect("a full time")
        .replace('Z', "")
}

#[test]
fn a_reference_timestamp_wins() {
    init();
    let mut harness = gst_check::Harness::new("mdetr2json");
    harness.set_src_caps_str(RGB);
    let mut buffer = rgb_frame(64, 48, 0);
    gst::ReferenceTimestampMeta::add(
        buffer.get_mut().expect("the only reference"),
        &"timestamp/x-unix".parse().expect("caps"),
        gst::ClockTime::from_seconds(1_767_608_103) + gst::ClockTime::from_mseconds(123),
        None,
    );
    let line = parse(&harness.push_and_pull(buffer).expect("a line"));
    assert_eq!(line["utc"], "2026-01-05T10:15:03.123Z");
}

#[test]
fn age_is_reported() {
    let lines = lines(
        "videotestsrc num-buffers=3 ! video/x-raw,format=RGB,width=64,height=48,framerate=25/1
         ! SMALL_MDETR inference-interval=3 query=\"a red cube\" ! mdetr2json name=json ! fakesink",
    );
    let ages: Vec<_> = lines
        .iter()
        .map(|(_, line)| line["age_ms"].as_f64())
        .collect();
    assert_eq!(ages, [Some(0.0), Some(40.0), Some(80.0)]);
}

#[test]
fn the_truth_of_the_tabletop_is_a_result_too() {
    let lines = lines(
        "tabletopsrc num-buffers=2 seed=5 objects=3 ! video/x-raw,width=160,height=120
         ! videoconvert ! video/x-raw,format=I420
         ! mdetr2json name=json ! fakesink",
    );
    let queries = lines[0].1["queries"].as_array().expect("queries");
    assert!(!queries.is_empty());
    for query in queries {
        assert_eq!(query["present"], true);
        let words = query["text"].as_str().expect("text");
        assert_eq!(
            words.split(' ').count(),
            4,
            "size, colour, material, shape: {words}"
        );
    }
    assert_eq!(lines[0].1["revision"], 0);
}

#[test]
fn frames_nobody_answered_have_no_queries() {
    init();
    let mut harness = gst_check::Harness::new("mdetr2json");
    harness.set_src_caps_str(RGB);
    let line = parse(&harness.push_and_pull(rgb_frame(64, 48, 0)).expect("a line"));
    assert_eq!(line["queries"], serde_json::json!([]));
    assert_eq!(line.get("age_ms"), None);
}

#[test]
fn odd_labels_of_other_detectors_still_make_valid_lines() {
    init();
    let mut harness = gst_check::Harness::new("mdetr2json");
    harness.set_src_caps_str(RGB);
    let mut buffer = rgb_frame(64, 48, 0);
    let writable = buffer.get_mut().expect("the only reference");
    for label in [
        "face",
        "\"quoted\" \\ label",
        "[brackets]",
        "犬",
        "tab\there",
    ] {
        VideoRegionOfInterestMeta::add(writable, label, (60, 40, 4, 8));
    }
    let line = parse(&harness.push_and_pull(buffer).expect("a line"));
    assert_eq!(line["queries"].as_array().map(Vec::len), Some(5));
}

#[test]
fn frames_in_other_memory_are_described_too() {
    init();
    let mut harness = gst_check::Harness::new("mdetr2json");
    harness.set_src_caps_str(
        "video/x-raw(memory:DMABuf),format=NV12,width=64,height=48,framerate=25/1",
    );
    let line = parse(&harness.push_and_pull(gst::Buffer::new()).expect("a line"));
    assert_eq!(line["size"], serde_json::json!([64, 48]));
    let _ = harness;
}

#[test]
fn caps_without_a_size_are_refused() {
    init();
    let element = gst::ElementFactory::make("mdetr2json")
        .build()
        .expect("registered");
    let mut harness = harness(&element, "video/x-raw,format=RGB,framerate=25/1");
    assert_eq!(
        harness.push(gst::Buffer::new()),
        Err(gst::FlowError::NotNegotiated)
    );
}
