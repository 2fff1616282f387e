//! When to try again.

use std::time::{Duration, SystemTime};

use jiff::fmt::rfc2822;

/// What is put up with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Most time for a connection, for the head of an answer, and between two pieces of its body.
    pub stall: Duration,
    /// Least bytes in such a time; a connection that gives less is opened anew.
    pub least_bytes: u64,
    /// Attempts in a row that bring less than `progress`.
    pub attempts: u32,
    /// Bytes that count as progress.
    pub progress: u64,
    /// Wait before the second attempt; doubled before each further one.
    pub first_wait: Duration,
    /// Longest `Retry-After` that is waited for.
    pub longest_wait: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            stall: Duration::from_secs(30),
            least_bytes: 32 << 10,
            attempts: 6,
            progress: 1 << 20,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(600),
        }
    }
}

/// Counts attempts that lead nowhere.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    limits: &'a Limits,
    fruitless: u32,
    /// Most bytes there ever were.
    best: u64,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(limits: &'a Limits, bytes: u64) -> Attempts<'a> {
        Attempts {
            limits,
            fruitless: 0,
            best: bytes,
        }
    }

    /// How long to wait before the next attempt, after one that failed when there were so many bytes;
    /// `None`: not at all.
    pub(crate) fn failed(&mut self, bytes: u64, asked: Option<Duration>) -> Option<Duration> {
        if bytes >= self.best.saturating_add(self.limits.progress) {
            self.best = bytes;
            self.fruitless = 0;
        }
        self.fruitless += 1;
        if self.fruitless >= self.limits.attempts {
            return None;
        }
        let doubled = self.limits.first_wait * (1 << (self.fruitless - 1).min(6));
        Some(doubled.max(asked.unwrap_or_default()))
    }

    pub(crate) fn made(&self) -> u32 {
        self.fruitless
    }
}

/// What `Retry-After` asks for: seconds, or a date.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new().parse_zoned(value).ok()?;
    let until = SystemTime::from(date.timestamp()).duration_since(now);
    Some(until.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let asked = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked(" 0 "), Some(0));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(asked("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        for nonsense in ["", "soon", "-1", "1e9", "99999999999999999999999"] {
            assert_eq!(asked(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn attempts_end_unless_bytes_come() {
        let limits = Limits {
            attempts: 3,
            progress: 10,
            ..Limits::default()
        };
        let mut attempts = Attempts::new(&limits, 5);
        let seconds = |wait: Option<Duration>| wait.map(|wait| wait.as_secs());
        assert_eq!(seconds(attempts.failed(5, None)), Some(1));
        assert_eq!(seconds(attempts.failed(14, None)), Some(2));
        assert_eq!(seconds(attempts.failed(15, None)), Some(1));
        assert_eq!(
            seconds(attempts.failed(15, Some(Duration::from_secs(9)))),
            Some(9)
        );
        assert_eq!(attempts.failed(15, None), None);
        assert_eq!(attempts.made(), 3);
    }
}
