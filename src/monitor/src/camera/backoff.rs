//! How long to wait before a camera is connected again.

use std::time::Duration;

use rand::Rng;

/// Wait after the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// Each wait is longer or shorter by up to this part, so that cameras that failed together do not return together.
const JITTER: f64 = 0.25;

/// Waits that double with each failure.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It worked: the next failure is the first.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed: how long to wait now.
    pub(super) fn next(&mut self) -> Duration {
        let doubled = FIRST.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1).min(31);
        let factor = rand::rng().random_range(1.0 - JITTER..=1.0 + JITTER);
        doubled.min(LONGEST).mul_f64(factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let mut backoff = Backoff::default();
        for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
            let wait = backoff.next().as_secs_f64();
            assert!(
                (0.75 * expected..=1.25 * expected).contains(&wait),
                "{wait}, expected {expected}"
            );
        }
        for _ in 0..100 {
            assert!(backoff.next() <= LONGEST.mul_f64(1.25));
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST.mul_f64(1.25));
    }
}
