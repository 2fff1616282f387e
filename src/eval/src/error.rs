//! What can go wrong: each error names the file, the place in it, what was expected and found.

use std::io;
use std::path::PathBuf;

/// Anything the evaluators can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than any such file.
    #[error("{}: more than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Most bytes allowed.
        limit: u64,
    },
    /// A file is not in its format.
    #[error("{}: {place}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The line, entry or field.
        place: String,
        /// What is wrong there.
        message: String,
    },
    /// A value cannot be.
    #[error("{}: {place}: {field}: expected {expected}, found {found}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The line or entry.
        place: String,
        /// The field.
        field: String,
        /// What is allowed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Samples of the truth are not among the predictions.
    #[error("{}: {count} of {total} samples have no prediction, the first is {first:?}; resume the run that wrote this file", path.display())]
    Missing {
        /// The predictions.
        path: PathBuf,
        /// Samples without one.
        count: usize,
        /// Samples of the truth.
        total: usize,
        /// Id of the first.
        first: String,
    },
    /// Average precision cannot be computed.
    #[error("average precision: {message}")]
    AveragePrecision {
        /// What the library said.
        message: String,
    },
}
