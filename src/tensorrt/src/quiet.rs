//! Keeps what is being captured apart from calls that synchronise.
//!
//! A call that waits for the GPU or allocates, on any thread, can spoil a capture on another. So such
//! calls and captures exclude each other, in the whole process.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

static CALLS: RwLock<()> = RwLock::new(());

/// For as long as a call may synchronise, many at once. Not to be taken while capturing.
pub(crate) fn synchronising() -> RwLockReadGuard<'static, ()> {
    CALLS.read().unwrap_or_else(PoisonError::into_inner)
}

/// For as long as a capture lasts; `None` while somebody synchronises, which can take minutes.
pub(crate) fn capturing() -> Option<RwLockWriteGuard<'static, ()>> {
    match CALLS.try_write() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
