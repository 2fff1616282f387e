//! When a picture is to be shown.

use std::time::Duration;

use gst::glib;
use mdetr_ros2_messages::builtin_interfaces::Time;

/// A stamp that is further than this from what was to be expected means that time began anew.
const JUMP: Duration = Duration::from_secs(1);

/// What timestamps of buffers follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstMdetrRos2Timestamps")]
pub enum Timestamps {
    /// The time at which a picture came.
    #[default]
    #[enum_value(name = "When pictures come", nick = "arrival")]
    Arrival,
    /// The stamps in the messages.
    #[enum_value(
        name = "Their stamps: as far apart as those, from the first picture's arrival",
        nick = "stamps"
    )]
    Stamps,
}

/// The times of a stream so far.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// Stamp and time of the picture that the others are counted from.
    first: Option<(i64, gst::ClockTime)>,
    last: Option<gst::ClockTime>,
}

impl Times {
    /// The running time of a picture, and whether it does not follow that before. Never falls.
    pub fn next(
        &mut self,
        follow: Timestamps,
        stamp: Time,
        arrived: gst::ClockTime,
    ) -> (gst::ClockTime, bool) {
        let stamp = stamp.nanos();
        let by_stamp = self.first.and_then(|(first, begin)| {
            let since = i128::from(stamp) - i128::from(first) + i128::from(begin.nseconds());
            u64::try_from(since).ok().and_then(clock_time)
        });
        let jump = gst::ClockTime::from_nseconds(JUMP.as_nanos() as u64);
        let near = |time: &gst::ClockTime| time.absdiff(arrived) <= jump;
        let (time, anew) = match (follow, by_stamp.filter(near)) {
            (Timestamps::Arrival, _) => (arrived, self.last.is_none()),
            (Timestamps::Stamps, Some(time)) => (time, false),
            (Timestamps::Stamps, None) => {
                self.first = Some((stamp, arrived));
                (arrived, true)
            }
        };
        let time = self.last.map_or(time, |last| last.max(time));
        self.last = Some(time);
        (time, anew)
    }
}

/// Not the number that stands for no time.
fn clock_time(nanos: u64) -> Option<gst::ClockTime> {
    (nanos < u64::MAX).then(|| gst::ClockTime::from_nseconds(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(time: u64) -> gst::ClockTime {
        gst::ClockTime::from_mseconds(time)
    }

    fn stamp(milliseconds: i64) -> Time {
        Time::from_nanos(1_790_000_000_000_000_000 + milliseconds * 1_000_000)
    }

    #[test]
    fn arrival_is_followed() {
        let mut times = Times::default();
        let mut next =
            |number, arrived| times.next(Timestamps::Arrival, stamp(number), ms(arrived));
        assert_eq!(next(0, 50), (ms(50), true));
        assert_eq!(next(-9000, 90), (ms(90), false));
        assert_eq!(next(40, 80), (ms(90), false));
    }

    #[test]
    fn stamps_are_followed_until_time_begins_anew() {
        let mut times = Times::default();
        let mut next = |number, arrived| times.next(Timestamps::Stamps, stamp(number), ms(arrived));
        assert_eq!(next(0, 50), (ms(50), true));
        assert_eq!(next(40, 97), (ms(90), false));
        assert_eq!(next(30, 110), (ms(90), false));
        assert_eq!(next(80, 131), (ms(130), false));
        // A recording that is played again.
        assert_eq!(next(-60_000, 170), (ms(170), true));
        assert_eq!(next(-59_960, 209), (ms(210), false));
        // A long pause is one in both.
        assert_eq!(next(-39_960, 20_211), (ms(20_210), false));
        // Slower than it was recorded.
        assert_eq!(next(-39_920, 30_000), (ms(30_000), true));
    }

    #[test]
    fn no_stamp_is_too_odd() {
        let mut times = Times::default();
        for sec in [0, i32::MIN, i32::MAX, -1, 1] {
            for nanosec in [0, u32::MAX] {
                times.next(Timestamps::Stamps, Time { sec, nanosec }, ms(5));
            }
        }
        assert_eq!(times.last, Some(ms(5)));
    }
}
