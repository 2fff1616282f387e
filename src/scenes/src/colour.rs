//! Colour spaces: HSV to sRGB, sRGB to linear light and back.

use std::sync::LazyLock;

use crate::vector::{Vec3, vec3};

/// HSV (hue in degrees, saturation and value in 0..=1) to sRGB in 0..=1.
pub(crate) fn hsv_to_srgb(hue: f32, saturation: f32, value: f32) -> [f32; 3] {
    let h = hue.rem_euclid(360.0) / 60.0;
    let channel = |n: f32| {
        let k = (n + h) % 6.0;
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

/// sRGB in 0..=1 to linear light (IEC 61966-2-1).
pub(crate) fn to_linear(srgb: [f32; 3]) -> Vec3 {
    let f = |c: f32| {
        if c <= 0.040_45 {
            c / 12.92
        } else {
            ((c + 0.055) / 1.055).powf(2.4)
        }
    };
    vec3(f(srgb[0]), f(srgb[1]), f(srgb[2]))
}

/// Entries of the linear-to-sRGB table; the square root of linear light indexes it, so that dark
/// tones, where the curve is steep, get most entries.
const TABLE: usize = 1024;

static SRGB: LazyLock<[f32; TABLE + 1]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let linear = (i as f32 / TABLE as f32).powi(2);
        255.0
            * if linear <= 0.003_130_8 {
                12.92 * linear
            } else {
                1.055 * linear.powf(1.0 / 2.4) - 0.055
            }
    })
});

/// Linear light to sRGB in 0..=255 (not rounded), clipped at white.
pub(crate) fn to_srgb255(linear: f32) -> f32 {
    SRGB[(linear.clamp(0.0, 1.0).sqrt() * TABLE as f32 + 0.5) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primaries() {
        assert_eq!(hsv_to_srgb(0.0, 1.0, 1.0), [1.0, 0.0, 0.0]);
        assert_eq!(hsv_to_srgb(120.0, 1.0, 0.5), [0.0, 0.5, 0.0]);
        assert_eq!(hsv_to_srgb(240.0, 0.5, 1.0), [0.5, 0.5, 1.0]);
        assert_eq!(hsv_to_srgb(-300.0, 1.0, 1.0), [1.0, 1.0, 0.0]);
    }

    #[test]
    fn linear_and_back() {
        for level in 0..=255 {
            let c = level as f32 / 255.0;
            let back = to_srgb255(to_linear([c; 3]).x);
            assert!((back - level as f32).abs() < 0.5, "{level} became {back}");
        }
    }
}
