//! PhraseCut, and the polygons it is made of.

mod common;

use common::{assert_close, expected, files, fixture, lines, predictions};
use mdetr_eval::phrasecut::{Figures, Options, Report, Truth, evaluate};
use mdetr_eval::{Canvas, Predictions, fill_polygon};
use mdetr_grounding::rle::{CompressedRle, Rle};
use serde_json::Value;

#[track_caller]
fn assert_figures(found: &Figures, expected: &Value) {
    assert_close(found.mean_iou, &expected["mean_iou"]);
    assert_close(found.cumulative_iou, &expected["cumulative_iou"]);
    for (i, &found) in found.precision.iter().enumerate() {
        assert_close(found, &expected["precision"][i]);
    }
}

#[test]
fn agrees_with_independent_code() {
    let images = fixture("phrasecut/image_data_split.json");
    let truth = Truth::read(&fixture("phrasecut/refer_miniv.json"), Some(&images)).unwrap();
    let options = Options {
        boxes: true,
        ..Options::default()
    };
    let report = evaluate(&truth, &predictions("phrasecut/predictions.jsonl"), options).unwrap();
    let expected = expected("phrasecut");
    assert_eq!((report.tasks, report.missing), (40, 1));
    assert_figures(&report.masks, &expected["masks"]);
    assert_figures(&report.boxes.unwrap(), &expected["boxes"]);
}

#[test]
fn polygons_are_those_of_pillow() {
    let text = std::fs::read_to_string(fixture("polygons.json")).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    for (i, case) in cases.as_array().unwrap().iter().enumerate() {
        let mask: CompressedRle = serde_json::from_value(case["mask"].clone()).unwrap();
        let polygon: Vec<[f64; 2]> = serde_json::from_value(case["polygon"].clone()).unwrap();
        let [height, width] = mask.size;
        let mut canvas = Canvas::new(width, height);
        fill_polygon(&mut canvas, &polygon);
        let expected = Rle::from_coco_string(&mask.counts, width, height).unwrap();
        assert_eq!(canvas.pixels, expected.decode(), "polygon {i}: {polygon:?}");
    }
}

#[test]
fn a_polygon_has_its_boundary() {
    let area = |vertices: &[[f64; 2]]| {
        let mut canvas = Canvas::new(20, 20);
        fill_polygon(&mut canvas, vertices);
        canvas.area()
    };
    let square = [[2.0, 2.0], [6.0, 2.0], [6.0, 6.0], [2.0, 6.0]];
    assert_eq!(area(&square), 25);
    assert_eq!(
        area(&square.map(|v| v.map(|c| c + 0.9))),
        25,
        "vertices are truncated"
    );
    assert_eq!(area(&[[3.0, 3.0], [3.0, 3.0]]), 1);
    assert!(area(&[[-1e300, -1e300], [1e300, -1e300], [1e300, 1e300]]) > 0);
}

fn scored(polygon: &str, boxes: &str, line: &str, options: Options) -> Report {
    let task = format!(
        r#"[{{"task_id": "1__1", "image_id": 1, "Polygons": [[{polygon}]], "instance_boxes": [{boxes}]}}]"#
    );
    let dir = files(&[("refer.json", &task)]);
    let truth = Truth::read(&dir.path().join("refer.json"), None).unwrap();
    let predictions = match line {
        "" => lines(&[]),
        line => lines(&[line]),
    };
    evaluate(&truth, &predictions, options).unwrap()
}

/// A prediction whose mask is columns `0..columns` of 10 x 10 pixels.
fn columns(columns: u32, rest: &str) -> String {
    let rle = Rle {
        height: 10,
        width: 10,
        counts: vec![0, 10 * columns, 100 - 10 * columns],
    };
    let mask = serde_json::to_string(&rle.compressed()).unwrap();
    format!(r#"{{"id": "1__1", "mask": {mask}{rest}}}"#)
}

#[test]
fn precision_is_above_its_threshold() {
    let half = "[[0, 0], [9, 0], [9, 9], [0, 9]]";
    let report = scored(half, "[0, 0, 9, 9]", &columns(5, ""), Options::default());
    assert_eq!(report.masks.mean_iou, Some(0.5));
    assert_eq!(report.masks.precision, [Some(0.0); 5]);
    let report = scored(half, "[0, 0, 9, 9]", &columns(6, ""), Options::default());
    assert_eq!(report.masks.precision[..2], [Some(1.0), Some(0.0)]);
}

#[test]
fn short_polygons_are_skipped_and_a_missing_task_is_empty() {
    let report = scored(
        "[[0, 0]]",
        "[0, 0, 9, 9]",
        &columns(0, ""),
        Options::default(),
    );
    assert_eq!(report.masks.mean_iou, Some(0.0));
    assert_eq!(report.masks.cumulative_iou, None);
    let report = scored(
        "[[0, 0], [3, 0], [3, 3]]",
        "[0, 0, 9, 9]",
        "",
        Options::default(),
    );
    assert_eq!(
        (report.missing, report.masks.cumulative_iou),
        (1, Some(0.0))
    );
}

#[test]
fn masks_are_kept_above_the_threshold() {
    let rle = |counts: Vec<u32>| {
        serde_json::to_string(
            &Rle {
                height: 10,
                width: 10,
                counts,
            }
            .compressed(),
        )
        .unwrap()
    };
    let (left, right) = (rle(vec![0, 50, 50]), rle(vec![50, 50]));
    let line = |scores: &str| {
        format!(
            r#"{{"id": "1__1", "size": [10, 10], "scores": {scores}, "masks": [{left}, {right}]}}"#
        )
    };
    let all = "[[0, 0], [9, 0], [9, 9], [0, 9]]";
    let iou = |scores| {
        let options = Options::default();
        scored(all, "[0, 0, 9, 9]", &line(scores), options)
            .masks
            .mean_iou
    };
    assert_eq!(iou("[0.9, 0.9]"), Some(1.0));
    assert_eq!(iou("[0.9, 0.7]"), Some(0.5), "0.7 is not above 0.7");
    assert_eq!(iou("[0.1, 0.7]"), Some(0.0));
}

fn box_iou(truth: &str, found: &str) -> Option<f64> {
    let options = Options {
        boxes: true,
        ..Options::default()
    };
    let line = columns(0, &format!(r#", "boxes": [{found}]"#));
    let report = scored("[[0, 0]]", truth, &line, options);
    report.boxes.unwrap().mean_iou
}

#[test]
fn boxes_paint_one_pixel_less_each_way() {
    // 4 x 4 of 9 x 9 pixels.
    assert_eq!(box_iou("[0, 0, 10, 10]", "[0, 0, 5, 5]"), Some(16.0 / 81.0));
    // Columns int(2.9) to int(2.9 + 5.2 - 1) = 2..7, rows 0..4.
    assert_eq!(
        box_iou("[0, 0, 11, 11]", "[2.9, 0, 8.1, 5]"),
        Some(20.0 / 100.0)
    );
}

#[test]
fn negative_boxes_wrap_as_slices_of_python_do() {
    // x = -3, w = 10: columns -3..6 of 9 are 6..6, nothing.
    assert_eq!(box_iou("[0, 0, 10, 10]", "[-3, 0, 7, 10]"), Some(0.0));
    // x = -0.6 truncates to 0: columns 0..8 (int(-0.6 + 10 - 1)).
    assert_eq!(
        box_iou("[0, 0, 10, 10]", "[-0.6, 0, 9.4, 10]"),
        Some(72.0 / 81.0)
    );
}

#[test]
fn absurd_boxes_are_errors() {
    let task = r#"[{"task_id": 1, "image_id": 1, "Polygons": [], "instance_boxes": []}]"#;
    let dir = files(&[("refer.json", task)]);
    let truth = Truth::read(&dir.path().join("refer.json"), None).unwrap();
    let options = Options {
        boxes: true,
        ..Options::default()
    };
    let line = columns(0, r#", "boxes": [[0, 0, 1e6, 1e6]]"#).replace("\"1__1\"", "1");
    let error = evaluate(&truth, &lines(&[&line]), options)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 1 (id \"1\"): boxes: expected boxes within"),
        "{error}"
    );
}

#[test]
fn masks_of_another_size_are_errors() {
    let truth = Truth::read(
        &fixture("phrasecut/refer_miniv.json"),
        Some(&fixture("phrasecut/image_data_split.json")),
    )
    .unwrap();
    let evaluate_line = |mask: &str| {
        let line = format!(r#"{{"id": "0__0", "mask": {mask}}}"#);
        let dir = files(&[("p.jsonl", &line)]);
        let predictions = Predictions::read(&dir.path().join("p.jsonl")).unwrap();
        evaluate(&truth, &predictions, Options::default())
            .unwrap_err()
            .to_string()
    };
    let error = evaluate_line(r#"{"size": [2, 2], "counts": "4"}"#);
    assert!(error.contains("mask.size: expected ["), "{error}");
    let error = evaluate_line(r#"{"size": [4294967295, 4294967295], "counts": "4"}"#);
    assert!(
        error.contains("mask.size: expected sides of 1 to 16384"),
        "{error}"
    );
    let error = evaluate_line(r#"{"size": [2, 2], "counts": "1"}"#);
    assert!(
        error.contains("mask.counts: expected run lengths that fill 2 x 2"),
        "{error}"
    );
}
