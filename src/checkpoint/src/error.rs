//! What can be wrong with a file of weights.

use std::io;
use std::path::PathBuf;

/// A file of weights that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct CheckpointError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a file of weights.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// It is of no format that is known.
    #[error(
        "expected a file of torch.save (a zip archive or its older format) or of safetensors, found none of them: is it \
         complete, and not a web page or an archive of it?"
    )]
    Unknown,
    /// The archive is damaged.
    #[error("the archive is damaged: {0}: download or copy it again")]
    Archive(String),
    /// A part of the archive is missing.
    #[error("{0} is missing in the archive: expected what torch.save writes")]
    Missing(String),
    /// It holds a class or function that is not known.
    #[error(
        "holds {0}, which is not read: expected tensors, containers, argparse.Namespace and paths; save the state dictionary \
         alone: torch.save(model.state_dict(), ...)"
    )]
    Class(String),
    /// The pickle is damaged, or uses what no torch.save writes.
    #[error("the pickle, byte {at}: {message}")]
    Pickle {
        /// Where.
        at: u64,
        /// What was expected and found.
        message: String,
    },
    /// It claims more than a checkpoint has.
    #[error("{what}: at most {most} are read")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        most: u64,
    },
    /// A tensor is not what it says.
    #[error("the tensor {name}: {message}")]
    Tensor {
        /// Its name, or that of its storage.
        name: String,
        /// What was expected and found.
        message: String,
    },
    /// There is something else where tensors were expected.
    #[error("{place}: expected {expected}, found {found}")]
    Kind {
        /// Where.
        place: String,
        /// What was expected.
        expected: &'static str,
        /// What there is.
        found: &'static str,
    },
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Io(error)
    }
}
