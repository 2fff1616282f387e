//! What is attached to frames.

use gst::prelude::*;
use gst_video::VideoRegionOfInterestMeta;
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

#[test]
fn two_elements_in_a_row_both_answer() {
    let pipeline = crate::common::pipeline(
        "videotestsrc num-buffers=2 ! video/x-raw,format=RGB,width=64,height=48
         ! MDETR query=\"a red cube\" ! mdetr name=second model=MODEL query=\"all balls\" ! fakesink",
    );
    let frames = crate::common::collect(&crate::common::pad(&pipeline, "second", "src"));
    crate::common::run(&pipeline).expect("a sound pipeline");
    for frame in frames.lock().expect("done").iter() {
        let found = gstmdetr::meta::read(frame);
        let texts: Vec<&str> = found
            .iter()
            .map(|f| f.grounding.queries[0].query.text())
            .collect();
        assert_eq!(texts, ["a red cube", "all balls"]);
    }
}
