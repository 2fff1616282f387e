//! The programs in `examples` do what they say, as a user would run them.

use std::path::PathBuf;
use std::process::Command;

use mdetr_tests::{Output, TestEnv};

/// The system's Python: it has the bindings of GStreamer, which others do not see.
const PYTHON: &str = "/usr/bin/python3";

const PROGRAMS: [&str; 4] = [
    "change_queries.py",
    "read_json.py",
    "read_metadata.py",
    "watch_lines.py",
];

fn program(env: &TestEnv, name: &str) -> PathBuf {
    env.root().join("examples").join(name)
}

fn run(env: &TestEnv, name: &str, args: &[&str]) -> Output {
    let mut command = Command::new(PYTHON);
    env.run(command.arg(program(env, name)).args(args))
}

/// Runs a script in which `$python` and `$program` are what they say.
fn bash(env: &TestEnv, name: &str, script: &str) -> Output {
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", script])
        .env("python", PYTHON)
        .env("program", program(env, name));
    env.run(&mut command)
}

/// What a program says that fails in plain words.
fn plain_failure(output: Output) -> String {
    let said = output.failure();
    assert!(!said.contains("Traceback"), "{said}");
    said
}

#[test]
fn all_are_tested_and_explain_themselves() {
    let env = TestEnv::new();
    let files = std::fs::read_dir(env.root().join("examples")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".py")).collect();
    names.sort();
    assert_eq!(names, PROGRAMS);
    for name in PROGRAMS {
        let help = run(&env, name, &["--help"]).success();
        assert!(help.starts_with("usage:"), "{name}: {help}");
    }
}

#[test]
fn metadata_is_read() {
    let env = TestEnv::new();
    let args = [
        "--query",
        "all objects",
        "--source",
        "tabletopsrc seed=3 num-buffers=3",
    ];
    let lines = run(&env, "read_metadata.py", &args).success();
    for time in ["0.000 s", "0.033 s", "0.067 s"] {
        let found = lines.lines().find(|line| line.starts_with(time));
        let found = found.unwrap_or_else(|| panic!("nothing at {time}:\n{lines}"));
        let score = found.split("q1  'all objects'  ").nth(1);
        let score = score.and_then(|rest| rest.split("  ").next()?.parse().ok());
        assert!(score > Some(0.9), "{found}");
    }
}

#[test]
fn json_is_read() {
    let env = TestEnv::new();
    let args = [
        "--query",
        "all objects",
        "--query",
        "is there a \"big\" object?",
        "--query",
        "[a purple cone] behind a cyan cube",
        "--source",
        "tabletopsrc seed=3 num-buffers=2",
    ];
    let lines = run(&env, "read_json.py", &args).success();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert!(lines[0].starts_with("0.000 s  q1  "), "{lines:?}");
    assert!(lines[0].contains(" found ("), "{lines:?}");
    assert!(lines[1].starts_with("0.000 s  q2  answer "), "{lines:?}");
    assert!(lines[5].starts_with("0.033 s  q3  "), "{lines:?}");
}

#[test]
fn queries_change_while_playing() {
    let env = TestEnv::new();
    // The first line comes when the first queries are answered, however long the model takes to load.
    let script = r#"
        mkfifo typed
        "$python" "$program" --query "all cones" <typed >said 2>errors & child=$!
        exec 3>typed
        wait_for() { for _ in $(seq 600); do ! grep -q "$1" said errors || return 0; sleep 0.1; done; exit 9; }
        wait_for "revision 1: all cones"
        echo 'all objects; a "red" ball' >&3
        wait_for 'revision 2: all objects; a "red" ball'
        echo '[a cube' >&3
        wait_for "The queries of before stay"
        exec 3>&-
        wait $child
        cat said
    "#;
    let said = bash(&env, "change_queries.py", script).success();
    assert!(said.contains("  all objects: found"), "{said}");
    assert!(!said.contains("revision 3"), "{said}");
}

#[test]
fn lines_are_read_from_a_pipe() {
    let env = TestEnv::new();
    let script = r#"
        gst-launch-1.0 -q tabletopsrc seed=3 num-buffers=3 ! mdetr query="all objects" \
          ! mdetr2json source=cam0 ! fdsink | "$python" "$program"
    "#;
    let said = bash(&env, "watch_lines.py", script).success();
    assert_eq!(said, "0.000 s  cam0  all objects: appeared\n");

    let query = |present, detections| {
        format!(r#"{{"id":"q1","text":"a ball","present":{present},"detections":[{detections}]}}"#)
    };
    let line = |frame: u32, query: String| {
        format!(
            r#"{{"schema":"mdetr/1","source":"a","frame":{frame},"size":[8,8],"revision":1,"queries":[{query}]}}"#
        )
    };
    let text = [
        line(0, query(false, "")),
        "damaged".to_owned(),
        String::new(),
        line(
            1,
            query(true, r#"{"box":[1,1,2,2],"score":0.9,"phrases":[]}"#),
        ),
        line(2, query(false, "")),
        r#"{"schema":"other"}"#.to_owned(),
    ];
    std::fs::write(env.path().join("lines.jsonl"), text.join("\n")).unwrap();
    let output = run(&env, "watch_lines.py", &["lines.jsonl"]);
    assert!(
        output.stderr.contains("line 2: not a JSON object"),
        "{output:?}"
    );
    assert!(
        output.stderr.contains("line 6: expected schema"),
        "{output:?}"
    );
    let said = output.success();
    assert_eq!(
        said,
        "frame 1  a  a ball: appeared\nframe 2  a  a ball: gone\n"
    );
}

#[test]
fn failures_are_told_in_plain_words() {
    let env = TestEnv::new();
    for name in ["read_metadata.py", "read_json.py"] {
        let said = plain_failure(run(&env, name, &["--query", "[a ball"]));
        assert!(said.contains("'[' without ']'"), "{name}: {said}");
        let said = plain_failure(run(&env, name, &["--source", "filesrc location=/nowhere"]));
        assert!(said.contains("filesrc0: "), "{name}: {said}");
    }
    for name in ["read_metadata.py", "read_json.py", "change_queries.py"] {
        let said = plain_failure(run(&env, name, &["--source", "nosuchelement"]));
        assert!(
            said.contains("no element \"nosuchelement\""),
            "{name}: {said}"
        );
        assert!(said.contains("GST_PLUGIN_PATH"), "{name}: {said}");
    }
    let said = plain_failure(run(&env, "watch_lines.py", &["nothing.jsonl"]));
    assert!(said.contains("nothing.jsonl: cannot be read"), "{said}");
}

/// Runs an example of the crate mdetr on the pictures of a rendered video.
fn rust_example(env: &TestEnv, name: &str, args: &[&str]) -> Output {
    let program = env.target().join("examples").join(name);
    let mut command = Command::new(program);
    env.run(command.args(args).env("MDETR_MODEL", env.model()))
}

#[test]
fn rust_finds_sentences_in_a_picture() {
    let env = TestEnv::new();
    let picture = env.root().join("src/mdetr/tests/data/parity/06.png");
    let picture = picture.to_str().unwrap();
    let said = rust_example(&env, "detect", &[picture, "all cubes", "a cone"]);
    let said = said.success();
    assert!(
        said.starts_with("all cubes\n  nothing\na cone\n  413 158 "),
        "{said}"
    );
    let help = rust_example(&env, "detect", &["--help"]).success();
    assert!(
        help.starts_with("Usage: detect PICTURE SENTENCE..."),
        "{help}"
    );
    let missing = rust_example(&env, "detect", &["nothing.png", "a cube"]);
    assert!(missing.failure().contains("nothing.png"));
}

#[test]
fn rust_asks_later_what_was_seen() {
    let env = TestEnv::new();
    let picture = env.root().join("src/mdetr/tests/data/parity/06.png");
    let picture = picture.to_str().unwrap();
    rust_example(&env, "seen", &["keep", picture, "06.seen"]).success();
    let later = rust_example(&env, "seen", &["ask", "06.seen", "all cubes", "a cone"]).success();
    assert!(
        later.starts_with("all cubes\n  nothing\na cone\n  408 155 "),
        "{later}"
    );
    let refused = rust_example(&env, "seen", &["ask", picture, "all cubes"]).failure();
    assert!(refused.contains("NotSeen"), "{refused}");
    let help = rust_example(&env, "seen", &["--help"]).success();
    assert!(help.starts_with("Usage: seen keep PICTURE FILE"), "{help}");
}

#[test]
fn rust_changes_standing_queries() {
    let env = TestEnv::new();
    let pictures = env.root().join("src/mdetr/tests/data/parity");
    let args = [pictures.to_str().unwrap(), "all cubes", "all cones"];
    let said = rust_example(&env, "standing_queries", &args).success();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].contains(": revision 1: all cubes: "), "{said}");
    let last = lines[lines.len() - 2];
    assert!(last.contains(": revision 2: all cones: "), "{said}");
    assert!(
        lines[lines.len() - 1].ends_with("2 texts encoded"),
        "{said}"
    );
    let help = rust_example(&env, "standing_queries", &["--help"]).success();
    assert!(
        help.starts_with("Usage: standing_queries DIRECTORY"),
        "{help}"
    );
}
