//! Segments of what was kept, and their indexes.
#![no_main]

use std::sync::LazyLock;

use tempfile::TempDir;

static DIR: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a directory"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mdetr_past::fuzzing::segment(DIR.path(), bytes));
