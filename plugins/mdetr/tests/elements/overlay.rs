//! Drawing over frames.

use std::sync::Arc;

use gst::prelude::*;
use gst_video::{VideoInfo, VideoOverlayCompositionMeta, VideoRegionOfInterestMeta};
use mdetr::{BBox, Detection, Grounding, Phrase, Query, QueryResult, Span};

use crate::common::{answer_allocation, init, pipeline, run, seen};

fn caps(format: &str, width: u32, height: u32) -> String {
    format!("video/x-raw,format={format},width={width},height={height},framerate=25/1")
}

/// A uniform frame with one detection in its middle, made for a frame ten times as large.
pub fn frame(caps: &str, present: bool) -> gst::Buffer {
    init();
    let caps: gst::Caps = caps.parse().expect("caps");
    let info = VideoInfo::from_caps(&caps).expect("raw video");
    let mut buffer = gst::Buffer::from_mut_slice(vec![0x60u8; info.size()]);
    let writable = buffer.get_mut().expect("the only reference");
    ground(writable, info.width(), info.height(), present);
    buffer
}

/// Attaches a result for a frame ten times as large, with one detection in its middle or with none.
pub fn ground(buffer: &mut gst::BufferRef, width: u32, height: u32, present: bool) {
    let (width, height) = (width * 10, height * 10);
    let found = Detection {
        bbox: BBox {
            x: width as f32 * 0.25,
            y: height as f32 * 0.5,
            width: width as f32 * 0.5,
            height: height as f32 * 0.25,
        },
        score: 0.75,
        phrases: vec![Phrase {
            text: "a red cube".into(),
            span: Span { start: 0, end: 10 },
            score: 0.9,
        }],
        track: None,
        hidden_ms: None,
        identity: None,
        mask: None,
    };
    let grounding = Grounding {
        revision: 1,
        width,
        height,
        queries: vec![QueryResult {
            query: Arc::new(Query::parse("q1", "a red cube").expect("valid")),
            detections: if present { vec![found] } else { vec![] },
            answer: None,
        }],
    };
    let found = gstmdetr::meta::FrameGrounding {
        grounding: Arc::new(grounding),
        age: gst::ClockTime::ZERO,
        element: "mdetr0".into(),
    };
    gstmdetr::meta::attach(buffer, found);
}

fn overlay(properties: &str, caps: &str) -> gst_check::Harness {
    init();
    let mut harness = gst_check::Harness::new_parse(&format!("mdetroverlay {properties}"));
    harness.set_src_caps_str(caps);
    harness
}

/// How many bytes differ from the uniform frame.
fn painted(buffer: &gst::BufferRef) -> usize {
    let map = buffer.map_readable().expect("system memory");
    map.iter().filter(|&&byte| byte != 0x60).count()
}

#[test]
fn boxes_lie_where_the_detection_is() {
    let caps = caps("GRAY8", 320, 240);
    let mut harness = overlay("line-width=2 show-scores=false", &caps);
    let drawn = harness.push_and_pull(frame(&caps, true)).expect("draws");
    let map = drawn.map_readable().expect("system memory");
    let at = |x: usize, y: usize| map[y * 320 + x] != 0x60;
    assert!(at(80, 150) && at(239, 150) && at(160, 120) && at(160, 179));
    assert!(!at(160, 150) && !at(70, 150) && !at(160, 190) && !at(250, 150));
}

#[test]
fn the_smallest_frame_passes() {
    for format in ["RGB", "I420", "NV12", "GRAY8", "YUY2"] {
        let caps = caps(format, 1, 1);
        let mut harness = overlay("show-absent=true", &caps);
        harness.push_and_pull(frame(&caps, true)).expect(&caps);
        harness.push_and_pull(frame(&caps, false)).expect(&caps);
    }
}

#[test]
fn nothing_found_leaves_the_frame_alone_unless_absence_is_shown() {
    let caps = caps("RGB", 320, 240);
    let mut harness = overlay("", &caps);
    let before = frame(&caps, false);
    let expected = seen(&before);
    assert_eq!(
        seen(&harness.push_and_pull(before).expect("passes")),
        expected
    );
    let mut harness = overlay("show-absent=true", &caps);
    assert!(painted(&harness.push_and_pull(frame(&caps, false)).expect("passes")) > 100);
}

#[test]
fn properties_change_while_playing() {
    let caps = caps("RGB", 320, 240);
    let mut harness = overlay("", &caps);
    let element = harness.element().expect("one element");
    let element = element
        .downcast_ref::<gst::Bin>()
        .and_then(|b| b.children().pop())
        .unwrap_or(element);
    let same = frame(&caps, true);
    let thin = painted(
        &harness
            .push_and_pull(same.copy_deep().expect("memory"))
            .expect("draws"),
    );
    element.set_property("line-width", 12f64);
    let thick = painted(
        &harness
            .push_and_pull(same.copy_deep().expect("memory"))
            .expect("draws"),
    );
    assert!(thick > thin, "{thick} {thin}");
}

#[test]
fn regions_of_other_detectors_are_drawn_where_asked() {
    let caps = caps("RGB", 320, 240);
    for (regions, grounded, drawn) in [
        ("fallback", false, true),
        ("fallback", true, false),
        ("never", false, false),
        ("always", true, true),
    ] {
        let mut buffer = frame(&caps, false);
        if !grounded {
            buffer = buffer
                .copy_region(gst::BufferCopyFlags::MEMORY, ..)
                .expect("memory");
        }
        let writable = buffer.make_mut();
        VideoRegionOfInterestMeta::add(writable, "face", (100, 100, 50, 50));
        let mut harness = overlay(&format!("regions={regions}"), &caps);
        let pushed = harness.push_and_pull(buffer).expect("passes");
        assert_eq!(painted(&pushed) > 100, drawn, "{regions} {grounded}");
    }
}

#[test]
fn downstream_that_takes_compositions_gets_them() {
    let caps = caps("RGB", 320, 240);
    init();
    let mut harness = gst_check::Harness::new("mdetroverlay");
    let sink = harness.sinkpad().expect("one source pad");
    answer_allocation(&sink, |query| {
        query.add_allocation_meta::<VideoOverlayCompositionMeta>(None);
    });
    harness.set_src_caps_str(&caps);
    let before = frame(&caps, true);
    let pixels = seen(&before).pixels;
    let drawn = harness.push_and_pull(before).expect("passes");
    assert_eq!(seen(&drawn).pixels, pixels, "pixels were touched");
    let meta = drawn
        .meta::<VideoOverlayCompositionMeta>()
        .expect("attached");
    assert!(meta.overlay().n_rectangles() > 0);
    let negotiated = harness
        .sinkpad()
        .and_then(|pad| pad.current_caps())
        .expect("caps");
    assert!(
        negotiated
            .to_string()
            .contains("meta:GstVideoOverlayComposition"),
        "{negotiated}"
    );
}

#[test]
fn damaged_frames_are_an_error_not_a_crash() {
    let caps = caps("RGB", 320, 240);
    let mut harness = overlay("", &caps);
    let bus = gst::Bus::new();
    harness.element().expect("one element").set_bus(Some(&bus));
    let mut buffer = frame(&caps, true);
    buffer.make_mut().set_size(100);
    assert_eq!(harness.push(buffer), Err(gst::FlowError::Error));
    assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_some());
}

/// A sink that takes any caps, and no compositions, gets frames that only a composition could be drawn on.
#[test]
fn frames_that_cannot_be_blended_into_are_an_error() {
    for caps in [caps("UYVP", 321, 240), caps("RGB8P", 320, 240)] {
        let mut harness = overlay("", &caps);
        let bus = gst::Bus::new();
        harness.element().expect("one element").set_bus(Some(&bus));
        assert_eq!(harness.push(frame(&caps, true)), Err(gst::FlowError::Error));
        let message = bus.pop_filtered(&[gst::MessageType::Error]);
        let gst::MessageView::Error(error) = message.as_ref().expect("an error").view() else {
            unreachable!("only errors were asked for");
        };
        let error = error.error().to_string();
        assert!(error.contains("videoconvert"), "{error}");
    }
}

#[test]
fn queries_of_two_elements_have_colours_of_their_own() {
    let caps = caps("RGB", 160, 120);
    let mut both = frame(&caps, true);
    let writable = both.get_mut().expect("the only reference");
    // Two results with the same query, the second in another place.
    let mut second = gstmdetr::meta::read(writable).remove(0);
    let grounding = Arc::make_mut(&mut second.grounding);
    grounding.queries[0].detections[0].bbox.y -= 400.0;
    gstmdetr::meta::attach(writable, second);
    let names: Vec<String> = gstmdetr::meta::read(writable)
        .iter()
        .map(|found| found.element.to_string())
        .collect();
    assert_eq!(names, ["mdetr0", "mdetr0-2"]);
    let mut harness = overlay("line-width=4", &caps);
    let drawn = harness.push_and_pull(both).expect("drawn on");
    let map = drawn.map_readable().expect("system memory");
    // The left side of each box, half way down.
    let [first, second] = [75, 35].map(|y| &map[(y * 160 + 40) * 3..][..3]);
    assert_ne!(first, [0x60; 3]);
    assert_ne!(second, [0x60; 3]);
    assert_ne!(first, second);
}

#[test]
fn the_whole_chain_runs() {
    let pipeline = pipeline(
        "tabletopsrc num-buffers=5 ! video/x-raw,width=160,height=120 ! videoconvert ! video/x-raw,format=I420
         ! MDETR query=\"a red cube\" ! mdetroverlay show-absent=true ! videoconvert ! fakesink",
    );
    run(&pipeline).expect("a sound pipeline");
}
