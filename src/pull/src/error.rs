//! Why a model was not pulled.

use std::io;
use std::path::PathBuf;

use crate::checksum::Checksum;

/// Why a model was not pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// A file of entries is not one.
    #[error("{file}: {message}; configs/models.toml of mdetr shows what an entry is made of")]
    Registry {
        /// The file, with the line if it is known.
        file: String,
        /// What was expected and found.
        message: String,
    },
    /// Nothing of this name can be pulled.
    #[error("{name}: nothing of this name can be pulled; there are {}; for another one add an entry to {own}", known.join(", "))]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
        /// Where entries of the user's own go.
        own: String,
    },
    /// It is not known where the user's files are.
    #[error(
        "neither XDG_DATA_HOME nor HOME is an absolute path: set one of them, models are kept there"
    )]
    NoHome,
    /// `--from` or `MDETR_MIRROR` is nothing to download from.
    #[error("{given}: expected {expected}, found {found}")]
    Source {
        /// What was given.
        given: String,
        /// What would do.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A server was tried again and again, without success.
    #[error(
        "{url}: {cause}, after {attempts} attempts; check the network (HTTPS_PROXY, if there is a proxy) and run the same command again: it goes on where it stopped"
    )]
    Unreachable {
        /// The address, without passwords.
        url: String,
        /// What happened last.
        cause: String,
        /// How often it was tried in a row.
        attempts: u32,
    },
    /// The server wants to be left alone for longer than anyone waits.
    #[error(
        "{url}: the server is busy ({status}) and asks to come back in {seconds} s: run the same command again then; it goes on where it stopped"
    )]
    Busy {
        /// The address, without passwords.
        url: String,
        /// The answer's status.
        status: String,
        /// How long it wants to be left alone.
        seconds: u64,
    },
    /// A server gives something else, and will again.
    #[error("{url}: {found}; {remedy}")]
    Answer {
        /// The address, without passwords.
        url: String,
        /// What it gave, and what was expected.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// What was downloaded is not what was published.
    #[error(
        "{url}: expected {expected}, found {found}: the file was damaged on its way and is thrown away; run the same command again, and if it happens twice, without the proxy or from another mirror"
    )]
    Checksum {
        /// The address or the file.
        url: String,
        /// What the publisher says.
        expected: Checksum,
        /// What came.
        found: Checksum,
    },
    /// A file that the user gave is not what was published.
    #[error("{}: expected {expected}, found {found}: the file is damaged or of another version; copy it again", file.display())]
    OwnChecksum {
        /// The file.
        file: PathBuf,
        /// What the publisher says.
        expected: Checksum,
        /// What it has.
        found: Checksum,
    },
    /// The disk has too little space.
    #[error("{}: {needed} MB are needed and {free} MB are free: free some, or set XDG_DATA_HOME to a directory on a larger disk", dir.display())]
    Space {
        /// Where the files would go.
        dir: PathBuf,
        /// Megabytes needed.
        needed: u64,
        /// Megabytes free.
        free: u64,
    },
    /// A file cannot be written.
    #[error("{}: {cause}; {}", path.display(), remedy(cause))]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A tokenizer is not the model's.
    #[error("{from}: {message}; give the tokenizer.json of {name} with --tokenizer")]
    Tokenizer {
        /// The address or the file.
        from: String,
        /// What was expected and found.
        message: String,
        /// Which tokenizer the model has.
        name: String,
    },
    /// The words of the answers are not there.
    #[error("{}: {message}; give the file {name}, or leave out --answers", file.display())]
    Answers {
        /// The file.
        file: PathBuf,
        /// What was expected and found.
        message: String,
        /// The file's name at the publisher.
        name: String,
    },
    /// The checkpoint could not be converted.
    #[error("not converted: {cause}{kept}")]
    Convert {
        /// What the converter said.
        cause: Box<dyn std::error::Error + Send + Sync>,
        /// What becomes of a downloaded one.
        kept: String,
    },
    /// There is no such model to remove.
    #[error("{name}: {found}")]
    NotRemoved {
        /// The model.
        name: String,
        /// What is there instead, and what to do.
        found: String,
    },
}

impl PullError {
    pub(crate) fn disk(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> PullError {
        let path = path.into();
        |cause| PullError::Disk { path, cause }
    }
}

fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "free space, or set XDG_DATA_HOME to a directory on a larger disk, and run the same command again: it goes on where it stopped"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make it writable, or set XDG_DATA_HOME to a directory that is"
        }
        _ => "check the disk and run the same command again",
    }
}
