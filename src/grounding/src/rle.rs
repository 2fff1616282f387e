//! COCO's run-length encoding of binary masks: column-major runs, first of zeros.

use serde::{Deserialize, Serialize};

use crate::bbox::BBox;

/// A mask as run lengths in COCO's order: down the columns, starting with the zeros.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "CompressedRle", try_from = "CompressedRle")]
pub struct Rle {
    /// Height of the mask in pixels.
    pub height: u32,
    /// Width of the mask in pixels.
    pub width: u32,
    /// Lengths of alternating runs of zeros and ones; they sum to height x width. The first may
    /// be 0, no other is.
    pub counts: Vec<u32>,
}

/// The JSON form pycocotools reads: `{"size":[h,w],"counts":"..."}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompressedRle {
    /// Height and width in pixels.
    pub size: [u32; 2],
    /// Run lengths in COCO's printable variable-length code.
    pub counts: String,
}

impl From<Rle> for CompressedRle {
    fn from(mask: Rle) -> CompressedRle {
        mask.compressed()
    }
}

impl TryFrom<CompressedRle> for Rle {
    type Error = &'static str;

    fn try_from(mask: CompressedRle) -> Result<Rle, &'static str> {
        let [height, width] = mask.size;
        Rle::from_coco_string(&mask.counts, width, height)
            .ok_or("mask: expected run lengths that fill its size")
    }
}

impl Rle {
    /// Encodes a row-major mask; anything but 0 is part of it.
    ///
    /// # Panics
    /// If `mask` does not hold width x height values.
    pub fn encode(mask: &[u8], width: u32, height: u32) -> Rle {
        let (w, h) = (width as usize, height as usize);
        assert_eq!(mask.len(), w * h, "mask length is width x height");
        let mut builder = RunBuilder::default();
        for x in 0..w {
            for y in 0..h {
                if mask[y * w + x] != 0 {
                    builder.push((x * h + y) as u32, 1);
                }
            }
        }
        builder.finish(width, height)
    }

    /// The row-major mask, 0 or 1 per pixel.
    pub fn decode(&self) -> Vec<u8> {
        let (w, h) = (self.width as usize, self.height as usize);
        let mut mask = vec![0; w * h];
        let mut at = 0;
        for (i, &n) in self.counts.iter().enumerate() {
            for k in at..(at + n as usize).min(w * h) {
                mask[(k % h) * w + k / h] = (i % 2) as u8;
            }
            at += n as usize;
        }
        mask
    }

    /// The mask at another size: each pixel is that of the old mask under its centre.
    pub fn resized(&self, width: u32, height: u32) -> Rle {
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        if self.width == 0 || self.height == 0 {
            return RunBuilder::default().finish(width, height);
        }
        let old = self.decode();
        let nearest = |at: u32, from: u32, to: u32| {
            let at = (2 * u64::from(at) + 1) * u64::from(from) / (2 * u64::from(to));
            at as usize
        };
        let mut builder = RunBuilder::default();
        for x in 0..width {
            let column = nearest(x, self.width, width);
            for y in 0..height {
                let row = nearest(y, self.height, height);
                if old[row * self.width as usize + column] != 0 {
                    builder.push(x * height + y, 1);
                }
            }
        }
        builder.finish(width, height)
    }

    /// The mask moved by whole pixels, to the right and down; what leaves the picture is lost.
    pub fn shifted(&self, dx: i32, dy: i32) -> Rle {
        let (width, height) = (i64::from(self.width), i64::from(self.height));
        let (dx, dy) = (i64::from(dx), i64::from(dy));
        let mut builder = RunBuilder::default();
        for (start, count) in self.runs() {
            let (mut at, end) = (i64::from(start), i64::from(start) + i64::from(count));
            // Column by column.
            while at < end {
                let (column, top) = (at / height + dx, at % height);
                let len = (end - at).min(height - top);
                let (top, bottom) = ((top + dy).max(0), (top + len + dy).min(height));
                if (0..width).contains(&column) && top < bottom {
                    let start = column * height + top;
                    builder.push(start as u32, (bottom - top) as u32);
                }
                at += len;
            }
        }
        builder.finish(self.width, self.height)
    }

    /// Runs of ones in COCO's order: where each begins, and its length. Position p is row p modulo the height of
    /// column p divided by the height.
    pub fn runs(&self) -> impl Iterator<Item = (u32, u32)> {
        let mut end = 0u32;
        let runs = self.counts.iter().enumerate().map(move |(index, &count)| {
            let start = end;
            end = end.saturating_add(count);
            (index % 2 == 1).then_some((start, count))
        });
        runs.flatten()
    }

    /// The smallest box around the mask; `None` if it is empty.
    pub fn bounds(&self) -> Option<BBox> {
        let mut bounds: Option<[u32; 4]> = None;
        let height = self.height.max(1);
        for (start, length) in self.runs().filter(|(_, length)| *length > 0) {
            let last = start.saturating_add(length - 1);
            let (left, right) = (start / height, last / height);
            let (top, bottom) = match left == right {
                true => (start % height, last % height),
                false => (0, height - 1),
            };
            let [x0, y0, x1, y1] = bounds.unwrap_or([left, top, right, bottom]);
            bounds = Some([x0.min(left), y0.min(top), x1.max(right), y1.max(bottom)]);
        }
        let [x0, y0, x1, y1] = bounds?.map(|edge| edge as f32);
        Some(BBox::from_xyxy(x0, y0, x1 + 1.0, y1 + 1.0))
    }

    /// Number of pixels in the mask.
    pub fn area(&self) -> u32 {
        self.counts.iter().skip(1).step_by(2).sum()
    }

    /// Pixels in common over pixels covered by either; 0 if nothing is covered or the sizes differ.
    pub fn iou(&self, other: &Rle) -> f64 {
        if (self.width, self.height) != (other.width, other.height) {
            return 0.0;
        }
        let pairs = self.decode().into_iter().zip(other.decode());
        let (common, covered) = pairs.fold((0u64, 0u64), |(common, covered), (a, b)| {
            (common + u64::from(a & b), covered + u64::from(a | b))
        });
        if covered > 0 {
            common as f64 / covered as f64
        } else {
            0.0
        }
    }

    /// COCO's printable string: each count (from the third on, its difference to the count two
    /// before) in groups of five bits, low first, with a continuation bit, offset by 48.
    pub fn to_coco_string(&self) -> String {
        let mut out = String::new();
        for (i, &count) in self.counts.iter().enumerate() {
            let mut x = i64::from(count);
            if i > 2 {
                x -= i64::from(self.counts[i - 2]);
            }
            loop {
                let mut group = (x & 0x1f) as u8;
                x >>= 5;
                let more = if group & 0x10 != 0 { x != -1 } else { x != 0 };
                if more {
                    group |= 0x20;
                }
                out.push(char::from(group + 48));
                if !more {
                    break;
                }
            }
        }
        out
    }

    /// Reads COCO's printable string; `None` if it is not one or does not fill width x height.
    pub fn from_coco_string(text: &str, width: u32, height: u32) -> Option<Rle> {
        let mut counts: Vec<u32> = Vec::new();
        let (mut x, mut shift) = (0i64, 0u32);
        for byte in text.bytes() {
            let group = byte.checked_sub(48).filter(|g| *g < 64)?;
            if shift > 35 {
                return None;
            }
            x |= i64::from(group & 0x1f) << shift;
            shift += 5;
            if group & 0x20 != 0 {
                continue;
            }
            if group & 0x10 != 0 {
                x |= -1 << shift;
            }
            if counts.len() > 2 {
                x += i64::from(counts[counts.len() - 2]);
            }
            counts.push(u32::try_from(x).ok()?);
            (x, shift) = (0, 0);
        }
        let total: u64 = counts.iter().map(|&c| u64::from(c)).sum();
        (shift == 0 && total == u64::from(width) * u64::from(height)).then_some(Rle {
            height,
            width,
            counts,
        })
    }

    /// The form written to JSON.
    pub fn compressed(&self) -> CompressedRle {
        CompressedRle {
            size: [self.height, self.width],
            counts: self.to_coco_string(),
        }
    }
}

/// Collects runs of ones in column-major order, for a mask that is never laid out in full.
#[derive(Clone, Debug, Default)]
pub struct RunBuilder {
    counts: Vec<u32>,
    end: u32,
}

impl RunBuilder {
    /// Adds `len` ones at column-major position `start`, which is not before the last run's end.
    pub fn push(&mut self, start: u32, len: u32) {
        if start == self.end && !self.counts.is_empty() {
            *self.counts.last_mut().expect("not empty") += len;
        } else {
            self.counts.push(start - self.end);
            self.counts.push(len);
        }
        self.end = start + len;
    }

    /// The mask, with zeros after the last run.
    pub fn finish(mut self, width: u32, height: u32) -> Rle {
        let total = width * height;
        if self.end < total || self.counts.is_empty() {
            self.counts.push(total - self.end);
        }
        Rle {
            height,
            width,
            counts: self.counts,
        }
    }
}
