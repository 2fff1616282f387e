//! The entries of the parameter `queries`, for threads that are not the node's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The entries of the parameter `queries`, for other threads. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entries(Arc<Mutex<Vec<String>>>);

impl Entries {
    /// What they are.
    pub fn get(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what they are from now on.
    pub fn set(&self, entries: &[String]) {
        *self.lock() = entries.to_vec();
    }
}
