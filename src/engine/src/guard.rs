//! Panics of other libraries become errors.

use std::fmt;

/// Calls into a third-party library; a panic there becomes a message.
pub fn guard<T, E: fmt::Display>(call: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    // What a panicking call leaves behind is dropped: every caller gives up its graph, plan or encoding.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| format!("{error:#}")),
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned());
            Err(format!(
                "internal panic: {}",
                text.unwrap_or_else(|| "no message".to_owned())
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_messages() {
        let fails = || -> Result<(), String> { panic!("index {} out of range", 7) };
        assert_eq!(
            guard(fails),
            Err("internal panic: index 7 out of range".into())
        );
        assert_eq!(guard(|| Err::<(), _>("plain")), Err("plain".into()));
        assert_eq!(guard(|| Ok::<_, String>(3)), Ok(3));
    }
}
