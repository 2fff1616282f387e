//! What the fuzz targets in `tests/fuzz` call. Built only with `--cfg fuzzing`, which cargo-fuzz sets.

use prost::Message;

use crate::inference::{ModelInferRequest, ModelInferResponse, ModelMetadataResponse};

/// Reads a message of each kind that carries tensors.
pub fn messages(bytes: &[u8]) {
    if let Ok(request) = ModelInferRequest::decode(bytes) {
        drop(crate::inputs(request));
    }
    if let Ok(response) = ModelInferResponse::decode(bytes) {
        drop(crate::outputs(response));
    }
    drop(ModelMetadataResponse::decode(bytes));
}
