//! What the fuzz targets in `tests/fuzz` call. Built only with `--cfg fuzzing`, which cargo-fuzz sets.

use std::path::Path;

/// Reads the annotations of a data set.
pub fn annotations(bytes: &[u8]) {
    crate::grounding::parse_annotations(bytes, Path::new("images"));
    crate::grounding::parse_clips(bytes, Path::new("clips"));
}
