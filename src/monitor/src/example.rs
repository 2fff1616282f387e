//! An event for tests.

use jiff::Timestamp;
use mdetr_grounding::Span;
use mdetr_rules::document::Severity;
use mdetr_rules::event::{EventPhrase, View};
use mdetr_rules::{Event, EventKind};

/// The first step of an event.
pub fn begun(id: &str, start: Timestamp) -> Event {
    let text = "a person without a helmet";
    Event {
        kind: EventKind::New,
        id: id.to_owned(),
        camera: "gate".to_owned(),
        rule: "no-helmet".to_owned(),
        severity: Severity::Alert,
        query: "helmet".to_owned(),
        text: text.to_owned(),
        revision: 3,
        start,
        time: start,
        end: None,
        reason: None,
        score: 0.875,
        tracks: vec![7],
        phrases: vec![EventPhrase {
            text: "a person".to_owned(),
            span: Span { start: 0, end: 8 },
            score: 0.75,
        }],
        zones: vec!["yard".to_owned()],
        line: None,
        direction: None,
        count: None,
        answer: None,
        best: View {
            frame: 412,
            pts_ns: Some(13_733_333_333),
            utc: start,
            size: [1280, 720],
            boxes: vec![[412.0, 96.5, 88.0, 210.0]],
            score: 0.875,
        },
    }
}
