//! What is attached to frames.

use gst::prelude::*;
use gst_video::VideoRegionOfInterestMeta;
use gstmdetr::analytics::Analytics;
use mdetr::{Grounder, GrounderOptions, Query};

use crate::common::{RGB, harness, mdetr, model, rgb_frame};

fn grounded_frame(query: &str) -> gst::Buffer {
    let element = mdetr(query);
    let mut harness = harness(&element, RGB);
    harness.push_and_pull(rgb_frame(64, 48, 3)).expect("passes")
}

#[test]
fn the_result_is_the_librarys() {
    let text = "[a red cube] left of a ball";
    let buffer = grounded_frame(text);
    let found = gstmdetr::meta::read(&buffer);
    let options = GrounderOptions {
        score_threshold: Some(0.0),
        ..GrounderOptions::default()
    };
    let grounder = Grounder::load(model(), options).expect("the bundle");
    let query = Query::parse("q1", text).expect("a valid query");
    grounder.set_queries(vec![query]).expect("encodes");
    let pixels = rgb_frame(64, 48, 3);
    let pixels = pixels.map_readable().expect("system memory");
    let frame = mdetr::Frame::rgb(64, 48, &pixels).expect("a valid frame");
    let expected = grounder.ground(&frame).expect("the engine runs");
    assert_eq!(*found[0].grounding, expected);
}

#[test]
fn every_detection_is_a_region_of_interest() {
    let buffer = grounded_frame("a red cube");
    let found = gstmdetr::meta::read(&buffer);
    let result = &found[0].grounding.queries[0];
    assert!(!result.detections.is_empty());
    let metas: Vec<_> = buffer.iter_meta::<VideoRegionOfInterestMeta>().collect();
    assert_eq!(metas.len(), result.detections.len());
    for (index, (meta, detection)) in metas.iter().zip(&result.detections).enumerate() {
        assert_eq!(meta.roi_type(), "q1");
        assert_eq!(meta.id(), index as i32);
        let (x, y, width, height) = meta.rect();
        assert!(width > 0 && height > 0 && x + width <= 64 && y + height <= 48);
        let param = meta.param("detection").expect("attached");
        let number = |name| param.get::<f64>(name).expect(name) as f32;
        let bbox = detection.bbox;
        assert_eq!(number("confidence"), detection.score);
        assert!((number("x_min") * 64.0 - bbox.x).abs() < 1e-3);
        assert!((number("y_max") * 48.0 - (bbox.y + bbox.height)).abs() < 1e-3);
        assert!(x as f32 <= bbox.x + 0.01 && (x + width) as f32 >= bbox.x + bbox.width - 0.01);
        assert_eq!(param.get::<i32>("label_id"), Ok(0));
        assert!(!param.get::<String>("label").expect("attached").is_empty());

        let param = meta.param("mdetr").expect("attached");
        assert_eq!(param.get::<&str>("query"), Ok("a red cube"));
        assert_eq!(param.get::<u64>("revision"), Ok(1));
        assert_eq!(param.get::<gst::ClockTime>("age"), Ok(gst::ClockTime::ZERO));
        let texts: gst::Array = param.get("phrases").expect("attached");
        let spans: gst::Array = param.get("spans").expect("attached");
        assert_eq!(texts.len(), detection.phrases.len());
        for ((text, span), phrase) in texts.iter().zip(spans.iter()).zip(&detection.phrases) {
            assert_eq!(text.get::<&str>(), Ok(phrase.text.as_str()));
            let span: gst::Array = span.get().expect("an array");
            assert_eq!(span[0].get::<u32>(), Ok(phrase.span.start));
            assert_eq!(span[1].get::<u32>(), Ok(phrase.span.end));
        }
    }
}

#[test]
fn absence_is_stated() {
    let element = mdetr("a red cube");
    element.set_property("score-threshold", 1f32);
    let mut harness = harness(&element, RGB);
    let buffer = harness.push_and_pull(rgb_frame(64, 48, 1)).expect("passes");
    assert_eq!(buffer.iter_meta::<VideoRegionOfInterestMeta>().count(), 0);
    let found = gstmdetr::meta::read(&buffer);
    assert!(!found[0].grounding.queries[0].present());
}

/// Two elements in a row, each with queries of its own that have the same ids.
const TWO: &str =
    "videotestsrc num-buffers=4 ! video/x-raw,format=RGB,width=64,height=48,framerate=25/1
     ! MDETR queries=\"<\\\"a red cube\\\",\\\"a cone\\\">\" max-detections=2
     ! mdetr name=second model=MODEL query=\"all balls\" score-threshold=0 max-detections=3";

#[test]
fn two_elements_in_a_row_both_answer() {
    let pipeline = crate::common::pipeline(&format!("{TWO} ! fakesink"));
    let frames = crate::common::collect(&crate::common::pad(&pipeline, "second", "src"));
    crate::common::run(&pipeline).expect("a sound pipeline");
    for frame in frames.lock().expect("done").iter() {
        let found = gstmdetr::meta::read(frame);
        let answers: Vec<(&str, &str)> = found
            .iter()
            .map(|f| (&*f.element, f.grounding.queries[0].query.text()))
            .collect();
        assert_eq!(answers, [("mdetr", "a red cube"), ("second", "all balls")]);
    }
}

#[test]
fn the_regions_of_two_elements_are_told_apart() {
    let pipeline = crate::common::pipeline(&format!("{TWO} ! fakesink"));
    let frames = crate::common::collect(&crate::common::pad(&pipeline, "second", "src"));
    // A region of somebody else is on the frames before ours.
    let pad = crate::common::pad(&pipeline, "mdetr", "sink");
    pad.add_probe(gst::PadProbeType::BUFFER, |_, info| {
        if let Some(buffer) = info.buffer_mut() {
            let buffer = buffer.make_mut();
            VideoRegionOfInterestMeta::add(buffer, "face", (1, 2, 3, 4)).set_id(6);
        }
        gst::PadProbeReturn::Ok
    });
    crate::common::run(&pipeline).expect("a sound pipeline");
    for frame in frames.lock().expect("done").iter() {
        let metas: Vec<_> = frame.iter_meta::<VideoRegionOfInterestMeta>().collect();
        let ids: Vec<i32> = metas.iter().map(|meta| meta.id()).collect();
        let distinct: std::collections::BTreeSet<i32> = ids.iter().copied().collect();
        assert_eq!((ids.len(), distinct.len()), (8, 8), "{ids:?}");
        assert_eq!(ids[0], 6);
        if Analytics::open().is_err() {
            assert_eq!(ids[1..], [0, 1, 2, 3, 7, 8, 9]);
        }
        let ours: Vec<(String, String, i32)> = metas[1..]
            .iter()
            .map(|meta| {
                let element = meta.param("mdetr").expect("ours").get("element");
                let class = meta.param("detection").expect("ours").get("label_id");
                let id = meta.roi_type().to_owned();
                (element.expect("told"), id, class.expect("told"))
            })
            .collect();
        let expected = [
            ("mdetr", "q1", 0),
            ("mdetr", "q1", 0),
            ("mdetr", "q2", 1),
            ("mdetr", "q2", 1),
            ("second", "q1", 2),
            ("second", "q1", 2),
            ("second", "q1", 2),
        ];
        let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c));
        assert_eq!(ours, expected);
    }
}

#[test]
fn two_elements_are_told_apart_in_tracks_and_lines() {
    let pipeline = crate::common::pipeline(&format!(
        "{TWO} ! mdetrtrack min-hits=1 high-threshold=0 ! mdetr2json name=json ! fakesink"
    ));
    let lines = crate::common::collect(&crate::common::pad(&pipeline, "json", "src"));
    crate::common::run(&pipeline).expect("a sound pipeline");
    for line in lines.lock().expect("done").iter() {
        let line = crate::json::parse(line);
        assert_eq!(line["revision"], 2);
        let queries = line["queries"].as_array().expect("checked");
        let of = |query: &serde_json::Value| {
            assert_eq!(query["revision"], 1);
            assert_eq!(query["age_ms"], 0.0);
            let text = |name: &str| query[name].as_str().expect("checked").to_owned();
            (text("element"), text("id"))
        };
        let found: Vec<(String, String)> = queries.iter().map(of).collect();
        let expected = [("mdetr", "q1"), ("mdetr", "q2"), ("second", "q1")];
        assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        let tracks = queries.iter().flat_map(|query| {
            let found = query["detections"].as_array().expect("checked");
            found.iter().filter_map(|found| found["track"].as_u64())
        });
        let tracks: Vec<u64> = tracks.collect();
        let distinct: std::collections::BTreeSet<u64> = tracks.iter().copied().collect();
        assert!(tracks.len() >= 3, "{line}");
        assert_eq!(distinct.len(), tracks.len(), "{tracks:?}");
    }
}
