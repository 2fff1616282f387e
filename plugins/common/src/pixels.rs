//! Pixels of buffers, mapped only where they surely lie inside.

use std::slice;

use gst_video::prelude::*;
use gst_video::video_frame::IsVideoFrame;
use gst_video::{VideoFormat, VideoFrameRef, VideoInfo, VideoMeta};

/// Why a buffer is not the frame its caps promise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BufferError {
    /// It is too small.
    #[error(
        "buffer of {size} bytes: too small for {width}x{height} {format} ({expected} bytes); the element before this one sends damaged frames"
    )]
    TooSmall {
        /// Bytes it has.
        size: usize,
        /// Bytes needed.
        expected: usize,
        /// Width in the caps, in pixels.
        width: u32,
        /// Height in the caps, in pixels.
        height: u32,
        /// Format in the caps.
        format: VideoFormat,
    },
    /// Its metadata contradict its caps.
    #[error(
        "buffer's VideoMeta says {meta_width}x{meta_height} {meta_format}, its caps {width}x{height} {format}; the element before this one sends wrong metadata"
    )]
    MetaMismatch {
        /// Width in the metadata, in pixels.
        meta_width: u32,
        /// Height in the metadata, in pixels.
        meta_height: u32,
        /// Format in the metadata.
        meta_format: VideoFormat,
        /// Width in the caps, in pixels.
        width: u32,
        /// Height in the caps, in pixels.
        height: u32,
        /// Format in the caps.
        format: VideoFormat,
    },
    /// A plane does not lie inside it.
    #[error(
        "buffer's VideoMeta: plane {plane} with offset {offset} and stride {stride} does not lie inside the buffer of {size} bytes; the element before this one sends wrong metadata"
    )]
    Plane {
        /// Its number, from 0.
        plane: usize,
        /// Where it begins.
        offset: usize,
        /// Bytes from row to row.
        stride: i32,
        /// Bytes it has.
        size: usize,
    },
    /// It has no memory for the CPU: says for what.
    #[error("buffer cannot be mapped for {0}; its memory is not accessible to the CPU")]
    Map(&'static str),
}

/// Checks that mapping `buffer` as `info` stays inside its memory, which GStreamer takes on trust.
pub fn check(buffer: &gst::BufferRef, info: &VideoInfo) -> Result<(), BufferError> {
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

/// One plane of mapped pixels.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The bytes, first row first. The last row has no padding.
    pub data: &'a [u8],
    /// Bytes from the start of a row to the start of the next.
    pub stride: usize,
}

/// Calls `f` with the planes of a buffer's pixels, mapped for reading.
///
/// # Errors
/// The buffer is not what its caps promise, or its memory is not accessible to the CPU.
pub fn with_planes<R>(
    buffer: &gst::BufferRef,
    info: &VideoInfo,
    f: impl FnOnce(&[Plane]) -> R,
) -> Result<R, BufferError> {
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
    Ok(f(&planes))
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
    fn a_short_buffer_is_refused() {
        let info = info(VideoFormat::Nv12, 64, 48);
        let buffer = gst::Buffer::with_size(info.size() - 1).expect("a small frame");
        let error = with_planes(&buffer, &info, |_| ()).expect_err("too small");
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
        let rows = with_planes(&buffer, &info, |planes| {
            let plane = planes[0];
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
                let error = with_planes(&buffer, &info, |_| ()).expect_err("outside");
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
        let error = with_planes(&buffer, &info, |_| ()).expect_err("another size");
        assert!(error.to_string().contains("2x2"), "{error}");
    }
}
