//! Scenes in motion: objects glide along smooth closed paths and never touch.

use std::f32::consts::TAU;

use rand::Rng;

use crate::object::Object;
use crate::options::SceneOptions;
use crate::random;
use crate::render::visibility;
use crate::sampling::separation;
use crate::scene::Scene;

/// A scene whose objects move: smoothly, periodically, without touching, always in view.
///
/// Camera and light stand still. Objects pass in front of one another, but some of each is always
/// to be seen.
///
/// ```
/// use mdetr_scenes::{MovingScene, SceneOptions, render};
///
/// let scene = MovingScene::new(3, &SceneOptions::default());
/// let frame = render(&scene.at(1.5), 320, 240, 45);
/// for seen in frame.ground_truth().named(&scene.at(1.5)) {
///     println!("{} at {:?}", seen.words, seen.bbox);
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MovingScene {
    /// The scene at time 0.
    still: Scene,
    /// One per object.
    paths: Vec<Path>,
}

/// Moments of a period at which a new scene is checked.
const CHECKS: usize = 480;
/// Every how many of them visibility is checked too.
const VISIBILITY_STRIDE: usize = 4;
/// Greatest speed of an object, world units per second.
const MAX_SPEED: f32 = 1.2;
/// Distance footprints keep at the moments checked; what two objects can approach between two
/// moments (period / CHECKS / 2 to the nearest one, at twice the greatest speed) stays below it.
const CLEARANCE: f32 = 0.15;
/// Least pixels, at the reference size, and least part of itself that an object shows at any
/// moment checked.
const MIN_PIXELS: u32 = 24;
const MIN_PART: f32 = 0.15;
/// An object that shows less than this part of itself counts as hidden behind another.
const OCCLUDED_PART: f32 = 0.8;

impl MovingScene {
    /// Seconds after which everything is where it was.
    pub const PERIOD: f64 = 24.0;

    /// Draws a moving scene.
    ///
    /// # Panics
    /// If `options` do not pass [`SceneOptions::check`].
    pub fn new(seed: u64, options: &SceneOptions) -> MovingScene {
        options.check().expect("scene options pass their check");
        for attempt in 0.. {
            let mut rng = random::rng(seed, MOTION_STREAM + attempt);
            // A crowded view may have no room: after many attempts, ask for fewer objects.
            let max = options.max_objects.saturating_sub((attempt / 24) as usize);
            let max = max.max(1);
            let count = rng.random_range(options.min_objects.min(max)..=max);
            let Some(scene) = MovingScene::attempt(&mut rng, count, options) else {
                continue;
            };
            // One object alone hides nothing; of several, one is to pass before another.
            match scene.watch(options) {
                Watch::Lost => {}
                Watch::Clear if count > 1 && attempt % 24 < 12 => {}
                Watch::Clear | Watch::Occlusions => return scene,
            }
        }
        unreachable!("an object fits on an empty table")
    }

    /// The scene at a time in seconds; any finite time, negative ones too.
    pub fn at(&self, seconds: f64) -> Scene {
        let phase = (seconds / Self::PERIOD).rem_euclid(1.0) as f32;
        let mut scene = self.still.clone();
        for (object, path) in scene.objects.iter_mut().zip(&self.paths) {
            path.place(object, phase);
        }
        scene
    }

    fn attempt(rng: &mut impl Rng, count: usize, options: &SceneOptions) -> Option<MovingScene> {
        let mut moving = MovingScene {
            still: Scene::empty(rng, options),
            paths: Vec::new(),
        };
        for _ in 0..count {
            let mut object = moving.still.sample_object(rng);
            let path = moving.find_path(rng, &object, options)?;
            path.place(&mut object, 0.0);
            moving.still.objects.push(object);
            moving.paths.push(path);
        }
        Some(moving)
    }

    /// A path on which `object` stays in view and clear of the others; wide ones are tried first.
    fn find_path(
        &self,
        rng: &mut impl Rng,
        object: &Object,
        options: &SceneOptions,
    ) -> Option<Path> {
        const TRIES: usize = 80;
        (0..TRIES).find_map(|attempt| {
            let reach = 2.4 * (1.0 - attempt as f32 / TRIES as f32);
            let path = Path::sample(rng, reach)?;
            self.is_free(&path, object, options).then_some(path)
        })
    }

    fn is_free(&self, path: &Path, object: &Object, options: &SceneOptions) -> bool {
        let mut own = object.clone();
        let mut others = self.still.objects.clone();
        (0..CHECKS).all(|check| {
            let phase = check as f32 / CHECKS as f32;
            path.place(&mut own, phase);
            self.still.in_view(&own, options)
                && others.iter_mut().zip(&self.paths).all(|(other, path)| {
                    path.place(other, phase);
                    separation(other, &own) > CLEARANCE
                })
        })
    }

    /// Looks at the whole period.
    fn watch(&self, options: &SceneOptions) -> Watch {
        let (width, height) = options.reference_size();
        let mut result = Watch::Clear;
        for check in (0..CHECKS).step_by(VISIBILITY_STRIDE) {
            let scene = self.at(Self::PERIOD * check as f64 / CHECKS as f64);
            for v in visibility(&scene, width, height) {
                let part = v.visible as f32 / v.alone.max(1) as f32;
                if v.visible < MIN_PIXELS || part < MIN_PART {
                    return Watch::Lost;
                }
                if part < OCCLUDED_PART {
                    result = Watch::Occlusions;
                }
            }
        }
        result
    }
}

/// Keeps moving scenes apart from still ones of the same seed.
const MOTION_STREAM: u64 = 1 << 40;

/// What is seen of the objects over a period.
enum Watch {
    /// One of them is lost from sight at some time.
    Lost,
    /// All are in plain view all the time.
    Clear,
    /// All are in view, some partly hidden at times.
    Occlusions,
}

/// A closed path: a centre plus two harmonics of the period, and a steady turn.
#[derive(Clone, Debug, PartialEq)]
struct Path {
    centre: [f32; 2],
    harmonics: [Harmonic; 2],
    rotation: f32,
    /// Whole turns about the vertical per period.
    turns: f32,
}

/// One elliptic component of a path.
#[derive(Clone, Debug, PartialEq)]
struct Harmonic {
    /// Times per period.
    order: f32,
    amplitude: [f32; 2],
    phase: [f32; 2],
}

impl Harmonic {
    fn sample(rng: &mut impl Rng, order: f32, reach: f32) -> Harmonic {
        let reach = reach / order;
        Harmonic {
            order,
            amplitude: std::array::from_fn(|_| reach * rng.random_range(0.3..1.0f32)),
            phase: std::array::from_fn(|_| rng.random_range(0.0..TAU)),
        }
    }

    fn offset(&self, phase: f32, axis: usize) -> f32 {
        self.amplitude[axis] * (TAU * self.order * phase + self.phase[axis]).sin()
    }

    /// Greatest speed this component adds, world units per second.
    fn max_speed(&self) -> f32 {
        let [x, y] = self.amplitude;
        x.hypot(y) * TAU * self.order / MovingScene::PERIOD as f32
    }
}

impl Path {
    /// A random path about this wide; `None` if it came out too fast.
    fn sample(rng: &mut impl Rng, reach: f32) -> Option<Path> {
        let order = rng.random_range(1..=2) as f32;
        let path = Path {
            centre: std::array::from_fn(|_| rng.random_range(-3.0..3.0)),
            harmonics: [
                Harmonic::sample(rng, order, reach),
                Harmonic::sample(rng, order + 1.0, reach * 0.6),
            ],
            rotation: rng.random_range(0.0..TAU),
            turns: rng.random_range(-2..=2) as f32,
        };
        let speed: f32 = path.harmonics.iter().map(Harmonic::max_speed).sum();
        (speed <= MAX_SPEED).then_some(path)
    }

    /// Moves `object` to where it is at this part of the period.
    fn place(&self, object: &mut Object, phase: f32) {
        for axis in 0..2 {
            let [a, b] = &self.harmonics;
            object.position[axis] =
                self.centre[axis] + a.offset(phase, axis) + b.offset(phase, axis);
        }
        object.rotation = (self.rotation + TAU * self.turns * phase).rem_euclid(TAU);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clearance_outlasts_the_gap_between_checks() {
        let half_step = MovingScene::PERIOD as f32 / CHECKS as f32 / 2.0;
        assert!(2.0 * MAX_SPEED * half_step < CLEARANCE);
    }
}
