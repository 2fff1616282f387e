//! From mask logits to the pixels of the frame.

use mdetr_grounding::rle::{Rle, RunBuilder};

/// A map of `width` x `height` values, row-major.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Map<'a> {
    pub values: &'a [f32],
    pub width: usize,
    pub height: usize,
}

/// The pixels of a frame of `frame` that belong to an object: the logits are scaled bilinearly to
/// the network's `input`, then to the frame, and belong to it where they are positive (sigmoid
/// above one half). Sizes are width and height.
pub(crate) fn mask(logits: Map, input: (u32, u32), frame: (u32, u32)) -> Rle {
    let scaled = |map: Map, (width, height): (u32, u32)| {
        let rows = Axis::new(map.height, height as usize);
        let columns = Axis::new(map.width, width as usize);
        bilinear(map, &rows, &columns)
    };
    let at_input = scaled(logits, input);
    let values = if input == frame {
        at_input
    } else {
        let map = Map {
            values: &at_input,
            width: input.0 as usize,
            height: input.1 as usize,
        };
        scaled(map, frame)
    };
    runs(&values, frame)
}

/// Runs of positive values, column by column.
fn runs(values: &[f32], (width, height): (u32, u32)) -> Rle {
    let mut builder = RunBuilder::default();
    for x in 0..width {
        let mut column = (0..height).map(|y| values[(y * width + x) as usize] > 0.0);
        let mut y = 0;
        while y < height {
            let Some(gap) = column.position(|inside| inside) else {
                break;
            };
            let start = y + gap as u32;
            let rest = height - start - 1;
            let length = 1 + column.position(|inside| !inside).map_or(rest, |n| n as u32);
            builder.push(x * height + start, length);
            y = start + length + 1;
        }
    }
    builder.finish(width, height)
}

/// For each target cell the two source cells around its centre and the second one's weight, as
/// PyTorch's `interpolate(mode="bilinear", align_corners=False)`.
struct Axis(Vec<(usize, usize, f32)>);

impl Axis {
    fn new(source: usize, target: usize) -> Axis {
        let scale = source as f32 / target as f32;
        let cell = |i: usize| {
            let position = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
            let first = (position as usize).min(source - 1);
            let second = (first + 1).min(source - 1);
            (first, second, position - first as f32)
        };
        Axis((0..target).map(cell).collect())
    }
}

fn bilinear(map: Map, rows: &Axis, columns: &Axis) -> Vec<f32> {
    let mut result = Vec::with_capacity(rows.0.len() * columns.0.len());
    for &(top, bottom, down) in &rows.0 {
        let row = |y: usize| &map.values[y * map.width..(y + 1) * map.width];
        let (top, bottom) = (row(top), row(bottom));
        result.extend(columns.0.iter().map(|&(left, right, across)| {
            let upper = top[left] * (1.0 - across) + top[right] * across;
            let lower = bottom[left] * (1.0 - across) + bottom[right] * across;
            upper * (1.0 - down) + lower * down
        }));
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scaled(values: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
        let map = Map {
            values,
            width: from.0,
            height: from.1,
        };
        bilinear(map, &Axis::new(from.1, to.1), &Axis::new(from.0, to.0))
    }

    /// Values of torch.nn.functional.interpolate(mode="bilinear", align_corners=False).
    #[test]
    fn scaling_is_that_of_pytorch() {
        let up = scaled(&[0.0, 1.0, 2.0, 3.0], (2, 2), (4, 4));
        let expected = [
            0.0, 0.25, 0.75, 1.0, 0.5, 0.75, 1.25, 1.5, 1.5, 1.75, 2.25, 2.5, 2.0, 2.25, 2.75, 3.0,
        ];
        assert_eq!(up, expected);
        let down = scaled(&[0.0, 1.0, 2.0, 3.0, 4.0], (5, 1), (3, 1));
        for (found, expected) in down.iter().zip([0.333_333, 2.0, 3.666_667]) {
            assert!((found - expected).abs() < 1e-5, "{down:?}");
        }
    }

    #[test]
    fn positive_logits_are_inside() {
        let values = [-1.0, 1.0, -1.0, 1.0, 0.0, 1.0];
        let map = Map {
            values: &values,
            width: 3,
            height: 2,
        };
        let mask = mask(map, (3, 2), (3, 2));
        assert_eq!(mask.decode(), [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn one_cell_fills_any_frame() {
        let map = Map {
            values: &[0.5],
            width: 1,
            height: 1,
        };
        assert_eq!(mask(map, (4, 3), (7, 5)).area(), 35);
        let map = Map {
            values: &[-0.5],
            ..map
        };
        assert_eq!(mask(map, (4, 3), (7, 5)).area(), 0);
    }

    proptest! {
        #[test]
        fn runs_are_those_of_the_encoder(
            width in 1u32..20,
            height in 1u32..20,
            values in prop::collection::vec(-1.0f32..1.0, 400),
        ) {
            let values = &values[..(width * height) as usize];
            let bits: Vec<u8> = values.iter().map(|v| u8::from(*v > 0.0)).collect();
            prop_assert_eq!(runs(values, (width, height)), Rle::encode(&bits, width, height));
        }

        #[test]
        fn scaling_stays_within_the_values(
            from in (1usize..9, 1usize..9),
            to in (1usize..30, 1usize..30),
            values in prop::collection::vec(-5.0f32..5.0, 64),
        ) {
            let values = &values[..from.0 * from.1];
            let least = values.iter().copied().fold(f32::INFINITY, f32::min);
            let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let found = scaled(values, from, to);
            prop_assert_eq!(found.len(), to.0 * to.1);
            prop_assert!(found.iter().all(|v| (least - 1e-4..=most + 1e-4).contains(v)));
        }
    }
}
