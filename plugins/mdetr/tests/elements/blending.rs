//! Drawing into every format that GStreamer can blend into.

use gst_video::{
    VideoColorimetry, VideoConverter, VideoFormat, VideoFormatInfo, VideoFrame, VideoFrameFlags,
    VideoInfo, VideoMeta, VideoOverlayCompositionMeta,
};

use crate::common::init;
use crate::overlay::ground;

/// Gray of the frames that are drawn on.
const GROUND: u8 = 0x60;
/// How far subsampled chroma reaches beyond what was drawn, and a little more.
const REACH: usize = 8;

/// The caps without features in the element's templates.
fn taken() -> gst::Caps {
    init();
    let factory = gst::ElementFactory::find("mdetroverlay").expect("registered");
    let templates = factory.static_pad_templates();
    let caps = templates.iter().next().expect("two templates").caps();
    let plain = caps.iter_with_features().filter(|(_, f)| !f.is_any());
    plain.map(|(structure, _)| structure.to_owned()).collect()
}

fn formats() -> Vec<VideoFormat> {
    let taken = taken();
    let all = gst_video::VIDEO_FORMATS_ALL.iter().copied();
    all.filter(|&format| taken.can_intersect(&info(format, 64, 48).to_caps().expect("fixed")))
        .collect()
}

/// With the matrix that GStreamer blends with, whatever the size.
fn info(format: VideoFormat, width: u32, height: u32) -> VideoInfo {
    let builder = VideoInfo::builder(format, width, height);
    let bt709: VideoColorimetry = "bt709".parse().expect("known to GStreamer");
    let builder = match VideoFormatInfo::from_format(format).is_rgb() {
        true => builder,
        false => builder.colorimetry(&bt709),
    };
    builder.build().expect("a valid size")
}

fn converted(buffer: &gst::Buffer, from: &VideoInfo, to: &VideoInfo) -> gst::Buffer {
    let mut config = gst_video::VideoConverterConfig::new();
    config.set_dither_method(gst_video::VideoDitherMethod::None);
    let converter = VideoConverter::new(from, to, Some(config)).expect("converts");
    let source = VideoFrame::from_buffer_readable(buffer.clone(), from).expect("mapped");
    let target = gst::Buffer::with_size(to.size()).expect("a small frame");
    let mut target = VideoFrame::from_buffer_writable(target, to).expect("mapped");
    converter.frame(&source, &mut target);
    target.into_buffer()
}

/// `buffer` with one detection drawn.
fn drawn(mut buffer: gst::Buffer, info: &VideoInfo) -> gst::Buffer {
    ground(buffer.make_mut(), info.width(), info.height(), true);
    let caps = info.to_caps().expect("fixed");
    let mut harness = gst_check::Harness::new_parse("mdetroverlay line-width=3");
    harness.set_src_caps(caps.clone());
    let drawn = harness.push_and_pull(buffer).expect("draws");
    let attached = drawn.meta::<VideoOverlayCompositionMeta>().is_some();
    assert!(!attached, "{caps}: not blended");
    drawn
}

fn gray(info: &VideoInfo, alpha: u8) -> gst::Buffer {
    let mut bytes = vec![GROUND; info.size()];
    for pixel in bytes.chunks_exact_mut(4) {
        pixel[3] = alpha;
    }
    gst::Buffer::from_mut_slice(bytes)
}

/// Brightness and alpha of each pixel of an RGBA frame.
fn luma(buffer: &gst::Buffer) -> Vec<[f32; 2]> {
    let map = buffer.map_readable().expect("system memory");
    let brightness =
        |p: &[u8]| 0.2126 * f32::from(p[0]) + 0.7152 * f32::from(p[1]) + 0.0722 * f32::from(p[2]);
    map.chunks_exact(4)
        .map(|pixel| [brightness(pixel), f32::from(pixel[3])])
        .collect()
}

/// The greater difference of brightness or alpha.
fn difference(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).abs().max((a[1] - b[1]).abs())
}

#[test]
fn formats_of_cameras_and_decoders_are_taken() {
    let formats: Vec<String> = formats().iter().map(ToString::to_string).collect();
    for name in [
        "P010_10LE",
        "NV16",
        "NV24",
        "GRAY16_LE",
        "ARGB64",
        "v210",
        "v216",
        "Y210",
        "Y410",
        "RGB16",
        "BGR15",
        "UYVP",
        "I420_10LE",
        "Y444_12LE",
        "I420",
        "NV12",
        "YUY2",
        "GRAY8",
        "BGRx",
    ] {
        assert!(
            formats.iter().any(|f| f == name),
            "{name} not in {formats:?}"
        );
    }
}

/// Draws into a frame of the format, and into one of RGBA that is converted then; compares what both look like.
fn looks_alike(format: VideoFormat, (width, height): (u32, u32), alpha: u8) {
    let name = format!("{format} {width}x{height}, alpha {alpha}");
    let rgba = info(VideoFormat::Rgba, width, height);
    let own = info(format, width, height);
    let plain = gray(&rgba, alpha);
    let there = converted(&plain, &rgba, &own);
    let seen = |buffer: &gst::Buffer| luma(&converted(buffer, &own, &rgba));

    let drawn_first = drawn(plain.copy_deep().expect("memory"), &rgba);
    let pairs = luma(&drawn_first).into_iter().zip(luma(&plain));
    let touched: Vec<bool> = pairs.map(|(a, b)| difference(a, b) > 0.5).collect();
    let expected = seen(&converted(&drawn_first, &rgba, &own));
    let ground = seen(&there);
    let found = seen(&drawn(there, &own));

    let inside: Vec<usize> = (0..found.len()).filter(|&i| touched[i]).collect();
    let mean = |of: &dyn Fn(usize) -> f32| {
        inside.iter().map(|&i| of(i)).sum::<f32>() / inside.len() as f32
    };
    let contrast = mean(&|i| difference(expected[i], ground[i]));
    let error = mean(&|i| difference(found[i], expected[i]));
    assert!(contrast > 20.0, "{name}: contrast {contrast}");
    assert!(error < 4.0, "{name}: mean difference {error}");

    let (width, height) = (width as usize, height as usize);
    let near = |x: usize, y: usize| {
        let mut rows = y.saturating_sub(REACH)..(y + REACH + 1).min(height);
        let columns = x.saturating_sub(REACH)..(x + REACH + 1).min(width);
        rows.any(|y| touched[y * width..][columns.clone()].contains(&true))
    };
    for (i, (found, ground)) in found.into_iter().zip(ground).enumerate() {
        let (x, y) = (i % width, i / width);
        let same = difference(found, ground) < 1.0;
        assert!(same || near(x, y), "{name}: {x},{y} changed");
    }
}

#[test]
fn drawings_look_alike_in_every_format() {
    for format in formats() {
        looks_alike(format, (160, 120), 0xff);
        if taken().can_intersect(&info(format, 161, 121).to_caps().expect("fixed")) {
            looks_alike(format, (161, 121), 0xff);
        }
    }
}

#[test]
fn drawings_on_transparent_frames_look_alike_in_every_format() {
    for format in formats() {
        let format_info = VideoFormatInfo::from_format(format);
        // Two bits of alpha are too few for this comparison.
        if format_info.has_alpha() && format_info.depth()[3] > 2 {
            looks_alike(format, (160, 120), 0x55);
        }
    }
}

/// Blending packs whole rows: none may reach beyond the frame's memory.
#[test]
fn nothing_beyond_the_frame_is_touched() {
    const GUARD: usize = 256;
    for format in formats() {
        for (width, height) in [(1, 1), (2, 2), (3, 5), (7, 3), (33, 17), (61, 47)] {
            let info = info(format, width, height);
            if !taken().can_intersect(&info.to_caps().expect("fixed")) {
                continue;
            }
            let size = info.size();
            let mut bytes = vec![0xa5; GUARD + size + GUARD];
            bytes[GUARD..GUARD + size].fill(GROUND);
            let mut buffer = gst::Buffer::from_mut_slice(bytes);
            let offsets: Vec<usize> = info.offset().iter().map(|offset| offset + GUARD).collect();
            let writable = buffer.get_mut().expect("the only reference");
            let flags = VideoFrameFlags::empty();
            VideoMeta::add_full(
                writable,
                flags,
                format,
                width,
                height,
                &offsets,
                info.stride(),
            )
            .expect("a valid layout");
            let drawn = drawn(buffer, &info);
            let map = drawn.map_readable().expect("system memory");
            let intact = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0xa5);
            let guards = [&map[..GUARD], &map[GUARD + size..]].map(intact);
            assert_eq!(guards, [true; 2], "{format} {width}x{height}");
        }
    }
}
