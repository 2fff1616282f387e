//! Buffers as the library's frames, without copying pixels where the CPU can read them.

mod layout;
mod nvmm;

use gst::prelude::MulDiv;
use gst_video::{VideoFormat, VideoInfo};
use mdetr::frame::{Colorimetry, YuvMatrix, YuvRange};
use mdetr::{Frame, PixelFormat, Plane};
use mdetr_gst::pixels::{self, BufferError};

pub(crate) use layout::{Layout, Memory, caps};
pub(crate) use nvmm::read_whole;

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
    Nvmm(#[from] nvmm::NvmmError),
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

/// Calls `f` with the buffer's pixels as a frame. Where hardware scales frames, they are scaled to `target`.
pub(crate) fn with_frame<R>(
    buffer: &gst::BufferRef,
    layout: &Layout,
    target: impl FnOnce() -> (u32, u32),
    f: impl FnOnce(&Frame) -> R,
) -> Result<R, FrameError> {
    let format = pixel_format(layout.format())?;
    if layout.memory() == Memory::Nvmm {
        return nvmm::with_frame(buffer, layout, format, target(), f);
    }
    pixels::with_planes(buffer, layout, |planes| {
        let planes = planes.iter().map(|plane| Plane {
            data: plane.data,
            stride: plane.stride,
        });
        let planes: Vec<Plane> = planes.collect();
        let frame = Frame::new(format, layout.width(), layout.height(), &planes)?
            .with_colorimetry(colorimetry(layout));
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
        let whole = || unreachable!("the CPU reads it");
        for format in layout::FORMATS {
            for (width, height) in [(1, 1), (3, 5), (17, 2), (64, 48)] {
                let info = info(format, width, height);
                let buffer = gst::Buffer::with_size(info.size()).expect("a small frame");
                let size = with_frame(&buffer, &info.into(), whole, |frame| {
                    (frame.width(), frame.height())
                });
                assert_eq!(size.expect("a sound buffer"), (width, height), "{format}");
            }
        }
    }
}
