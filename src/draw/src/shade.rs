//! Masks in the pixels of the picture.

use mdetr_grounding::Rle;

use crate::colour::Colour;
use crate::rect::Rect;

/// Opacity of the tint over a mask.
const TINT_ALPHA: u8 = 90;

/// A tinted and outlined mask.
#[derive(Debug, Clone)]
pub(crate) struct Shade {
    /// Where it lies, in whole pixels.
    pub rect: Rect,
    /// Opacity of each pixel of `rect`, row-major.
    pub coverage: Vec<u8>,
    pub colour: Colour,
}

impl Shade {
    /// `mask`, stretched over a picture of `width` x `height`, with an outline `line_width` wide;
    /// `None` if no pixel of the picture is in it.
    pub fn new(
        mask: &Rle,
        width: u32,
        height: u32,
        line_width: f64,
        colour: Colour,
    ) -> Option<Shade> {
        let mask = mask.resized(width, height);
        let ((left, right), (top, bottom)) = (touched_columns(&mask)?, touched_rows(&mask)?);
        let (columns, rows) = (left..right + 1, top..bottom + 1);
        let pixels = mask.decode();
        let inside: Vec<bool> = rows
            .clone()
            .flat_map(|y| columns.clone().map(move |x| (y * width + x) as usize))
            .map(|at| pixels[at] != 0)
            .collect();
        let rect = Rect {
            x: columns.start.into(),
            y: rows.start.into(),
            width: columns.len() as f64,
            height: rows.len() as f64,
        };
        Some(Shade {
            rect,
            coverage: coverage(&inside, columns.len(), line_width.max(1.0) as usize),
            colour,
        })
    }
}

/// Full opacity within `line_width` of the edge, a tint inside.
fn coverage(inside: &[bool], width: usize, line_width: usize) -> Vec<u8> {
    let height = inside.len() / width;
    let is_inside = |x: Option<usize>, y: Option<usize>| match (x, y) {
        (Some(x), Some(y)) if x < width && y < height => inside[y * width + x],
        _ => false,
    };
    let mut result = Vec::with_capacity(inside.len());
    for y in 0..height {
        for x in 0..width {
            let edge = || {
                !(is_inside(x.checked_sub(line_width), Some(y))
                    && is_inside(Some(x + line_width), Some(y))
                    && is_inside(Some(x), y.checked_sub(line_width))
                    && is_inside(Some(x), Some(y + line_width)))
            };
            result.push(match inside[y * width + x] {
                false => 0,
                true if edge() => u8::MAX,
                true => TINT_ALPHA,
            });
        }
    }
    result
}

/// First and last column with a pixel of the mask.
fn touched_columns(mask: &Rle) -> Option<(u32, u32)> {
    let runs = runs(mask);
    let (first, _) = *runs.first()?;
    let (start, length) = *runs.last()?;
    Some((first / mask.height, (start + length - 1) / mask.height))
}

/// First and last row with a pixel of the mask.
fn touched_rows(mask: &Rle) -> Option<(u32, u32)> {
    runs(mask)
        .iter()
        .map(|&(start, length)| {
            let top = start % mask.height;
            match top + length > mask.height {
                true => (0, mask.height - 1),
                false => (top, top + length - 1),
            }
        })
        .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

/// Start and length of the runs of ones, down the columns.
fn runs(mask: &Rle) -> Vec<(u32, u32)> {
    let mut at = 0;
    let mut runs = Vec::new();
    for (i, &count) in mask.counts.iter().enumerate() {
        if i % 2 == 1 && count > 0 {
            runs.push((at, count));
        }
        at += count;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shade(rows: &[&str], width: u32, height: u32) -> Option<Shade> {
        let bits: Vec<u8> = rows.concat().bytes().map(|b| b - b'0').collect();
        let mask = Rle::encode(&bits, rows[0].len() as u32, rows.len() as u32);
        Shade::new(&mask, width, height, 1.0, Colour::WHITE)
    }

    #[test]
    fn edges_are_opaque_and_the_middle_tinted() {
        let shade = shade(&["00000", "01110", "01110", "01110"], 5, 4).unwrap();
        assert_eq!((shade.rect.x, shade.rect.y), (1.0, 1.0));
        let width = shade.rect.width as usize;
        let at = |x: usize, y: usize| shade.coverage[y * width + x];
        assert_eq!(at(1, 1), TINT_ALPHA);
        for (x, y) in [(0, 0), (1, 0), (2, 1), (0, 1), (1, 2)] {
            assert_eq!(at(x, y), u8::MAX, "{x} {y}");
        }
    }

    #[test]
    fn masks_stretch_with_the_picture() {
        let shade = shade(&["10", "00"], 40, 20).unwrap();
        let inside = shade.coverage.iter().filter(|c| **c > 0).count();
        assert_eq!(inside, 20 * 10);
        assert_eq!((shade.rect.x, shade.rect.y), (0.0, 0.0));
    }

    #[test]
    fn nothing_is_drawn_of_an_empty_mask() {
        assert!(shade(&["00", "00"], 40, 20).is_none());
        let none = Rle::encode(&[], 0, 0);
        assert!(Shade::new(&none, 4, 4, 1.0, Colour::WHITE).is_none());
    }
}
