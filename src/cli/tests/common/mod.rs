//! Runs the command.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A picture of the tabletop world, 256 x 192.
pub fn scene() -> PathBuf {
    root().join("src/mdetr/tests/data/parity/00.png")
}

pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdetr"));
    command
        .current_dir(dir)
        .env("MDETR_MODEL", root().join("models/tabletop"));
    command
}

pub fn mdetr<S: AsRef<OsStr>>(dir: &Path, arguments: &[S]) -> Output {
    command(dir).args(arguments).output().unwrap()
}

/// As [`mdetr`], of words.
pub fn run(dir: &Path, line: &str) -> Output {
    mdetr(dir, &line.split(' ').collect::<Vec<_>>())
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
pub fn succeeded(output: Output) -> String {
    assert_eq!(code(&output), 0, "{}", errors(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
pub fn refused(output: &Output, expected: &str) {
    let errors = errors(output);
    assert!(!output.status.success(), "{expected}");
    assert!(errors.contains(expected), "{expected}: {errors}");
}
