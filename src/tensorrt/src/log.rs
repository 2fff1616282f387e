//! What TensorRT logs.

use std::ffi::{CStr, c_char};
use std::sync::{Arc, PoisonError, RwLock};

use crate::ffi;

/// How grave a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// What was asked for failed.
    Error,
    /// It worked, but perhaps not as wanted.
    Warning,
    /// What TensorRT is at.
    Info,
    /// More than most want to know.
    Debug,
}

/// A message of TensorRT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogMessage<'a> {
    /// How grave it is.
    pub severity: Severity,
    /// Path of the graph that was being built, if it is known.
    pub graph: Option<&'a str>,
    /// TensorRT's words.
    pub text: &'a str,
}

/// Hears messages, on whichever thread TensorRT logs.
pub type LogHook = Arc<dyn Fn(&LogMessage) + Send + Sync>;

static HOOK: RwLock<Option<LogHook>> = RwLock::new(None);

/// Lets `hook` hear all that TensorRT logs in this process, in the place of whoever did before.
pub fn set_log_hook(hook: Option<LogHook>) {
    let hears = hook.is_some();
    *HOOK.write().unwrap_or_else(PoisonError::into_inner) = hook;
    // SAFETY: `pass_on` lives as long as the process.
    unsafe { ffi::mdetr_trt_set_log(hears.then_some(pass_on)) };
}

unsafe extern "C" fn pass_on(severity: i32, graph: *const c_char, text: *const c_char) {
    let hook = HOOK.read().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(hook) = hook else { return };
    let read = |text: *const c_char| {
        // SAFETY: the shim gives C strings, or null.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy())
    };
    let (graph, text) = (read(graph), read(text));
    let message = LogMessage {
        severity: match severity {
            ..=1 => Severity::Error,
            2 => Severity::Warning,
            3 => Severity::Info,
            _ => Severity::Debug,
        },
        graph: graph.as_deref(),
        text: text.as_deref().unwrap_or_default(),
    };
    // No panic crosses into C.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook(&message)));
}
