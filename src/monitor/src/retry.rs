//! How long to wait before the next try.

use std::time::Duration;

use rand::Rng as _;

/// Waits that double with each try, shortened at random by up to a half so that many programs do not try at once.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// The first wait and the longest.
    pub fn new(first: Duration, most: Duration) -> Backoff {
        Backoff {
            first,
            most,
            next: first,
        }
    }

    /// How long to wait now.
    pub fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.most);
        wait.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// A try has succeeded: the next wait is the first again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(6));
        for most in [1, 2, 4, 6, 6] {
            let wait = backoff.next();
            let most = Duration::from_secs(most);
            assert!(most / 2 <= wait && wait <= most, "{wait:?} of {most:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
    }
}
