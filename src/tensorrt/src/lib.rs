//! TensorRT through a small C++ shim.
//!
//! The shim is compiled against the TensorRT headers of the machine that builds it; TensorRT's and
//! CUDA's libraries are opened at run time, so a program that has it also starts where they are
//! missing. All of it needs the feature `shim`; without it this crate is empty.
//!
//! `Library::open` finds TensorRT, `Library::build` makes a plan from an ONNX graph (of TensorRT-RTX
//! on machines without a GPU too), `Library::load` reads a plan, and `Lanes` run it on a `Device`.

#[cfg(feature = "shim")]
mod context;
#[cfg(feature = "shim")]
mod cuda;
#[cfg(feature = "shim")]
mod error;
#[cfg(feature = "shim")]
mod ffi;
#[cfg(feature = "shim")]
mod lane;
#[cfg(feature = "shim")]
mod lanes;
#[cfg(feature = "shim")]
mod library;
#[cfg(feature = "shim")]
mod log;
#[cfg(feature = "shim")]
mod plan;
#[cfg(feature = "shim")]
mod port;
#[cfg(feature = "shim")]
mod quiet;
#[cfg(feature = "shim")]
mod stream;
#[cfg(feature = "shim")]
mod tensor;

#[cfg(feature = "shim")]
pub use {
    cuda::{Buffer, Device},
    error::Error,
    lane::Shapes,
    lanes::{LaneStats, Lanes},
    library::{BuildOptions, Built, Library, Progress, Range},
    log::{LogHook, LogMessage, Severity, set_log_hook},
    plan::Engine,
    port::{Input, Output},
    tensor::{Element, IoTensor},
};
