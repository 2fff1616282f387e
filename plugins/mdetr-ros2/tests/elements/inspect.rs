//! What `gst-inspect-1.0` prints is compared with files in `tests/snapshots`.
//!
//! `MDETR_UPDATE_SNAPSHOTS=1 cargo test -p gst-plugin-mdetr-ros2 inspect` writes them anew.

use std::env;
use std::fs;
use std::path::Path;

use crate::common::inspect;

/// Without what differs between builds and machines.
fn normalised(text: &str) -> String {
    let varying = ["Filename", "Version", "Source release date", "Origin URL"];
    let lines = text.lines().filter(|line| {
        let key = line.trim_start();
        !varying.iter().any(|name| key.starts_with(name))
    });
    lines.map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
}

fn matches(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}.txt"));
    let printed = normalised(&inspect(name));
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
fn mdetrros2src_reads_well() {
    matches("mdetrros2src");
}

#[test]
fn mdetrros2sink_reads_well() {
    matches("mdetrros2sink");
}
