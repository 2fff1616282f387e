//! Scenes whose cameras, lights, surfaces and sensors differ widely.

use std::f32::consts::{PI, TAU};
use std::ops::Range;

use rand::Rng;

use crate::options::SceneOptions;
use crate::sampling::spherical;
use crate::scene::{Look, Scene};
use crate::vector::vec3;

/// Chance that shiny surfaces do not shine.
const DULL: f64 = 0.12;
/// Least light that reaches the sensor, in parts of the usual: colours are still told apart.
const LEAST_LIGHT: f32 = 0.22;

impl Scene {
    /// Draws another camera, light, ground, sensor and look for a table with nothing on it.
    pub(crate) fn vary(&mut self, rng: &mut impl Rng, options: &SceneOptions) {
        self.vary_camera(rng, options);
        self.vary_light(rng);
        let ground = &mut self.ground;
        ground.hsv = [
            rng.random_range(0.0..360.0),
            0.6 * squared(rng),
            rng.random_range(0.08..0.95),
        ];
        ground.contrast = rng.random_range(0.03..0.5);
        ground.scale = log_uniform(rng, 0.2..3.0);
        self.sensor.vignette = rng.random_range(0.0..0.6);
        self.sensor.noise = 12.0 * squared(rng);
        self.look = Look {
            wrap: squared(rng),
            gloss: log_uniform(rng, 6.0..60.0),
            highlight: rng.random_range(0.3..1.4),
            mirror: rng.random_range(0.35..1.2),
        };
        if rng.random_bool(DULL) {
            self.look.highlight = 0.0;
            self.look.mirror = 0.0;
        }
    }

    fn vary_camera(&mut self, rng: &mut impl Rng, options: &SceneOptions) {
        let azimuth = rng.random_range(0.0..TAU);
        let elevation = rng.random_range(15f32.to_radians()..62f32.to_radians());
        let reach = 1.2;
        let target = vec3(
            rng.random_range(-reach..reach),
            rng.random_range(-reach..reach),
            rng.random_range(0.0..0.7),
        );
        let focal = options.focal.unwrap_or(log_uniform(rng, 0.8..1.6));
        // A longer lens stands further back.
        let distance = rng.random_range(7.0..10.5) * focal.sqrt();
        let eye = target + spherical(azimuth, elevation) * distance;
        self.camera.eye = eye.into();
        self.camera.target = target.into();
        self.camera.focal = focal;
    }

    fn vary_light(&mut self, rng: &mut impl Rng) {
        let (azimuth, elevation) = (
            rng.random_range(0.0..TAU),
            rng.random_range(0.14 * PI..0.48 * PI),
        );
        let warmth = rng.random_range(-0.18..0.18f32);
        let power = log_uniform(rng, 0.4..1.3);
        let light = &mut self.light;
        light.position = (spherical(azimuth, elevation) * rng.random_range(7.0..14.0)).into();
        light.radius = match rng.random_bool(0.3) {
            true => 0.0,
            false => rng.random_range(0.1..1.0),
        };
        light.intensity = [power * (1.0 + warmth), power, power * (1.0 - warmth)];
        light.ambient = rng.random_range(0.08..0.5);
        let least = LEAST_LIGHT / (0.6 * power + light.ambient);
        self.sensor.exposure = log_uniform(rng, 0.4..1.4).max(least);
    }
}

/// Between 0 and 1, small values more often.
fn squared(rng: &mut impl Rng) -> f32 {
    rng.random_range(0f32..1.0).powi(2)
}

fn log_uniform(rng: &mut impl Rng, range: Range<f32>) -> f32 {
    rng.random_range(range.start.ln()..range.end.ln()).exp()
}
