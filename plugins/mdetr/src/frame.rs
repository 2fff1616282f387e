//! Buffers as the library's frames, without copying pixels.

use gst::prelude::MulDiv;
use gst_video::{VideoCapsBuilder, VideoFormat, VideoInfo};
use mdetr::frame::{Colorimetry, YuvMatrix, YuvRange};
use mdetr::{Frame, PixelFormat, Plane};
use mdetr_gst::pixels::{self, BufferError};

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

/// Why a buffer is no frame for the library.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("video format {0}: not supported; put videoconvert before this element")]
    Format(VideoFormat),
    #[error(transparent)]
    Buffer(#[from] BufferError),
    #[error(transparent)]
    Frame(#[from] mdetr::frame::FrameError),
}

fn pixel_format(format: VideoFormat) -> Result<PixelFormat, FrameError> {
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
        other => return Err(FrameError::Format(other)),
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

/// Calls `f` with the buffer's pixels as a frame.
pub(crate) fn with_frame<R>(
    buffer: &gst::BufferRef,
    info: &VideoInfo,
    f: impl FnOnce(&Frame) -> R,
) -> Result<R, FrameError> {
    let format = pixel_format(info.format())?;
    pixels::with_planes(buffer, info, |planes| {
        let planes = planes.iter().map(|plane| Plane {
            data: plane.data,
            stride: plane.stride,
        });
        let planes: Vec<Plane> = planes.collect();
        let frame = Frame::new(format, info.width(), info.height(), &planes)?
            .with_colorimetry(colorimetry(info));
        Ok(f(&frame))
    })?
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
}
