//! Fixtures, and files made on the spot.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use mdetr_eval::Predictions;
use serde_json::Value;
use tempfile::TempDir;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub fn predictions(name: &str) -> Predictions {
    Predictions::read(&fixture(name)).expect("the fixture is sound")
}

/// What independent code makes of a fixture.
pub fn expected(name: &str) -> Value {
    let text = std::fs::read_to_string(fixture("expected.json")).expect("the fixture is there");
    let all: Value = serde_json::from_str(&text).expect("the fixture is JSON");
    all[name].clone()
}

/// Equal to more than four digits.
#[track_caller]
pub fn assert_close(found: Option<f64>, expected: &Value) {
    let (found, expected) = (
        found.expect("a number"),
        expected.as_f64().expect("a number"),
    );
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

/// A directory with files.
pub fn files(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().expect("a directory can be made");
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("inside the directory")).expect("writable");
        std::fs::write(path, text).expect("writable");
    }
    dir
}

/// Predictions of lines.
pub fn lines(lines: &[&str]) -> Predictions {
    let dir = files(&[("predictions.jsonl", &(lines.join("\n") + "\n"))]);
    Predictions::read(&dir.path().join("predictions.jsonl")).expect("the lines are sound")
}
