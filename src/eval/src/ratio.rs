//! Shares of samples.

use serde::Serialize;

use crate::table::percent;

/// The share of samples that were hit among the best 1, 5 and 10 boxes; `None` of no samples.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct AtK {
    /// Among the best box.
    #[serde(rename = "1")]
    pub at_1: Option<f64>,
    /// Among the best 5.
    #[serde(rename = "5")]
    pub at_5: Option<f64>,
    /// Among the best 10.
    #[serde(rename = "10")]
    pub at_10: Option<f64>,
}

/// Numbers of boxes that take part in [`AtK`].
pub(crate) const KS: [usize; 3] = [1, 5, 10];

impl AtK {
    pub(crate) fn of(hits: [u64; 3], total: u64) -> AtK {
        AtK {
            at_1: ratio(hits[0], total),
            at_5: ratio(hits[1], total),
            at_10: ratio(hits[2], total),
        }
    }

    pub(crate) fn cells(&self) -> [String; 3] {
        [self.at_1, self.at_5, self.at_10].map(percent)
    }
}

/// A part of a whole; `None` of nothing.
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
