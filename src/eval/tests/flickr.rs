//! Phrase grounding.

mod common;

use common::{assert_close, expected, files, fixture, lines, predictions};
use mdetr_eval::flickr::{Boxes, Truth, evaluate};

#[test]
fn agrees_with_independent_code() {
    let predictions = predictions("flickr/predictions.jsonl");
    for (boxes, name) in [(Boxes::Any, "any"), (Boxes::Merged, "merged")] {
        let truth = Truth::read(&fixture("flickr"), "val", boxes).unwrap();
        let report = evaluate(&truth, &predictions).unwrap();
        let expected = &expected("flickr")[name];
        let types = report
            .types
            .iter()
            .map(|(name, recall)| (name.as_str(), recall));
        for (name, recall) in types.chain([("all", &report.all)]) {
            let expected = &expected[name];
            assert_eq!(
                recall.phrases,
                expected["phrases"].as_u64().unwrap(),
                "{name}"
            );
            let at = recall.recall;
            let found = [at.at_1, at.at_5, at.at_10, recall.upper_bound];
            for (i, found) in found.into_iter().enumerate() {
                assert_close(found, &expected["recall"][i]);
            }
        }
        assert_eq!(report.types.len(), 5);
    }
}

const XML: &str = "<annotation>
  <object><name>1</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>10</xmax><ymax>10</ymax></bndbox></object>
  <object><name>1</name><bndbox><xmin>30</xmin><ymin>0</ymin><xmax>40</xmax><ymax>10</ymax></bndbox></object>
  <object><name>2</name><nobndbox>1</nobndbox></object>
</annotation>";

fn truth(boxes: Boxes) -> Truth {
    let dir = files(&[
        ("test.txt", "77\n"),
        ("Annotations/77.xml", XML),
        (
            "Sentences/77.txt",
            "[/EN#2/scene It] has [/EN#1/people/other two men] and [/EN#3/other sky] .\n",
        ),
    ]);
    Truth::read(dir.path(), "test", boxes).unwrap()
}

#[test]
fn phrases_without_boxes_are_left_out() {
    let truth = truth(Boxes::Any);
    let [sentence] = truth.sentences() else {
        panic!("one sentence");
    };
    assert_eq!(sentence.sample.id.as_str(), "77/0");
    assert_eq!(sentence.sample.image, "77.jpg");
    assert_eq!(sentence.sample.text, "It has two men and sky .");
    let [phrase] = &sentence.phrases[..] else {
        panic!("one phrase has boxes");
    };
    assert_eq!((phrase.span, phrase.boxes.len()), ([7, 14], 2));
    assert_eq!(&sentence.sample.text[7..14], "two men");
}

#[test]
fn a_phrase_of_two_types_counts_in_each_and_once_in_all() {
    let found =
        lines(&[r#"{"id": "77/0", "boxes": [[0, 0, 10, 10]], "phrases": [{"scores": [0.1]}]}"#]);
    let report = evaluate(&truth(Boxes::Any), &found).unwrap();
    assert_eq!(report.all.phrases, 1);
    assert_eq!(report.types["people"].phrases, 1);
    assert_eq!(report.types["other"].phrases, 1);
    assert!(!report.types.contains_key("scene"));
}

#[test]
fn merged_boxes_are_hit_as_a_whole() {
    let found = lines(&[
        r#"{"id": "77/0", "boxes": [[0, 0, 10, 10], [0, 0, 40, 10]], "phrases": [{"scores": [0.9, 0.1]}]}"#,
    ]);
    let any = evaluate(&truth(Boxes::Any), &found).unwrap().all;
    let merged = evaluate(&truth(Boxes::Merged), &found).unwrap().all;
    assert_eq!((any.recall.at_1, any.upper_bound), (Some(1.0), Some(1.0)));
    assert_eq!(
        (merged.recall.at_1, merged.recall.at_5),
        (Some(0.0), Some(1.0))
    );
}

#[test]
fn the_rule_is_plain_iou() {
    // IoU 0.5065, generalised IoU 0.4600.
    let found = lines(&[
        r#"{"id": "77/0", "boxes": [[1.8, 1.8, 11.8, 11.8]], "phrases": [{"scores": [0.9]}]}"#,
    ]);
    let report = evaluate(&truth(Boxes::Any), &found).unwrap();
    assert_eq!(report.all.recall.at_1, Some(1.0));
}

#[test]
fn a_missing_sentence_is_an_error_and_the_first_of_two_counts() {
    let error = evaluate(&truth(Boxes::Any), &lines(&[]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("1 of 1 samples have no prediction, the first is \"77/0\""),
        "{error}"
    );
    let found = lines(&[
        r#"{"id": "77/0", "boxes": [[0, 0, 10, 10]], "phrases": [{"scores": [0.1]}]}"#,
        r#"{"id": "77/0", "boxes": [[90, 0, 99, 10]], "phrases": [{"scores": [0.1]}]}"#,
    ]);
    assert_eq!(found.duplicates(), 1);
    let report = evaluate(&truth(Boxes::Any), &found).unwrap();
    assert_eq!(report.all.recall.at_1, Some(1.0));
}

#[test]
fn a_wrong_number_of_phrases_is_an_error_that_names_the_line() {
    let found = lines(&[
        "",
        r#"{"id": "77/0", "boxes": [[0, 0, 10, 10]], "phrases": []}"#,
    ]);
    let error = evaluate(&truth(Boxes::Any), &found)
        .unwrap_err()
        .to_string();
    let expected = "line 2 (id \"77/0\"): phrases: expected one for each of 1 phrases of \"It has two men and sky .\", found 0";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn damaged_files_are_errors_that_name_the_place() {
    let read = |xml: &str, sentence: &str| {
        let dir = files(&[
            ("t.txt", "5"),
            ("Annotations/5.xml", xml),
            ("Sentences/5.txt", sentence),
        ]);
        Truth::read(dir.path(), "t", Boxes::Any)
            .unwrap_err()
            .to_string()
    };
    let error = read("<annotation><object>", "a");
    assert!(error.contains("5.xml: XML: "), "{error}");
    let object = |x: &str| {
        format!(
            "<annotation><object><name>1</name><bndbox><xmin>{x}</xmin><ymin>0</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></object></annotation>"
        )
    };
    let error = read(&object("a"), "a");
    assert!(
        error.ends_with("object 0 (byte 12): bndbox/xmin: expected an integer, found \"a\""),
        "{error}"
    );
    let error = read(&object("4"), "a");
    assert!(error.contains("bndbox: expected xmin <= xmax"), "{error}");
    let error = read(XML, "ok\n[/EN#1/people two");
    assert!(
        error.ends_with("5.txt: sentence 1: [/EN# without ]"),
        "{error}"
    );
    let error = read(XML, "[/EN#1/people]");
    assert!(
        error.ends_with("sentence 0: a phrase without words"),
        "{error}"
    );
}
