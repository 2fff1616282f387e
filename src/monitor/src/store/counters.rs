//! What the store has done since the program began.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the program began.
#[derive(Debug, Default)]
pub struct Counters {
    /// Steps of events that were written.
    pub steps_written: AtomicU64,
    /// Steps of events that were lost: they could not be written, and too many waited.
    pub steps_lost: AtomicU64,
    /// Clips that were kept.
    pub clips_written: AtomicU64,
    /// Clips that were lost.
    pub clips_lost: AtomicU64,
    /// Pictures that were lost, while their events are there.
    pub pictures_lost: AtomicU64,
    /// Tries to write that failed.
    pub failures: AtomicU64,
    /// Events that retention removed.
    pub events_deleted: AtomicU64,
    /// Bytes of pictures and clips that retention removed.
    pub bytes_deleted: AtomicU64,
}

/// Adds to a count.
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
