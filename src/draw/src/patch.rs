//! The parts of a picture that a drawing touches, as small pictures of their own.
//!
//! A frame with a few outlines is nearly empty: painting and blending only what is touched costs a
//! fraction of a full-size overlay.

use crate::Drawing;
use crate::error::{Error, check_size};
use crate::layout::{Layout, lay_out};
use crate::rect::Rect;
use crate::render::paint;
use crate::style::Style;

/// Side of the cells in which touched area is counted, in pixels.
const CELL: u32 = 32;
/// Touched cells of a row with less than this between them, in pixels, are painted as one.
///
/// GStreamer blends line by line, and each line of each rectangle has a fixed cost: as much as
/// blending 170 (NV12) to 700 (BGRx) pixels, measured at 1920x1080.
const GAP: u32 = 256;

/// A rectangle of pixels to lay over a frame. Patches of one drawing do not overlap.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// Left edge in the frame.
    pub x: u32,
    /// Top edge in the frame.
    pub y: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Premultiplied alpha, red, green, blue from the highest byte of a native-endian word to the lowest,
    /// `4 * width` bytes a row.
    pub pixels: Vec<u8>,
}

impl Patch {
    /// Bytes from row to row.
    pub fn stride(&self) -> usize {
        self.width as usize * 4
    }
}

impl Drawing {
    /// Paints the touched parts of a frame of `width` x `height`.
    pub fn patches(&self, width: u32, height: u32, style: &Style) -> Result<Vec<Patch>, Error> {
        check_size(width, height)?;
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let layout = lay_out(self, f64::from(width), f64::from(height), style);
        let mut cells = Cells::new(width, height);
        for shape in &layout.shapes {
            cells.touch(&shape.extent());
        }
        for shade in &layout.shades {
            cells.touch(&shade.rect);
        }
        for outline in &layout.outlines {
            outline.sides().iter().for_each(|side| cells.touch(side));
        }
        for label in &layout.labels {
            cells.touch(&label.extent());
        }
        cells
            .rectangles()
            .into_iter()
            .map(|area| paint_patch(&layout, area))
            .collect()
    }
}

/// `(x, y, width, height)` in pixels.
type Area = (u32, u32, u32, u32);

fn paint_patch(layout: &Layout, (x, y, width, height): Area) -> Result<Patch, Error> {
    let mut surface =
        cairo::ImageSurface::create(cairo::Format::ARgb32, width as i32, height as i32)?;
    {
        let cr = cairo::Context::new(&surface)?;
        cr.translate(-f64::from(x), -f64::from(y));
        let visible = Rect {
            x: x.into(),
            y: y.into(),
            width: width.into(),
            height: height.into(),
        };
        paint(&cr, layout, Some(visible))?;
    }
    // Rows of 32-bit pixels have no padding in cairo.
    let pixels = surface.data()?.to_vec();
    Ok(Patch {
        x,
        y,
        width,
        height,
        pixels,
    })
}

/// Which cells of a frame are touched.
struct Cells {
    width: u32,
    height: u32,
    columns: u32,
    touched: Vec<bool>,
}

impl Cells {
    fn new(width: u32, height: u32) -> Cells {
        let columns = width.div_ceil(CELL);
        Cells {
            width,
            height,
            columns,
            touched: vec![false; (columns * height.div_ceil(CELL)) as usize],
        }
    }

    fn touch(&mut self, rect: &Rect) {
        let range = |start: f64, length: f64, limit: u32| {
            let end = (start + length).ceil().clamp(0.0, f64::from(limit)) as u32;
            let start = start.floor().clamp(0.0, f64::from(limit)) as u32;
            if start < end {
                start / CELL..end.div_ceil(CELL)
            } else {
                0..0
            }
        };
        for row in range(rect.y, rect.height, self.height) {
            for column in range(rect.x, rect.width, self.width) {
                self.touched[(row * self.columns + column) as usize] = true;
            }
        }
    }

    /// Touched cells as rectangles: stretches of a row, joined downwards while they are alike.
    fn rectangles(&self) -> Vec<Area> {
        let mut done: Vec<Area> = Vec::new();
        let mut open: Vec<Area> = Vec::new();
        for (row, cells) in self.touched.chunks(self.columns as usize).enumerate() {
            let top = row as u32 * CELL;
            let height = CELL.min(self.height - top);
            let mut next = Vec::new();
            for (x, width) in self.stretches(cells) {
                let above = open.iter().position(|a| (a.0, a.2) == (x, width));
                next.push(match above {
                    Some(index) => {
                        let (x, y, width, so_far) = open.swap_remove(index);
                        (x, y, width, so_far + height)
                    }
                    None => (x, top, width, height),
                });
            }
            done.append(&mut open);
            open = next;
        }
        done.append(&mut open);
        done
    }

    /// `(x, width)` in pixels of the stretches of touched cells in a row, small gaps included.
    fn stretches(&self, cells: &[bool]) -> Vec<(u32, u32)> {
        let mut stretches: Vec<(u32, u32)> = Vec::new();
        for (column, _) in cells.iter().enumerate().filter(|(_, touched)| **touched) {
            let x = column as u32 * CELL;
            let end = (x + CELL).min(self.width);
            match stretches.last_mut() {
                Some((start, width)) if x - (*start + *width) < GAP => *width = end - *start,
                _ => stretches.push((x, end - x)),
            }
        }
        stretches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(width: u32, height: u32, rects: &[Rect]) -> Vec<Area> {
        let mut cells = Cells::new(width, height);
        rects.iter().for_each(|rect| cells.touch(rect));
        cells.rectangles()
    }

    fn rect(x: f64, y: f64, width: f64, height: f64) -> Rect {
        Rect {
            x,
            y,
            width,
            height,
        }
    }

    #[test]
    fn small_gaps_are_painted_over_and_wide_ones_left_out() {
        let boxes = [
            rect(40.0, 70.0, 10.0, 60.0),
            rect(200.0, 70.0, 10.0, 20.0),
            rect(600.0, 70.0, 20.0, 4.0),
        ];
        let mut areas = touched(640, 240, &boxes);
        areas.sort();
        assert_eq!(
            areas,
            [(32, 64, 192, 32), (32, 96, 32, 64), (576, 64, 64, 32)]
        );
    }

    #[test]
    fn the_outline_of_a_large_frame_leaves_its_middle_out() {
        let sides = [
            rect(0.0, 0.0, 640.0, 3.0),
            rect(0.0, 237.0, 640.0, 3.0),
            rect(0.0, 0.0, 3.0, 240.0),
            rect(637.0, 0.0, 3.0, 240.0),
        ];
        let mut areas = touched(640, 240, &sides);
        areas.sort();
        assert_eq!(
            areas,
            [
                (0, 0, 640, 32),
                (0, 32, 32, 192),
                (0, 224, 640, 16),
                (608, 32, 32, 192),
            ]
        );
    }

    #[test]
    fn what_lies_outside_touches_nothing() {
        assert!(touched(100, 100, &[rect(-50.0, -50.0, 40.0, 40.0)]).is_empty());
        assert!(touched(100, 100, &[rect(200.0, 10.0, 40.0, 40.0)]).is_empty());
    }

    #[test]
    fn the_last_cells_end_at_the_frame() {
        assert_eq!(
            touched(33, 1, &[rect(0.0, 0.0, 33.0, 1.0)]),
            [(0, 0, 33, 1)]
        );
    }
}
