//! Anything that can go wrong.

use mdetr_engine::{CacheError, EngineError, OpenError, OptionError};
use mdetr_grounding::QueryError;

use crate::bundle::BundleError;
use crate::frame::FrameError;
use crate::seen::SeenError;

/// Anything the library can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A query cannot be used.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A frame cannot be used.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A cache directory cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// [`Grounder::give_up`](crate::Grounder::give_up) was called.
    #[error("the texts are not encoded: whoever wanted them gave up")]
    GivenUp,
    /// A seen frame cannot be used.
    #[error(transparent)]
    Seen(#[from] SeenError),
    /// An option is out of range.
    #[error(transparent)]
    Option(#[from] OptionError),
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Error {
        match error {
            OpenError::Engine(error) => Error::Engine(error),
            OpenError::Cache(error) => Error::Cache(error),
        }
    }
}
