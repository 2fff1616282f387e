//! What `mdetr` gives the shell: completions and manual pages.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn mdetr(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mdetr"))
        .args(arguments)
        .output()
        .unwrap()
}

fn printed(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn pages(dir: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn help_lists_both() {
    let help = printed(&mdetr(&["--help"]));
    for words in ["complete commands", "manual pages"] {
        assert!(help.contains(words), "{words}: {help}");
    }
}

#[test]
fn nobody_has_to_read_it_all() {
    for arguments in [
        ["models", "show", "eb3"].as_slice(),
        &["models"],
        &["plan", "list"],
    ] {
        let child = Command::new(env!("CARGO_BIN_EXE_mdetr"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        // As `mdetr models | true` closes it.
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert!(!errors.contains("panicked"), "{arguments:?}: {errors}");
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&mdetr(&["completions", shell]));
        for word in ["detect", "annotate", "bundle", "completions"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let refused = mdetr(&["completions", "cobol"]);
    assert_eq!(refused.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(
        errors.contains("bash") && errors.contains("cobol"),
        "{errors}"
    );
}

#[test]
fn bash_completes_commands_and_options() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("mdetr.bash");
    fs::write(&script, printed(&mdetr(&["completions", "bash"]))).unwrap();
    let syntax = Command::new("bash").arg("-n").arg(&script).output();
    assert_eq!(printed(&syntax.unwrap()), "");
    let completed = |words: &str, count: usize| {
        let program = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={count}; \
             _mdetr mdetr \"${{COMP_WORDS[{count}]}}\" \"${{COMP_WORDS[{count}-1]}}\"; \
             echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let run = Command::new("bash").arg("-c").arg(program).output();
        printed(&run.unwrap()).trim().to_owned()
    };
    assert_eq!(completed("mdetr det", 1), "detect");
    assert_eq!(completed("mdetr detect --anno", 2), "--annotate");
}

#[test]
fn every_command_has_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("share/man/man1");
    let man = || mdetr(&["man", out.to_str().unwrap()]);
    assert_eq!(printed(&man()), "");
    let written = pages(&out);
    for name in [
        "mdetr",
        "mdetr-detect",
        "mdetr-bundle-check",
        "mdetr-plan-build",
        "mdetr-sheet",
        "mdetr-man",
    ] {
        let page = &written[&format!("{name}.1")];
        let title = format!(".TH {name} 1 ");
        assert_eq!(
            page.lines().filter(|l| l.starts_with(&title)).count(),
            1,
            "{page}"
        );
    }
    assert!(
        !written.keys().any(|name| name.contains("help")),
        "{:?}",
        written.keys()
    );
    let page = &written["mdetr-detect.1"];
    for words in ["Look for what sentences describe", "annotate", "IMAGE"] {
        assert!(page.contains(words), "{words}: {page}");
    }

    // They are replaced, and a page of somebody else is not.
    fs::write(out.join("mdetr-detect.1"), "").unwrap();
    assert_eq!(printed(&man()), "");
    assert_eq!(pages(&out), written);
    fs::write(out.join("mdetr.1"), ".TH mdetr 1\n").unwrap();
    let refused = man();
    assert_eq!(refused.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(errors.contains("mdetr.1: exists"), "{errors}");
}
