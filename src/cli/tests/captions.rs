//! `mdetr eval` of a data set whose captions are in another case.

use std::path::Path;
use std::process::Command;

fn mdetr(dir: &Path, args: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_mdetr"))
        .args(args)
        .current_dir(dir)
        .output()
        .expect("mdetr starts");
    let error = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{args:?}: {error}");
    String::from_utf8(run.stdout).expect("output is UTF-8")
}

#[test]
fn the_table_is_the_same_in_any_case() {
    let dir = tempfile::tempdir().unwrap();
    let set = [
        "scenes", "dataset", "--count", "4", "--seed", "90125", "--out", "set",
    ];
    let options = ["--size", "160x120", "--captions", "3", "--mix", "questions"];
    mdetr(dir.path(), &[&set[..], &options].concat());
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tabletop");
    let eval = ["eval", "set", "--model", model, "--engine", "tract"];
    let table = |options: &[&str]| mdetr(dir.path(), &[&eval[..], options].concat());
    let plain = table(&["--json"]);
    assert!(plain.contains("\"captions\":12"), "{plain}");
    for case in ["upper", "title", "lower"] {
        assert_eq!(table(&["--json", "--disturb", case]), plain, "{case}");
    }
    let plain = table(&[]);
    assert!(plain.contains("exact spans"), "{plain}");
    assert_eq!(table(&["--disturb", "upper"]), plain);
}
