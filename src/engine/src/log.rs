//! What engines log.

use std::sync::{Arc, RwLock};

/// How grave a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogLevel {
    /// What was asked for failed; the call that asked says so too.
    Error,
    /// It worked, but perhaps not as wanted.
    Warning,
    /// What the engine is at.
    Info,
    /// More than most want to know.
    Debug,
}

/// A message of an engine's library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineMessage<'a> {
    /// How grave it is.
    pub level: LogLevel,
    /// Path of the graph that a plan was being built of, if it is known.
    pub graph: Option<&'a str>,
    /// The library's words.
    pub text: &'a str,
}

/// Hears messages, on whichever thread an engine logs.
pub type EngineLog = Arc<dyn Fn(&EngineMessage) + Send + Sync>;

/// Who hears.
static LOG: RwLock<Option<EngineLog>> = RwLock::new(None);

/// Lets `log` hear in the place of whoever did before.
pub(crate) fn set(log: Option<EngineLog>) {
    *LOG.write().unwrap_or_else(|e| e.into_inner()) = log;
}

/// Tells what an engine of this crate is at.
#[cfg(feature = "kserve")]
pub(crate) fn tell(level: LogLevel, graph: &str, text: &str) {
    let log = LOG.read().unwrap_or_else(|e| e.into_inner()).clone();
    if let Some(log) = log {
        log(&EngineMessage {
            level,
            graph: Some(graph),
            text,
        });
    }
}
