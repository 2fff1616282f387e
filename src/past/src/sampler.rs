//! Which frames of a camera are kept.

use std::time::Duration;

use mdetr::frame::LumaGrid;

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It is to be seen and kept.
    Frame,
    /// It shows what the last one that was kept shows.
    Still,
    /// It is not its turn.
    Nothing,
}

/// Takes a frame of a camera every so often, and tells whether it shows anything new.
#[derive(Debug)]
pub struct Sampler {
    every: i64,
    threshold: f32,
    taken: Option<i64>,
    kept: Option<LumaGrid>,
}

impl Sampler {
    /// One frame in each `every`; of those the ones in which the brightness of some cell of [`LumaGrid`] differs by more than
    /// `threshold` from the last frame that was kept, 0 to 1. With 0 all of them.
    pub fn new(every: Duration, threshold: f32) -> Sampler {
        Sampler {
            every: i64::try_from(every.as_nanos()).unwrap_or(i64::MAX),
            threshold,
            taken: None,
            kept: None,
        }
    }

    /// What becomes of the frame of this time. A time before the last one begins anew, as a clock was set.
    pub fn decide(&mut self, time: i64, grid: impl FnOnce() -> LumaGrid) -> Keep {
        let since = self.taken.map(|taken| time.saturating_sub(taken));
        if since.is_some_and(|since| (0..self.every).contains(&since)) {
            return Keep::Nothing;
        }
        self.taken = Some(time);
        if self.threshold <= 0.0 {
            return Keep::Frame;
        }
        let grid = grid();
        match &self.kept {
            Some(kept) if kept.difference(&grid) <= self.threshold => Keep::Still,
            _ => {
                self.kept = Some(grid);
                Keep::Frame
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mdetr::Frame;

    use super::*;

    fn grid(level: u8) -> LumaGrid {
        LumaGrid::of(&Frame::rgb(32, 24, &[level; 32 * 24 * 3]).unwrap())
    }

    #[test]
    fn a_frame_is_taken_in_its_turn_and_kept_if_it_shows_something_new() {
        let mut sampler = Sampler::new(Duration::from_nanos(10), 0.1);
        let mut decide = |time, level| sampler.decide(time, || grid(level));
        assert_eq!(decide(100, 50), Keep::Frame);
        assert_eq!(decide(109, 200), Keep::Nothing);
        assert_eq!(decide(110, 60), Keep::Still);
        // Slow changes add up: they are compared with what was kept.
        assert_eq!(decide(120, 70), Keep::Still);
        assert_eq!(decide(130, 80), Keep::Frame);
        assert_eq!(decide(5, 80), Keep::Still);
        assert_eq!(decide(14, 80), Keep::Nothing);
    }

    #[test]
    fn without_a_threshold_all_are_kept() {
        let mut sampler = Sampler::new(Duration::ZERO, 0.0);
        for _ in 0..3 {
            assert_eq!(
                sampler.decide(7, || unreachable!("nothing is compared")),
                Keep::Frame
            );
        }
    }
}
