//! Where a box goes: a Kalman filter of constant velocity for each of its centre and sides.

use mdetr_grounding::BBox;

/// Standard deviation of a detector's edges, in parts of the box's longer side.
const MEASUREMENT: f64 = 0.05;
/// Standard deviation of a new object's velocity, in longer sides per second.
const FIRST_VELOCITY: f64 = 1.0;
/// Standard deviation of the acceleration, in longer sides per second squared.
const ACCELERATION: f64 = 2.0;
/// Least side of a box in pixels.
const MIN_SIDE: f64 = 1.0;

/// Value and velocity of one coordinate, with their covariance.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    value: f64,
    velocity: f64,
    variance: f64,
    covariance: f64,
    velocity_variance: f64,
}

impl Axis {
    fn new(value: f64, scale: f64) -> Axis {
        Axis {
            value,
            velocity: 0.0,
            variance: (MEASUREMENT * scale).powi(2),
            covariance: 0.0,
            velocity_variance: (FIRST_VELOCITY * scale).powi(2),
        }
    }

    /// The state `seconds` later; acceleration is white noise, constant over the step.
    fn after(self, seconds: f64, scale: f64) -> Axis {
        let noise = (ACCELERATION * scale).powi(2);
        let square = seconds * seconds;
        Axis {
            value: self.value + self.velocity * seconds,
            velocity: self.velocity,
            variance: self.variance
                + 2.0 * seconds * self.covariance
                + square * self.velocity_variance
                + noise * square * square / 4.0,
            covariance: self.covariance
                + seconds * self.velocity_variance
                + noise * square * seconds / 2.0,
            velocity_variance: self.velocity_variance + noise * square,
        }
    }

    fn measure(self, value: f64, scale: f64) -> Axis {
        let sum = self.variance + (MEASUREMENT * scale).powi(2);
        let (gain, velocity_gain) = (self.variance / sum, self.covariance / sum);
        let surprise = value - self.value;
        Axis {
            value: self.value + gain * surprise,
            velocity: self.velocity + velocity_gain * surprise,
            variance: (1.0 - gain) * self.variance,
            covariance: (1.0 - gain) * self.covariance,
            velocity_variance: self.velocity_variance - velocity_gain * self.covariance,
        }
    }
}

/// A box in motion: centre x and y, width, height, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Motion([Axis; 4]);

impl Motion {
    /// At rest.
    pub fn new(bbox: BBox) -> Motion {
        let scale = scale(bbox);
        Motion(coordinates(bbox).map(|value| Axis::new(value, scale)))
    }

    /// The state `seconds` later.
    pub fn after(self, seconds: f64) -> Motion {
        let scale = scale(self.bbox());
        Motion(self.0.map(|axis| axis.after(seconds, scale)))
    }

    /// The state after the box was seen at `bbox`.
    pub fn measure(self, bbox: BBox) -> Motion {
        let scale = scale(bbox);
        let seen = coordinates(bbox);
        Motion(std::array::from_fn(|i| self.0[i].measure(seen[i], scale)))
    }

    /// The same motion in a frame that was scaled.
    pub fn scaled(self, x: f64, y: f64) -> Motion {
        let factors = [x, y, x, y];
        Motion(std::array::from_fn(|i| {
            let (axis, factor) = (self.0[i], factors[i]);
            Axis {
                value: axis.value * factor,
                velocity: axis.velocity * factor,
                variance: axis.variance * factor * factor,
                covariance: axis.covariance * factor * factor,
                velocity_variance: axis.velocity_variance * factor * factor,
            }
        }))
    }

    /// Where the box is, at least a pixel wide and high.
    pub fn bbox(self) -> BBox {
        let [cx, cy, width, height] = self.0.map(|axis| axis.value);
        BBox::from_cxcywh(
            cx as f32,
            cy as f32,
            width.max(MIN_SIDE) as f32,
            height.max(MIN_SIDE) as f32,
        )
    }
}

fn coordinates(bbox: BBox) -> [f64; 4] {
    let [x, y, width, height] = [bbox.x, bbox.y, bbox.width, bbox.height].map(f64::from);
    [x + width / 2.0, y + height / 2.0, width, height]
}

fn scale(bbox: BBox) -> f64 {
    f64::from(bbox.width.max(bbox.height)).max(MIN_SIDE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bbox(x: f32) -> BBox {
        BBox {
            x,
            y: 20.0,
            width: 30.0,
            height: 40.0,
        }
    }

    #[test]
    fn constant_velocity_is_learnt() {
        let mut motion = Motion::new(bbox(0.0));
        for step in 1..30 {
            motion = motion.after(0.1).measure(bbox(3.0 * step as f32));
        }
        let ahead = motion.after(0.5).bbox();
        assert!((ahead.x - (87.0 + 15.0)).abs() < 1.0, "{ahead:?}");
        assert!((ahead.width - 30.0).abs() < 0.5 && (ahead.y - 20.0).abs() < 0.5);
        let scaled = motion.scaled(2.0, 0.5).after(0.5).bbox();
        assert!((scaled.x - 2.0 * ahead.x).abs() < 0.1, "{scaled:?}");
        assert!((scaled.height - 0.5 * ahead.height).abs() < 0.1);
    }

    proptest! {
        #[test]
        fn covariances_stay_positive(
            steps in prop::collection::vec((0.0f64..3.0, -1e4f32..1e4, 0.0f32..1e4, any::<bool>()), 1..60)
        ) {
            let mut motion = Motion::new(bbox(0.0));
            for (seconds, x, width, seen) in steps {
                motion = motion.after(seconds);
                if seen {
                    motion = motion.measure(BBox { x, y: -x, width, height: 1.0 });
                }
                for axis in motion.0 {
                    prop_assert!(axis.value.is_finite() && axis.velocity.is_finite());
                    prop_assert!(axis.variance > 0.0 && axis.velocity_variance > 0.0);
                    let determinant = axis.variance * axis.velocity_variance - axis.covariance.powi(2);
                    prop_assert!(determinant > -1e-9 * axis.variance * axis.velocity_variance);
                }
                prop_assert!(motion.bbox().width >= 1.0);
            }
        }
    }
}
