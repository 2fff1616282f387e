//! Whether a picture differs from another, at a glance.

/// Columns and rows of the grid.
const COLUMNS: usize = 16;
const ROWS: usize = 12;

/// A picture as a coarse grid of brightnesses, in which noise averages out.
#[derive(Debug, Clone, PartialEq)]
pub struct Glance {
    /// Input size that it was made from.
    size: (usize, usize),
    /// Row-major, 0 (black) to 1.
    cells: Vec<f32>,
}

impl Glance {
    /// Of a planar picture `[3, height, width]` whose value `v` of channel `c` stands for the
    /// brightness `v * std[c] + mean[c]`.
    pub(crate) fn new(
        planes: &[f32],
        width: usize,
        height: usize,
        mean: [f32; 3],
        std: [f32; 3],
    ) -> Glance {
        let (columns, rows) = (COLUMNS.min(width), ROWS.min(height));
        let mut sums = vec![0.0f32; columns * rows];
        let mut counts = vec![0u32; columns * rows];
        for y in 0..height {
            for x in 0..width {
                counts[y * rows / height * columns + x * columns / width] += 1;
            }
        }
        for (plane, (mean, std)) in planes
            .chunks_exact(width * height)
            .zip(mean.iter().zip(std))
        {
            for (y, row) in plane.chunks_exact(width).enumerate() {
                let cells = &mut sums[y * rows / height * columns..][..columns];
                for (x, value) in row.iter().enumerate() {
                    cells[x * columns / width] += (value * std + mean) / 3.0;
                }
            }
        }
        let cells = sums.iter().zip(&counts);
        Glance {
            size: (width, height),
            cells: cells.map(|(sum, &count)| sum / count as f32).collect(),
        }
    }

    /// The greatest difference in brightness of a cell, 0 to 1; 1 between pictures of different
    /// sizes.
    pub fn difference(&self, other: &Glance) -> f32 {
        if self.size != other.size {
            return 1.0;
        }
        let pairs = self.cells.iter().zip(&other.cells);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEAN: [f32; 3] = [0.5, 0.4, 0.3];
    const STD: [f32; 3] = [0.2, 0.25, 0.5];

    /// A grey picture of `level`, with a square of 8 x 8 pixels of `object` at (x, y).
    fn glance(width: usize, height: usize, level: f32, object: f32, at: (usize, usize)) -> Glance {
        let mut planes = Vec::new();
        for (mean, std) in MEAN.iter().zip(STD) {
            for y in 0..height {
                for x in 0..width {
                    let inside = (at.0..at.0 + 8).contains(&x) && (at.1..at.1 + 8).contains(&y);
                    let brightness = if inside { object } else { level };
                    planes.push((brightness - mean) / std);
                }
            }
        }
        Glance::new(&planes, width, height, MEAN, STD)
    }

    #[test]
    fn a_small_object_that_moves_is_a_change() {
        let before = glance(128, 96, 0.5, 0.9, (0, 0));
        assert!(before.difference(&before) < 1e-6);
        let moved = before.difference(&glance(128, 96, 0.5, 0.9, (64, 48)));
        assert!((moved - 0.4).abs() < 1e-4, "a whole cell: {moved}");
        let little = before.difference(&glance(128, 96, 0.5, 0.9, (2, 0)));
        assert!((little - 0.1).abs() < 1e-4, "a quarter of a cell: {little}");
        let darker = before.difference(&glance(128, 96, 0.4, 0.8, (0, 0)));
        assert!((darker - 0.1).abs() < 1e-4, "all of it: {darker}");
    }

    #[test]
    fn odd_and_tiny_sizes() {
        for (width, height) in [(1, 1), (5, 3), (17, 13), (31, 97)] {
            let a = glance(width, height, 0.2, 0.2, (0, 0));
            let b = glance(width, height, 0.7, 0.7, (0, 0));
            assert!((a.difference(&b) - 0.5).abs() < 1e-4, "{width} x {height}");
        }
        let other = glance(64, 48, 0.2, 0.2, (0, 0));
        assert_eq!(other.difference(&glance(48, 64, 0.2, 0.2, (0, 0))), 1.0);
    }
}
