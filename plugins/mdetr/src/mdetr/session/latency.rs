//! The latency that mode every-frame reports to the pipeline.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Of how many inferences the slowest counts.
const WINDOW: usize = 64;

/// How long a frame may stay in the element, by what was seen lately.
///
/// Frames that keep up are held no longer than it takes as many as may be in flight to arrive. Where
/// inferences take longer, a frame waits until those in flight before it are done. A value is reported with a
/// quarter on top, so that it need not rise often, and falls once it is a quarter too high.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// The last inferences, from their beginning to their result.
    recent: VecDeque<Duration>,
    reported: gst::ClockTime,
}

impl Latency {
    /// Notes an inference.
    pub fn took(&mut self, inference: Duration) {
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(inference);
    }

    /// Frames of another kind come from now on.
    pub fn forget(&mut self) {
        *self = Latency::default();
    }

    /// The value to report, and whether it is another than before. `arrival` is the time in which
    /// `in_flight` frames arrive; `workers` infer at once.
    pub fn update(
        &mut self,
        arrival: gst::ClockTime,
        in_flight: usize,
        workers: usize,
    ) -> (gst::ClockTime, bool) {
        let slowest = self.recent.iter().max().copied().unwrap_or_default();
        let workers = workers.max(1);
        let all = |inference: Duration| {
            let waited = inference.as_nanos() * in_flight.max(workers) as u128 / workers as u128;
            gst::ClockTime::from_nseconds(u64::try_from(waited).unwrap_or(u64::MAX - 1))
        };
        let needed = arrival.max(all(slowest));
        let wanted = arrival.max(all(slowest * 5 / 4));
        let changes = needed > self.reported || wanted < self.reported * 3 / 4;
        if changes {
            self.reported = wanted;
        }
        (self.reported, changes)
    }
}

/// Preparations of an element: plans and encodings. Inferences beside them wait for the engine, and say
/// nothing about those to come.
#[derive(Debug, Default)]
pub(super) struct Preparations(Mutex<Running>);

#[derive(Debug, Default)]
struct Running {
    count: usize,
    last_end: Option<Instant>,
}

/// A preparation, until it is dropped.
#[derive(Debug)]
pub(in super::super) struct Preparation<'a>(&'a Preparations);

impl Preparations {
    pub fn begin(&self) -> Preparation<'_> {
        self.lock().count += 1;
        Preparation(self)
    }

    /// Whether nothing was being prepared at any time since.
    pub fn quiet_since(&self, time: Instant) -> bool {
        let running = self.lock();
        running.count == 0 && running.last_end.is_none_or(|end| end < time)
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Preparation<'_> {
    fn drop(&mut self) {
        let mut running = self.0.lock();
        running.count -= 1;
        running.last_end = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn ms(value: u64) -> gst::ClockTime {
        gst::ClockTime::from_mseconds(value)
    }

    #[test]
    fn frames_that_keep_up_wait_for_those_in_flight_to_arrive() {
        let mut latency = Latency::default();
        assert_eq!(latency.update(ms(120), 3, 2), (ms(120), true));
        assert_eq!(latency.update(ms(120), 3, 2), (ms(120), false));
        latency.took(20 * MS);
        assert_eq!(latency.update(ms(120), 3, 2), (ms(120), false));
    }

    #[test]
    fn inferences_that_take_longer_count_for_all_in_flight() {
        let mut latency = Latency::default();
        latency.took(100 * MS);
        // Three frames on one worker, a quarter on top.
        assert_eq!(latency.update(ms(120), 3, 1), (ms(375), true));
        latency.took(110 * MS);
        assert_eq!(latency.update(ms(120), 3, 1), (ms(375), false));
        latency.took(140 * MS);
        assert_eq!(latency.update(ms(120), 3, 1), (ms(525), true));
    }

    #[test]
    fn a_slow_frame_is_forgotten_and_the_fall_is_reported_once() {
        let mut latency = Latency::default();
        latency.took(Duration::from_secs(180));
        assert_eq!(latency.update(ms(40), 1, 1), (ms(225_000), true));
        let mut falls = Vec::new();
        for _ in 0..2 * WINDOW {
            latency.took(30 * MS);
            let (now, changed) = latency.update(ms(40), 1, 1);
            falls.extend(changed.then_some(now));
        }
        assert_eq!(falls, [ms(40)]);
    }

    #[test]
    fn small_changes_are_not_reported() {
        let mut latency = Latency::default();
        latency.took(100 * MS);
        assert_eq!(latency.update(ms(40), 1, 1), (ms(125), true));
        for time in (80..=124).cycle().take(10 * WINDOW) {
            latency.took(time * MS);
            assert!(!latency.update(ms(40), 1, 1).1, "{time}");
        }
    }

    #[test]
    fn a_preparation_at_any_time_breaks_the_quiet() {
        let preparations = Preparations::default();
        let begun = Instant::now();
        assert!(preparations.quiet_since(begun));
        let preparation = preparations.begin();
        assert!(!preparations.quiet_since(begun));
        let during = Instant::now();
        drop(preparation);
        assert!(!preparations.quiet_since(begun));
        assert!(!preparations.quiet_since(during));
        let after = Instant::now() + Duration::from_nanos(1);
        assert!(preparations.quiet_since(after));
    }
}
