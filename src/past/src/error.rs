//! What can go wrong with what was kept.

use std::io;
use std::path::PathBuf;

/// Why frames cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PastError {
    /// A file or directory cannot be used.
    #[error("{}: {doing}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What was to be done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Another program writes the directory.
    #[error("{}: another program writes it: stop that, or choose another directory", dir.display())]
    Busy {
        /// The directory.
        dir: PathBuf,
    },
    /// A file is not what it should be.
    #[error("{}: {what}: expected {expected}, found {found}; it is damaged or was not written by mdetr", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Of what.
        what: &'static str,
        /// What is allowed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A record's checksum is not that of its bytes.
    #[error("{}: the record at byte {offset} is damaged; the others are not concerned", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
    },
    /// A segment is encrypted.
    #[error("{}: encrypted: give the file with the key that it was written with", path.display())]
    KeyNeeded {
        /// The segment.
        path: PathBuf,
    },
    /// A segment was encrypted with another key.
    #[error("{}: encrypted with another key: give the file with the key that it was written with", path.display())]
    WrongKey {
        /// The segment.
        path: PathBuf,
    },
    /// A file holds no key.
    #[error("key file {}: {message}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// A frame cannot be kept as it is.
    #[error("{what}: expected {expected}, found {found}")]
    Value {
        /// Of what.
        what: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// Frames were found, but none of them can be asked.
    #[error("none of {frames} frames can be asked: {first}")]
    Unreadable {
        /// How many there are.
        frames: usize,
        /// What is wrong with the first.
        first: String,
    },
    /// The model failed.
    #[error(transparent)]
    Model(#[from] mdetr::Error),
}

impl PastError {
    pub(crate) fn io(
        path: impl Into<PathBuf>,
        doing: &'static str,
    ) -> impl FnOnce(io::Error) -> PastError {
        let path = path.into();
        move |source| PastError::Io {
            path,
            doing,
            source,
        }
    }
}
