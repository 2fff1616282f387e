//! Frames pass untouched, whatever their format, size and layout.

use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo, VideoMeta};

use crate::common::{
    RGB, harness, mdetr, pad, pipeline, record, rgb_frame, run, seen, small_mdetr,
};

fn passes_untouched(mode: &str) {
    let pipeline = pipeline(&format!(
        "videotestsrc pattern=snow num-buffers=40 ! video/x-raw,format=NV12,width=320,height=240,framerate=30/1
         ! SMALL_MDETR mode={mode} query=\"a red cube\" ! fakesink name=sink sync=false"
    ));
    let before = record(&pad(&pipeline, "mdetr", "sink"));
    let after = record(&pad(&pipeline, "mdetr", "src"));
    run(&pipeline).expect("a sound pipeline");
    let (before, after) = (before.lock().expect("done"), after.lock().expect("done"));
    assert_eq!(before.frames.len(), 40);
    assert_eq!(before.frames, after.frames, "frames changed on their way");
    assert_eq!(
        before.order, after.order,
        "events and frames changed places"
    );
}

#[test]
fn every_frame_mode_passes_frames_untouched() {
    passes_untouched("every-frame");
}

#[test]
fn live_mode_passes_frames_untouched() {
    passes_untouched("live");
}

#[test]
fn every_format_is_grounded_at_odd_sizes() {
    for format in [
        "RGB", "BGR", "RGBx", "BGRx", "xRGB", "xBGR", "RGBA", "BGRA", "ARGB", "ABGR", "GRAY8",
        "NV12", "I420", "YUY2",
    ] {
        let element = small_mdetr("a red cube");
        for (width, height) in [(1, 1), (33, 17)] {
            let caps =
                format!("video/x-raw,format={format},width={width},height={height},framerate=25/1");
            let mut harness = harness(&element, &caps);
            let parsed: gst::Caps = caps.parse().expect("caps");
            let info = VideoInfo::from_caps(&parsed).expect("raw video");
            let buffer = gst::Buffer::with_size(info.size()).expect("a small frame");
            let pushed = harness.push_and_pull(buffer).expect(&caps);
            let found = gstmdetr::meta::read(&pushed);
            assert_eq!(found.len(), 1, "{caps}");
            let grounding = &found[0].grounding;
            assert_eq!((grounding.width, grounding.height), (width, height));
        }
    }
}

#[test]
fn memory_that_gstreamer_maps_is_read_whatever_its_feature() {
    let size = "width=32,height=24,framerate=25/1";
    let element = mdetr("a red cube");
    let bytes: Vec<u8> = (0..32 * 24 * 3 / 2)
        .map(|at| (at * 7 % 251) as u8)
        .collect();
    let ground = |caps: &str| {
        let mut harness = harness(&element, caps);
        let pushed = harness.push_and_pull(gst::Buffer::from_slice(bytes.clone()));
        let found = gstmdetr::meta::read(&pushed.expect(caps));
        found[0].grounding.queries.clone()
    };
    let plain = ground(&format!("video/x-raw,format=NV12,{size}"));
    for caps in [
        format!("video/x-raw(memory:DMABuf),format=NV12,{size}"),
        format!("video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12,{size}"),
        format!("video/x-raw(memory:CUDAMemory),format=NV12,{size}"),
    ] {
        assert_eq!(ground(&caps), plain, "{caps}");
    }
}

#[test]
fn the_largest_frames_pass() {
    let element = mdetr("a red cube");
    let mut harness = harness(
        &element,
        "video/x-raw,format=GRAY8,width=7680,height=4320,framerate=25/1",
    );
    let buffer = gst::Buffer::with_size(7680 * 4320).expect("memory");
    let pushed = harness.push_and_pull(buffer).expect("8K passes");
    assert_eq!(gstmdetr::meta::read(&pushed).len(), 1);
}

/// The same picture with rows `stride` bytes apart.
fn with_stride(buffer: &gst::BufferRef, stride: usize) -> gst::Buffer {
    let map = buffer.map_readable().expect("system memory");
    let row = 64 * 3;
    let bytes: Vec<u8> = map
        .chunks_exact(row)
        .flat_map(|row| {
            row.iter()
                .copied()
                .chain(std::iter::repeat(0xaa))
                .take(stride)
        })
        .collect();
    let mut strided = gst::Buffer::from_mut_slice(bytes);
    VideoMeta::add_full(
        strided.get_mut().expect("the only reference"),
        gst_video::VideoFrameFlags::empty(),
        VideoFormat::Rgb,
        64,
        48,
        &[0],
        &[stride as i32],
    )
    .expect("a valid meta");
    strided
}

#[test]
fn odd_strides_are_read_and_kept() {
    let element = mdetr("a red cube");
    let mut harness = harness(&element, RGB);
    let tight = rgb_frame(64, 48, 5);
    let strided = with_stride(&tight, 64 * 3 + 7);
    let tight = harness.push_and_pull(tight).expect("passes");
    let strided = harness.push_and_pull(strided).expect("passes");
    let meta = strided.meta::<VideoMeta>().expect("still there");
    assert_eq!(meta.stride(), [64 * 3 + 7]);
    let (a, b) = (gstmdetr::meta::read(&tight), gstmdetr::meta::read(&strided));
    assert_eq!(
        a[0].grounding.queries, b[0].grounding.queries,
        "strides changed the result"
    );
}

#[test]
fn a_frame_without_pts_passes() {
    let element = small_mdetr("a red cube");
    for mode in ["every-frame", "live"] {
        element.set_property_from_str("mode", mode);
        let mut harness = harness(&element, RGB);
        let mut buffer = rgb_frame(64, 48, 1);
        buffer
            .get_mut()
            .expect("the only reference")
            .set_pts(gst::ClockTime::NONE);
        let pushed = harness.push_and_pull(buffer).expect("passes");
        assert_eq!(pushed.pts(), None);
    }
}

#[test]
fn a_frame_shared_with_others_is_not_copied() {
    let element = small_mdetr("a red cube");
    for mode in ["every-frame", "live"] {
        element.set_property_from_str("mode", mode);
        let mut harness = harness(&element, RGB);
        for number in 0..8 {
            let buffer = rgb_frame(64, 48, number);
            let held = buffer.clone();
            let pushed = harness.push_and_pull(buffer).expect("passes");
            assert_eq!(seen(&held), seen(&pushed), "{mode}: pixels were copied");
            // What others hold does not change under their hands.
            assert!(gstmdetr::meta::read(&held).is_empty());
        }
    }
}

#[test]
fn gap_frames_pass_without_inference() {
    let element = small_mdetr("a red cube");
    let mut harness = harness(&element, RGB);
    let mut buffer = gst::Buffer::new();
    buffer
        .get_mut()
        .expect("the only reference")
        .set_flags(gst::BufferFlags::GAP);
    let pushed = harness.push_and_pull(buffer).expect("passes");
    assert!(gstmdetr::meta::read(&pushed).is_empty());
    assert_eq!(crate::common::stat::<u64>(&element, "inferred"), 0);
}

#[test]
fn a_new_size_mid_stream_is_taken_up() {
    for mode in ["every-frame", "live"] {
        let element = mdetr("a red cube");
        element.set_property_from_str("mode", mode);
        let mut harness = harness(&element, RGB);
        for (width, height) in [(64, 48), (33, 99), (640, 20), (64, 48)] {
            harness.set_src_caps_str(&format!(
                "video/x-raw,format=RGB,width={width},height={height},framerate=25/1"
            ));
            for number in 0..5 {
                let pushed = harness
                    .push_and_pull(rgb_frame(width, height, number))
                    .expect("passes");
                let caps = harness
                    .sinkpad()
                    .and_then(|pad| pad.current_caps())
                    .expect("caps");
                let info = VideoInfo::from_caps(&caps).expect("raw video");
                assert_eq!((info.width(), info.height()), (width, height), "{mode}");
                for found in gstmdetr::meta::read(&pushed) {
                    let grounding = &found.grounding;
                    assert_eq!(
                        (grounding.width, grounding.height),
                        (width, height),
                        "{mode}"
                    );
                }
            }
        }
    }
}

/// Frames of two sizes in turn, all in flight at once: regions belong to the caps of their own frame.
#[test]
fn regions_of_frames_in_flight_keep_to_their_own_size() {
    for mode in ["every-frame", "live"] {
        let element = mdetr("a red cube");
        element.set_property_from_str("mode", mode);
        element.set_property("max-in-flight", 8u32);
        element.set_property("workers", 1u32);
        let mut harness = harness(&element, RGB);
        let sizes = [(64, 48), (640, 480), (32, 24), (64, 48)];
        let mut pushed = Vec::new();
        for (width, height) in sizes {
            harness.set_src_caps_str(&format!(
                "video/x-raw,format=RGB,width={width},height={height},framerate=25/1"
            ));
            for number in 0..2 {
                harness
                    .push(rgb_frame(width, height, number))
                    .expect("taken");
                pushed.push((width, height));
            }
        }
        for (width, height) in pushed {
            let frame = harness.pull().expect("comes out");
            let found = gstmdetr::meta::read(&frame);
            assert!(mode == "live" || found[0].age == gst::ClockTime::ZERO);
            for region in frame.iter_meta::<gst_video::VideoRegionOfInterestMeta>() {
                let corners = region.param("detection").expect("ours");
                let corner = |name| corners.get::<f64>(name).expect("told");
                let (x, y, w, h) = region.rect();
                let near = |corner: f64, side: u32, pixel: u32| {
                    (corner * f64::from(side) - f64::from(pixel)).abs() <= 1.01
                };
                assert!(
                    near(corner("x_min"), width, x)
                        && near(corner("y_min"), height, y)
                        && near(corner("x_max"), width, x + w)
                        && near(corner("y_max"), height, y + h),
                    "{mode}, {width}x{height}: {:?} and {corners}",
                    region.rect()
                );
            }
        }
    }
}
