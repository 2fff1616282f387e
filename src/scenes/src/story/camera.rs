//! Cameras that shake and pan a little.

use std::f32::consts::TAU;

use rand::Rng;

use crate::scene::{Camera, View};
use crate::vector::Vec3;

/// Chance that a camera stands still.
const STILL: f64 = 0.5;
/// Greatest amplitude of a pan and of a shake, in picture widths.
const PAN: f32 = 0.06;
const SHAKE: f32 = 0.006;

/// How the direction of a camera swings about its mean: right and up, in picture widths.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Swing {
    right: [Wave; 3],
    up: [Wave; 2],
}

#[derive(Clone, Debug, PartialEq)]
struct Wave {
    amplitude: f32,
    /// Times per second.
    frequency: f32,
    phase: f32,
}

impl Swing {
    pub fn sample(rng: &mut impl Rng) -> Swing {
        let still = rng.random_bool(STILL);
        let most = |rng: &mut _, most: f32| if still { 0.0 } else { most * part(rng) };
        let (pan, shake) = (most(rng, PAN), most(rng, SHAKE));
        Swing {
            right: [
                Wave::sample(rng, pan, 0.05..0.16),
                Wave::sample(rng, shake, 0.8..2.5),
                Wave::sample(rng, shake / 2.0, 2.5..7.0),
            ],
            up: [
                Wave::sample(rng, shake, 0.8..2.5),
                Wave::sample(rng, shake / 2.0, 2.5..7.0),
            ],
        }
    }

    /// The camera at a time in seconds.
    pub fn at(&self, camera: &Camera, seconds: f64) -> Camera {
        let sum = |waves: &[Wave]| waves.iter().map(|w| w.at(seconds as f32)).sum::<f32>();
        let view = View::new(camera);
        let target = Vec3::from(camera.target);
        let width = (target - view.eye).length() / camera.focal;
        let moved =
            target + view.right * (sum(&self.right) * width) + view.up * (sum(&self.up) * width);
        Camera {
            target: moved.into(),
            ..camera.clone()
        }
    }
}

fn part(rng: &mut impl Rng) -> f32 {
    rng.random_range(0.0f32..1.0)
}

impl Wave {
    fn sample(rng: &mut impl Rng, amplitude: f32, frequencies: std::ops::Range<f32>) -> Wave {
        Wave {
            amplitude,
            frequency: rng.random_range(frequencies),
            phase: rng.random_range(0.0..TAU),
        }
    }

    fn at(&self, seconds: f32) -> f32 {
        self.amplitude * (TAU * self.frequency * seconds + self.phase).sin()
    }
}
