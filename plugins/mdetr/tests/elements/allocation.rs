//! What the elements let upstream attach to buffers.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gst_video::{
    VideoAffineTransformationMeta, VideoCropMeta, VideoMeta, VideoOverlayCompositionMeta,
    VideoRegionOfInterestMeta,
};

use crate::common::{collect, pad, pipeline, run};

/// Makes the sink `sink` announce that it takes any metadata.
fn announce_all(pipeline: &gst::Pipeline) {
    let mask = gst::PadProbeType::QUERY_DOWNSTREAM;
    pad(pipeline, "sink", "sink").add_probe(mask, move |_, info| {
        if let Some(query) = info.query_mut()
            && let gst::QueryViewMut::Allocation(allocation) = query.view_mut()
        {
            allocation.add_allocation_meta::<VideoMeta>(None);
            allocation.add_allocation_meta::<VideoCropMeta>(None);
            allocation.add_allocation_meta::<VideoAffineTransformationMeta>(None);
            allocation.add_allocation_meta::<VideoOverlayCompositionMeta>(None);
            allocation.add_allocation_meta::<VideoRegionOfInterestMeta>(None);
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
}

const ELEMENTS: [&str; 4] = [
    "MDETR query=\"a ball\"",
    "MDETR query=\"a ball\" mode=live",
    "mdetrtrack name=track",
    "mdetr2json name=json",
];

#[test]
fn metadata_that_moves_pixels_is_not_asked_for() {
    for element in ELEMENTS {
        let pipeline = pipeline(&format!(
            "videotestsrc num-buffers=2 ! capsfilter name=before caps=video/x-raw,format=RGB,width=64,height=48
             ! {element} ! fakesink name=sink"
        ));
        announce_all(&pipeline);
        let answers = Arc::new(Mutex::new(Vec::new()));
        let shared = answers.clone();
        // Called with the answer.
        let mask = gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PULL;
        pad(&pipeline, "before", "src").add_probe(mask, move |_, info| {
            if let Some(gst::QueryView::Allocation(answer)) = info.query().map(|q| q.view()) {
                let found = [
                    answer.find_allocation_meta::<VideoMeta>(),
                    answer.find_allocation_meta::<VideoCropMeta>(),
                    answer.find_allocation_meta::<VideoAffineTransformationMeta>(),
                ];
                let mut answers = shared.lock().expect("no panic in the probe");
                answers.push(found.map(|index| index.is_some()));
            }
            gst::PadProbeReturn::Ok
        });
        run(&pipeline).expect(element);
        let answers = answers.lock().expect("done");
        assert!(!answers.is_empty(), "{element}");
        for answer in answers.iter() {
            assert_eq!(
                *answer,
                [true, false, false],
                "{element}: strides, crop, affine"
            );
        }
    }
}

#[test]
fn boxes_behind_a_crop_are_those_of_the_cropped_frame() {
    for element in ELEMENTS {
        let pipeline = pipeline(&format!(
            "videotestsrc num-buffers=5 ! video/x-raw,format=RGB,width=64,height=96
             ! videocrop top=48 name=crop ! {element} ! fakesink name=sink sync=true"
        ));
        announce_all(&pipeline);
        let frames = collect(&pad(&pipeline, "crop", "src"));
        run(&pipeline).expect(element);
        let frames = frames.lock().expect("done");
        assert_eq!(frames.len(), 5, "{element}");
        for frame in frames.iter() {
            assert!(frame.meta::<VideoCropMeta>().is_none(), "{element}");
        }
    }
}
