//! What `gst-inspect-1.0` prints is compared with files in `tests/snapshots`.
//!
//! `MDETR_UPDATE_SNAPSHOTS=1 cargo test -p gst-plugin-mdetr inspect` writes them anew.

use std::env;
use std::fs;
use std::path::Path;

use crate::common::{Installed, output_of};

fn inspect(name: &str) -> String {
    let installed = Installed::new();
    let mut command = installed.command("gst-inspect-1.0");
    command
        .args(["--no-colors", name])
        .env("GST_PLUGIN_SYSTEM_PATH", "");
    normalised(&output_of(&mut command))
}

/// Without what differs between builds and machines.
fn normalised(text: &str) -> String {
    let varying = ["Filename", "Version", "Source release date", "Origin URL"];
    let mut lines = Vec::new();
    for line in text.lines() {
        let key = line.trim_start();
        if varying.iter().any(|name| key.starts_with(name)) {
            continue;
        }
        lines.push(line.trim_end());
    }
    lines.join("\n") + "\n"
}

fn matches(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}.txt"));
    let printed = inspect(name);
    if env::var_os("MDETR_UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(path.parent().expect("in a directory")).expect("created");
        fs::write(&path, printed).expect("written");
        return;
    }
    let expected = fs::read_to_string(&path).expect("a snapshot; see this file's head");
    assert_eq!(
        printed, expected,
        "{name}: see this file's head for updating snapshots"
    );
}

#[test]
fn mdetr_reads_well() {
    matches("mdetr");
}

#[test]
fn mdetrtrack_reads_well() {
    matches("mdetrtrack");
}

#[test]
fn mdetrrules_reads_well() {
    matches("mdetrrules");
}

#[test]
fn mdetroverlay_reads_well() {
    matches("mdetroverlay");
}

#[test]
fn mdetr2json_reads_well() {
    matches("mdetr2json");
}

#[test]
fn tabletopsrc_reads_well() {
    matches("tabletopsrc");
}
