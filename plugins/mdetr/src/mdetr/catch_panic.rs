//! Calls whose panics become errors.

use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe};

/// Runs `call`; its error or panic becomes a message.
pub(super) fn catch_panic<T, E: Display>(call: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    // The caller drops what a panicking call may have left half done.
    match panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned());
            let text = text.unwrap_or_else(|| "no message".to_owned());
            Err(format!("internal panic: {text}; please report it"))
        }
    }
}
