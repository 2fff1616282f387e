//! Frames as JPEG, plain and with what was found drawn on them.

use std::sync::Arc;

use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFrame, VideoInfo};
use jpeg_encoder::{ColorType, Encoder};
use mdetr_draw::Style;
use mdetr_grounding::Grounding;

/// Quality of the pictures of events, 1 to 100.
const QUALITY: u8 = 88;

/// Turns frames of one format into JPEG.
#[derive(Debug)]
pub(super) struct Painter {
    from: VideoInfo,
    to: VideoInfo,
    converter: gst_video::VideoConverter,
}

impl Painter {
    /// For frames of this format and size; `None` if it cannot be converted.
    pub(super) fn new(from: &VideoInfo) -> Option<Painter> {
        let to = VideoInfo::builder(VideoFormat::Rgb, from.width(), from.height())
            .build()
            .ok()?;
        let converter = gst_video::VideoConverter::new(from, &to, None).ok()?;
        Some(Painter {
            from: from.clone(),
            to,
            converter,
        })
    }

    /// Whether it takes frames of this format and size.
    pub(super) fn takes(&self, info: &VideoInfo) -> bool {
        self.from == *info
    }

    /// A frame as JPEG, and with what was found; `None` if it cannot be read or is too large for JPEG.
    pub(super) fn paint(
        &self,
        buffer: &gst::Buffer,
        found: Option<&Grounding>,
    ) -> Option<(Arc<[u8]>, Arc<[u8]>)> {
        let frame = VideoFrame::from_buffer_readable(buffer.clone(), &self.from).ok()?;
        let target = gst::Buffer::with_size(self.to.size()).ok()?;
        let mut target = VideoFrame::from_buffer_writable(target, &self.to).ok()?;
        self.converter.frame(&frame, &mut target);
        let (width, height) = (self.to.width(), self.to.height());
        let mut pixels = packed(&target)?;
        let plain = encode(&pixels, width, height)?;
        if let Some(found) = found {
            // Without fonts, words are left out; a frame too large to draw on stays as it is.
            let _ = mdetr_draw::annotate_rgb(width, height, &mut pixels, found, &Style::default());
        }
        Some((plain, encode(&pixels, width, height)?))
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

fn encode(pixels: &[u8], width: u32, height: u32) -> Option<Arc<[u8]>> {
    let (width, height) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    let mut jpeg = Vec::new();
    Encoder::new(&mut jpeg, QUALITY)
        .encode(pixels, width, height, ColorType::Rgb)
        .ok()?;
    Some(jpeg.into())
}
