//! Models by name.

// Other tests use the rest.
#[allow(dead_code)]
mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use common::{code, command, refused, root, scene, succeeded};

/// Runs the command where a model has the name `table`, in the user's directory.
fn run(dir: &Path, model: Option<&str>, line: &str) -> Output {
    let models = dir.join("data/mdetr/models");
    if !models.exists() {
        fs::create_dir_all(&models).unwrap();
        symlink(root().join("models/tabletop"), models.join("table")).unwrap();
        fs::copy(scene(), dir.join("a.png")).unwrap();
    }
    let mut command = command(dir);
    command.env("XDG_DATA_HOME", dir.join("data"));
    match model {
        Some(model) => command.env("MDETR_MODEL", model),
        None => command.env_remove("MDETR_MODEL"),
    };
    command.args(line.split(' ')).output().unwrap()
}

#[test]
fn a_model_is_found_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let run = |model, line| run(dir.path(), model, line);
    let detected = succeeded(run(None, "detect a.png --query cubes --model table"));
    assert_eq!(
        succeeded(run(Some("table"), "detect a.png --query cubes")),
        detected
    );
    let checked = succeeded(run(None, "bundle check table"));
    let place = dir.path().join("data/mdetr/models/table");
    assert!(checked.contains(place.to_str().unwrap()), "{checked}");
    let checked = succeeded(run(None, "bundle check tabletop"));
    assert!(checked.contains("models/tabletop"), "{checked}");
}

#[test]
fn a_directory_comes_before_a_name() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("table")).unwrap();
    let output = run(dir.path(), None, "bundle check table");
    refused(&output, "table/model.toml: missing");
    // Whatever lies around is not taken for the bundled model.
    fs::create_dir(dir.path().join("tabletop")).unwrap();
    succeeded(run(dir.path(), None, "detect a.png --query cubes"));
}

#[test]
fn an_unknown_name_is_told_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let known = "no model is named eb3: there are table, tabletop; fetch it with `mdetr pull eb3`";
    for (model, line) in [
        (None, "detect a.png --query cubes --model eb3"),
        (None, "bundle check eb3"),
        (None, "plan build --model eb3"),
        (Some("eb3"), "detect a.png --query cubes"),
    ] {
        let output = run(dir.path(), model, line);
        assert_eq!(code(&output), 2, "{line}");
        refused(&output, known);
    }
    let output = run(dir.path(), Some("eb3"), "detect a.png --query cubes");
    refused(&output, "MDETR_MODEL names eb3: no model is named eb3");
}
