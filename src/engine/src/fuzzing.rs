//! What the fuzz targets in `tests/fuzz` call. Built only with `--cfg fuzzing`, which cargo-fuzz sets.

/// Reads the header of a plan's file.
pub fn plan(bytes: &[u8]) {
    drop(crate::plan_cache::header(bytes));
}
