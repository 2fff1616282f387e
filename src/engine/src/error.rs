//! What can go wrong: each error names the thing, the place, what was expected and found, and the remedy.

use std::io;
use std::path::PathBuf;

/// An option is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("option {option}: expected {expected}, found {found}")]
pub struct OptionError {
    /// Name of the option.
    pub option: &'static str,
    /// What is allowed.
    pub expected: &'static str,
    /// What was given.
    pub found: String,
}

/// Why the engine failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The engine cannot be used here.
    #[error("{engine} is not available: {message}")]
    Unavailable {
        /// The engine.
        engine: &'static str,
        /// Why, and what to do.
        message: String,
    },
    /// The engine cannot read the graph.
    #[error(
        "{engine} cannot load {graph}: {message}; try another engine or export the bundle again"
    )]
    Load {
        /// The engine.
        engine: &'static str,
        /// The graph's file.
        graph: String,
        /// What the engine said.
        message: String,
    },
    /// The engine cannot make a plan.
    #[error(
        "{engine} cannot prepare {graph} for {shapes}: {message}; try another frame size or engine"
    )]
    Plan {
        /// The engine.
        engine: &'static str,
        /// The graph's file.
        graph: String,
        /// Input names and shapes.
        shapes: String,
        /// What the engine said.
        message: String,
    },
    /// A plan does not run.
    #[error("{engine} failed in {graph} with {shapes}: {message}")]
    Run {
        /// The engine.
        engine: &'static str,
        /// The graph's file.
        graph: String,
        /// Input names and shapes.
        shapes: String,
        /// What the engine said.
        message: String,
    },
    /// A graph gives something else than its manifest says.
    #[error(
        "{graph}: output {output}: expected shape {expected:?}, found {found:?}; model.toml and the graph do not belong together: export the bundle again"
    )]
    OutputShape {
        /// The graph's file.
        graph: String,
        /// Name of the output.
        output: &'static str,
        /// By the manifest.
        expected: Vec<usize>,
        /// By the graph.
        found: Vec<usize>,
    },
}

/// Why a directory of text encodings or plans cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// It cannot be made.
    #[error("cache directory {}: cannot be created: {source}; choose another directory or leave the option out", dir.display())]
    Create {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be written to.
    #[error("cache directory {}: cannot be written: {source}; make it writable, choose another directory or leave the option out", dir.display())]
    Write {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why an engine cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The engine cannot be used here.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The directory of its plans cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}
