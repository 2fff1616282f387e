//! Scenes at random.

use std::f32::consts::{PI, TAU};

use rand::Rng;
use rand::seq::IndexedRandom;

use crate::object::Object;
use crate::options::SceneOptions;
use crate::random::{pick, rng};
use crate::render::visibility;
use crate::scene::{Camera, Ground, Light, Look, Scene, Sensor, Texture, View};
use crate::vector::{Vec3, vec3};

/// Every object shows at least this many pixels at the reference size ...
const MIN_VISIBLE_PIXELS: u32 = 40;
/// ... and at least this part of what it would show alone.
const MIN_VISIBLE_PART: f32 = 0.35;
/// Chance that an object is made similar to another.
const SIMILAR: f64 = 0.4;
/// Objects' footprints keep this distance, world units.
const GAP: f32 = 0.15;
/// Objects stay within this distance of the table's centre, world units.
const TABLE_RADIUS: f32 = 4.2;
/// Objects' centres stay this far from the picture's edges, in parts of its width and height.
const MARGIN: f32 = 0.05;
/// The same in varied scenes: the edge may cut more than half of an object.
const CUT: f32 = -0.03;

impl Scene {
    /// Draws a scene in which every object rests on the ground, touches no other, has its centre
    /// in the picture, and can be seen (at least 40 pixels at 256 x 192, at least 35 %).
    ///
    /// # Panics
    /// If `options` do not pass [`SceneOptions::check`].
    pub fn sample(seed: u64, options: &SceneOptions) -> Scene {
        options.check().expect("scene options pass their check");
        for attempt in 0.. {
            let mut rng = rng(seed, attempt);
            // A crowded view may have no room: after many attempts, ask for fewer objects.
            let fewer = (attempt / 64) as usize;
            let max = options.max_objects.saturating_sub(fewer).max(1);
            let count = rng.random_range(options.min_objects.min(max)..=max);
            if let Some(scene) = Scene::attempt(&mut rng, count, options) {
                return scene;
            }
        }
        unreachable!("an object fits on an empty table")
    }

    fn attempt(rng: &mut impl Rng, count: usize, options: &SceneOptions) -> Option<Scene> {
        let mut scene = Scene::empty(rng, options);
        for _ in 0..count {
            let mut object = scene.sample_object(rng);
            scene.place(rng, &mut object, options)?;
            scene.objects.push(object);
        }
        scene.well_visible(options).then_some(scene)
    }

    /// A table with nothing on it, seen by a random camera under random light.
    pub(crate) fn empty(rng: &mut impl Rng, options: &SceneOptions) -> Scene {
        let azimuth = rng.random_range(0.0..TAU);
        let target = vec3(
            rng.random_range(-0.5..0.5),
            rng.random_range(-0.5..0.5),
            rng.random_range(0.1..0.5),
        );
        let elevation = rng.random_range(25f32.to_radians()..45f32.to_radians());
        let eye = target + spherical(azimuth, elevation) * rng.random_range(8.0..10.0);
        // Drawn in any case, so that the rest of the scene does not depend on the option.
        let usual_focal = rng.random_range(1.0..1.2);
        let camera = Camera {
            eye: eye.into(),
            target: target.into(),
            focal: options.focal.unwrap_or(usual_focal),
        };
        let mut scene = Scene {
            objects: Vec::new(),
            camera,
            light: sample_light(rng, azimuth),
            ground: sample_ground(rng),
            sensor: Sensor {
                exposure: rng.random_range(0.85..1.12),
                vignette: rng.random_range(0.0..0.3),
                noise: rng.random_range(0.0f32..1.0).powi(2) * 6.0,
            },
            look: Look::default(),
        };
        if options.varied {
            scene.vary(rng, options);
        }
        scene
    }

    /// A new object without a place, often similar to one already there.
    pub(crate) fn sample_object(&self, rng: &mut impl Rng) -> Object {
        match self.objects.choose(rng) {
            Some(other) if rng.random_bool(SIMILAR) => Object::sample_like(rng, other),
            _ => Object::sample(rng),
        }
    }

    /// Finds `object` a free place in view.
    fn place(&self, rng: &mut impl Rng, object: &mut Object, options: &SceneOptions) -> Option<()> {
        for _ in 0..40 {
            let angle = rng.random_range(0.0..TAU);
            let distance = TABLE_RADIUS * rng.random_range(0f32..1.0).sqrt();
            object.position = [distance * angle.cos(), distance * angle.sin()];
            let free = self.objects.iter().all(|o| separation(o, object) > GAP);
            if free && self.in_view(object, options) {
                return Some(());
            }
        }
        None
    }

    /// Whether the object's centre is in the picture, with a margin.
    pub(crate) fn in_view(&self, object: &Object, options: &SceneOptions) -> bool {
        let aspect = options.width as f32 / options.height as f32;
        let [x, y] = object.position;
        let (u, v) = View::new(&self.camera).project(vec3(x, y, object.radius * 0.9));
        let margin = if options.varied { CUT } else { MARGIN };
        let low = margin..=1.0 - margin;
        low.contains(&(u + 0.5)) && low.contains(&(v * aspect + 0.5))
    }

    /// Whether every object shows enough of itself.
    fn well_visible(&self, options: &SceneOptions) -> bool {
        let (width, height) = options.reference_size();
        visibility(self, width, height).iter().all(|v| {
            v.visible >= MIN_VISIBLE_PIXELS && v.visible as f32 >= MIN_VISIBLE_PART * v.alone as f32
        })
    }
}

/// Distance between two objects' footprint circles, world units.
pub(crate) fn separation(a: &Object, b: &Object) -> f32 {
    let [ax, ay] = a.position;
    let [bx, by] = b.position;
    (ax - bx).hypot(ay - by) - a.footprint() - b.footprint()
}

/// Unit vector at this azimuth and elevation (radians).
pub(crate) fn spherical(azimuth: f32, elevation: f32) -> Vec3 {
    let (sin, cos) = elevation.sin_cos();
    vec3(cos * azimuth.cos(), cos * azimuth.sin(), sin)
}

fn sample_light(rng: &mut impl Rng, camera_azimuth: f32) -> Light {
    let azimuth = camera_azimuth + rng.random_range(-1.1..1.1f32);
    let elevation = rng.random_range(0.22 * PI..0.4 * PI);
    let warmth = rng.random_range(-0.05..0.05f32);
    let power = rng.random_range(0.8..1.05f32);
    Light {
        position: (spherical(azimuth, elevation) * rng.random_range(9.0..13.0)).into(),
        radius: if rng.random_bool(0.5) {
            0.0
        } else {
            rng.random_range(0.1..0.5)
        },
        intensity: [power * (1.0 + warmth), power, power * (1.0 - warmth)],
        ambient: rng.random_range(0.2..0.4),
    }
}

fn sample_ground(rng: &mut impl Rng) -> Ground {
    let textures = [
        Texture::Plain,
        Texture::Clouds,
        Texture::Clouds,
        Texture::Checker,
        Texture::Stripes,
        Texture::Grain,
    ];
    let texture = pick(rng, &textures);
    Ground {
        hsv: [
            rng.random_range(0.0..360.0),
            0.28 * rng.random_range(0f32..1.0).powi(2),
            rng.random_range(0.42..0.88),
        ],
        texture,
        contrast: rng.random_range(0.04..0.22),
        scale: rng.random_range(0.5..2.2),
        rotation: rng.random_range(0.0..TAU),
        offset: [rng.random_range(-50.0..50.0), rng.random_range(-50.0..50.0)],
    }
}
