//! How many things happen a second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Over how long is counted.
const WINDOW: Duration = Duration::from_secs(5);

/// Things a second over the last seconds.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<Instant>);

impl Rate {
    /// One more.
    pub(super) fn count(&mut self, now: Instant) {
        self.forget(now);
        self.0.push_back(now);
    }

    /// How many a second.
    pub(super) fn per_second(&mut self, now: Instant) -> f64 {
        self.forget(now);
        match (self.0.front(), self.0.len()) {
            // From the first to the last there is one interval less.
            (Some(&first), count @ 2..) => {
                let passed = now.duration_since(first).max(Duration::from_millis(1));
                (count - 1) as f64 / passed.as_secs_f64()
            }
            _ => 0.0,
        }
    }

    fn forget(&mut self, now: Instant) {
        while self
            .0
            .front()
            .is_some_and(|&time| now.duration_since(time) > WINDOW)
        {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_seconds_count() {
        let start = Instant::now();
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(start), 0.0);
        for index in 0..100 {
            rate.count(start + Duration::from_millis(100 * index));
        }
        let end = start + Duration::from_millis(9900);
        assert!((rate.per_second(end) - 10.0).abs() < 0.3);
        assert_eq!(rate.per_second(end + Duration::from_secs(6)), 0.0);
    }
}
