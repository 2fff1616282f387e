//! `builtin_interfaces`: times.

use serde::{Deserialize, Serialize};

use crate::definition::message;

const NANOS: i64 = 1_000_000_000;

/// A point in time, since 1970 or since a simulation began.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Time {
    /// Whole seconds.
    pub sec: i32,
    /// Nanoseconds to add; below 10^9 in what ROS sends.
    pub nanosec: u32,
}

message!(
    Time, "builtin_interfaces/msg/Time", [],
    "int32 sec"
    "uint32 nanosec"
);

/// A length of time.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Duration {
    /// Whole seconds, rounded down.
    pub sec: i32,
    /// Nanoseconds to add; below 10^9 in what ROS sends.
    pub nanosec: u32,
}

message!(
    Duration, "builtin_interfaces/msg/Duration", [],
    "int32 sec"
    "uint32 nanosec"
);

impl Time {
    /// From nanoseconds; the nearest time there is where 32 bits of seconds do not suffice.
    pub fn from_nanos(nanos: i64) -> Time {
        let (sec, nanosec) = split(nanos);
        Time { sec, nanosec }
    }

    /// In nanoseconds.
    pub fn nanos(self) -> i64 {
        i64::from(self.sec) * NANOS + i64::from(self.nanosec)
    }
}

impl Duration {
    /// From nanoseconds; the nearest duration there is where 32 bits of seconds do not suffice.
    pub fn from_nanos(nanos: i64) -> Duration {
        let (sec, nanosec) = split(nanos);
        Duration { sec, nanosec }
    }

    /// In nanoseconds.
    pub fn nanos(self) -> i64 {
        i64::from(self.sec) * NANOS + i64::from(self.nanosec)
    }
}

fn split(nanos: i64) -> (i32, u32) {
    match i32::try_from(nanos.div_euclid(NANOS)) {
        Ok(sec) => (sec, nanos.rem_euclid(NANOS) as u32),
        Err(_) if nanos < 0 => (i32::MIN, 0),
        Err(_) => (i32::MAX, (NANOS - 1) as u32),
    }
}
