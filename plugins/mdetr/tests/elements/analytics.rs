//! GstAnalytics beside regions of interest. What needs GStreamer 1.24 is tested where there is one
//! (tools/test-gstreamer), and its absence elsewhere.

use gst::prelude::*;
use gst_video::VideoRegionOfInterestMeta;
use gstmdetr::analytics::{Analytics, Object, objects};

use crate::common::{RGB, collect, harness, mdetr, pad, pipeline, rgb_frame, run};

/// Whether this GStreamer has GstAnalytics: from 1.24 on it must.
fn is_there() -> bool {
    crate::common::init();
    let there = Analytics::open().is_ok();
    assert_eq!(there, gst::version() >= (1, 24, 0, 0));
    there
}

/// x, y, width, height in pixels.
type Place = (u32, u32, u32, u32);

/// Number, type and place of regions.
fn regions(buffer: &gst::BufferRef) -> Vec<(u32, String, Place)> {
    let regions = buffer.iter_meta::<VideoRegionOfInterestMeta>();
    let regions = regions.map(|region| {
        let id = u32::try_from(region.id()).expect("not negative");
        (id, region.roi_type().to_owned(), region.rect())
    });
    regions.collect()
}

fn described(objects: &[Object]) -> Vec<(u32, String, Place)> {
    let objects = objects.iter();
    objects.map(|o| (o.id, o.label.clone(), o.rect)).collect()
}

#[test]
fn detections_are_regions_and_analytics_with_the_same_numbers() {
    let there = is_there();
    let mut harness = harness(&mdetr("a red cube"), RGB);
    let buffer = harness.push_and_pull(rgb_frame(64, 48, 3)).expect("passes");
    let regions = regions(&buffer);
    assert!(!regions.is_empty());
    match there {
        true => assert_eq!(described(&objects(&buffer)), regions),
        false => assert!(objects(&buffer).is_empty()),
    }
}

#[test]
fn off_is_off() {
    let element = mdetr("a red cube");
    element.set_property_from_str("analytics", "off");
    let mut harness = harness(&element, RGB);
    let buffer = harness.push_and_pull(rgb_frame(64, 48, 3)).expect("passes");
    assert!(!regions(&buffer).is_empty());
    assert!(objects(&buffer).is_empty());
}

#[test]
fn on_without_the_library_is_an_error_that_says_what_to_do() {
    let there = is_there();
    let source = "videotestsrc num-buffers=1 ! video/x-raw,format=RGB,width=64,height=48";
    for elements in [
        "MDETR query=\"a cube\" analytics=on",
        "mdetrtrack analytics=on",
    ] {
        let pipeline = pipeline(&format!("{source} ! {elements} ! fakesink"));
        let result = run(&pipeline);
        if there {
            result.expect("the library is there");
            continue;
        }
        let error = result.expect_err("no library");
        for part in ["analytics=on", "1.24", "analytics=auto"] {
            assert!(error.contains(part), "{elements}: {error}");
        }
    }
}

#[test]
fn tracks_are_written_once_on_every_frame() {
    if !is_there() {
        return;
    }
    let pipeline = pipeline(
        "tabletopsrc num-buffers=12 ! video/x-raw,width=160,height=120
         ! mdetr name=mdetr model=MODEL query=\"all cubes\" inference-interval=3
         ! mdetrtrack name=track min-hits=1 high-threshold=0 ! fakesink",
    );
    let frames = collect(&pad(&pipeline, "track", "src"));
    run(&pipeline).expect("a sound pipeline");
    let frames = frames.lock().expect("done");
    assert_eq!(frames.len(), 12);
    let mut tracked = 0;
    for frame in frames.iter() {
        let objects = objects(frame);
        // The source's regions are not those of `mdetr`.
        let ours: Vec<_> = regions(frame)
            .into_iter()
            .filter(|(_, kind, _)| kind == "q1")
            .collect();
        assert_eq!(described(&objects), ours);
        let of_result = gstmdetr::meta::read(frame);
        let detections = &of_result[0].grounding.queries[0].detections;
        let tracks: Vec<Option<u64>> = detections.iter().map(|d| d.track).collect();
        let written: Vec<Option<u64>> = objects.iter().map(|o| o.track).collect();
        assert_eq!(written, tracks);
        tracked += tracks.iter().flatten().count();
    }
    assert!(tracked > 12, "{tracked}");
}

#[test]
fn both_survive_scaling_with_the_same_numbers() {
    if !is_there() {
        return;
    }
    let pipeline = pipeline(
        "videotestsrc num-buffers=1 ! video/x-raw,format=RGB,width=128,height=96,framerate=25/1
         ! MDETR query=\"a red cube\" max-detections=4 ! videoscale
         ! video/x-raw,width=320,height=240 ! videoconvert ! video/x-raw,format=I420
         ! identity name=end ! fakesink",
    );
    let frames = collect(&pad(&pipeline, "end", "src"));
    run(&pipeline).expect("a sound pipeline");
    let frames = frames.lock().expect("done");
    let (regions, objects) = (regions(&frames[0]), objects(&frames[0]));
    assert!(!regions.is_empty());
    assert_eq!(objects.len(), regions.len());
    for (object, (id, kind, rect)) in objects.iter().zip(&regions) {
        assert_eq!((object.id, &object.label), (*id, kind));
        assert!(
            object.rect.0.abs_diff(rect.0) <= 1,
            "{:?} {rect:?}",
            object.rect
        );
        assert!(
            object.rect.2.abs_diff(rect.2) <= 1,
            "{:?} {rect:?}",
            object.rect
        );
    }
    assert!(gstmdetr::regions::foreign(&frames[0]).is_empty());
}
