//! Frames as JPEG, plain and with what was found drawn on them.

use std::sync::Arc;

use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFrame, VideoInfo};
use jpeg_encoder::{ColorType, Encoder};
use mdetr_draw::Style;
use mdetr_grounding::Grounding;

/// Quality of the pictures of events, 1 to 100.
const QUALITY: u8 = 88;

/// A frame as JPEG.
#[derive(Debug, Clone)]
pub(super) struct Pictures {
    pub(super) plain: Arc<[u8]>,
    /// With what was found drawn on it.
    pub(super) drawn: Arc<[u8]>,
}

/// Turns frames of one format into JPEG.
#[derive(Debug)]
pub(crate) struct Painter {
    from: VideoInfo,
    to: VideoInfo,
    converter: gst_video::VideoConverter,
}

impl Painter {
    /// For frames of this format and size.
    ///
    /// # Errors
    /// In words: they cannot be converted.
    pub(crate) fn new(from: &VideoInfo) -> Result<Painter, String> {
        let to = VideoInfo::builder(VideoFormat::Rgb, from.width(), from.height())
            .fps(from.fps())
            .build();
        let to = to.map_err(|error| error.to_string())?;
        let converter = gst_video::VideoConverter::new(from, &to, None);
        let converter = converter.map_err(|error| error.to_string())?;
        Ok(Painter {
            from: from.clone(),
            to,
            converter,
        })
    }

    /// Whether it takes frames of this format and size.
    pub(crate) fn takes(&self, info: &VideoInfo) -> bool {
        self.from == *info
    }

    /// A frame as JPEG, and with what was found drawn on it.
    ///
    /// # Errors
    /// In words: it cannot be read, or is too large for JPEG.
    pub(super) fn paint(
        &self,
        buffer: &gst::Buffer,
        found: Option<&Grounding>,
    ) -> Result<Pictures, String> {
        let (width, height) = (self.to.width(), self.to.height());
        let mut pixels = self.pixels(buffer)?;
        let plain = encode(&pixels, width, height)?;
        if let Some(found) = found {
            // Without fonts, words are left out; a frame too large to draw on stays as it is.
            let _ = mdetr_draw::annotate_rgb(width, height, &mut pixels, found, &Style::default());
        }
        let drawn = encode(&pixels, width, height)?;
        Ok(Pictures { plain, drawn })
    }

    /// A frame's pixels, packed RGB.
    ///
    /// # Errors
    /// In words: it cannot be read.
    pub(crate) fn pixels(&self, buffer: &gst::Buffer) -> Result<Vec<u8>, String> {
        let frame = VideoFrame::from_buffer_readable(buffer.clone(), &self.from);
        let frame = frame.map_err(|_| "the frame cannot be read")?;
        let target = gst::Buffer::with_size(self.to.size()).map_err(|error| error.to_string())?;
        let target = VideoFrame::from_buffer_writable(target, &self.to);
        let mut target = target.map_err(|_| "the picture cannot be written")?;
        self.converter.frame(&frame, &mut target);
        packed(&target).ok_or_else(|| "the picture has no pixels".to_owned())
    }
}

/// Rows without padding.
fn packed(frame: &VideoFrame<gst_video::video_frame::Writable>) -> Option<Vec<u8>> {
    let row = 3 * frame.width() as usize;
    let stride = usize::try_from(*frame.plane_stride().first()?).ok()?;
    let data = frame.plane_data(0).ok()?;
    let rows = data.chunks(stride).take(frame.height() as usize);
    Some(
        rows.filter_map(|line| line.get(..row))
            .flatten()
            .copied()
            .collect(),
    )
}

fn encode(pixels: &[u8], width: u32, height: u32) -> Result<Arc<[u8]>, String> {
    let side =
        |side| u16::try_from(side).map_err(|_| format!("{side} pixels are too many for JPEG"));
    let mut jpeg = Vec::new();
    Encoder::new(&mut jpeg, QUALITY)
        .encode(pixels, side(width)?, side(height)?, ColorType::Rgb)
        .map_err(|error| error.to_string())?;
    Ok(jpeg.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_any_format_become_jpeg() {
        gst::init().unwrap();
        for format in [
            VideoFormat::I420,
            VideoFormat::Nv12,
            VideoFormat::Bgra,
            VideoFormat::Gray8,
        ] {
            let info = VideoInfo::builder(format, 63, 48)
                .fps(gst::Fraction::new(15, 1))
                .build()
                .unwrap();
            let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
            let pixels = buffer.get_mut().unwrap();
            pixels.map_writable().unwrap().fill(128);
            let painter = Painter::new(&info).unwrap();
            assert!(painter.takes(&info));
            let Pictures { plain, drawn } = painter.paint(&buffer, None).unwrap();
            assert_eq!(plain, drawn);
            let decoded = image::load_from_memory(&plain).unwrap();
            assert_eq!((decoded.width(), decoded.height()), (63, 48));
        }
    }
}
