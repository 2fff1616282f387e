//! The Open Inference Protocol, which is KServe's version 2, over gRPC: its messages, tensors in them, and
//! connections to servers. NVIDIA Triton, OpenVINO Model Server, MLServer and KServe speak it.

mod endpoint;
#[cfg(fuzzing)]
pub mod fuzzing;
mod tensor;
mod token;

/// Messages, client and server of `proto/inference.proto`. A test writes them, so that who builds this needs no compiler
/// of such definitions.
pub mod inference {
    #![allow(missing_docs)]
    include!("../proto/inference.rs");
}

pub use endpoint::{Endpoint, EndpointError, read_certificates};
pub use tensor::{DataType, Tensor, TensorError, Values, inputs, outputs, raw};
pub use token::{Token, TokenError};
