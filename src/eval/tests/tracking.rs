//! Tracking.

mod common;

use common::{assert_close, expected, fixture};
use mdetr_eval::tracking::{Tracks, evaluate};

#[test]
fn tracking_agrees_with_trackeval() {
    let truth = Tracks::read_truth(&fixture("tracking/truth.jsonl")).unwrap();
    let found = Tracks::read_found(&fixture("tracking/found.jsonl")).unwrap();
    let report = evaluate(&truth, &found);
    let expected = expected("tracking");
    assert_close(report.mota, &expected["mota"]);
    assert_close(report.idf1, &expected["idf1"]);
    assert_eq!(report.switches, expected["switches"]);
    assert_eq!(report.misses, expected["misses"]);
    assert_eq!(report.false_positives, expected["false_positives"]);
}
