//! Times on the command line.

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Nanoseconds since 1970 of `2026-01-05T10:15:03Z`, of another offset, or without one, or of `2026-01-05`: in UTC.
///
/// # Errors
/// It is no such time.
pub fn parse(text: &str) -> Result<i64> {
    let civil = || {
        text.parse::<DateTime>()
            .and_then(|time| time.to_zoned(TimeZone::UTC))
    };
    let time = text
        .parse::<Timestamp>()
        .or_else(|_| civil().map(|time| time.timestamp()));
    let time = time.map_err(|error| {
        anyhow!("expected a time such as 2026-01-05T10:15:03Z, found {text}: {error}")
    })?;
    i64::try_from(time.as_nanosecond())
        .map_err(|_| anyhow!("expected a time from 1678 to 2261, found {text}"))
}

/// As [`parse`] takes it.
pub fn text(nanoseconds: i64) -> String {
    Timestamp::from_nanosecond(nanoseconds.into())
        .map_or_else(|_| format!("{nanoseconds} ns"), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_and_are_in_utc() {
        for (given, expected) in [
            ("2026-01-05T10:15:03.123Z", "2026-01-05T10:15:03.123Z"),
            ("2026-01-05T10:15:03+02:00", "2026-01-05T08:15:03.000Z"),
            ("2026-01-05T10:15", "2026-01-05T10:15:00.000Z"),
            ("2026-01-05", "2026-01-05T00:00:00.000Z"),
        ] {
            assert_eq!(text(parse(given).unwrap()), expected, "{given}");
        }
        for given in ["yesterday", "2026-13-01", "9999-01-01", ""] {
            assert!(parse(given).is_err(), "{given}");
        }
    }
}
