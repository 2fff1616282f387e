//! Why a checkpoint does not become a bundle.

use std::io;
use std::path::{Path, PathBuf};

use mdetr::bundle::BundleError;
use mdetr_checkpoint::CheckpointError;

/// Why a checkpoint does not become a bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint does not hold weights where they belong.
    #[error("{}: {message}", path.display())]
    Weights {
        /// The checkpoint.
        path: PathBuf,
        /// What was expected and found.
        message: String,
    },
    /// The entries are those of no structure that is known.
    #[error(transparent)]
    Unknown(Box<UnknownStructure>),
    /// The tokenizer is not the one that belongs to the weights.
    #[error("{}: {message}", path.display())]
    Tokenizer {
        /// The file, or where it was looked for.
        path: PathBuf,
        /// What was expected and found.
        message: String,
    },
    /// The file of answers does not belong to the weights.
    #[error("{}: {message}", path.display())]
    Answers {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        message: String,
    },
    /// A template of a structure cannot be used.
    #[error("{}: {message}", path.display())]
    Template {
        /// Which.
        path: PathBuf,
        /// What was expected and found.
        message: String,
    },
    /// The bundle cannot be written where it should be.
    #[error("{}: {message}", path.display())]
    Out {
        /// Where.
        path: PathBuf,
        /// What was expected and found.
        message: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// What was written is not sound.
    #[error("what was written is no sound bundle: {0}")]
    Bundle(BundleError),
    /// Somebody asked to stop.
    #[error("stopped; nothing was written")]
    Stopped,
}

/// A checkpoint whose entries are those of no structure that is known.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}: not one of {known}. Nearest: {nearest}, with\n  missing: {missing}\n  unexpected: {unexpected}\n  of another \
     shape: {wrong}",
    path.display()
)]
pub struct UnknownStructure {
    /// The checkpoint.
    pub path: PathBuf,
    /// The structures that are known.
    pub known: String,
    /// The one that fits best.
    pub nearest: String,
    /// Entries of it that the checkpoint lacks.
    pub missing: String,
    /// Entries of the checkpoint that it lacks.
    pub unexpected: String,
    /// Entries of another shape, with what was expected and found.
    pub wrong: String,
}

impl ImportError {
    /// That a file cannot be read or written, for `map_err`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> ImportError {
        move |cause| ImportError::Io {
            path: path.to_owned(),
            cause,
        }
    }
}

/// Names shown before the rest is counted.
const LISTED: usize = 6;
/// Characters shown of each.
const MOST_SHOWN: usize = 200;

/// The first few names, and how many more there are.
pub(crate) fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<String> = names
        .iter()
        .take(LISTED)
        .map(|name| name.escape_debug().take(MOST_SHOWN).collect())
        .collect();
    match names.len().saturating_sub(LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
