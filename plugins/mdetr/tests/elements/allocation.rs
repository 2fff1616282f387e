//! What elements promise upstream, and what comes of it.

use gst::glib;
use gst::prelude::*;
use gst_video::{
    VideoAffineTransformationMeta, VideoCropMeta, VideoMeta, VideoOverlayCompositionMeta,
    VideoRegionOfInterestMeta,
};

use crate::common::{answer_allocation, collect, init, model, pad, pipeline, run};

/// What the element promises upstream before a sink that announces all that sinks are known to announce.
fn promised(element: &str, caps: &str, compositions: bool) -> Vec<glib::Type> {
    let mut harness = gst_check::Harness::new_parse(element);
    let sink = harness.sinkpad().expect("one source pad");
    answer_allocation(&sink, move |query| {
        query.add_allocation_meta::<VideoMeta>(None);
        query.add_allocation_meta::<VideoCropMeta>(None);
        query.add_allocation_meta::<VideoAffineTransformationMeta>(None);
        if compositions {
            query.add_allocation_meta::<VideoOverlayCompositionMeta>(None);
        }
        query.add_allocation_meta::<VideoRegionOfInterestMeta>(None);
    });
    harness.set_src_caps_str(caps);
    let negotiated: gst::Caps = caps.parse().expect("caps");
    let mut query = gst::query::Allocation::new(Some(&negotiated), false);
    let source = harness.srcpad().expect("one sink pad");
    assert!(source.peer_query(&mut query), "{element}: not answered");
    query.allocation_metas().map(|(api, _)| api).collect()
}

#[test]
fn an_overlay_that_blends_promises_no_metadata_that_changes_the_picture() {
    init();
    let caps = "video/x-raw,format=RGB,width=64,height=48,framerate=25/1";
    let kept = [VideoMeta::meta_api(), VideoRegionOfInterestMeta::meta_api()];
    assert_eq!(promised("mdetroverlay", caps, false), kept);
    // Where compositions are attached, those of others may be too.
    let kept = [kept[0], VideoOverlayCompositionMeta::meta_api(), kept[1]];
    assert_eq!(promised("mdetroverlay", caps, true), kept);
}

#[test]
fn elements_that_leave_pixels_alone_promise_what_leaves_the_picture_as_it_is() {
    init();
    let caps = "video/x-raw,format=RGB,width=64,height=48,framerate=25/1";
    let strides = VideoMeta::meta_api();
    let all = [
        strides,
        VideoOverlayCompositionMeta::meta_api(),
        VideoRegionOfInterestMeta::meta_api(),
    ];
    let mdetr = format!("mdetr query=\"a ball\" model=\"{}\"", model().display());
    assert_eq!(promised(&mdetr, caps, true), all);
    assert_eq!(promised(&format!("{mdetr} mode=live"), caps, true), all);
    assert_eq!(promised("mdetrtrack", caps, true), all);
    assert_eq!(promised("mdetr2json", caps, true), [strides]);
}

#[test]
fn a_frame_is_cropped_before_it_is_drawn_on() {
    for compositions in [false, true] {
        let pipeline = pipeline(
            "tabletopsrc num-buffers=3 ! video/x-raw,width=160,height=120 ! videoconvert ! videocrop top=20 left=10
             ! mdetroverlay regions=always name=overlay ! fakesink name=sink",
        );
        answer_allocation(&pad(&pipeline, "sink", "sink"), move |query| {
            query.add_allocation_meta::<VideoMeta>(None);
            query.add_allocation_meta::<VideoCropMeta>(None);
            if compositions {
                query.add_allocation_meta::<VideoOverlayCompositionMeta>(None);
            }
        });
        let frames = collect(&pad(&pipeline, "overlay", "src"));
        run(&pipeline).expect("a sound pipeline");
        let frames = frames.lock().expect("no panic in the probe");
        assert_eq!(frames.len(), 3);
        for frame in frames.iter() {
            assert!(frame.meta::<VideoCropMeta>().is_none(), "not cropped");
            let size = frame.meta::<VideoMeta>().map(|m| (m.width(), m.height()));
            assert!(size.is_none_or(|size| size == (150, 100)), "{size:?}");
        }
    }
}

#[test]
fn boxes_behind_a_crop_are_those_of_the_cropped_frame() {
    for element in [
        "MDETR query=\"a ball\"",
        "MDETR query=\"a ball\" mode=live",
        "mdetrtrack",
        "mdetr2json",
    ] {
        let pipeline = pipeline(&format!(
            "videotestsrc num-buffers=5 ! video/x-raw,format=RGB,width=64,height=96
             ! videocrop top=48 name=crop ! {element} ! fakesink name=sink"
        ));
        answer_allocation(&pad(&pipeline, "sink", "sink"), |query| {
            query.add_allocation_meta::<VideoMeta>(None);
            query.add_allocation_meta::<VideoCropMeta>(None);
        });
        let frames = collect(&pad(&pipeline, "crop", "src"));
        run(&pipeline).expect(element);
        let frames = frames.lock().expect("done");
        assert_eq!(frames.len(), 5, "{element}");
        for frame in frames.iter() {
            assert!(frame.meta::<VideoCropMeta>().is_none(), "{element}");
        }
    }
}
