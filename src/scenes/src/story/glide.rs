//! What one object does along time: it rests, glides, may come late and leave early.

use std::f32::consts::TAU;

use rand::Rng;

/// How long a story takes, seconds.
pub(super) const SECONDS: f64 = 8.0;
/// Least and greatest speed of a glide, world units per second.
const SPEEDS: (f32, f32) = (0.35, 1.6);
/// Least and greatest length of a glide, world units.
const LENGTHS: (f32, f32) = (0.7, 4.5);
/// Seconds in which a glide comes to its speed, and from it.
const RAMP: f64 = 0.2;
/// Chance that a glide is curved, and by how much of its length at most.
const CURVED: f64 = 0.4;
const BOW: f32 = 0.2;
/// Chance that an object goes on from a place that it came to.
const GOES_ON: f64 = 0.5;
/// Objects start within this distance of the table's centre, world units.
const RADIUS: f32 = 4.0;

/// What an object does.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Programme {
    /// From when until when it is there, seconds.
    pub there: (f64, f64),
    start: [f32; 2],
    /// In order, one after the other.
    glides: Vec<Glide>,
}

/// A way from one place to another.
#[derive(Clone, Debug, PartialEq)]
struct Glide {
    /// Seconds.
    start: f64,
    end: f64,
    from: [f32; 2],
    to: [f32; 2],
    /// Offset of its middle from the straight line, in parts of its length.
    bow: f32,
}

impl Programme {
    /// An object that glides up to so often and otherwise rests.
    pub fn sample(rng: &mut impl Rng, glides: usize) -> Programme {
        let start = on_the_table(rng);
        let mut programme = Programme {
            there: (f64::NEG_INFINITY, f64::INFINITY),
            start,
            glides: Vec::new(),
        };
        let (mut at, mut time) = (start, rng.random_range(-2.0..0.7 * SECONDS));
        for _ in 0..glides {
            if time > SECONDS {
                break;
            }
            let glide = Glide::sample(rng, at, time);
            (at, time) = (glide.to, glide.end + rng.random_range(0.3..3.5));
            programme.glides.push(glide);
        }
        programme
    }

    /// An object that glides to a place, rests, and perhaps goes on.
    pub fn by_way_of(rng: &mut impl Rng, place: [f32; 2]) -> Programme {
        let start = on_the_table(rng);
        let leaves = rng.random_range(0.2..0.5 * SECONDS);
        let first = Glide::between(rng, start, place, leaves);
        let mut programme = Programme {
            there: (f64::NEG_INFINITY, f64::INFINITY),
            start,
            glides: Vec::new(),
        };
        let leaves = first.end + rng.random_range(0.3..4.0);
        programme.glides.push(first);
        if rng.random_bool(GOES_ON) {
            programme.glides.push(Glide::sample(rng, place, leaves));
        }
        programme
    }

    pub fn is_there(&self, seconds: f64) -> bool {
        (self.there.0..self.there.1).contains(&seconds)
    }

    pub fn position(&self, seconds: f64) -> [f32; 2] {
        let begun = self.glides.iter().rev().find(|g| g.start <= seconds);
        begun.map_or(self.start, |glide| glide.position(seconds))
    }

    /// World units per second.
    pub fn velocity(&self, seconds: f64) -> [f32; 2] {
        const STEP: f64 = 0.01;
        let (a, b) = (self.position(seconds - STEP), self.position(seconds + STEP));
        std::array::from_fn(|axis| (b[axis] - a[axis]) / (2.0 * STEP) as f32)
    }
}

/// A place where objects start.
fn on_the_table(rng: &mut impl Rng) -> [f32; 2] {
    let angle = rng.random_range(0.0..TAU);
    let distance = RADIUS * rng.random_range(0f32..1.0).sqrt();
    [distance * angle.cos(), distance * angle.sin()]
}

impl Glide {
    fn sample(rng: &mut impl Rng, from: [f32; 2], start: f64) -> Glide {
        let (angle, length) = (
            rng.random_range(0.0..TAU),
            rng.random_range(LENGTHS.0..LENGTHS.1),
        );
        let to = [
            from[0] + length * angle.cos(),
            from[1] + length * angle.sin(),
        ];
        Glide::between(rng, from, to, start)
    }

    fn between(rng: &mut impl Rng, from: [f32; 2], to: [f32; 2], start: f64) -> Glide {
        let length = (to[0] - from[0]).hypot(to[1] - from[1]);
        let speed = rng.random_range(SPEEDS.0..SPEEDS.1);
        let bow = match rng.random_bool(CURVED) {
            true => rng.random_range(-BOW..BOW),
            false => 0.0,
        };
        Glide {
            start,
            end: start + f64::from(length / speed) + RAMP,
            from,
            to,
            bow,
        }
    }

    fn position(&self, seconds: f64) -> [f32; 2] {
        let part = self.part(seconds) as f32;
        let along: [f32; 2] = std::array::from_fn(|axis| self.to[axis] - self.from[axis]);
        let aside = self.bow * 4.0 * part * (1.0 - part);
        [
            self.from[0] + along[0] * part - along[1] * aside,
            self.from[1] + along[1] * part + along[0] * aside,
        ]
    }

    /// The part of the way that is behind it: its speed rises, stays, and falls.
    fn part(&self, seconds: f64) -> f64 {
        let (length, at) = (self.end - self.start, seconds - self.start);
        let speed = 1.0 / (length - RAMP);
        if at >= length {
            1.0
        } else if at > length - RAMP {
            1.0 - speed * (length - at).powi(2) / (2.0 * RAMP)
        } else if at > RAMP {
            speed * (at - RAMP / 2.0)
        } else {
            speed * at.max(0.0).powi(2) / (2.0 * RAMP)
        }
    }
}
