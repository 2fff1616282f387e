//! What goes wrong with recordings.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Why something is not recorded or recovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There is such a file.
    #[error("{}: there is a file of this name: give the recording another one", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be opened or made.
    #[error("{}: {}", path.display(), opening(path, source))]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written, or what is to be written is not possible in one.
    #[error("{}: not recorded: {}", path.display(), causes(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: mcap::McapError,
    },
    /// The file is no MCAP file.
    #[error("{}: expected an MCAP file: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: mcap::McapError,
    },
    /// A topic has a name that ROS does not allow.
    #[error(
        "topic {name:?}: expected a full name of at most 255 letters, digits, _ and /, such as /camera/image_raw"
    )]
    TopicName {
        /// The name, shortened.
        name: String,
    },
    /// A topic has two types.
    #[error("topic {name}: recorded as {known}, so it cannot be {found} too")]
    TopicType {
        /// The topic.
        name: String,
        /// The type of its messages so far.
        known: String,
        /// The other type.
        found: String,
    },
    /// The thread that writes gave up.
    #[error("{}: not recorded any more: this is a fault of this program; report it", path.display())]
    Panicked {
        /// The file.
        path: PathBuf,
    },
    /// There is no thread to write on.
    #[error("recording: cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The bytes of a message are none.
    #[error(
        "topic {name}: expected the bytes of a message (CDR: 0 0 or 0 1 first), found {bytes} bytes, {first:02x?} first"
    )]
    Bytes {
        /// The topic.
        name: String,
        /// How many they are.
        bytes: usize,
        /// The first, at most two.
        first: Vec<u8>,
    },
}

/// Why a file cannot be opened or made, and what to do about it where the system says little.
fn opening(path: &Path, source: &std::io::Error) -> String {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    match folder {
        Some(folder) if source.kind() == ErrorKind::NotFound && !folder.is_dir() => {
            let folder = folder.display();
            format!("there is no directory {folder}: make it first")
        }
        _ => source.to_string(),
    }
}

/// An error with what caused it: mcap says "I/O error", and its source which.
fn causes(error: &mcap::McapError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
