//! How objects are followed, and their ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How objects are followed.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackOptions {
    /// Times in a row that an object must be seen to be confirmed, 1 or more.
    pub min_hits: u32,
    /// How long a confirmed object is reported that is not seen.
    pub coast: Duration,
    /// How long a confirmed object keeps its id that is not seen.
    pub max_age: Duration,
    /// Least intersection over union of a detection with the box it continues, unless it is known again by its looks.
    pub iou_threshold: f32,
    /// Detections with a lower score continue tracks but begin none, and are not reported unless they
    /// do: with a lower score threshold before, presence has hysteresis.
    pub high_threshold: f32,
}

impl Default for TrackOptions {
    fn default() -> TrackOptions {
        TrackOptions {
            min_hits: 2,
            coast: Duration::from_millis(300),
            max_age: Duration::from_secs(2),
            iou_threshold: 0.2,
            high_threshold: 0.5,
        }
    }
}

/// Ids of tracks, from 1 on. Clones give ids of one sequence, none of them twice.
#[derive(Debug, Clone, Default)]
pub struct TrackIds(Arc<AtomicU64>);

impl TrackIds {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}
