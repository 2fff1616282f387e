//! A build without the features `eval`, `past` and `pull`.
#![cfg(not(any(feature = "eval", feature = "past", feature = "pull")))]

use std::process::Command;

#[test]
fn commands_that_are_left_out_name_the_remedy() {
    let mdetr = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdetr"));
        command.args(line.split(' ')).output().unwrap()
    };
    for line in [
        "eval set --json",
        "eval rec --help",
        "scenes show",
        "pull eb3",
        "models",
        "see shots --out past",
        "past past --query x",
    ] {
        let output = mdetr(line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            errors.contains(
                "built without this command: build it with `cargo build --release -p mdetr-cli`"
            ),
            "{line}: {errors}"
        );
    }
    let help = mdetr("--help");
    let help = String::from_utf8_lossy(&help.stdout);
    assert!(!help.contains("eval") && !help.contains("pull"), "{help}");
}
