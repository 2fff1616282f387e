//! When tracks were seen first.

use std::collections::HashMap;
use std::time::Duration;

#[derive(Debug, Clone, Copy)]
struct Span {
    first: gst::ClockTime,
    last: gst::ClockTime,
}

/// Running times at which the tracks of a stream were on a frame.
#[derive(Debug, Default)]
pub struct Seen(HashMap<u64, Span>);

impl Seen {
    /// Takes in the tracks of a frame; gives when each was seen first. Those that were not seen for `max_age` are
    /// forgotten.
    pub fn on_frame(
        &mut self,
        now: Option<gst::ClockTime>,
        tracks: impl IntoIterator<Item = u64>,
        max_age: Duration,
    ) -> HashMap<u64, gst::ClockTime> {
        let Some(now) = now else {
            return HashMap::new();
        };
        let max_age = u64::try_from(max_age.as_nanos()).unwrap_or(u64::MAX);
        self.0
            .retain(|_, span| now.saturating_sub(span.last).nseconds() <= max_age);
        let new = Span {
            first: now,
            last: now,
        };
        let tracks = tracks.into_iter().map(|track| {
            let span = self.0.entry(track).or_insert(new);
            span.last = now;
            (track, span.first)
        });
        tracks.collect()
    }

    /// Forgets all.
    pub fn reset(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_are_known_until_they_are_too_old() {
        let mut seen = Seen::default();
        let at = gst::ClockTime::from_seconds;
        let age = Duration::from_secs(2);
        let mut first = |now, track| seen.on_frame(Some(at(now)), [track], age)[&track];
        assert_eq!(first(5, 1), at(5));
        assert_eq!(first(7, 1), at(5));
        assert_eq!(first(8, 2), at(8));
        assert_eq!(first(10, 1), at(10));
        assert_eq!(seen.0.len(), 2);
        assert!(seen.on_frame(None, [1], age).is_empty());
    }
}
