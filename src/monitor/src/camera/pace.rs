//! Lets no more frames through than are wanted.

use std::time::Duration;

/// Chooses frames by their times.
///
/// GStreamer's `videorate` aborts the program when frames have neither a rate nor durations, as those of Motion JPEG.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    due: Option<Duration>,
}

impl Pace {
    /// At most so many frames a second.
    pub(super) fn new(fps: u32) -> Pace {
        Pace {
            interval: Duration::from_secs(1) / fps.max(1),
            due: None,
        }
    }

    /// Whether the frame of this time is wanted. Time may jump in either direction.
    pub(super) fn takes(&mut self, time: Duration) -> bool {
        // Frames of a camera at just this rate come a little early as often as late.
        let early = self.interval / 4;
        let due = match self.due {
            // A frame that was taken is due later by an interval, and by what it was early.
            Some(due) if due > time + 2 * self.interval => time,
            Some(due) if due > time + early => return false,
            Some(due) => due.max(time.saturating_sub(early)),
            None => time,
        };
        self.due = Some(due + self.interval);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Frames that are let through of a camera, by its frames a second.
    fn taken(fps: u32, limit: u32, seconds: u32) -> usize {
        let mut pace = Pace::new(limit);
        // Up to 8 ms early or late.
        let jitter = (0..fps * seconds).map(|index| (index * 7919) % 16);
        let times = (0..fps * seconds).map(|index| Duration::from_secs(1) * index / fps);
        let times = times.zip(jitter);
        let times = times.map(|(time, jitter)| time + ms(jitter.into()));
        times.filter(|time| pace.takes(*time)).count()
    }

    #[test]
    fn slower_cameras_lose_nothing() {
        for (fps, limit) in [(15, 15), (10, 15), (5, 30), (25, 25)] {
            assert_eq!(taken(fps, limit, 20), (fps * 20) as usize, "{fps} {limit}");
        }
    }

    #[test]
    fn faster_cameras_are_slowed_to_the_limit() {
        for (fps, limit) in [(30, 15), (25, 15), (60, 7), (30, 29), (120, 1)] {
            let found = taken(fps, limit, 20);
            let wanted = limit as usize * 20;
            assert!(
                found <= wanted + 1 && found * 20 >= wanted * 19,
                "{fps} {limit}: {found}"
            );
        }
    }

    #[test]
    fn time_may_jump() {
        let mut pace = Pace::new(10);
        assert!(pace.takes(ms(60_000)));
        assert!(!pace.takes(ms(60_050)));
        assert!(pace.takes(ms(0)));
        assert!(!pace.takes(ms(50)));
        assert!(pace.takes(ms(100)));
        // A gap is not made up for.
        assert!(pace.takes(ms(9_000)));
        assert!(!pace.takes(ms(9_020)));
        assert!(pace.takes(ms(9_100)));
    }
}
