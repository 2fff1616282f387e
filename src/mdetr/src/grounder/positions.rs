//! Where in the picture a vision token lies.

/// Rows and columns of a map with a cell for every `stride` pixels of a picture of width and height.
pub(crate) fn grid((width, height): (u32, u32), stride: usize) -> (usize, usize) {
    let cells = |side: u32| (side as usize).div_ceil(stride);
    (cells(height), cells(width))
}

/// Sine position encoding of an unpadded map of `rows` x `columns` cells: `[rows * columns, d]`.
///
/// As MDETR's: the first half of the channels encodes the row, the second the column,
/// counted from 1 and scaled to 2 pi; sines in even channels, cosines in odd ones.
pub(super) fn sine_positions(rows: usize, columns: usize, d: usize) -> Vec<f32> {
    const TEMPERATURE: f32 = 10000.0;
    const EPSILON: f32 = 1e-6;
    let half = d / 2;
    let axis = |count: usize| -> Vec<f32> {
        let scale = |cell: usize| {
            (cell + 1) as f32 / (count as f32 + EPSILON) * (2.0 * std::f32::consts::PI)
        };
        let wave = |cell: usize, channel: usize| {
            let exponent = 2.0 * (channel / 2) as f32 / half as f32;
            let angle = scale(cell) / TEMPERATURE.powf(exponent);
            if channel.is_multiple_of(2) {
                angle.sin()
            } else {
                angle.cos()
            }
        };
        (0..count)
            .flat_map(|cell| (0..half).map(move |channel| wave(cell, channel)))
            .collect()
    };
    let (y, x) = (axis(rows), axis(columns));
    let mut positions = Vec::with_capacity(rows * columns * d);
    for row in y.chunks_exact(half) {
        for column in x.chunks_exact(half) {
            positions.extend_from_slice(row);
            positions.extend_from_slice(column);
        }
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First row and last column of a 2 x 3 map with 8 channels, computed with the formula by hand:
    /// divisors 1, 1, 100, 100 for each axis.
    #[test]
    fn positions_of_a_small_map() {
        let positions = sine_positions(2, 3, 8);
        assert_eq!(positions.len(), 6 * 8);
        let tau = 2.0 * std::f64::consts::PI;
        let (y, x) = (tau / 2.0, tau);
        let expected = [
            y.sin(),
            y.cos(),
            (y / 100.0).sin(),
            (y / 100.0).cos(),
            x.sin(),
            x.cos(),
            (x / 100.0).sin(),
            (x / 100.0).cos(),
        ];
        for (found, expected) in positions[2 * 8..3 * 8].iter().zip(expected) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5,
                "{found} {expected}"
            );
        }
    }
}
