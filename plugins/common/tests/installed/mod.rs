//! A plugin as cargo built it, for GStreamer's tools; shared by the tests of all plugins.
//!
//! What `gst-inspect-1.0` prints is compared with files in the plugin's `tests/snapshots`.
//! Every GStreamer prints it in its own way: one of another version than theirs must have their properties.
//! `MDETR_UPDATE_SNAPSHOTS=1 cargo test -p gst-plugin-mdetr -p gst-plugin-mdetr-ros2 inspect` writes them anew.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// GStreamer that printed the snapshots.
const SNAPSHOTS_OF: (u32, u32) = (1, 22);

/// The plugin's file in a directory of its own, with a registry of its own.
pub struct Installed {
    dir: tempfile::TempDir,
}

impl Installed {
    /// The plugin of this file's name.
    pub fn of(file: &str) -> Installed {
        let dir = tempfile::tempdir().expect("a writable temporary directory");
        let link = dir.path().join(file);
        std::os::unix::fs::symlink(plugin_file(file), link).expect("linked");
        Installed { dir }
    }

    /// A GStreamer tool that finds the plugin.
    pub fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        command
            .env("GST_PLUGIN_PATH", self.dir.path())
            .env("GST_REGISTRY", self.dir.path().join("registry"))
            .env("GST_REGISTRY_FORK", "no")
            .env("G_DEBUG", "fatal_warnings")
            .env("LC_ALL", "C");
        command
    }

    /// Compares what `gst-inspect-1.0` prints of an element with its snapshot.
    pub fn reads_as_before(&self, element: &str) {
        let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
        let path = snapshots.join(format!("{element}.txt"));
        let mut command = self.command("gst-inspect-1.0");
        command
            .args(["--no-colors", element])
            .env("GST_PLUGIN_SYSTEM_PATH", "");
        let printed = normalised(&output_of(&mut command));
        if env::var_os("MDETR_UPDATE_SNAPSHOTS").is_some() {
            fs::create_dir_all(snapshots).expect("created");
            fs::write(&path, printed).expect("written");
            return;
        }
        let expected = fs::read_to_string(&path).expect("a snapshot; see this file's head");
        let (major, minor, ..) = gst::version();
        if (major, minor) != SNAPSHOTS_OF {
            let there = properties(&printed);
            for property in properties(&expected) {
                assert!(
                    there.contains(&property),
                    "{element}: no {property:?} in {there:?}"
                );
            }
            return;
        }
        assert_eq!(
            printed, expected,
            "{element}: see this file's head for updating snapshots"
        );
    }
}

/// Beside or above this test's own file.
fn plugin_file(file: &str) -> PathBuf {
    let test = env::current_exe().expect("a test has a file");
    let deps = test.parent().expect("in a directory");
    let places = [deps.parent().unwrap_or(deps), deps].map(|dir| dir.join(file));
    let modified = |path: &PathBuf| fs::metadata(path).and_then(|m| m.modified()).ok();
    let newest = places
        .into_iter()
        .filter(|path| path.is_file())
        .max_by_key(modified);
    newest.expect("cargo builds the plugin before its tests")
}

/// What a command prints; fails the test with it if the command fails.
pub fn output_of(command: &mut Command) -> String {
    let output = command.output().expect("GStreamer's tools are installed");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}\n{errors}");
    text
}

/// Without what differs between builds and machines.
fn normalised(text: &str) -> String {
    let varying = ["Filename", "Version", "Source release date", "Origin URL"];
    let lines = text.lines().filter(|line| {
        let key = line.trim_start();
        !varying.iter().any(|name| key.starts_with(name))
    });
    lines.map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
}

/// The properties with what they do, those of base classes too.
fn properties(text: &str) -> Vec<String> {
    let lines = text
        .lines()
        .skip_while(|line| *line != "Element Properties:")
        .skip(1)
        .take_while(|line| line.is_empty() || line.starts_with(' '));
    let properties = lines.filter_map(|line| {
        let property = line
            .strip_prefix("  ")
            .filter(|line| !line.starts_with(' '))?;
        let (name, does) = property.split_once(':')?;
        Some(format!("{}:{does}", name.trim()))
    });
    properties.collect()
}
