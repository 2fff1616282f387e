//! How much the picture has changed between two frames.

use super::format::PixelFormat;
use super::pixels::Frame;

/// The brightness of a frame in a coarse grid: cheap to make, small to keep, the same for any
/// frame size and format that shows the same picture.
///
/// Each cell is the mean luma of up to 8 x 8 pixels spread over it, so sensor noise mostly averages
/// out: noise of 2 % of full scale seldom moves any cell by more than 1.5 %.
#[derive(Debug, Clone, PartialEq)]
pub struct LumaGrid {
    cells: Vec<f32>,
}

impl LumaGrid {
    /// Cells in a row.
    pub const COLUMNS: usize = 32;
    /// Cells in a column.
    pub const ROWS: usize = 24;
    /// Most pixels read along each side of a cell.
    const SAMPLES: usize = 8;
    /// The size of a frame from which on more pixels are not read.
    pub const FINEST: (u32, u32) = (
        (Self::COLUMNS * Self::SAMPLES) as u32,
        (Self::ROWS * Self::SAMPLES) as u32,
    );

    /// The grid of `frame`.
    pub fn of(frame: &Frame) -> LumaGrid {
        let (width, height) = (frame.width as usize, frame.height as usize);
        let columns: Vec<Vec<usize>> = cells(width, Self::COLUMNS);
        let rows = cells(height, Self::ROWS);
        let plane = frame.planes()[0];
        let packing = frame.format().packing();
        let step = match (packing, frame.format()) {
            (Some(packing), _) => packing.bytes,
            (None, PixelFormat::Yuy2) => 2,
            (None, _) => 1,
        };
        let luma = |x: usize, y: usize| {
            let at = y * plane.stride + x * step;
            match packing {
                // BT.601's weights in 256ths: which standard's hardly matters for a change.
                Some(packing) => {
                    let [r, g, b] = packing.rgb.map(|offset| u32::from(plane.data[at + offset]));
                    (77 * r + 150 * g + 29 * b) >> 8
                }
                None => u32::from(plane.data[at]),
            }
        };
        let mut grid = Vec::with_capacity(Self::COLUMNS * Self::ROWS);
        for ys in &rows {
            for xs in &columns {
                let row = |&y: &usize| xs.iter().map(|&x| luma(x, y)).sum::<u32>();
                let sum: u32 = ys.iter().map(row).sum();
                grid.push(sum as f32 / (255 * xs.len() * ys.len()) as f32);
            }
        }
        LumaGrid { cells: grid }
    }

    /// The largest change of any cell, from 0 (none) to 1 (from black to white).
    pub fn difference(&self, other: &LumaGrid) -> f32 {
        let pairs = self.cells.iter().zip(&other.cells);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }
}

/// The pixels of `length` that are read for each of `count` cells.
fn cells(length: usize, count: usize) -> Vec<Vec<usize>> {
    let cell = |index: usize| {
        let start = index * length / count;
        let end = ((index + 1) * length / count).max(start + 1);
        let step = (end - start).div_ceil(LumaGrid::SAMPLES);
        (start..end).step_by(step).collect()
    };
    (0..count).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::Plane;

    fn rgb(width: u32, height: u32, level: impl Fn(u32, u32) -> u8) -> LumaGrid {
        let pixels: Vec<u8> = (0..width * height)
            .flat_map(|i| [level(i % width, i / width); 3])
            .collect();
        LumaGrid::of(&Frame::rgb(width, height, &pixels).unwrap())
    }

    #[test]
    fn a_change_is_that_of_the_cell_that_changed_most() {
        let still = rgb(320, 240, |_, _| 100);
        assert_eq!(still.difference(&still), 0.0);
        // One cell is 10 x 10 pixels.
        let object = rgb(
            320,
            240,
            |x, y| if x / 10 == 7 && y / 10 == 3 { 151 } else { 100 },
        );
        assert!((still.difference(&object) - 0.2).abs() < 1e-3);
        let black = rgb(320, 240, |_, _| 0);
        let white = rgb(64, 48, |_, _| 255);
        assert!((black.difference(&white) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn noise_averages_out_and_the_size_does_not_matter() {
        let mut state = 0x2545_f491u32;
        let mut noise = move || {
            // xorshift32, Marsaglia 2003.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state % 17) as u8
        };
        let mut noisy = |width: u32, height: u32| {
            let pixels: Vec<u8> = (0..width * height)
                .flat_map(|_| [100 + noise(); 3])
                .collect();
            LumaGrid::of(&Frame::rgb(width, height, &pixels).unwrap())
        };
        let (one, two) = (noisy(640, 480), noisy(1280, 960));
        let difference = one.difference(&two);
        assert!(difference > 0.0 && difference < 0.015, "{difference}");
    }

    proptest! {
        #[test]
        fn every_format_and_size_has_a_grid(
            format in prop::sample::select(PixelFormat::ALL.to_vec()),
            width in 1u32..90,
            height in 1u32..90,
            padding in 0usize..5,
            level in any::<u8>(),
        ) {
            let sizes = format.plane_sizes(width, height);
            // Without padding after the last row.
            let buffers: Vec<Vec<u8>> = sizes
                .iter()
                .map(|(row, rows)| vec![level; (row + padding) * (rows - 1) + row])
                .collect();
            let planes: Vec<Plane> = buffers
                .iter()
                .zip(&sizes)
                .map(|(data, (row, _))| Plane { data, stride: row + padding })
                .collect();
            let grid = LumaGrid::of(&Frame::new(format, width, height, &planes).unwrap());
            prop_assert_eq!(grid.cells.len(), LumaGrid::COLUMNS * LumaGrid::ROWS);
            prop_assert!(grid.cells.iter().all(|cell| (cell - f32::from(level) / 255.0).abs() < 1e-3));
        }
    }
}
