//! Files of predictions, and what is refused.

mod common;

use common::{files, fixture, predictions};
use mdetr_eval::annotations::Annotations;
use mdetr_eval::{Bbox, Prediction, Predictions, Sample, SampleId, Writer, read_lines};
use mdetr_eval::{clevr, coco, gqa, lvis, phrasecut, rec};
use proptest::prelude::*;

fn refusal(line: &str) -> String {
    let dir = files(&[("p.jsonl", &format!("{line}\n"))]);
    let error = Predictions::read(&dir.path().join("p.jsonl")).unwrap_err();
    error.to_string()
}

#[test]
fn errors_name_line_field_expected_and_found() {
    let cases = [
        (
            "{\"id\": 1}\n{\"id\": 2.5}",
            "line 2, column 10: id: invalid type: floating point `2.5`, expected a string or an integer",
        ),
        (
            r#"{"id": 1, "boxes": [[1, 2, "3", 4]]}"#,
            "line 1, column 30: boxes[0][2]: invalid type: string \"3\", expected f64",
        ),
        (
            r#"{"id": 1, "box": []}"#,
            "line 1, column 15: box: unknown field `box`",
        ),
        (
            r#"{"boxes": []}"#,
            "line 1, column 13: top level: missing field `id`",
        ),
        (
            r#"{"id": 1} {}"#,
            "line 1, column 11: after the object: trailing characters",
        ),
        (
            r#"{"id": 1, "boxes": [[5, 0, 1, 1]]}"#,
            "line 1 (id \"1\"): boxes[0]: expected [x0, y0, x1, y1] with x0 <= x1 and y0 <= y1, of at most 10000000, found [5.0, 0.0, 1.0, 1.0]",
        ),
        (
            r#"{"id": 1, "boxes": [[0, 0, 1, 1e300]]}"#,
            "boxes[0]: expected [x0, y0, x1, y1]",
        ),
        (
            r#"{"id": 1, "boxes": [], "scores": [1]}"#,
            "line 1 (id \"1\"): scores: expected 0 values, one per box, found 1",
        ),
        (
            r#"{"id": 1, "boxes": [], "phrases": [{"scores": [1]}]}"#,
            "phrases[0].scores: expected 0 values, one per box, found 1",
        ),
        (
            r#"{"id": 1, "size": [0, 5]}"#,
            "size: expected sides of 1 to 16384 pixels, found [0, 5]",
        ),
        (
            "{\"id\": 1",
            "line 1, column 8: top level: EOF while parsing",
        ),
    ];
    for (line, expected) in cases {
        let found = refusal(line);
        assert!(
            found.contains("p.jsonl: ") && found.contains(expected),
            "{found}"
        );
    }
}

#[test]
fn a_torn_last_line_is_dropped() {
    let whole = "{\"id\": \"a\"}\n{\"id\": 2}\n";
    for torn in ["{", "{\"id\": ", "{\"id\": 3, \"boxes\": [[1, 2"] {
        let dir = files(&[("p.jsonl", &format!("{whole}{torn}"))]);
        let predictions = Predictions::read(&dir.path().join("p.jsonl")).unwrap();
        assert_eq!(predictions.records().len(), 2, "{torn}");
    }
    let dir = files(&[("p.jsonl", &format!("{whole}{{\"id\": 3}}"))]);
    let lines = read_lines(&dir.path().join("p.jsonl")).unwrap();
    assert_eq!(
        lines.map(Result::unwrap).count(),
        3,
        "a whole line without a line feed counts"
    );
}

#[test]
fn a_run_goes_on_where_it_stopped() {
    for torn in ["", "{\"id\": 3, \"bo", "{\"id\": 2}"] {
        let dir = files(&[("p.jsonl", &format!("{{\"id\": 1}}\n{torn}"))]);
        let path = dir.path().join("p.jsonl");
        let mut writer = Writer::resume(&path).unwrap();
        assert!(writer.has(&SampleId::from(1)) && !writer.has(&SampleId::from(3)));
        let mut prediction = Prediction::new(3);
        prediction.boxes = Some(vec![Bbox::from([0.5, 1.0, 2.0, 3.0])]);
        writer.write(&prediction).unwrap();
        assert!(writer.has(&SampleId::from("3")));
        let predictions = Predictions::read(&path).unwrap();
        assert_eq!(predictions.records().len(), writer.len());
        let record = predictions.get(&SampleId::from(3)).unwrap();
        assert_eq!(record.prediction, prediction);
    }
    let dir = files(&[]);
    let writer = Writer::resume(&dir.path().join("new.jsonl")).unwrap();
    assert!(writer.is_empty());
}

#[test]
fn damaged_annotations_are_errors_that_name_the_entry() {
    let image = r#"{"id": 1, "width": 9, "height": 9}"#;
    let read = |json: &str| {
        let dir = files(&[("a.json", json)]);
        Annotations::read(&dir.path().join("a.json"))
            .unwrap_err()
            .to_string()
    };
    let file = |images: &str, annotations: &str| {
        read(&format!(
            r#"{{"images": [{images}], "annotations": [{annotations}]}}"#
        ))
    };
    let cases = [
        (read("{"), "a.json: top level: EOF"),
        (read("[]"), "a.json: "),
        (read(r#"{"images": []}"#), "missing field `annotations`"),
        (
            file(&format!("{image}, {image}"), ""),
            "images[1] (id 1): id: expected an id other than that of images[0], found 1",
        ),
        (
            file(r#"{"id": 1, "width": 0, "height": 9}"#, ""),
            "images[0] (id 1): width and height: expected sides",
        ),
        (
            file(r#"{"id": 1, "width": "9", "height": 9}"#, ""),
            "images[0].width: invalid type: string \"9\", expected u32",
        ),
        (
            file(image, r#"{"id": 4, "image_id": 2, "bbox": [0, 0, 1, 1]}"#),
            "annotations[0] (id 4): image_id: expected the id of one of images, found 2",
        ),
        (
            file(image, r#"{"id": 4, "image_id": 1, "bbox": [0, 0, -1, 1]}"#),
            "annotations[0] (id 4): bbox: expected [x, y, width, height] with sides of 0 or more",
        ),
        (
            file(
                image,
                r#"{"id": 4, "image_id": 1, "bbox": [0, 0, 1, 1], "tokens_positive": [[5, 2]]}"#,
            ),
            "annotations[0] (id 4): span: expected [begin, end], found [5, 2]",
        ),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{found} does not say {expected}");
    }
    let missing = Annotations::read("no/such/file.json".as_ref())
        .unwrap_err()
        .to_string();
    assert!(
        missing.starts_with("no/such/file.json: cannot be read: "),
        "{missing}"
    );
}

proptest! {
    #[test]
    fn no_line_makes_it_panic(line in r#"[{}\[\]":,a-z0-9. -]{0,60}"#) {
        let dir = files(&[("p.jsonl", &line)]);
        let _ = Predictions::read(&dir.path().join("p.jsonl"));
        let _ = Writer::resume(&dir.path().join("p.jsonl"));
    }
}

#[test]
fn samples_say_what_a_model_is_asked_and_can_be_narrowed() {
    let first = |samples: &mut dyn Iterator<Item = &Sample>| {
        let sample = samples.next().expect("there is one");
        (
            sample.id.as_str().to_owned(),
            sample.image.clone(),
            sample.text.clone(),
        )
    };
    let own =
        |(id, image, text): (&str, &str, &str)| (id.to_owned(), image.to_owned(), text.to_owned());

    let mut truth = rec::Truth::read(&fixture("rec/truth.json"), rec::Task::RefCoco).unwrap();
    let asked = first(&mut truth.samples());
    assert_eq!(asked, own(("100", "0.jpg", "the left one")));
    truth.retain(|id| id.as_str() < "105");
    let report = rec::evaluate(&truth, &predictions("rec/predictions.jsonl")).unwrap();
    assert_eq!(report.datasets.values().map(|a| a.samples).sum::<u64>(), 5);

    let refer = fixture("phrasecut/refer_miniv.json");
    let mut truth = phrasecut::Truth::read(&refer, None).unwrap();
    let asked = first(&mut truth.samples());
    assert_eq!(asked, own(("0__0", "0.jpg", "blue chairs")));
    truth.retain(|id| id.as_str() == "1__0");
    assert_eq!(truth.samples().count(), 1);

    let vocabulary = fixture("gqa/gqa_answer2id_by_type.json");
    let mut truth = gqa::Truth::read(&fixture("gqa/questions.json"), &vocabulary).unwrap();
    let asked = first(&mut truth.samples());
    assert_eq!(asked, own(("200000", "n1.jpg", "Is it so?")));
    truth.retain(|_| false);
    let report = gqa::evaluate(&truth, &predictions("gqa/predictions.jsonl")).unwrap();
    assert_eq!((report.questions, report.accuracy), (0, None));

    let mut truth = clevr::Truth::read(&fixture("clevr/questions.json")).unwrap();
    assert_eq!(truth.samples().next().unwrap().text, "Is it?");
    truth.retain(|id| id.as_str() == "1000");
    assert_eq!(truth.samples().count(), 1);

    let mut truth = coco::Truth::read(&fixture("coco/truth.json")).unwrap();
    truth.retain(|id| id.as_str() != "5");
    let report = coco::evaluate(&truth, &predictions("coco/predictions.jsonl")).unwrap();
    assert_eq!(report.samples, 24);

    let mut truth = lvis::Truth::read(&fixture("lvis/truth.json")).unwrap();
    assert_eq!(
        truth.pictures().next(),
        Some((SampleId::from(500), "val2017/500.jpg"))
    );
    truth.retain(|id| id.as_str() == "501");
    assert_eq!(truth.pictures().count(), 1);
}
