//! Values in the types of graphs.

use half::f16;

/// What the smallest value above zero becomes, and smaller ones with it.
const SMALLEST: f32 = 5.96e-8;

/// In 16 bits. No value becomes infinite, and none that is not zero becomes zero, as ONNX Runtime's converter has it.
pub fn half(values: &[f32]) -> Vec<f16> {
    values.iter().map(|value| half_of(*value)).collect()
}

fn half_of(value: f32) -> f16 {
    let most = f16::MAX.to_f32();
    let magnitude = value.abs();
    match magnitude {
        _ if magnitude > 0.0 && magnitude < SMALLEST => {
            f16::MIN_POSITIVE_SUBNORMAL.copysign(f16::from_f32(value.signum()))
        }
        _ => f16::from_f32(value.clamp(-most, most)),
    }
}

/// Scale of each column of a matrix of so many columns, so that the largest value becomes 64: two products of 7 bits add
/// up within 16.
pub fn scales(values: &[f32], columns: usize) -> Vec<f32> {
    let mut largest = vec![0f32; columns];
    for row in values.chunks_exact(columns) {
        for (largest, value) in largest.iter_mut().zip(row) {
            *largest = largest.max(value.abs());
        }
    }
    let scale = |largest: f32| match largest / 64.0 {
        scale if scale < f32::MIN_POSITIVE => 1.0,
        scale => scale,
    };
    largest.into_iter().map(scale).collect()
}

/// The matrix in units of its columns' scales.
pub fn rounded(values: &[f32], columns: usize) -> Vec<i8> {
    let scales = scales(values, columns);
    let rows = values.chunks_exact(columns);
    rows.flat_map(|row| row.iter().zip(&scales))
        .map(|(value, scale)| (value / scale).round_ties_even() as i8)
        .collect()
}

/// A matrix of so many columns, rows as columns.
pub fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    if columns == 0 {
        return Vec::new();
    }
    let rows = values.len() / columns;
    let mut turned = vec![0.0; values.len()];
    for first in (0..rows).step_by(BLOCK) {
        for column in 0..columns {
            for row in first..rows.min(first + BLOCK) {
                turned[column * rows + row] = values[row * columns + column];
            }
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn halves_stay_finite_and_apart_from_zero() {
        let found = half(&[0.0, 1e-9, -1e-9, 1.0, 1e6, -1e6, 65519.0, 6e-8]);
        let least = f16::MIN_POSITIVE_SUBNORMAL;
        let expected = [
            f16::ZERO,
            least,
            -least,
            f16::ONE,
            f16::MAX,
            f16::MIN,
            f16::MAX,
            least,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn columns_are_rounded_by_their_own_scale() {
        let matrix = [1.0, 0.0, -0.5, 0.0, 0.25, 0.0];
        assert_eq!(scales(&matrix, 2), [1.0 / 64.0, 1.0]);
        assert_eq!(rounded(&matrix, 2), [64, 0, -32, 0, 16, 0]);
    }

    proptest! {
        #[test]
        fn turning_twice_changes_nothing(rows in 0usize..70, columns in 0usize..70) {
            let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let turned = transposed(&values, columns);
            if let Some(value) = turned.get(1) {
                let expected = if rows > 1 { columns } else { 1 };
                prop_assert_eq!(*value, expected as f32);
            }
            prop_assert_eq!(transposed(&turned, rows), values);
        }
    }
}
