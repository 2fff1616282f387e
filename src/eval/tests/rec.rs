//! Referring expressions.

mod common;

use common::{assert_close, expected, files, fixture, lines, predictions};
use mdetr_eval::AtK;
use mdetr_eval::rec::{Task, Truth, evaluate};
use serde_json::Value;

#[track_caller]
fn assert_at(found: AtK, expected: &Value) {
    for (i, found) in [found.at_1, found.at_5, found.at_10]
        .into_iter()
        .enumerate()
    {
        assert_close(found, &expected[i]);
    }
}

fn one_object(bbox: [f64; 4]) -> Truth {
    let json = format!(
        r#"{{"images": [{{"id": 1, "width": 100, "height": 100, "dataset_name": "refcoco"}}],
            "annotations": [{{"id": 1, "image_id": 1, "bbox": {bbox:?}}}]}}"#
    );
    let dir = files(&[("truth.json", &json)]);
    Truth::read(&dir.path().join("truth.json"), Task::RefCoco).expect("sound")
}

#[test]
fn agrees_with_independent_code() {
    let truth = Truth::read(&fixture("rec/truth.json"), Task::RefCoco).unwrap();
    let report = evaluate(&truth, &predictions("rec/predictions.jsonl")).unwrap();
    let expected = expected("rec");
    assert_eq!(report.datasets.len(), 3);
    for (name, accuracy) in &report.datasets {
        assert_at(accuracy.official_giou, &expected[name]["giou"]);
        assert_at(accuracy.plain_iou, &expected[name]["iou"]);
    }
}

#[test]
fn clevr_ref_counts_entries_with_one_object_by_their_own_score() {
    let truth = Truth::read(&fixture("clevr_ref/truth.json"), Task::ClevrRef).unwrap();
    let report = evaluate(&truth, &predictions("clevr_ref/predictions.jsonl")).unwrap();
    let expected = expected("clevr_ref");
    assert_eq!(report.left_out as u64, expected["left_out"]);
    let accuracy = report.datasets["clevrref"];
    assert_eq!(accuracy.samples, expected["samples"].as_u64().unwrap());
    assert_at(accuracy.official_giou, &expected["giou"]);
}

/// Two boxes of 10 x 10 that share 10 x 7 pixels along a diagonal shift have an IoU of 0.5 or more
/// and a smaller generalised IoU.
#[test]
fn the_official_rule_is_generalised_iou() {
    let truth = one_object([0.0, 0.0, 10.0, 10.0]);
    // I = 8.2 * 8.2 = 67.24, U = 132.76, hull = 11.8 ^ 2 = 139.24: IoU 0.5065, GIoU 0.4600.
    let found = lines(&[r#"{"id": 1, "boxes": [[1.8, 1.8, 11.8, 11.8]], "scores": [0.9]}"#]);
    let accuracy = evaluate(&truth, &found).unwrap().datasets["refcoco"];
    assert_eq!(accuracy.plain_iou.at_1, Some(1.0));
    assert_eq!(accuracy.official_giou.at_1, Some(0.0));
}

#[test]
fn equal_scores_rank_by_coordinates() {
    let truth = one_object([50.0, 0.0, 10.0, 10.0]);
    let found =
        lines(&[r#"{"id": 1, "boxes": [[0, 0, 10, 10], [50, 0, 60, 10]], "scores": [0.5, 0.5]}"#]);
    let accuracy = evaluate(&truth, &found).unwrap().datasets["refcoco"];
    assert_eq!(accuracy.official_giou.at_1, Some(1.0));

    let truth = one_object([0.0, 0.0, 10.0, 10.0]);
    let accuracy = evaluate(&truth, &found).unwrap().datasets["refcoco"];
    assert_eq!(accuracy.official_giou.at_1, Some(0.0));
    assert_eq!(accuracy.official_giou.at_5, Some(1.0));
}

#[test]
fn exactly_half_is_a_hit() {
    let truth = one_object([0.0, 0.0, 10.0, 10.0]);
    let found = lines(&[r#"{"id": 1, "boxes": [[0, 0, 10, 5]], "scores": [0.5]}"#]);
    let accuracy = evaluate(&truth, &found).unwrap().datasets["refcoco"];
    assert_eq!(accuracy.official_giou.at_1, Some(1.0));
    assert_eq!(accuracy.plain_iou.at_1, Some(1.0));
}

#[test]
fn a_second_object_is_an_error_that_names_the_entry() {
    let dir = files(&[(
        "truth.json",
        r#"{"images": [{"id": 7, "width": 9, "height": 9}],
            "annotations": [{"id": 1, "image_id": 7, "bbox": [0, 0, 1, 1]},
                            {"id": 2, "image_id": 7, "bbox": [0, 0, 1, 1]}]}"#,
    )]);
    let path = dir.path().join("truth.json");
    let error = Truth::read(&path, Task::RefCoco).unwrap_err().to_string();
    assert!(
        error.ends_with("images[0] (id 7): annotations: expected exactly 1, found 2"),
        "{error}"
    );
    assert_eq!(
        Truth::read(&path, Task::ClevrRef)
            .unwrap()
            .samples()
            .count(),
        0
    );
}

#[test]
fn the_table_names_both_rules() {
    let truth = one_object([0.0, 0.0, 10.0, 10.0]);
    let found = lines(&[r#"{"id": 1, "boxes": [[1.8, 1.8, 11.8, 11.8]], "scores": [0.9]}"#]);
    let table = evaluate(&truth, &found).unwrap().to_string();
    let expected = "\
accuracy, %                    rule  samples      @1      @5     @10
refcoco      GIoU >= 0.5 (official)        1    0.00    0.00    0.00
refcoco                  IoU >= 0.5        1  100.00  100.00  100.00
";
    assert_eq!(table, expected);
}
