//! A build without the feature `eval`.
#![cfg(not(feature = "eval"))]

use std::process::Command;

#[test]
fn commands_that_are_left_out_name_the_remedy() {
    let mdetr = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdetr"));
        command.args(line.split(' ')).output().unwrap()
    };
    for line in ["eval set --json", "eval rec --help", "scenes show"] {
        let output = mdetr(line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            errors.contains(
                "built without `eval`: build it with `cargo build --release -p mdetr-cli`"
            ),
            "{line}: {errors}"
        );
    }
    let help = mdetr("--help");
    assert!(!String::from_utf8_lossy(&help.stdout).contains("eval"));
}
