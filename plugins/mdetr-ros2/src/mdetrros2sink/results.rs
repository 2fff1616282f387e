//! Which results on buffers are new, and what they are together.

use std::collections::{HashMap, VecDeque};

use mdetr_grounding::Grounding;
use mdetr_gst::meta::{FrameGrounding, Summary};
use mdetr_ros2_messages::builtin_interfaces::Time;

/// Frames whose stamps are kept: results that are older have a stamp that is computed.
const KEPT: usize = 512;

/// What was published of a stream so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Running time and stamp of the last frames.
    stamps: VecDeque<(gst::ClockTime, Time)>,
    /// By element, the running time of the frame that its last result was found in.
    grounded: HashMap<String, gst::ClockTime>,
}

impl Seen {
    /// Takes note of a frame.
    pub fn frame(&mut self, running_time: gst::ClockTime, stamp: Time) {
        if self.stamps.len() == KEPT {
            self.stamps.pop_front();
        }
        self.stamps.push_back((running_time, stamp));
    }

    /// The age of the newest result that was not seen before, on a frame with these results; `None` if all were.
    pub fn newest(
        &mut self,
        running_time: gst::ClockTime,
        results: &[Summary],
    ) -> Option<gst::ClockTime> {
        let mut newest: Option<gst::ClockTime> = None;
        for Summary { element, age, .. } in results {
            let grounded = running_time.saturating_sub(*age);
            if self.grounded.insert(element.clone(), grounded) != Some(grounded) {
                newest = Some(newest.map_or(*age, |newest| newest.min(*age)));
            }
        }
        newest
    }

    /// The stamp of the frame that is older by `age` than one with this stamp.
    pub fn stamp(&self, running_time: gst::ClockTime, stamp: Time, age: gst::ClockTime) -> Time {
        let grounded = running_time.checked_sub(age);
        let kept = self.stamps.iter().rev();
        let mut same = kept.filter(|(time, _)| Some(*time) == grounded);
        let computed = || {
            let age = i64::try_from(age.nseconds()).unwrap_or(i64::MAX);
            Time::from_nanos(stamp.nanos().saturating_sub(age))
        };
        same.next().map_or_else(computed, |(_, stamp)| *stamp)
    }
}

/// The results of all elements as one, in pixels of the frame: the revision is the sum of theirs.
pub(crate) fn together(width: u32, height: u32, parts: &[Grounding]) -> Grounding {
    Grounding {
        revision: parts.iter().map(|part| part.revision).sum(),
        width,
        height,
        queries: parts.iter().flat_map(|part| part.queries.clone()).collect(),
    }
}

/// The lowest score of detections, if all queries have one of their own; else 0, as models have theirs.
pub(crate) fn score_threshold(grounding: &Grounding) -> f32 {
    let own = grounding
        .queries
        .iter()
        .map(|result| result.query.score_threshold());
    let lowest = own.reduce(|a, b| Some(a?.min(b?)));
    lowest.flatten().unwrap_or(0.0)
}

/// The age of the oldest.
pub(crate) fn oldest(results: &[FrameGrounding]) -> gst::ClockTime {
    let ages = results.iter().map(|found| found.age);
    ages.max().unwrap_or(gst::ClockTime::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(time: u64) -> gst::ClockTime {
        gst::ClockTime::from_mseconds(time)
    }

    fn result(element: &str, age: u64) -> Summary {
        Summary {
            element: element.to_owned(),
            revision: 1,
            age: ms(age),
        }
    }

    #[test]
    fn each_result_is_new_once() {
        let mut seen = Seen::default();
        assert_eq!(seen.newest(ms(100), &[result("a", 0)]), Some(ms(0)));
        assert_eq!(seen.newest(ms(140), &[result("a", 40)]), None);
        assert_eq!(seen.newest(ms(180), &[result("a", 40)]), Some(ms(40)));
        assert_eq!(seen.newest(ms(220), &[result("a", 80)]), None);
        let both = [result("a", 120), result("b", 80)];
        assert_eq!(seen.newest(ms(260), &both), Some(ms(80)));
        assert_eq!(seen.newest(ms(300), &[]), None);
    }

    #[test]
    fn a_result_has_the_stamp_of_its_frame() {
        let mut seen = Seen::default();
        let stamp = |nanos| Time::from_nanos(nanos);
        for frame in 0..1000 {
            seen.frame(ms(40 * frame), stamp(7 + 41_000_000 * frame as i64));
        }
        let last = (ms(40 * 999), stamp(7 + 41_000_000 * 999));
        let old = seen.stamp(last.0, last.1, ms(80));
        assert_eq!(old, stamp(7 + 41_000_000 * 997));
        // Of a frame that did not come here, or that is too old.
        assert_eq!(
            seen.stamp(last.0, last.1, ms(50)).nanos(),
            last.1.nanos() - 50_000_000
        );
        assert_eq!(
            seen.stamp(last.0, last.1, ms(80_000)).nanos(),
            last.1.nanos() - 80_000_000_000
        );
        assert_eq!(seen.stamps.len(), KEPT);
    }
}
