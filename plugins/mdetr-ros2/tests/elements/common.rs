//! What the tests share.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;

use gst::glib;

/// Registers the plugin; from here on any warning of GLib or GStreamer's checks ends the test.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().expect("GStreamer is installed");
        glib::log_set_always_fatal(
            glib::LogLevels::LEVEL_CRITICAL | glib::LogLevels::LEVEL_WARNING,
        );
        gstmdetrros2::plugin_register_static().expect("the plugin registers");
    });
}

/// What `gst-inspect-1.0` prints of an element of the plugin as cargo built it.
pub fn inspect(name: &str) -> String {
    let dir = tempfile::tempdir().expect("a writable temporary directory");
    let link = dir.path().join("libgstmdetrros2.so");
    std::os::unix::fs::symlink(plugin_file(), link).expect("linked");
    let mut command = Command::new("gst-inspect-1.0");
    command
        .args(["--no-colors", name])
        .env("GST_PLUGIN_PATH", dir.path())
        .env("GST_PLUGIN_SYSTEM_PATH", "")
        .env("GST_REGISTRY", dir.path().join("registry"))
        .env("GST_REGISTRY_FORK", "no")
        .env("G_DEBUG", "fatal_warnings")
        .env("LC_ALL", "C");
    let output = command.output().expect("GStreamer's tools are installed");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}\n{errors}");
    text
}

/// Beside or above this test's own file.
fn plugin_file() -> PathBuf {
    let test = env::current_exe().expect("a test has a file");
    let deps = test.parent().expect("in a directory");
    let places = [deps.parent().unwrap_or(deps), deps].map(|dir| dir.join("libgstmdetrros2.so"));
    let modified = |path: &PathBuf| fs::metadata(path).and_then(|m| m.modified()).ok();
    let newest = places
        .into_iter()
        .filter(|path| path.is_file())
        .max_by_key(modified);
    newest.expect("cargo builds the plugin before its tests")
}
