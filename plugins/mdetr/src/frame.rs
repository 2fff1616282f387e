//! Buffers as the library's frames, without copying pixels.

use std::slice;

use gst::prelude::MulDiv;
use gst_video::prelude::*;
use gst_video::video_frame::IsVideoFrame;
use gst_video::{VideoCapsBuilder, VideoFormat, VideoFrameRef, VideoInfo, VideoMeta};
use mdetr::frame::{Colorimetry, YuvMatrix, YuvRange};
use mdetr::{Frame, PixelFormat, Plane};

/// Formats the library reads.
const FORMATS: [VideoFormat; 14] = [
    VideoFormat::Rgb,
    VideoFormat::Bgr,
    VideoFormat::Rgbx,
    VideoFormat::Bgrx,
    VideoFormat::Xrgb,
    VideoFormat::Xbgr,
    VideoFormat::Rgba,
    VideoFormat::Bgra,
    VideoFormat::Argb,
    VideoFormat::Abgr,
    VideoFormat::Gray8,
    VideoFormat::Nv12,
    VideoFormat::I420,
    VideoFormat::Yuy2,
];

/// Frames the library reads.
pub(crate) fn caps() -> gst::Caps {
    let sides = 1..=mdetr::frame::MAX_SIDE as i32;
    VideoCapsBuilder::new()
        .format_list(FORMATS)
        .width_range(sides.clone())
        .height_range(sides)
        .build()
}

/// Taken for the duration of a frame when the caps do not say.
const DEFAULT_DURATION: gst::ClockTime = gst::ClockTime::from_mseconds(40);

/// How long a frame of these caps lasts.
pub(crate) fn duration(info: Option<&VideoInfo>) -> gst::ClockTime {
    let fps = info.map(|info| info.fps());
    fps.filter(|fps| fps.numer() > 0 && fps.denom() > 0)
        .and_then(|fps| gst::ClockTime::SECOND.mul_div_ceil(fps.denom() as u64, fps.numer() as u64))
        .unwrap_or(DEFAULT_DURATION)
}

/// Why a buffer is not the frame its caps promise.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BufferError {
    #[error("video format {0}: not supported; put videoconvert before this element")]
    Format(VideoFormat),
    #[error(
        "buffer of {size} bytes: too small for {width}x{height} {format} ({expected} bytes); the element before this one sends damaged frames"
    )]
    TooSmall {
        size: usize,
        expected: usize,
        width: u32,
        height: u32,
        format: VideoFormat,
    },
    #[error(
        "buffer's VideoMeta says {meta_width}x{meta_height} {meta_format}, its caps {width}x{height} {format}; the element before this one sends wrong metadata"
    )]
    MetaMismatch {
        meta_width: u32,
        meta_height: u32,
        meta_format: VideoFormat,
        width: u32,
        height: u32,
        format: VideoFormat,
    },
    #[error(
        "buffer's VideoMeta: plane {plane} with offset {offset} and stride {stride} does not lie inside the buffer of {size} bytes; the element before this one sends wrong metadata"
    )]
    Plane {
        plane: usize,
        offset: usize,
        stride: i32,
        size: usize,
    },
    #[error("buffer cannot be mapped for {0}; its memory is not accessible to the CPU")]
    Map(&'static str),
    #[error(transparent)]
    Frame(#[from] mdetr::frame::FrameError),
}

fn pixel_format(format: VideoFormat) -> Result<PixelFormat, BufferError> {
    Ok(match format {
        VideoFormat::Rgb => PixelFormat::Rgb,
        VideoFormat::Bgr => PixelFormat::Bgr,
        VideoFormat::Rgbx => PixelFormat::Rgbx,
        VideoFormat::Bgrx => PixelFormat::Bgrx,
        VideoFormat::Xrgb => PixelFormat::Xrgb,
        VideoFormat::Xbgr => PixelFormat::Xbgr,
        VideoFormat::Rgba => PixelFormat::Rgba,
        VideoFormat::Bgra => PixelFormat::Bgra,
        VideoFormat::Argb => PixelFormat::Argb,
        VideoFormat::Abgr => PixelFormat::Abgr,
        VideoFormat::Gray8 => PixelFormat::Gray8,
        VideoFormat::Nv12 => PixelFormat::Nv12,
        VideoFormat::I420 => PixelFormat::I420,
        VideoFormat::Yuy2 => PixelFormat::Yuy2,
        other => return Err(BufferError::Format(other)),
    })
}

fn colorimetry(info: &VideoInfo) -> Colorimetry {
    let colorimetry = info.colorimetry();
    let matrix = match colorimetry.matrix() {
        gst_video::VideoColorMatrix::Bt709 => YuvMatrix::Bt709,
        gst_video::VideoColorMatrix::Bt2020 => YuvMatrix::Bt2020,
        _ => YuvMatrix::Bt601,
    };
    let range = match colorimetry.range() {
        gst_video::VideoColorRange::Range0_255 => YuvRange::Full,
        _ => YuvRange::Limited,
    };
    Colorimetry { matrix, range }
}

/// Checks that mapping `buffer` as `info` stays inside its memory, which GStreamer takes on trust.
pub(crate) fn check(buffer: &gst::BufferRef, info: &VideoInfo) -> Result<(), BufferError> {
    match buffer.meta::<VideoMeta>() {
        Some(meta) => check_meta(buffer, info, &meta),
        None if buffer.size() < info.size() => Err(BufferError::TooSmall {
            size: buffer.size(),
            expected: info.size(),
            width: info.width(),
            height: info.height(),
            format: info.format(),
        }),
        None => Ok(()),
    }
}

fn check_meta(
    buffer: &gst::BufferRef,
    info: &VideoInfo,
    meta: &VideoMeta,
) -> Result<(), BufferError> {
    let described = (meta.width(), meta.height(), meta.format());
    if described != (info.width(), info.height(), info.format())
        || meta.n_planes() != info.n_planes()
    {
        return Err(BufferError::MetaMismatch {
            meta_width: meta.width(),
            meta_height: meta.height(),
            meta_format: meta.format(),
            width: info.width(),
            height: info.height(),
            format: info.format(),
        });
    }
    for (plane, (&offset, &stride)) in meta.offset().iter().zip(meta.stride()).enumerate() {
        let needed = plane_bytes(info, plane, stride);
        // A plane is mapped through the one memory it starts in.
        let room = buffer
            .find_memory(offset..=offset)
            .map(|(range, skip)| buffer.peek_memory(range.start).size().saturating_sub(skip));
        if needed.is_none_or(|needed| room.is_none_or(|room| room < needed)) {
            return Err(BufferError::Plane {
                plane,
                offset,
                stride,
                size: buffer.size(),
            });
        }
    }
    Ok(())
}

/// Bytes from the start of a plane to the end of its last row; `None` if the stride is too small for a row.
fn plane_bytes(info: &VideoInfo, plane: usize, stride: i32) -> Option<usize> {
    let format = info.format_info();
    if format.is_tiled() {
        return tiled_plane_bytes(info, plane, stride);
    }
    let components = (0..info.n_components() as usize)
        .filter(|&component| format.plane()[component] as usize == plane);
    let (row, rows) = components
        .map(|component| {
            let width = info.comp_width(component as u8) as usize;
            let bytes = if format.is_complex() {
                // Pixels share bytes: the stride that GStreamer itself takes for this width.
                info.stride()[plane] as usize
            } else {
                width * format.pixel_stride()[component] as usize
            };
            (bytes, info.comp_height(component as u8) as usize)
        })
        .reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))?;
    let stride = usize::try_from(stride)
        .ok()
        .filter(|&stride| stride >= row)?;
    stride.checked_mul(rows - 1)?.checked_add(row)
}

/// Bytes of a plane of tiles, whose stride counts them: columns in its lower half, rows in its upper one.
fn tiled_plane_bytes(info: &VideoInfo, plane: usize, stride: i32) -> Option<usize> {
    let tiles = |stride: i32| {
        let stride = usize::try_from(stride).ok()?;
        Some((stride & 0xffff, stride >> 16))
    };
    let (least_columns, least_rows) = tiles(info.stride()[plane])?;
    let (columns, rows) = tiles(stride)?;
    if columns < least_columns || rows < least_rows {
        return None;
    }
    let begin = info.offset()[plane];
    let later = info.offset().iter().copied().filter(|&next| next > begin);
    let end = later.min().unwrap_or(info.size());
    let tile = (end - begin).checked_div(least_columns * least_rows)?;
    tile.checked_mul(columns)?.checked_mul(rows)
}

/// Calls `f` with the buffer's pixels as a frame.
pub(crate) fn with_frame<R>(
    buffer: &gst::BufferRef,
    info: &VideoInfo,
    f: impl FnOnce(&Frame) -> R,
) -> Result<R, BufferError> {
    let format = pixel_format(info.format())?;
    check(buffer, info)?;
    let mapped = VideoFrameRef::from_buffer_ref_readable(buffer, info)
        .map_err(|_| BufferError::Map("reading"))?;
    let strides = mapped.plane_stride();
    let planes = (0..mapped.n_planes() as usize).map(|plane| {
        let bytes = plane_bytes(info, plane, strides[plane]);
        let bytes = bytes.ok_or(BufferError::Plane {
            plane,
            offset: mapped.plane_offset()[plane],
            stride: strides[plane],
            size: buffer.size(),
        })?;
        // SAFETY: the pointer is that of a plane mapped until `mapped` is dropped, and `check` has
        // seen that the plane's memory holds `bytes` from there. GStreamer's own accessor would
        // give whole strides and reach past a last row without padding.
        let data = unsafe { slice::from_raw_parts(mapped.as_raw().data[plane].cast(), bytes) };
        Ok(Plane {
            data,
            stride: strides[plane] as usize,
        })
    });
    let planes: Vec<Plane> = planes.collect::<Result<_, BufferError>>()?;
    let frame = Frame::new(format, info.width(), info.height(), &planes)?
        .with_colorimetry(colorimetry(info));
    Ok(f(&frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(format: VideoFormat, width: u32, height: u32) -> VideoInfo {
        gst::init().expect("GStreamer is installed");
        VideoInfo::builder(format, width, height)
            .build()
            .expect("a valid size")
    }

    #[test]
    fn every_format_maps_at_odd_sizes() {
        for format in FORMATS {
            for (width, height) in [(1, 1), (3, 5), (17, 2), (64, 48)] {
                let info = info(format, width, height);
                let buffer = gst::Buffer::with_size(info.size()).expect("a small frame");
                let size = with_frame(&buffer, &info, |frame| (frame.width(), frame.height()));
                assert_eq!(size.expect("a sound buffer"), (width, height), "{format}");
            }
        }
    }

    #[test]
    fn a_short_buffer_is_refused() {
        let info = info(VideoFormat::Nv12, 64, 48);
        let buffer = gst::Buffer::with_size(info.size() - 1).expect("a small frame");
        let error = with_frame(&buffer, &info, |_| ()).expect_err("too small");
        assert!(error.to_string().contains("64x48"), "{error}");
    }

    #[test]
    fn strides_are_taken_from_the_meta() {
        let info = info(VideoFormat::Gray8, 3, 2);
        // Tight: the last row has no padding.
        let mut buffer = gst::Buffer::from_slice([1, 2, 3, 0, 0, 0, 0, 4, 5, 6]);
        VideoMeta::add_full(
            buffer.get_mut().expect("the only reference"),
            gst_video::VideoFrameFlags::empty(),
            VideoFormat::Gray8,
            3,
            2,
            &[0],
            &[7],
        )
        .expect("a valid meta");
        let rows = with_frame(&buffer, &info, |frame| {
            let plane = frame.planes()[0];
            (plane.stride, plane.data.to_vec())
        });
        assert_eq!(
            rows.expect("sound"),
            (7, vec![1, 2, 3, 0, 0, 0, 0, 4, 5, 6])
        );
    }

    #[test]
    fn a_meta_that_points_outside_is_refused() {
        let info = info(VideoFormat::Gray8, 4, 4);
        for (offset, stride) in [(0, 5), (1, 4), (100, 4), (0, 3), (0, -4), (0, i32::MAX)] {
            let mut buffer = gst::Buffer::with_size(16).expect("a small frame");
            let added = VideoMeta::add_full(
                buffer.get_mut().expect("the only reference"),
                gst_video::VideoFrameFlags::empty(),
                VideoFormat::Gray8,
                4,
                4,
                &[offset],
                &[stride],
            );
            if added.is_ok() {
                let error = with_frame(&buffer, &info, |_| ()).expect_err("outside");
                assert!(matches!(error, BufferError::Plane { .. }), "{error}");
            }
        }
    }

    /// GStreamer's own layout lies inside a buffer of GStreamer's own size, and not in one without the last plane.
    #[test]
    fn the_usual_layout_of_every_format_fits_exactly() {
        gst::init().expect("GStreamer is installed");
        for &format in gst_video::VIDEO_FORMATS_ALL.iter() {
            if gst_video::VideoFormatInfo::from_format(format).has_palette() {
                continue;
            }
            for (width, height) in [(1, 1), (7, 5), (33, 17), (320, 240)] {
                let info = info(format, width, height);
                let last = (0..info.n_planes() as usize).max_by_key(|&plane| info.offset()[plane]);
                let last = last.expect("a plane");
                for missing in [0, info.size() - info.offset()[last]] {
                    let size = info.size() - missing;
                    let mut buffer = gst::Buffer::with_size(size).expect("a small frame");
                    let added = VideoMeta::add_full(
                        buffer.get_mut().expect("the only reference"),
                        gst_video::VideoFrameFlags::empty(),
                        format,
                        width,
                        height,
                        info.offset(),
                        info.stride(),
                    );
                    if added.is_ok() {
                        let checked = check(&buffer, &info);
                        let at = format!("{format} {width}x{height}, {missing} bytes missing");
                        assert_eq!(checked.is_ok(), missing == 0, "{at}: {checked:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_meta_of_another_size_is_refused() {
        let info = info(VideoFormat::Gray8, 4, 4);
        let mut buffer = gst::Buffer::with_size(64).expect("a small frame");
        let writable = buffer.get_mut().expect("the only reference");
        let flags = gst_video::VideoFrameFlags::empty();
        VideoMeta::add(writable, flags, VideoFormat::Gray8, 2, 2).expect("a valid meta");
        let error = with_frame(&buffer, &info, |_| ()).expect_err("another size");
        assert!(error.to_string().contains("2x2"), "{error}");
    }
}
