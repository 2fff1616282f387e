//! `mdetr eval flickr|rec|...` as a user runs them, on the fixtures of mdetr-eval.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn eval(arguments: &str) -> Output {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../eval/tests/fixtures");
    Command::new(env!("CARGO_BIN_EXE_mdetr"))
        .arg("eval")
        .args(arguments.split_whitespace())
        .current_dir(fixtures)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn json(arguments: &str) -> Value {
    let output = eval(&format!("{arguments} --json"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn assert_close(found: &Value, expected: &Value) {
    let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

#[test]
fn every_evaluator_gives_its_numbers() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../eval/tests/fixtures");
    let expected = std::fs::read_to_string(fixtures.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();

    let flickr = "flickr --predictions flickr/predictions.jsonl --entities flickr --split val";
    let found = json(flickr);
    assert_close(
        &found["all"]["recall"]["1"],
        &expected["flickr"]["any"]["all"]["recall"][0],
    );
    let found = json(&format!("{flickr} --boxes merged"));
    assert_close(
        &found["all"]["recall"]["5"],
        &expected["flickr"]["merged"]["all"]["recall"][1],
    );

    let found = json("rec --predictions rec/predictions.jsonl --annotations rec/truth.json");
    let accuracy = &found["datasets"]["refcocog"];
    assert_close(
        &accuracy["official_giou"]["10"],
        &expected["rec"]["refcocog"]["giou"][2],
    );
    assert_close(
        &accuracy["plain_iou"]["10"],
        &expected["rec"]["refcocog"]["iou"][2],
    );

    let found = json(
        "clevr-ref --predictions clevr_ref/predictions.jsonl --annotations clevr_ref/truth.json",
    );
    let accuracy = &found["datasets"]["clevrref"]["official_giou"]["1"];
    assert_close(accuracy, &expected["clevr_ref"]["giou"][0]);

    let found = json(
        "phrasecut --predictions phrasecut/predictions.jsonl --refer phrasecut/refer_miniv.json \
         --sizes phrasecut/image_data_split.json --boxes",
    );
    assert_close(
        &found["masks"]["mean_iou"],
        &expected["phrasecut"]["masks"]["mean_iou"],
    );
    assert_close(
        &found["boxes"]["mean_iou"],
        &expected["phrasecut"]["boxes"]["mean_iou"],
    );

    let out = tempfile::tempdir().unwrap();
    let submission = out.path().join("submission.json");
    let found = json(&format!(
        "gqa --predictions gqa/predictions.jsonl --questions gqa/questions.json \
         --vocabulary gqa/gqa_answer2id_by_type.json --submission {}",
        submission.display()
    ));
    assert_close(&found["accuracy"], &expected["gqa"]["accuracy"]);
    let read = |path: &Path| -> Value {
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    assert_eq!(
        read(&submission),
        read(&fixtures.join("gqa/submission.json"))
    );

    let answers = out.path().join("answers.txt");
    let found = json(&format!(
        "clevr --predictions clevr/predictions.jsonl --questions clevr/questions.json --answers {}",
        answers.display()
    ));
    assert_close(&found["overall"]["accuracy"], &expected["clevr"]["overall"]);
    let lines = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(lines(&answers), lines(&fixtures.join("clevr/answers.txt")));

    let found = json("coco --predictions coco/predictions.jsonl --annotations coco/truth.json");
    assert_close(&found["ap_50"], &expected["coco"][1]);
    let found = json("lvis --predictions lvis/predictions.jsonl --annotations lvis/truth.json");
    assert_close(&found["ap_rare"], &expected["lvis"]["APr"]);
}

#[test]
fn without_json_it_is_a_table() {
    let output = eval("rec --predictions rec/predictions.jsonl --annotations rec/truth.json");
    let table = text(&output.stdout);
    assert!(table.starts_with("accuracy, %"), "{table}");
    assert!(table.contains("GIoU >= 0.5 (official)"), "{table}");
}

#[test]
fn missing_predictions_are_an_error_unless_a_part_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part.jsonl");
    let one = r#"{"id": 100, "boxes": [[0, 0, 9, 9]], "scores": [0.5]}"#;
    std::fs::write(&path, format!("{one}\n{one}\n{{\"id\": 101, \"bo")).unwrap();
    let arguments = format!(
        "rec --predictions {} --annotations rec/truth.json",
        path.display()
    );
    let output = eval(&arguments);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(
        message.contains("59 of 60 samples have no prediction"),
        "{message}"
    );
    let output = eval(&format!("{arguments} --partial --json"));
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("1 samples have more than one prediction"));
}

#[test]
fn a_directory_is_still_required_without_an_evaluator() {
    let output = eval("");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("DATASET"),
        "{}",
        text(&output.stderr)
    );
}
