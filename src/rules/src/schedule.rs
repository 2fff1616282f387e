//! When a rule watches.

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

use crate::document::{Day, Schedule};

/// Schedules with the rules of their time zones.
#[derive(Debug, Clone)]
pub(crate) struct Schedules(Vec<(Schedule, TimeZone)>);

impl Schedules {
    /// A time zone that is not known is UTC; [`RuleSet::check`](crate::RuleSet::check) refuses it.
    pub fn new(schedules: &[Schedule]) -> Schedules {
        let zone =
            |schedule: &Schedule| TimeZone::get(&schedule.time_zone).unwrap_or(TimeZone::UTC);
        Schedules(
            schedules
                .iter()
                .map(|schedule| (schedule.clone(), zone(schedule)))
                .collect(),
        )
    }

    pub fn watch_at(&self, utc: Timestamp) -> bool {
        self.0.is_empty()
            || self
                .0
                .iter()
                .any(|(schedule, zone)| has(schedule, zone, utc))
    }
}

/// Whether a span that began today or yesterday has the time.
fn has(schedule: &Schedule, zone: &TimeZone, utc: Timestamp) -> bool {
    let today = utc.to_zoned(zone.clone()).date();
    let begins = |date: Date| {
        schedule.days.is_empty()
            || schedule
                .days
                .iter()
                .any(|day| weekday(*day) == date.weekday())
    };
    let at = |date: Date, time| {
        date.to_datetime(time)
            .to_zoned(zone.clone())
            .map(|at| at.timestamp())
    };
    let spans = |date: Date| {
        let last = if schedule.to > schedule.from {
            Ok(date)
        } else {
            date.tomorrow()
        };
        let (from, to) = (
            at(date, schedule.from),
            last.and_then(|last| at(last, schedule.to)),
        );
        // Only at the ends of the calendar there is no such time.
        begins(date) && from.is_ok_and(|from| from <= utc) && to.is_ok_and(|to| utc < to)
    };
    spans(today) || today.yesterday().is_ok_and(spans)
}

fn weekday(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn night(days: Vec<Day>) -> Schedules {
        Schedules::new(&[Schedule {
            days,
            from: "22:00".parse().unwrap(),
            to: "06:00".parse().unwrap(),
            time_zone: "Europe/Berlin".to_owned(),
        }])
    }

    fn watches(schedules: &Schedules, utc: &str) -> bool {
        schedules.watch_at(utc.parse().unwrap())
    }

    #[test]
    fn a_night_ends_at_six_by_the_clock_on_the_wall_when_the_clocks_go_forward() {
        // 29 March 2026: at 1:00 UTC clocks go from 2:00 (UTC+1) to 3:00 (UTC+2).
        let night = night(Vec::new());
        for (utc, expected) in [
            ("2026-03-28T20:59:59Z", false),
            ("2026-03-28T21:00:00Z", true),
            ("2026-03-29T00:59:59Z", true),
            ("2026-03-29T01:00:00Z", true),
            ("2026-03-29T03:59:59Z", true),
            ("2026-03-29T04:00:00Z", false),
            ("2026-03-29T19:59:59Z", false),
            ("2026-03-29T20:00:00Z", true),
        ] {
            assert_eq!(watches(&night, utc), expected, "{utc}");
        }
    }

    #[test]
    fn a_night_is_nine_hours_long_when_the_clocks_go_back() {
        // 25 October 2026: at 1:00 UTC clocks go from 3:00 (UTC+2) to 2:00 (UTC+1).
        let night = night(Vec::new());
        for (utc, expected) in [
            ("2026-10-24T19:59:59Z", false),
            ("2026-10-24T20:00:00Z", true),
            ("2026-10-25T04:59:59Z", true),
            ("2026-10-25T05:00:00Z", false),
        ] {
            assert_eq!(watches(&night, utc), expected, "{utc}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        // 3 January 2026 is a Saturday.
        let night = night(vec![Day::Sat]);
        assert!(watches(&night, "2026-01-04T03:00:00Z"), "the morning after");
        assert!(
            !watches(&night, "2026-01-03T03:00:00Z"),
            "the morning before"
        );
        assert!(watches(&night, "2026-01-03T21:30:00Z"));
        assert!(!watches(&night, "2026-01-04T21:30:00Z"));
    }
}
