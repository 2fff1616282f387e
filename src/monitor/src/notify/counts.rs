//! Numbers of letters.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// What became of the letters to a receiver since the program was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// They arrived.
    pub delivered: u64,
    /// Tries that failed.
    pub failed: u64,
    /// They were given up: refused, or too old.
    pub dropped: u64,
}

/// Counts by receiver.
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<String, Count>>);

impl Counts {
    /// All of them.
    pub fn all(&self) -> BTreeMap<String, Count> {
        self.0.lock().expect("no code panics with the lock").clone()
    }

    /// Changes the count of a receiver.
    pub(super) fn add(&self, receiver: &str, change: impl FnOnce(&mut Count)) {
        let mut counts = self.0.lock().expect("no code panics with the lock");
        change(counts.entry(receiver.to_owned()).or_default());
    }
}
