//! What `mdetr-bench` prints, with the bundled model.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

const SIZE: &str = "64x48";

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tabletop")
}

fn bench(command: &str) -> Command {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_mdetr-bench"));
    bench.arg(command);
    bench
}

/// The JSON on each line of what a command prints.
fn run(command: &mut Command, input: &str) -> Vec<Value> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("built beside this test");
    let mut stdin = child.stdin.take().expect("piped");
    stdin
        .write_all(input.as_bytes())
        .expect("read by the child");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", output.status);
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// Two frames in a file.
fn frames(dir: &Path) -> PathBuf {
    let out = dir.join("frames.rgb");
    let mut command = bench("frames");
    command
        .args(["--count", "2", "--size", SIZE, "--seed", "5", "--out"])
        .arg(&out);
    assert_eq!(run(&mut command, ""), [Value::Null; 0]);
    assert_eq!(fs::read(&out).expect("written").len(), 2 * 64 * 48 * 3);
    out
}

#[test]
fn serve_answers_requests_in_turn() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let queries = dir.path().join("queries.txt");
    fs::write(&queries, "all objects\na red ball\n").expect("writable");
    let mut command = bench("serve");
    command.args([
        "--engine",
        "tract",
        "--size",
        SIZE,
        "--short-side",
        "48",
        "--model",
    ]);
    command
        .arg(model())
        .arg("--frames")
        .arg(frames(dir.path()))
        .arg("--queries")
        .arg(queries);
    let requests = r#"{"queries": 1, "warm": 1, "seconds": 0}
{"queries": 2, "warm": 0, "seconds": 0.2}
"#;
    let replies = run(&mut command, requests);
    assert_eq!(replies[0]["name"], "tract");
    assert_eq!(replies.len(), 3);
    let latencies = |reply: &Value| -> Vec<f64> {
        let latencies = reply["latencies_ms"].as_array().expect("an array");
        latencies
            .iter()
            .map(|ms| ms.as_f64().expect("a number"))
            .collect()
    };
    assert_eq!(latencies(&replies[1]).len(), 1);
    for reply in &replies[1..] {
        let (sum, wall) = (
            latencies(reply).iter().sum::<f64>(),
            reply["wall_ms"].as_f64(),
        );
        assert!(sum > 0.0 && wall.is_some_and(|wall| wall >= sum), "{reply}");
        assert!(reply["cpu_ms"].as_f64() > Some(0.0), "{reply}");
        assert!(reply["peak_bytes"].as_u64() > Some(1 << 20), "{reply}");
    }
    assert!(
        replies[2]["wall_ms"].as_f64() >= Some(200.0),
        "{}",
        replies[2]
    );
}

#[test]
fn element_counts_frames_with_it_and_without() {
    for (mode, rate) in [("every-frame", "0"), ("live", "100")] {
        let mut command = bench("element");
        command.args([
            "--engine", "tract", "--format", "NV12", "--size", SIZE, "--mode", mode,
        ]);
        command
            .args(["--rate", rate, "--frames", "10", "--rounds", "2", "--model"])
            .arg(model());
        let report = run(&mut command, "").remove(0);
        let rounds = report["rounds"].as_array().expect("an array");
        assert_eq!(rounds.len(), 2);
        for round in rounds {
            assert_eq!(
                (&round["frames"], &round["copied"]),
                (&10.into(), &0.into()),
                "{round}"
            );
            // In mode live as little as one frame is inferred, which takes less than the rest varies by.
            if mode == "every-frame" {
                assert!(
                    round["with_cpu_ms"].as_f64() > round["without_cpu_ms"].as_f64(),
                    "{round}"
                );
                assert_eq!(round["inferred"], 10, "{round}");
                let busy = round["preprocess_ms"].as_f64() > Some(0.0);
                assert!(busy && round["graphs_ms"].as_f64() > Some(0.0), "{round}");
            }
        }
    }
}

/// So many streams of so many frames per second for so many seconds.
fn streams(frames: &Path, [streams, rate, seconds]: [&str; 3]) -> Command {
    let mut command = bench("streams");
    command.args(["--engine", "tract", "--size", SIZE, "--model"]);
    command.arg(model()).arg("--frames").arg(frames);
    command.args(["--streams", streams, "--rate", rate, "--seconds", seconds]);
    command
}

#[test]
fn streams_are_counted_each() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut command = streams(&frames(dir.path()), ["3", "10", "2"]);
    let report = run(&mut command, "").remove(0);
    let length = |name: &str| report[name].as_array().expect("an array").len() as u64;
    let fed = report["fed"].as_u64().expect("a number");
    assert!(fed >= 3 * 19, "{fed}");
    assert_eq!((length("passages_ms"), length("lateness_ms")), (fed, fed));
    assert_eq!((length("inferred"), &report["users"]), (3, &3.into()));
    assert_eq!(report["copied"], 0);
    assert!(report["inference_ms"].as_f64() > Some(0.0), "{report}");
}

#[test]
fn what_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let short = dir.path().join("short.rgb");
    fs::write(&short, [0; 100]).expect("writable");
    let mut command = streams(&short, ["1", "1", "1"]);
    let output = command.output().expect("built beside this test");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(
        message.contains("short.rgb: expected frames of 9216 bytes"),
        "{message}"
    );
}

#[test]
fn what_was_kept_is_asked() {
    let mut command = bench("past");
    command.args([
        "--engine",
        "tract",
        "--frames",
        "300",
        "--precision",
        "int8",
        "--model",
    ]);
    let found = run(command.arg(model()), "").remove(0);
    assert_eq!(found["frames"], 300);
    let bytes = found["bytes"].as_u64().expect("bytes");
    assert!((300 * 20_000..300 * 26_000).contains(&bytes), "{found}");
    for cost in [
        &found["exhaustive"],
        &found["question"],
        &found["moments"]["cost"],
    ] {
        assert!(cost["wall_ms"].as_f64().expect("a time") > 0.0, "{found}");
    }
    assert!(found["coarse_to_fine"]["first_ms"].is_f64(), "{found}");
    assert!(
        found["moments"]["asked"].as_u64().expect("a count") <= 300,
        "{found}"
    );
}
