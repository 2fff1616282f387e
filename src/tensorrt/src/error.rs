//! What can go wrong.

/// A failure, with its remedy where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A library was not found or cannot be used.
    #[error("{0}")]
    Library(String),
    /// There is no GPU, or CUDA does not work.
    #[error("{0}")]
    Cuda(String),
    /// TensorRT could not make a plan.
    #[error("cannot build a plan for {graph}: {message}")]
    Build {
        /// Path of the graph.
        graph: String,
        /// TensorRT's words.
        message: String,
    },
    /// The build was asked to stop.
    #[error("the build of a plan for {graph} was interrupted")]
    Interrupted {
        /// Path of the graph.
        graph: String,
    },
    /// TensorRT refused a plan.
    #[error("TensorRT cannot load the plan: {0}")]
    Load(String),
    /// TensorRT could not run a plan.
    #[error("TensorRT cannot run the plan: {0}")]
    Run(String),
    /// Host or device memory is used up.
    #[error(
        "{0}; use a smaller model, smaller frames or fewer queries, or free memory on the device"
    )]
    Memory(String),
}
