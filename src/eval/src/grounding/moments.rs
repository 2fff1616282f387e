//! When something is told that happened.

use serde::Serialize;

/// How far apart it was told that something happened, and that it was certain: over events.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moments {
    /// Seconds, of events that were told.
    errors: Vec<f64>,
    missed: u64,
    standing: u64,
}

/// A summary of [`Moments`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MomentSummary {
    /// Things that happened.
    pub events: u64,
    /// Of those, how many were never told while they were true.
    pub missed: u64,
    /// How many of all had a box already where it was certain that nothing answers yet: what they tell is no moment.
    pub standing: u64,
    /// Median over events of the seconds between what was told and what was certain, events that were missed as farthest;
    /// none if most were missed or nothing happened.
    pub median_seconds: Option<f64>,
}

impl Moments {
    /// Counts what happened to a sentence along a clip: at each of the rising `times`, in seconds, whether it was certain that
    /// something answers to it or that nothing does (`truth`), and whether a box was `told`. Something happens where
    /// nothing answered and then something does; it may be told from then on that it was not certain any more that nothing
    /// answers.
    pub fn count(&mut self, times: &[f64], truth: &[Option<bool>], told: &[bool]) {
        let mut last_empty = None;
        let mut happened = None;
        for (n, answers) in truth.iter().enumerate() {
            match answers {
                Some(false) => {
                    last_empty = Some(n);
                    happened = None;
                }
                Some(true) if happened.is_none() => {
                    happened = Some(n);
                    let Some(empty) = last_empty else {
                        continue;
                    };
                    self.standing += u64::from(told[empty]);
                    let ended = (n..truth.len()).find(|&m| truth[m] == Some(false));
                    let span = empty + 1..ended.unwrap_or(truth.len());
                    match span.into_iter().find(|&m| told[m]) {
                        Some(m) => self.errors.push((times[m] - times[n]).abs()),
                        None => self.missed += 1,
                    }
                }
                _ => {}
            }
        }
    }

    /// Adds those of other clips.
    pub fn add(&mut self, other: Moments) {
        self.errors.extend(other.errors);
        self.missed += other.missed;
        self.standing += other.standing;
    }

    /// All together.
    pub fn summary(&self) -> MomentSummary {
        let mut errors = self.errors.clone();
        errors.sort_by(f64::total_cmp);
        let events = errors.len() + self.missed as usize;
        MomentSummary {
            events: events as u64,
            missed: self.missed,
            standing: self.standing,
            median_seconds: errors.get(events / 2).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: [f64; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5];

    fn counted(truth: [i8; 8], told: [u8; 8]) -> Moments {
        let truth = truth.map(|t| (t >= 0).then_some(t > 0));
        let mut moments = Moments::default();
        moments.count(&TIMES, &truth, &told.map(|t| t > 0));
        moments
    }

    #[test]
    fn an_event_is_told_late_early_or_never() {
        let truth = [0, 0, -1, 1, 1, 0, 0, 0];
        assert_eq!(counted(truth, [0, 0, 0, 0, 1, 0, 0, 0]).errors, [0.5]);
        assert_eq!(counted(truth, [0, 0, 1, 1, 1, 0, 0, 0]).errors, [0.5]);
        assert_eq!(counted(truth, [0, 0, 0, 1, 1, 0, 0, 0]).errors, [0.0]);
        assert_eq!(counted(truth, [1, 0, 0, 0, 0, 0, 1, 0]).missed, 1);
    }

    #[test]
    fn a_box_that_was_there_before_tells_no_moment() {
        let truth = [0, 0, -1, 1, 1, 0, 0, 1];
        let summary = |told| counted(truth, told).summary();
        assert_eq!(summary([1; 8]).standing, 2);
        assert_eq!(summary([1, 0, 1, 1, 1, 0, 0, 1]).standing, 0);
    }

    #[test]
    fn what_was_so_from_the_beginning_did_not_happen() {
        let moments = counted([-1, 1, 1, 1, 1, 1, 1, 1], [1; 8]);
        assert_eq!(moments, Moments::default());
        assert_eq!(moments.summary().median_seconds, None);
    }

    #[test]
    fn what_happens_twice_counts_twice_and_misses_are_farthest() {
        let mut moments = counted([0, 1, 0, 1, -1, -1, 0, 1], [0, 1, 0, 0, 1, 0, 0, 0]);
        assert_eq!(
            (moments.errors.clone(), moments.missed),
            (vec![0.0, 0.5], 1)
        );
        let median = |moments: &Moments| moments.summary().median_seconds;
        assert_eq!(median(&moments), Some(0.5));
        moments.add(counted([0, 1, 0, 1, 0, 1, 0, 1], [0; 8]));
        assert_eq!((median(&moments), moments.summary().events), (None, 7));
    }
}
