//! What runs ONNX graphs: a small trait, and engines behind it.
//!
//! [`open`] gives the engine of a kind. It loads graphs ([`Engine::load`]), a graph is bound to shapes
//! ([`Graph::plan`]), and a plan is run with tensors ([`Plan::run`]). TensorRT's plans take long to make, so
//! they are kept in a directory ([`plan_cache`]) and told of ([`PlanEvent`]).

mod choice;
pub mod disk;
mod error;
mod events;
#[cfg(feature = "kserve")]
mod fallback;
#[cfg(fuzzing)]
pub mod fuzzing;
mod graph;
mod guard;
#[cfg(feature = "kserve")]
mod kserve;
mod log;
mod mixed;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod open;
mod options;
pub mod plan_cache;
pub mod registry;
mod served;
#[cfg(any(feature = "tensorrt", test))]
mod standby;
mod sync;
mod tensor;
#[cfg(feature = "tensorrt")]
pub mod tensorrt;
mod tract;
#[cfg(any(feature = "tensorrt", test))]
mod watchers;

pub use choice::{EngineChoice, GraphRole};
pub use error::{CacheError, EngineError, OpenError, OptionError};
pub use events::{PlanEvent, PlanWatcher};
pub use graph::{
    Dimension, Engine, EngineInfo, Graph, GraphCounts, GraphSource, InputShape, InputType,
    MOST_TEXTS, Plan, RemoteCounts, Varying, describe,
};
pub use guard::guard;
pub use log::{EngineLog, EngineMessage, LogLevel};
pub use open::{EngineOptions, add_onnxruntime_library, check_precision, open, set_engine_log};
pub use options::{EngineKind, Fallback, KServeOptions, Precision, TensorRtOptions};
pub use served::{MODEL_HASH, model_name, model_version};
pub use sync::locked;
pub use tensor::{Constant, Data, Resident, Tensor, View};
