//! COCO and LVIS.

mod common;

use common::{assert_close, expected, files, fixture, lines, predictions};
use mdetr_eval::{coco, lvis, read_lines};

#[test]
fn coco_agrees_with_pycocotools() {
    let truth = coco::Truth::read(&fixture("coco/truth.json")).unwrap();
    let report = coco::evaluate(&truth, &predictions("coco/predictions.jsonl")).unwrap();
    let found = [
        report.ap,
        report.ap_50,
        report.ap_75,
        report.ap_small,
        report.ap_medium,
        report.ap_large,
        report.ar_1,
        report.ar_10,
        report.ar_100,
        report.ar_small,
        report.ar_medium,
        report.ar_large,
    ];
    let expected = expected("coco");
    for (i, found) in found.into_iter().enumerate() {
        assert_close(found, &expected[i]);
    }
}

#[test]
fn coco_without_truth_has_no_number() {
    let dir = files(&[(
        "truth.json",
        r#"{"images": [{"id": 1, "width": 9, "height": 9}], "annotations": []}"#,
    )]);
    let truth = coco::Truth::read(&dir.path().join("truth.json")).unwrap();
    let found = lines(&[r#"{"id": 1, "boxes": [[0, 0, 5, 5]], "scores": [0.5]}"#]);
    let report = coco::evaluate(&truth, &found).unwrap();
    assert_eq!((report.ap, report.ar_100), (None, None));
    assert!(report.to_string().contains("AP50"));
}

#[test]
fn lvis_agrees_with_lvis_api() {
    let truth = lvis::Truth::read(&fixture("lvis/truth.json")).unwrap();
    let records = read_lines(&fixture("lvis/predictions.jsonl")).unwrap();
    let report = lvis::evaluate(&truth, records).unwrap();
    let expected = expected("lvis");
    let found = [
        ("AP", report.ap),
        ("AP50", report.ap_50),
        ("AP75", report.ap_75),
        ("APs", report.ap_small),
        ("APm", report.ap_medium),
        ("APl", report.ap_large),
        ("APr", report.ap_rare),
        ("APc", report.ap_common),
        ("APf", report.ap_frequent),
    ];
    for (name, found) in found {
        assert_close(found, &expected[name]);
    }
    assert_eq!(
        (report.pictures, report.missing, report.short_categories),
        (24, 0, 40)
    );
}

#[test]
fn prompts_keep_the_space_at_their_end() {
    let prompts = [
        ("bow_(weapon)", "bow "),
        ("aerosol_can", "aerosol can"),
        ("baseball_(sport)_bat", "baseball bat"),
        ("a_(b)_c_(d)", "a "),
        ("a___b", "a  b"),
        ("a____b", "a  b"),
        (")(", ")("),
        ("cup", "cup"),
    ];
    for (name, expected) in prompts {
        assert_eq!(lvis::prompt(name), expected, "{name}");
    }
}

const ONE_CATEGORY: &str = r#"{
    "images": [{"id": 1, "neg_category_ids": [], "not_exhaustive_category_ids": []},
               {"id": 2, "neg_category_ids": [], "not_exhaustive_category_ids": []},
               {"id": 3, "neg_category_ids": [5], "not_exhaustive_category_ids": []}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 5, "bbox": [0, 0, 10, 10], "area": 100}],
    "categories": [{"id": 5, "name": "cup", "frequency": "f"}]}"#;

fn one_category(lines: &[&str]) -> Result<lvis::Report, mdetr_eval::Error> {
    let predictions = lines.join("\n");
    let dir = files(&[("truth.json", ONE_CATEGORY), ("p.jsonl", &predictions)]);
    let truth = lvis::Truth::read(&dir.path().join("truth.json")).unwrap();
    lvis::evaluate(&truth, read_lines(&dir.path().join("p.jsonl")).unwrap())
}

#[test]
fn detections_count_only_where_their_category_is_known() {
    let hit = r#"{"id": 1, "boxes": [[0, 0, 10, 10]], "scores": [0.5], "categories": [5]}"#;
    let ap = |lines: &[&str]| one_category(lines).unwrap().ap.unwrap();
    assert!((ap(&[hit]) - 1.0).abs() < 1e-9);
    let elsewhere = r#"{"id": 2, "boxes": [[0, 0, 10, 10]], "scores": [0.9], "categories": [5]}"#;
    assert!((ap(&[hit, elsewhere]) - 1.0).abs() < 1e-9);
    let absent = r#"{"id": 3, "boxes": [[0, 0, 10, 10]], "scores": [0.9], "categories": [5]}"#;
    assert!((ap(&[hit, absent]) - 0.5).abs() < 1e-9);
}

#[test]
fn ten_thousand_detections_of_a_category_count() {
    let many = |n: usize| {
        let boxes = vec!["[50,50,60,60]"; n].join(",");
        let scores = vec!["0.9"; n].join(",");
        let categories = vec!["5"; n].join(",");
        format!(r#"{{"id":2,"boxes":[{boxes}],"scores":[{scores}],"categories":[{categories}]}}"#)
    };
    let hit = r#"{"id": 1, "boxes": [[0, 0, 10, 10]], "scores": [0.5], "categories": [5]}"#;
    let report = one_category(&[&many(9_999), hit]).unwrap();
    assert!((report.ap.unwrap() - 1.0).abs() < 1e-9);
    assert_eq!(report.short_categories, 0);
    // The rule that leaves out detections where the category is not known comes after the cut.
    let report = one_category(&[&many(10_000), hit]).unwrap();
    assert_eq!(report.ap, Some(0.0));
    let report = one_category(&[hit, &many(30_000)]).unwrap();
    assert_eq!(report.ap, Some(0.0));
}

#[test]
fn detections_of_nothing_are_errors() {
    let error = |line: &str| one_category(&[line]).unwrap_err().to_string();
    let found = error(r#"{"id": 9, "boxes": [], "scores": [], "categories": []}"#);
    assert!(
        found.contains("line 1 (id \"9\"): id: expected the id of a picture"),
        "{found}"
    );
    let found = error(r#"{"id": 1, "boxes": [[0, 0, 1, 1]], "scores": [1], "categories": [6]}"#);
    assert!(
        found.ends_with("categories[0]: expected the id of a category of the truth, found 6"),
        "{found}"
    );
    let found = error(r#"{"id": 1, "boxes": [[0, 0, 1, 1]], "scores": [1]}"#);
    assert!(
        found.ends_with("categories: expected a list of category ids, found nothing"),
        "{found}"
    );
}
