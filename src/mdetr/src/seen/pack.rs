//! Values of tokens in fewer bytes.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::{SeenError, TokenPrecision};

/// Largest value in int8. Its negative is the least, so that zero stays in the middle.
const MOST: f32 = 127.0;

/// Tokens of `d` values as the precision has them.
pub(super) fn pack(
    values: &[f32],
    d: usize,
    precision: TokenPrecision,
) -> Result<Vec<u8>, SeenError> {
    let tokens = || values.chunks_exact(d.max(1)).enumerate();
    match precision {
        TokenPrecision::Fp16 => {
            let mut half = vec![f16::ZERO; values.len()];
            half.convert_from_f32_slice(values);
            if let Some(at) = half.iter().position(|value| !value.is_finite()) {
                return Err(SeenError::Range {
                    token: at / d.max(1),
                    value: values[at],
                    precision: "fp16",
                    remedy: "keep tokens of this model in int8",
                });
            }
            let upper = half.iter().map(|value| (value.to_bits() >> 8) as u8);
            let lower = half.iter().map(|value| value.to_bits() as u8);
            Ok(upper.chain(lower).collect())
        }
        TokenPrecision::Int8 => {
            let mut scales = Vec::new();
            let mut packed = Vec::with_capacity(values.len());
            for (token, values) in tokens() {
                if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                    return Err(SeenError::Range {
                        token,
                        value: *value,
                        precision: "int8",
                        remedy: "the model is damaged or the frame is: check the bundle",
                    });
                }
                let scale = scale(values);
                scales.extend(scale.to_le_bytes());
                let byte = |value: &f32| match scale {
                    0.0 => 0,
                    scale => (value / scale).round().clamp(-MOST, MOST) as i8 as u8,
                };
                packed.extend(values.iter().map(byte));
            }
            scales.extend(packed);
            Ok(scales)
        }
    }
}

/// What 1 stands for in int8.
fn scale(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most: f32, v| most.max(v.abs())) / MOST
}

/// The values of `tokens` tokens of `d`; `packed` is as long as that takes.
pub(super) fn unpack(
    packed: &[u8],
    tokens: usize,
    d: usize,
    precision: TokenPrecision,
) -> Result<Vec<f32>, SeenError> {
    let finite = |values: &[f32]| match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(SeenError::value("a value", "a finite number", value)),
        None => Ok(()),
    };
    match precision {
        TokenPrecision::Fp16 => {
            let (upper, lower) = packed.split_at(tokens * d);
            let bits = upper.iter().zip(lower);
            let half: Vec<f16> = bits
                .map(|(upper, lower)| f16::from_le_bytes([*lower, *upper]))
                .collect();
            let mut values = vec![0.0; half.len()];
            half.convert_to_f32_slice(&mut values);
            finite(&values)?;
            Ok(values)
        }
        TokenPrecision::Int8 => {
            let (scales, bytes) = packed.split_at(4 * tokens);
            let mut values = Vec::with_capacity(tokens * d);
            for (scale, bytes) in scales.chunks_exact(4).zip(bytes.chunks_exact(d.max(1))) {
                let scale = f32::from_le_bytes([scale[0], scale[1], scale[2], scale[3]]);
                finite(&[scale, scale * MOST])?;
                values.extend(bytes.iter().map(|byte| f32::from(*byte as i8) * scale));
            }
            Ok(values)
        }
    }
}
