//! Masks as pictures of the part of the frame that they cover.

use gst_video::{VideoFormat, VideoFrameFlags, VideoMeta};
use mdetr_grounding::Rle;

/// The pixels around a mask's ones.
#[derive(Debug, PartialEq)]
pub struct Picture {
    /// x, y, width, height in pixels of the mask.
    pub rect: (u32, u32, u32, u32),
    /// Row by row: the value that was asked for, or 0.
    pub pixels: Vec<u8>,
}

/// Cuts out what is around the ones of a mask, which become `value`; `None` if there are none.
pub fn cut_out(mask: &Rle, value: u8) -> Option<Picture> {
    let height = mask.height;
    let end = u64::from(mask.width) * u64::from(height);
    // Column, first row, row after the last; a run may go on in the next columns.
    let pieces = || {
        let inside = mask
            .runs()
            .filter(move |&(start, count)| u64::from(start) + u64::from(count) <= end);
        inside.flat_map(move |(start, count)| {
            let (first, last) = (start / height, (start + count - 1) / height);
            (first..=last).map(move |column| {
                let top = start.saturating_sub(column * height);
                (column, top, (start + count - column * height).min(height))
            })
        })
    };
    let left = pieces().map(|(column, ..)| column).min()?;
    let right = pieces().map(|(column, ..)| column + 1).max()?;
    let top = pieces().map(|(_, top, _)| top).min()?;
    let bottom = pieces().map(|(.., bottom)| bottom).max()?;
    let (wide, high) = (right - left, bottom - top);
    let mut pixels = vec![0; wide as usize * high as usize];
    for (column, first, end) in pieces() {
        for row in first..end {
            pixels[((row - top) * wide + column - left) as usize] = value;
        }
    }
    Some(Picture {
        rect: (left, top, wide, high),
        pixels,
    })
}

impl Picture {
    /// As a frame of GRAY8 without padding, which some readers do not expect.
    pub fn into_buffer(self) -> Option<gst::Buffer> {
        let (_, _, width, height) = self.rect;
        let stride = i32::try_from(width).ok()?;
        let mut buffer = gst::Buffer::from_mut_slice(self.pixels);
        let writable = buffer.get_mut().expect("the only reference");
        let (flags, format) = (VideoFrameFlags::empty(), VideoFormat::Gray8);
        VideoMeta::add_full(writable, flags, format, width, height, &[0], &[stride]).ok()?;
        Some(buffer)
    }

    /// Where it lies in a frame of size `to`, if the mask is of size `from`: x, y, width, height.
    pub fn place(&self, from: (u32, u32), to: (u32, u32)) -> (u32, u32, u32, u32) {
        let (x, y, width, height) = self.rect;
        let span = |low: u32, length: u32, from: u32, to: u32| {
            let (from, to) = (u64::from(from.max(1)), u64::from(to));
            let start = u64::from(low) * to / from;
            let end = ((u64::from(low) + u64::from(length)) * to).div_ceil(from);
            (start as u32, (end - start) as u32)
        };
        let (x, width) = span(x, width, from.0, to.0);
        let (y, height) = span(y, height, from.1, to.1);
        (x, y, width, height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_out_holds_all_ones() {
        let rows = ["......", "..##..", "..###.", "...#.."];
        let mask: Vec<u8> = rows.concat().bytes().map(|b| u8::from(b == b'#')).collect();
        let mask = Rle::encode(&mask, 6, 4);
        let picture = cut_out(&mask, 7).expect("there are ones");
        assert_eq!(picture.rect, (2, 1, 3, 3));
        assert_eq!(picture.pixels, [7, 7, 0, 7, 7, 7, 0, 7, 0]);
        assert_eq!(picture.place((6, 4), (6, 4)), (2, 1, 3, 3));
        assert_eq!(picture.place((6, 4), (12, 2)), (4, 0, 6, 2));
        assert_eq!(cut_out(&Rle::encode(&[0; 24], 6, 4), 7), None);
    }

    #[test]
    fn runs_over_several_columns_are_whole() {
        let mask = Rle::encode(&[1; 12], 3, 4);
        let picture = cut_out(&mask, 1).expect("there are ones");
        assert_eq!(picture.rect, (0, 0, 3, 4));
        assert_eq!(picture.pixels, [1; 12]);
    }

    #[test]
    fn rows_of_any_width_lie_without_padding() {
        gst::init().expect("GStreamer is installed");
        let mask = Rle::encode(&[1; 15], 5, 3);
        let buffer = cut_out(&mask, 1).and_then(Picture::into_buffer);
        let buffer = buffer.expect("a small frame");
        let meta = buffer.meta::<VideoMeta>().expect("attached");
        assert_eq!(
            (meta.width(), meta.height(), meta.stride()),
            (5, 3, &[5][..])
        );
        assert_eq!(buffer.size(), 15);
    }
}
