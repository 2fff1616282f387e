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
    let (mut left, mut right, mut top, mut bottom) = (u32::MAX, 0, u32::MAX, 0);
    for (column, first, end) in pieces() {
        (left, right) = (left.min(column), right.max(column + 1));
        (top, bottom) = (top.min(first), bottom.max(end));
    }
    if left >= right {
        return None;
    }
    let (wide, high) = (right - left, bottom - top);
    let stride = wide as usize;
    let mut pixels = vec![0; stride * high as usize];
    // Where a column changes; then what it is, row by row, of which a processor does many columns at once.
    for (column, first, end) in pieces() {
        let column = (column - left) as usize;
        pixels[(first - top) as usize * stride + column] ^= value;
        if end < bottom {
            pixels[(end - top) as usize * stride + column] ^= value;
        }
    }
    for row in 1..high as usize {
        let (above, below) = pixels.split_at_mut(row * stride);
        let above = &above[(row - 1) * stride..];
        for (pixel, above) in below[..stride].iter_mut().zip(above) {
            *pixel ^= above;
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
    fn any_mask_is_cut_out_as_it_is() {
        let (width, height) = (23, 17);
        for step in 1..40_usize {
            let pixels: Vec<u8> = (0..width * height)
                .map(|at| u8::from(at * step % 7 < step % 5 && at > 60))
                .collect();
            let mask = Rle::encode(&pixels, width as u32, height as u32);
            let Some(picture) = cut_out(&mask, 9) else {
                assert!(pixels.iter().all(|&pixel| pixel == 0));
                continue;
            };
            let (x, y, w, h) = picture.rect;
            let mut pasted = vec![0; width * height];
            for (at, &pixel) in picture.pixels.iter().enumerate() {
                let (row, column) = (at / w as usize, at % w as usize);
                pasted[(y as usize + row) * width + x as usize + column] = pixel;
            }
            let expected: Vec<u8> = pixels.iter().map(|pixel| pixel * 9).collect();
            assert_eq!(pasted, expected, "{step}");
            assert_eq!(picture.pixels.len(), (w * h) as usize);
        }
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
