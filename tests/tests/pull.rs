//! From the name of a released model to boxes in a pipeline, in two commands.

#[path = "../../src/cli/tests/checkpoint/mod.rs"]
mod checkpoint;

use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use mdetr_tests::TestEnv;

/// Runs what follows where there is no Python: its programs fail, and its library is empty.
const WITHOUT_PYTHON: &str = r#"
IFS=:
for dir in $PATH; do
    for python in "$dir"/python*; do
        [ ! -f "$python" ] || mount --bind /bin/false "$python"
    done
done
for library in /usr/lib/python3*; do
    [ ! -d "$library" ] || mount -t tmpfs none "$library"
done
if python3 -c 'print()' 2>/dev/null; then
    echo "there is a Python still" >&2
    exit 1
fi
exec "$@"
"#;

/// A program where there is no Python; or where there may be, if this machine lets nobody make namespaces.
fn without_python(program: impl AsRef<OsStr>) -> Command {
    let begin = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount"]);
        command
    };
    let allowed = begin().arg("true").status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("namespaces cannot be made here: with Python, if there is one");
        return Command::new(program);
    }
    let mut command = begin();
    command.args(["sh", "-euc", WITHOUT_PYTHON, "sh"]);
    command.arg(program);
    command
}

#[test]
fn a_pulled_model_is_used_in_a_pipeline() {
    let env = TestEnv::new();
    let stick = env.path().join("stick");
    fs::create_dir_all(stick.join("roberta-base")).unwrap();
    let weights = checkpoint::clevr(env.root());
    fs::write(stick.join("clevr_checkpoint.pth"), weights).unwrap();
    let tokenizer = stick.join("roberta-base/tokenizer.json");
    fs::write(tokenizer, checkpoint::tokenizer()).unwrap();

    let unknown = "tabletopsrc num-buffers=1 ! mdetr model=clevr query=cubes ! fakesink";
    let said = env.launch(unknown).failure();
    assert!(said.contains("no model is named clevr"), "{said}");
    assert!(said.contains("mdetr pull clevr"), "{said}");

    let mut pull = without_python(env.target().join("mdetr"));
    let pull = pull.args(["pull", "clevr", "--from", "stick"]);
    env.run(pull).success();
    let pipeline = "tabletopsrc num-buffers=2 ! video/x-raw,width=160,height=120 \
        ! mdetr model=clevr engine=tract query=cubes ! mdetr2json ! filesink location=out.jsonl";
    let mut launch = without_python("gst-launch-1.0");
    env.run(launch.args(pipeline.split_whitespace())).success();
    let lines = env.read("out.jsonl");
    assert_eq!(lines.lines().count(), 2);
    assert!(lines.contains("\"text\":\"cubes\""), "{lines}");
    // The pipeline needs the model and nothing else.
    assert!(!env.path().join("data/mdetr/downloads/clevr").exists());
}
