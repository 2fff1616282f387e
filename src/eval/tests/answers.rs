//! GQA and CLEVR.

mod common;

use common::{assert_close, expected, files, fixture, lines, predictions};
use mdetr_eval::{clevr, gqa};

fn gqa_fixture() -> gqa::Truth {
    let vocabulary = fixture("gqa/gqa_answer2id_by_type.json");
    gqa::Truth::read(&fixture("gqa/questions.json"), &vocabulary).unwrap()
}

#[test]
fn gqa_agrees_with_independent_code() {
    let predictions = predictions("gqa/predictions.jsonl");
    let report = gqa::evaluate(&gqa_fixture(), &predictions).unwrap();
    let expected = expected("gqa");
    assert_close(report.accuracy, &expected["accuracy"]);
    assert_close(
        report.accuracy_answer_total,
        &expected["accuracy_answer_total"],
    );
    for (name, accuracy) in &report.types {
        assert_close(accuracy.accuracy, &expected["types"][name]);
    }
    let batches = gqa::accuracy_of_batches(&gqa_fixture(), &predictions, 8);
    assert_close(batches, &expected["batches_of_8"]);
}

#[test]
fn gqa_submission_is_the_official_one() {
    let predictions = predictions("gqa/predictions.jsonl");
    let submission = gqa::submission(&gqa_fixture(), &predictions).unwrap();
    let found = serde_json::to_value(submission).unwrap();
    let text = std::fs::read_to_string(fixture("gqa/submission.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found, expected);
}

/// 0 object, 1 attribute, 2 relation, 3 global, 4 category.
#[test]
fn gqa_types_have_their_order() {
    let question = r#"{"1": {"answer": "x", "types": {"semantic": "global"}}}"#;
    let vocabulary = r#"{"answer_obj": {"o": 0}, "answer_attr": {"a": 0}, "answer_rel": {"r": 0},
        "answer_global": {"g": 0}, "answer_cat": {"c": 0}}"#;
    let dir = files(&[("q.json", question), ("v.json", vocabulary)]);
    let truth = gqa::Truth::read(&dir.path().join("q.json"), &dir.path().join("v.json")).unwrap();
    for (kind, expected) in ["o", "a", "r", "g", "c"].into_iter().enumerate() {
        let line = format!(
            r#"{{"id": 1, "answer": {{"type": {kind}, "obj": 0, "attr": 0, "rel": 0, "global": 0, "cat": 0}}}}"#
        );
        let found = gqa::submission(&truth, &lines(&[&line])).unwrap();
        assert_eq!(found[0].prediction, expected);
    }
    let answer = |answer: &str| {
        let line = format!(r#"{{"id": 1, "answer": {answer}}}"#);
        gqa::submission(&truth, &lines(&[&line]))
    };
    assert_eq!(
        answer(r#"{"text": "maybe"}"#).unwrap()[0].prediction,
        "maybe"
    );
    let error = answer(r#"{"type": 5}"#).unwrap_err().to_string();
    assert!(
        error.ends_with("answer.type: expected a class of 0 to 4, found 5"),
        "{error}"
    );
    let error = answer(r#"{"type": 3, "global": 1}"#)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("answer.global: expected a class of the vocabulary, found 1"),
        "{error}"
    );
    let error = answer(r#"{"type": 2}"#).unwrap_err().to_string();
    assert!(
        error.ends_with("answer.rel: expected a class, found nothing"),
        "{error}"
    );
}

#[test]
fn gqa_heads_need_not_be_split() {
    let question = r#"{"1": {"answer": "yes"}, "2": {"answer": "rare"}, "3": {}}"#;
    let dir = files(&[
        ("q.json", question),
        ("v.json", r#"{"yes": 1, "unknown": 0}"#),
    ]);
    let truth = gqa::Truth::read(&dir.path().join("q.json"), &dir.path().join("v.json")).unwrap();
    let found = lines(&[
        r#"{"id": "1", "answer": {"class": 1}}"#,
        r#"{"id": "2", "answer": {"class": 0}}"#,
        r#"{"id": "3", "answer": {"class": 0}}"#,
    ]);
    let report = gqa::evaluate(&truth, &found).unwrap();
    assert_eq!((report.questions, report.accuracy), (2, Some(0.5)));
    assert_eq!(
        report.accuracy_answer_total,
        Some(1.0),
        "an unknown answer is \"unknown\""
    );
}

#[test]
fn gqa_damaged_files_are_errors_that_name_the_place() {
    let read = |question: &str, vocabulary: &str| {
        let dir = files(&[("q.json", question), ("v.json", vocabulary)]);
        let truth = gqa::Truth::read(&dir.path().join("q.json"), &dir.path().join("v.json"));
        truth.unwrap_err().to_string()
    };
    let error = read(r#"{"7": {"answer": 3}}"#, r#"{"a": 1}"#);
    assert!(
        error.contains("q.json: 7.answer: invalid type: integer `3`, expected a string"),
        "{error}"
    );
    let error = read("{}", r#"{"answer_obj": {}}"#);
    assert!(
        error.contains("answer_attr: expected answers with their classes"),
        "{error}"
    );
    let error = read("{}", r#"{"answer_obj": {"x": "y"}}"#);
    assert!(
        error.ends_with("v.json: answer_obj.x: invalid type: string \"y\", expected usize"),
        "{error}"
    );
    let error = read("{}", r#"{"a": 1, "b": 1}"#);
    assert!(
        error.ends_with("\"b\": expected a class of its own, found 1"),
        "{error}"
    );
    let error = read("{}", r#"{"a": 99999999999}"#);
    assert!(
        error.ends_with("expected a class below 1048576, found 99999999999"),
        "{error}"
    );
    let error = read(r#"{"7": {"types": {"semantic": "query"}}}"#, r#"{"a": 1}"#);
    assert!(
        error.contains("question \"7\": types.semantic: expected one of"),
        "{error}"
    );
}

#[test]
fn clevr_agrees_with_independent_code() {
    let truth = clevr::Truth::read(&fixture("clevr/questions.json")).unwrap();
    let predictions = predictions("clevr/predictions.jsonl");
    let report = clevr::evaluate(&truth, &predictions).unwrap();
    let expected = expected("clevr");
    assert_close(report.overall.accuracy, &expected["overall"]);
    assert_eq!(report.families.len(), 5);
    for (name, accuracy) in &report.families {
        assert_close(accuracy.accuracy, &expected["families"][name]);
    }
    let answers = std::fs::read_to_string(fixture("clevr/answers.txt")).unwrap();
    assert_eq!(clevr::answers(&truth, &predictions).unwrap(), answers);
}

#[test]
fn clevr_without_programs_or_indices() {
    let questions = r#"{"questions": [{"answer": "yes"}, {"answer": "2"}, {"question": "Why?"}]}"#;
    let dir = files(&[("q.json", questions)]);
    let truth = clevr::Truth::read(&dir.path().join("q.json")).unwrap();
    let found = lines(&[
        r#"{"id": 2, "answer": {"type": 1, "attr": 14}}"#,
        r#"{"id": 1, "answer": {"text": "2"}}"#,
        r#"{"id": 0, "answer": {"type": 0, "binary": 0.5}}"#,
    ]);
    let report = clevr::evaluate(&truth, &found).unwrap();
    assert_eq!(
        (report.overall.questions, report.overall.accuracy),
        (2, Some(0.5))
    );
    assert!(report.families.is_empty());
    assert_eq!(clevr::answers(&truth, &found).unwrap(), "no\n2\nmetal\n");
    let wrong = lines(&[
        r#"{"id": 0, "answer": {"type": 2, "reg": 20}}"#,
        r#"{"id": 1}"#,
        r#"{"id": 2}"#,
    ]);
    let error = clevr::evaluate(&truth, &wrong).unwrap_err().to_string();
    assert!(
        error.ends_with("answer.reg: expected a class of 0 to 19, found 20"),
        "{error}"
    );
}
