//! What a hub counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What becomes of a step that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is kept.
    New,
    /// It was kept already.
    Known,
    /// It is none.
    Refused,
    /// Too many waited, or it could not be kept: its site sends it again.
    Left,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 4] = [
        Outcome::New,
        Outcome::Known,
        Outcome::Refused,
        Outcome::Left,
    ];

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::New => "new",
            Outcome::Known => "known",
            Outcome::Refused => "refused",
            Outcome::Left => "left",
        }
    }
}

/// How many steps met which outcome.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; Outcome::ALL.len()]);

impl Counts {
    /// Counts some.
    pub fn add(&self, outcome: Outcome, count: u64) {
        self.0[outcome as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }
}
