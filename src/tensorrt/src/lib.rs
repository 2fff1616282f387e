//! TensorRT through a small C++ shim.
//!
//! The shim is compiled against the TensorRT headers of the machine that builds it; TensorRT's and
//! CUDA's libraries are opened at run time, so a program that has it also starts where they are
//! missing. All of it needs the feature `shim`; without it this crate is empty.
//!
//! `Library::open` finds TensorRT, `Library::build` makes a plan from an ONNX graph (of TensorRT-RTX
//! on machines without a GPU too), `Library::load` reads a plan, and `Session` runs it on a `Device`.

#[cfg(feature = "shim")]
mod cuda;
#[cfg(feature = "shim")]
mod error;
#[cfg(feature = "shim")]
mod ffi;
#[cfg(feature = "shim")]
mod library;
#[cfg(feature = "shim")]
mod plan;
#[cfg(feature = "shim")]
mod session;

#[cfg(feature = "shim")]
pub use {
    cuda::{Buffer, Device, Stream},
    error::Error,
    library::{BuildOptions, Built, Library, Progress, Range},
    plan::{Element, Engine, IoTensor},
    session::{Input, Output, Session},
};
