//! What the fuzz targets in `tests/fuzz` call. Built only with `--cfg fuzzing`, which cargo-fuzz sets.

use std::io::Cursor;
use std::path::Path;

/// Reads a manifest.
pub fn manifest(text: &str) {
    drop(crate::bundle::Manifest::parse(
        Path::new("model.toml"),
        text,
    ));
}

/// Reads the interface of an ONNX file.
pub fn onnx(bytes: &[u8]) {
    let length = bytes.len() as u64;
    drop(crate::bundle::onnx::read_interface(
        Cursor::new(bytes),
        length,
    ));
}

/// Reads a file of the cache of texts.
pub fn cache(bytes: &[u8]) {
    drop(crate::text::cache::decode(bytes, "key", "a cube", [3, 2]));
}

/// Reads a seen frame, as it is and with the checksum that it should have.
pub fn seen(bytes: &[u8]) {
    drop(crate::seen::decode(bytes));
    drop(crate::seen::decode(&crate::seen::sealed(bytes)));
}
