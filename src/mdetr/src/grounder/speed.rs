//! The size of the network's input with which so many frames are answered in a second.

use std::time::{Duration, Instant};

use mdetr_engine::OptionError;
use mdetr_grounding::Query;

use super::{Grounder, Run};
use crate::counters::Counters;
use crate::error::Error;
use crate::frame::{Frame, FrameError, check_size};

/// The least short side that is tried, and what sides differ by.
const LEAST: u32 = 128;
const STEP: usize = 32;
/// Frames that are timed with each side, after one that is not.
const FRAMES: usize = 3;
const RATE: OptionError = OptionError {
    option: "frames per second",
    expected: "more than 0, up to 1000",
    found: String::new(),
};

/// A short side that was chosen by measuring.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SpeedChoice {
    /// Short side in pixels to which frames are scaled for the network.
    pub short_side: u32,
    /// Frames per second that were measured with it, one frame at a time.
    pub frames_per_second: f64,
    /// Whether these are as many as were wanted; if not, this is the least side.
    pub is_reached: bool,
}

impl Grounder {
    /// Chooses the largest short side, up to the options' or the model's own, with which `frames_per_second` frames of this size are
    /// answered one after the other, and scales frames to it from now on. What is measured is a gray frame with the standing
    /// queries, or with one sentence if there are none, on this machine as busy as it is now. It takes as long as some ten to
    /// thirty frames.
    ///
    /// # Errors
    /// The rate is no rate, the engine builds plans for minutes (TensorRT does: give a short side instead), or it fails.
    pub fn choose_short_side(
        &self,
        width: u32,
        height: u32,
        frames_per_second: f64,
    ) -> Result<SpeedChoice, Error> {
        if !(frames_per_second > 0.0 && frames_per_second <= 1000.0) {
            let found = frames_per_second.to_string();
            return Err(OptionError { found, ..RATE }.into());
        }
        if self.plans_take_long() {
            return Err(Error::from(OptionError {
                option: "frames per second",
                expected: "a short side instead, as this engine builds plans for minutes for each",
                found: format!("{frames_per_second} frames per second"),
            }));
        }
        check_size(width, height)?;
        let policy = self.sizes.own;
        let own = policy.target(width, height);
        let mut asked = self.standing();
        if asked.captions.is_empty() {
            asked = self.encode(vec![Query::parse("speed", "a thing")?])?.into();
        }
        let gray = vec![128; width as usize * height as usize * 3];
        let frame = Frame::rgb(width, height, &gray)?;
        let budget = Duration::from_secs_f64(1.0 / frames_per_second);
        // What is measured is no frame of anybody.
        let counters = Counters::default();
        let time = |short: u32| {
            let sizes = self.sizes.with_policy(policy.with_short_side(short));
            let run = Run {
                sizes: &sizes,
                counters: &counters,
                ..self.run()
            };
            match timed(budget, || run.ground(&frame, &asked).map(drop)) {
                Err(Error::Frame(FrameError::Memory { .. })) => Ok(Duration::MAX),
                time => time,
            }
        };
        let (short_side, time) = largest(&sides(own.0.min(own.1)), budget, time)?;
        self.sizes.set_policy(policy.with_short_side(short_side));
        Ok(SpeedChoice {
            short_side,
            frames_per_second: 1.0 / time.as_secs_f64(),
            is_reached: time <= budget,
        })
    }
}

/// Sides that are tried, up to the model's own.
fn sides(own: u32) -> Vec<u32> {
    let mut sides: Vec<u32> = (LEAST..own).step_by(STEP).collect();
    sides.push(own);
    sides
}

/// The least time of some runs, after one that makes plans. One that takes far too long is not repeated.
fn timed(budget: Duration, mut run: impl FnMut() -> Result<(), Error>) -> Result<Duration, Error> {
    run()?;
    let mut least = Duration::MAX;
    for _ in 0..FRAMES {
        let begun = Instant::now();
        run()?;
        least = least.min(begun.elapsed());
        if least > 2 * budget {
            break;
        }
    }
    Ok(least)
}

/// The largest side whose time is within the budget, or else the least, with its time. Larger sides take longer.
fn largest<E>(
    sides: &[u32],
    budget: Duration,
    mut time: impl FnMut(u32) -> Result<Duration, E>,
) -> Result<(u32, Duration), E> {
    let mut best = (sides[0], time(sides[0])?);
    let (mut first, mut end) = (1, sides.len());
    while best.1 <= budget && first < end {
        let middle = first + (end - first) / 2;
        let found = time(sides[middle])?;
        if found <= budget {
            best = (sides[middle], found);
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sides_end_with_the_models_own() {
        assert_eq!(sides(96), [96]);
        assert_eq!(sides(128), [128]);
        assert_eq!(sides(200), [128, 160, 192, 200]);
    }

    proptest! {
        #[test]
        fn the_largest_side_within_the_budget_is_found_in_few_measurements(
            own in 1u32..2000,
            nanoseconds in 1u64..100_000,
            budget in 0u64..10_000_000,
        ) {
            let sides = sides(own);
            let budget = Duration::from_micros(budget);
            let time = |side: u32| Duration::from_nanos(nanoseconds * u64::from(side * side) / 64);
            let mut measured = 0;
            let (side, found) = largest::<Infallible>(&sides, budget, |side| {
                measured += 1;
                Ok(time(side))
            })
            .unwrap();
            prop_assert_eq!(found, time(side));
            let fitting = sides.iter().copied().filter(|side| time(*side) <= budget).max();
            prop_assert_eq!(side, fitting.unwrap_or(sides[0]));
            prop_assert!(measured <= 2 + sides.len().ilog2() as usize);
        }
    }
}
