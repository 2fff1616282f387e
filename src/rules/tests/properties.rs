//! What is true of any sequence of frames.

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::*;
use mdetr_grounding::{BBox, Detection, Grounding};
use mdetr_rules::{EndReason, Event, EventKind, Observation, RuleSet, Watch};
use proptest::prelude::*;

const RULES: &str = r#"
[[zone]]
id = "yard"
points = [[0.3, 0.2], [0.9, 0.2], [0.6, 0.5], [0.9, 1.0], [0.3, 1.0]]
[[line]]
id = "gate"
from = [0.1, 0.5]
to = [0.9, 0.6]
[[rule]]
id = "present"
when = { is = "present", query = "person", zone = "yard" }
for = "300ms"
frames = 3
clear = "500ms"
[[rule]]
id = "absent"
when = { is = "absent", query = "person" }
every = "2s"
[[rule]]
id = "enters"
when = { is = "enters", query = "person", zone = "yard", anchor = "any" }
[[rule]]
id = "leaves"
when = { is = "leaves", query = "person", zone = "yard", anchor = "share", share = 0.3 }
[[rule]]
id = "dwells"
when = { is = "dwells", query = "person", zone = "yard", longer_than = "400ms", anchor = "all" }
clear = "200ms"
[[rule]]
id = "crosses"
when = { is = "crosses", query = "person", line = "gate" }
frames = 1
[[rule]]
id = "still"
when = { is = "still", query = "person", longer_than = "300ms" }
[[rule]]
id = "moves"
when = { is = "moves", query = "person", faster_than = 0.1 }
schedule = [{ from = "10:15:02", to = "10:15:30" }]
[[rule]]
id = "joined"
when = { is = "any", of = [{ is = "not", of = { is = "crosses", query = "person", line = "gate" } }, { is = "count", query = "dog", over = 1 }] }
"#;

#[derive(Debug, Clone)]
enum Step {
    Frame {
        advance: i64,
        repeat: bool,
        age: u64,
        objects: Option<Vec<Detection>>,
        sentence: bool,
    },
    Replace(u8),
    EndAll,
}

fn detection() -> impl Strategy<Value = Detection> {
    let usual = || (0.0f32..1.0, 0.2f32..1.0).boxed();
    let wild = prop_oneof![
        Just(f32::NAN),
        Just(f32::INFINITY),
        Just(-1e30f32),
        Just(f32::MAX),
        Just(0.0f32)
    ];
    (
        prop::option::of(0u64..4),
        usual(),
        0.0f32..1.0,
        prop::option::weighted(0.05, (0usize..5, wild)),
    )
        .prop_map(|(track, (x, y), score, wild)| {
            let mut detection = scored(track, x, y, score);
            if let Some((index, value)) = wild {
                let BBox {
                    x,
                    y,
                    width,
                    height,
                } = &mut detection.bbox;
                *[x, y, width, height, &mut detection.score][index] = value;
            }
            detection
        })
}

fn step() -> impl Strategy<Value = Step> {
    let advance = prop_oneof![8 => 20i64..200, 1 => Just(0), 1 => -500i64..0, 1 => 4000i64..8000];
    let age = prop_oneof![4 => Just(0u64), 2 => 0u64..500, 1 => 1500u64..3000];
    let objects = prop::option::weighted(0.9, prop::collection::vec(detection(), 0..4));
    let frame = (
        advance,
        prop::bool::weighted(0.3),
        age,
        objects,
        prop::bool::weighted(0.98),
    )
        .prop_map(|(advance, repeat, age, objects, sentence)| Step::Frame {
            advance,
            repeat,
            age,
            objects,
            sentence,
        });
    prop_oneof![40 => frame, 1 => (0u8..3).prop_map(Step::Replace), 1 => Just(Step::EndAll)]
}

fn variant(index: u8) -> RuleSet {
    let mut rules = rules(RULES);
    match index {
        1 => rules.zones[0].points[0] = [0.2, 0.1],
        2 => rules.rules.truncate(3),
        _ => {}
    }
    rules
}

fn new_grounding(objects: Option<Vec<Detection>>, sentence: bool) -> Grounding {
    let query = if sentence {
        "a person"
    } else {
        "a tall person"
    };
    let dogs = result("dog", "a dog", objects.clone().unwrap_or_default());
    let mut queries = vec![dogs];
    queries.extend(objects.map(|objects| result("person", query, objects)));
    grounding(queries)
}

/// The steps of events, and for each frame whether it is a new result that shows the person in the yard.
fn play(steps: &[Step]) -> Vec<Event> {
    let mut watch = Watch::new("gate", variant(0)).unwrap();
    let (mut ms, mut taken) = (1000i64, 0i64);
    let mut last = new_grounding(None, true);
    let mut events = Vec::new();
    for step in steps {
        match step {
            Step::Frame {
                advance,
                repeat,
                age,
                objects,
                sentence,
            } => {
                ms = (ms + advance).max(0);
                if !repeat {
                    last = new_grounding(objects.clone(), *sentence);
                    taken = ms - *age as i64;
                }
                let age = (ms - taken).max(0) as u64;
                let observation = Observation {
                    moment: at(ms as u64),
                    frame: ms as u64,
                    pts_ns: None,
                    age: Duration::from_millis(age),
                    grounding: &last,
                };
                events.extend(watch.observe(&observation));
            }
            Step::Replace(index) => {
                events.extend(watch.replace(variant(*index), at(ms as u64)).unwrap())
            }
            Step::EndAll => events.extend(watch.end_all(EndReason::CameraLost, at(ms as u64))),
        }
        let open: usize = watch.states().map(|state| state.events).sum();
        let begun = events
            .iter()
            .filter(|event| event.kind == EventKind::New)
            .count();
        let ended = events
            .iter()
            .filter(|event| event.kind == EventKind::End)
            .count();
        assert_eq!(open, begun - ended, "states say which events are open");
    }
    events.extend(watch.end_all(EndReason::Stopped, at(ms as u64)));
    events
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn each_event_has_one_beginning_and_one_end(steps in prop::collection::vec(step(), 1..120)) {
        let mut lives: HashMap<&str, Vec<&Event>> = HashMap::new();
        let events = play(&steps);
        for event in &events {
            lives.entry(&event.id).or_default().push(event);
            let json = serde_json::to_string(event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Event>(&json).unwrap(), event);
        }
        for life in lives.values() {
            let kinds: Vec<_> = life.iter().map(|event| event.kind).collect();
            let (first, rest) = kinds.split_first().unwrap();
            let (last, middle) = rest.split_last().expect("an end");
            prop_assert_eq!((*first, *last), (EventKind::New, EventKind::End));
            prop_assert!(middle.iter().all(|kind| *kind == EventKind::Update));
            for event in life {
                prop_assert_eq!((&event.rule, event.start), (&life[0].rule, life[0].start));
                prop_assert!(event.start <= event.time);
                prop_assert_eq!(event.end.is_some(), event.kind == EventKind::End);
                prop_assert_eq!(event.reason.is_some(), event.kind == EventKind::End);
                prop_assert!(event.end.is_none_or(|end| event.start <= end && end <= event.time));
                prop_assert!((0.0..=1.0).contains(&event.score));
            }
            prop_assert!(life.windows(2).all(|pair| pair[0].time <= pair[1].time));
            prop_assert!(life.windows(2).all(|pair| pair[0].score <= pair[1].score));
        }
    }

    /// Against a plain reading of what `present` means.
    #[test]
    fn no_event_is_without_cause_and_none_is_lost(
        frames in prop::collection::vec((20u64..200, prop::option::weighted(0.8, prop::bool::weighted(0.6))), 1..150),
        needed in 1u32..4, hold_ms in 0u64..600, clear_ms in 0u64..600,
    ) {
        let text = format!(
            "[[rule]]\nid = \"r\"\nframes = {needed}\nfor = \"{hold_ms}ms\"\nclear = \"{clear_ms}ms\"\n\
             when = {{ is = \"present\", query = \"person\" }}\n"
        );
        let mut watch = watch(&text);
        let mut expected = Vec::new();
        let mut found = Vec::new();
        let mut ms = 0;
        // Since when it is true, when it was true last, how often it was true, and false in a row.
        let mut pending: Option<(u64, u64, u32, u32)> = None;
        // Of an open event, since when it is false and how often.
        let mut open: Option<(u64, u32)> = None;
        let mut is_open = false;
        for (advance, seen) in frames {
            ms += advance;
            let query = seen.map(|seen| person(seen.then(|| object(1, 0.5, 0.5)).into_iter().collect()));
            found.extend(observe(&mut watch, ms, query.into_iter().collect()).iter().map(|event| (ms, event.kind)));
            match (is_open, seen) {
                (_, None) => {}
                (true, Some(true)) => open = None,
                (true, Some(false)) => {
                    let (since, times) = open.map_or((ms, 1), |(since, times)| (since, times + 1));
                    open = Some((since, times));
                    if times >= needed && ms - since >= clear_ms {
                        expected.push((ms, EventKind::End));
                        (is_open, open) = (false, None);
                    }
                }
                (false, Some(true)) => {
                    let (since, _, times, _) = pending.unwrap_or((ms, ms, 0, 0));
                    pending = Some((since, ms, times + 1, 0));
                    if times + 1 >= needed && ms - since >= hold_ms {
                        expected.push((ms, EventKind::New));
                        (is_open, pending) = (true, None);
                    }
                }
                (false, Some(false)) => {
                    pending = pending
                        .map(|(since, last, times, misses)| (since, last, times, misses + 1))
                        .filter(|(_, last, _, misses)| *misses < needed && ms - last < clear_ms);
                }
            }
        }
        prop_assert_eq!(found, expected);
    }
}
