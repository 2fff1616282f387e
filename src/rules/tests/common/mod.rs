//! Frames made by hand.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use mdetr_grounding::{Answer, BBox, Detection, Grounding, Phrase, Query, QueryResult, Span};
use mdetr_rules::{Event, EventKind, Moment, Observation, RuleSet, Watch};

pub const WIDTH: u32 = 640;
pub const HEIGHT: u32 = 480;

/// A time so many milliseconds behind the start of the stream.
pub fn at(ms: u64) -> Moment {
    let start: jiff::Timestamp = "2026-01-05T10:15:00Z".parse().unwrap();
    let time = Duration::from_millis(ms);
    Moment {
        time,
        utc: start + time,
    }
}

pub fn rules(text: &str) -> RuleSet {
    let rules = RuleSet::parse_toml(text).unwrap();
    assert_eq!(rules.check(&[]), []);
    rules
}

pub fn watch(text: &str) -> Watch {
    Watch::new("gate", rules(text)).unwrap()
}

/// An object of 40 x 80 pixels whose lower edge has its middle at x and y, in parts of the picture.
pub fn object(track: impl Into<Option<u64>>, x: f32, y: f32) -> Detection {
    scored(track, x, y, 0.9)
}

pub fn scored(track: impl Into<Option<u64>>, x: f32, y: f32, score: f32) -> Detection {
    let (x, y) = (x * WIDTH as f32, y * HEIGHT as f32);
    Detection {
        bbox: BBox::from_xyxy(x - 20.0, y - 80.0, x + 20.0, y),
        score,
        phrases: vec![Phrase {
            text: "a person".to_owned(),
            span: Span { start: 0, end: 8 },
            score,
        }],
        track: track.into(),
        hidden_ms: None,
        identity: None,
        mask: None,
    }
}

pub fn result(id: &str, sentence: &str, detections: Vec<Detection>) -> QueryResult {
    QueryResult {
        query: Arc::new(Query::parse(id, sentence).unwrap()),
        detections,
        answer: None,
    }
}

pub fn person(detections: Vec<Detection>) -> QueryResult {
    result("person", "a person", detections)
}

pub fn answer(id: &str, text: &str) -> QueryResult {
    QueryResult {
        answer: Some(Answer {
            text: text.to_owned(),
            score: 0.8,
        }),
        ..result(id, "how many are there?", Vec::new())
    }
}

pub fn grounding(queries: Vec<QueryResult>) -> Grounding {
    Grounding {
        revision: 1,
        width: WIDTH,
        height: HEIGHT,
        queries,
    }
}

pub fn observe(watch: &mut Watch, ms: u64, queries: Vec<QueryResult>) -> Vec<Event> {
    observe_aged(watch, ms, 0, &grounding(queries))
}

pub fn observe_aged(watch: &mut Watch, ms: u64, age_ms: u64, grounding: &Grounding) -> Vec<Event> {
    watch.observe(&Observation {
        moment: at(ms),
        frame: ms / 100,
        pts_ns: Some(ms * 1_000_000),
        age: Duration::from_millis(age_ms),
        grounding,
    })
}

/// Steps of events over a while with a result each 100 ms, with their times in milliseconds.
pub fn run(
    watch: &mut Watch,
    from_ms: u64,
    to_ms: u64,
    see: impl Fn(u64) -> Vec<QueryResult>,
) -> Vec<(u64, Event)> {
    let frames = (from_ms..to_ms).step_by(100);
    frames
        .flat_map(|ms| {
            let events = observe(watch, ms, see(ms));
            events.into_iter().map(move |event| (ms, event))
        })
        .collect()
}

/// What happened, in short.
pub fn steps(events: &[(u64, Event)]) -> Vec<(u64, EventKind)> {
    events.iter().map(|(ms, event)| (*ms, event.kind)).collect()
}

pub const ZONE: &str =
    "[[zone]]\nid = \"yard\"\npoints = [[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]\n";
pub const LINE: &str = "[[line]]\nid = \"gate\"\nfrom = [0.0, 0.5]\nto = [1.0, 0.5]\n";

pub fn with(when: &str) -> String {
    format!("{ZONE}{LINE}[[rule]]\nid = \"r\"\nclear = \"300ms\"\nwhen = {{ {when} }}\n")
}

/// A person who is there from one time to another.
pub fn between(from: u64, to: u64) -> impl Fn(u64) -> Vec<QueryResult> {
    move |ms| {
        let there = (from..to).contains(&ms);
        vec![person(
            there.then(|| object(7, 0.5, 0.5)).into_iter().collect(),
        )]
    }
}
