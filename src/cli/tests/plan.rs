//! `mdetr plan` as a user runs it, where there is no GPU.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Exit code, standard output and standard error.
fn plan(arguments: &[&str], cache: &Path) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mdetr"))
        .arg("plan")
        .args(arguments)
        .env("XDG_CACHE_HOME", cache)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn plans_are_listed_and_removed() {
    let cache = tempfile::tempdir().unwrap();
    let dir = cache.path().join("mdetr/plans");
    let (code, out, _) = plan(&["list"], cache.path());
    assert_eq!(code, 0);
    assert!(
        out.contains(&format!("{}: no plans", dir.display())),
        "{out}"
    );
    fs::write(dir.join(format!("{}.plan", "ab".repeat(32))), "junk").unwrap();
    fs::write(dir.join("notes.txt"), "mine").unwrap();
    let (code, out, _) = plan(&["list"], cache.path());
    assert_eq!(code, 0);
    assert!(out.contains("abababababab"), "{out}");
    assert!(out.contains("damaged: it will be built again"), "{out}");
    let (code, out, _) = plan(&["clear"], cache.path());
    assert_eq!(code, 0);
    assert!(out.contains("1 plans removed"), "{out}");
    assert!(dir.join("notes.txt").exists());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_done_is_said() {
    let cache = tempfile::tempdir().unwrap();
    let file = cache.path().join("file");
    fs::write(&file, "").unwrap();
    let under = file.join("plans").display().to_string();
    let (code, _, err) = plan(&["list", "--plan-cache-dir", &under], cache.path());
    assert_eq!(code, 2);
    assert!(
        err.contains(&under) && err.contains("choose another"),
        "{err}"
    );

    let (code, _, err) = plan(&["build", "--size", "640"], cache.path());
    assert_eq!(code, 2);
    assert!(err.contains("expected WIDTHxHEIGHT as 640x480"), "{err}");
    let (code, _, err) = plan(&["build", "--precision", "int8"], cache.path());
    assert_eq!(code, 2);
    assert!(err.contains("expected auto, fp32 or fp16"), "{err}");

    // Without the feature, the library or the GPU: each has its own words.
    let (code, _, err) = plan(&["build", "--device-id", "1000"], cache.path());
    assert_eq!(code, 2);
    assert!(err.contains("tensorrt is not available: "), "{err}");
}
