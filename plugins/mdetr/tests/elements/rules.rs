//! `mdetrrules`: states and events.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gstmdetr::meta::FrameGrounding;
use gstmdetr::{regions, rules};
use mdetr::{BBox, Detection, Grounding, Query, QueryResult};
use mdetr_rules::{EndReason, Event, EventKind, RuleSet};
use serde_json::Value;

use crate::common::{PATIENCE, RGB, collect, init, pad, pipeline, rgb_frame, run};
use crate::json::parse;

const SIZE: (u32, u32) = (64, 48);
const RULES: &str = "
[[zone]]
id = \"right\"
points = [[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]
[[line]]
id = \"middle\"
from = [0.5, 1.0]
to = [0.5, 0.0]
[[rule]]
id = \"there\"
when = { is = \"present\", query = \"balls\", zone = \"right\" }
clear = \"100ms\"
[[rule]]
id = \"crossed\"
when = { is = \"crosses\", query = \"balls\", line = \"middle\", direction = \"forward\" }
";

struct Watched {
    harness: gst_check::Harness,
    element: gst::Element,
    bus: gst::Bus,
    _dir: tempfile::TempDir,
}

/// A harness with rules of a file.
fn watched(text: &str) -> Watched {
    init();
    let dir = tempfile::tempdir().expect("a writable temporary directory");
    let file = dir.path().join("rules.toml");
    fs::write(&file, text).expect("written");
    let element = gst::ElementFactory::make("mdetrrules")
        .property("rules", file.display().to_string())
        .property("camera", "gate")
        .build()
        .expect("the plugin is registered");
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str(RGB);
    Watched {
        harness,
        element,
        bus,
        _dir: dir,
    }
}

impl Watched {
    fn push(&mut self, number: u64, x: Option<f32>) -> gst::Buffer {
        self.harness
            .push_and_pull(frame(number, x))
            .expect("a frame")
    }

    /// Steps of events that were posted.
    fn posted(&self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(message) = self.bus.pop_filtered(&[gst::MessageType::Element]) {
            let structure = message.structure().expect("with fields");
            assert_eq!(structure.name(), rules::MESSAGE);
            let event: Event =
                serde_json::from_str(structure.get("json").expect("json")).expect("an event");
            assert_eq!(structure.get::<&str>("id"), Ok(event.id.as_str()));
            assert_eq!(structure.get::<&str>("camera"), Ok(event.camera.as_str()));
            assert_eq!(structure.get::<&str>("rule"), Ok(event.rule.as_str()));
            let kind = serde_json::to_value(event.kind).expect("JSON");
            assert_eq!(structure.get::<&str>("kind").ok(), kind.as_str());
            events.push(event);
        }
        events
    }
}

/// Frame `number`, 40 ms after the one before, with a ball whose middle is at `x` pixels, or without.
fn frame(number: u64, x: Option<f32>) -> gst::Buffer {
    let mut buffer = rgb_frame(SIZE.0, SIZE.1, number);
    let detection = |x: f32| Detection {
        bbox: BBox {
            x: x - 4.0,
            y: 20.0,
            width: 8.0,
            height: 8.0,
        },
        score: 0.9,
        phrases: vec![],
        track: Some(5),
        hidden_ms: None,
        identity: None,
        mask: None,
    };
    let found = FrameGrounding {
        grounding: Arc::new(Grounding {
            revision: 1,
            width: SIZE.0,
            height: SIZE.1,
            queries: vec![QueryResult {
                query: Arc::new(Query::parse("balls", "all balls").expect("a query")),
                detections: x.map(detection).into_iter().collect(),
                answer: None,
            }],
        }),
        age: gst::ClockTime::ZERO,
        element: "mdetr0".into(),
    };
    regions::attach(
        buffer.get_mut().expect("the only reference"),
        found,
        SIZE.0,
        SIZE.1,
        None,
    );
    buffer
}

fn steps(events: &[Event]) -> Vec<(&str, EventKind)> {
    events
        .iter()
        .map(|event| (event.rule.as_str(), event.kind))
        .collect()
}

#[test]
fn frames_and_the_bus_carry_events() {
    let mut watched = watched(RULES);
    let mut of_frames = Vec::new();
    for number in 0..20 {
        let x = (number < 15).then_some(18.0 + 4.0 * number as f32);
        let buffer = watched.push(number, x.filter(|x| *x < 60.0));
        let carried = rules::read(&buffer);
        assert_eq!(
            (carried.len(), carried[0].revision, carried[0].states.len()),
            (1, 1, 2)
        );
        assert_eq!(carried[0].rules.zones[0].id, "right");
        of_frames.extend(carried[0].events.iter().cloned());
        let open = carried[0].states[0].events;
        assert_eq!(
            open,
            usize::from((5..14).contains(&number)),
            "frame {number}"
        );
    }
    let expected = [
        ("there", EventKind::New),
        ("crossed", EventKind::New),
        ("crossed", EventKind::End),
        ("there", EventKind::End),
    ];
    assert_eq!(steps(&of_frames), expected);
    assert_eq!(watched.posted(), of_frames);
    let new = &of_frames[0];
    assert_eq!(
        (new.camera.as_str(), new.query.as_str(), new.best.frame),
        ("gate", "balls", 5)
    );
    assert_eq!(new.best.pts_ns, Some(200_000_000));
    assert_eq!(new.best.size, [64, 48]);
}

#[test]
fn a_flush_a_jump_and_the_end_end_events() {
    let mut watched = watched(RULES);
    let mut number = 0;
    let mut begin = |watched: &mut Watched| {
        let mut last = None;
        for _ in 0..3 {
            last = Some(watched.push(number, Some(50.0)));
            number += 1;
        }
        let begun = watched.posted();
        assert_eq!(
            steps(&begun[begun.len() - 1..]),
            [("there", EventKind::New)]
        );
        last.expect("a frame")
    };
    begin(&mut watched);
    assert!(watched.harness.push_event(gst::event::FlushStart::new()));
    assert!(watched.harness.push_event(gst::event::FlushStop::new(true)));
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(
        watched
            .harness
            .push_event(gst::event::Segment::new(&segment))
    );
    let ended = watched.posted();
    assert_eq!(
        (steps(&ended), ended[0].reason),
        (
            vec![("there", EventKind::End)],
            Some(EndReason::StreamRestarted)
        )
    );
    let carried = rules::read(&watched.push(0, None));
    assert_eq!(
        carried[0].events, ended,
        "the end goes with the next frame, too"
    );
    begin(&mut watched);
    // The same place again changes nothing.
    assert!(
        watched
            .harness
            .push_event(gst::event::Segment::new(&segment))
    );
    assert_eq!(watched.posted(), []);
    segment.set_base(gst::ClockTime::from_seconds(9));
    assert!(
        watched
            .harness
            .push_event(gst::event::Segment::new(&segment))
    );
    assert_eq!(watched.posted().len(), 1);
    begin(&mut watched);
    assert!(watched.harness.push_event(gst::event::Eos::new()));
    assert_eq!(watched.posted()[0].reason, Some(EndReason::StreamRestarted));
}

#[test]
fn stopping_ends_events() {
    let Watched {
        mut harness,
        element,
        bus,
        _dir,
    } = watched(RULES);
    for number in 0..3 {
        harness
            .push_and_pull(frame(number, Some(50.0)))
            .expect("a frame");
    }
    while bus.pop().is_some() {}
    element.set_state(gst::State::Ready).expect("it stops");
    let message = bus
        .pop_filtered(&[gst::MessageType::Element])
        .expect("an end");
    let event: Event =
        serde_json::from_str(message.structure().unwrap().get("json").unwrap()).unwrap();
    assert_eq!(
        (event.kind, event.reason),
        (EventKind::End, Some(EndReason::Stopped))
    );
}

#[test]
fn a_program_ends_events() {
    let mut watched = watched(RULES);
    for number in 0..3 {
        watched.push(number, Some(50.0));
    }
    watched.posted();
    let ended = rules::end(&watched.element, EndReason::CameraLost);
    assert_eq!(
        (steps(&ended), ended[0].reason),
        (vec![("there", EventKind::End)], Some(EndReason::CameraLost))
    );
    assert_eq!(watched.posted(), ended);
    assert_eq!(rules::end(&watched.element, EndReason::Stopped), []);
    assert_eq!(rules::read(&watched.push(3, None))[0].events, ended);
}

#[test]
fn rules_change_between_frames() {
    let mut watched = watched(RULES);
    for number in 0..3 {
        watched.push(number, Some(50.0));
    }
    assert_eq!(steps(&watched.posted()), [("there", EventKind::New)]);
    // Another line: the rule of the zone goes on.
    let changed = RULES.replace("from = [0.5, 1.0]", "from = [0.6, 1.0]");
    let file: String = watched.element.property("rules");
    fs::write(&file, &changed).expect("written");
    watched.element.set_property("rules", &file);
    let carried = rules::read(&watched.push(3, Some(50.0)));
    assert_eq!(
        (
            carried[0].revision,
            carried[0].events.len(),
            carried[0].states[0].events
        ),
        (2, 0, 1)
    );
    assert_eq!(carried[0].rules.lines[0].from, [0.6, 1.0]);
    // What is refused changes nothing, and is told.
    fs::write(
        &file,
        "[[rule]]\nid = \"there\"\nwhen = { is = \"present\" }\n",
    )
    .expect("written");
    watched.element.set_property("rules", &file);
    let warning = watched
        .bus
        .pop_filtered(&[gst::MessageType::Warning])
        .expect("a warning");
    let gst::MessageView::Warning(warning) = warning.view() else {
        unreachable!()
    };
    let text = warning.error().to_string();
    assert!(
        text.contains("rules.toml") && text.contains("needs `query`"),
        "{text}"
    );
    assert_eq!(rules::read(&watched.push(4, Some(50.0)))[0].revision, 2);
    // A program gives others.
    rules::set(&watched.element, RuleSet::default()).expect("no rules are rules");
    let carried = rules::read(&watched.push(5, Some(50.0)));
    assert_eq!(carried[0].events[0].reason, Some(EndReason::RuleChanged));
    assert_eq!(watched.posted().len(), 1);
    assert!(
        rules::read(&watched.push(6, Some(50.0))).is_empty(),
        "without rules there is nothing to say"
    );
    let bad =
        RuleSet::parse_toml("[[rule]]\nid = \"?\"\nwhen = { is = \"present\", query = \"q\" }\n")
            .unwrap();
    assert!(rules::set(&watched.element, bad).is_err());
    let other = gst::ElementFactory::make("identity")
        .build()
        .expect("a core element");
    let faults = rules::set(&other, RuleSet::default()).expect_err("not ours");
    assert!(
        faults[0].to_string().contains("found identity"),
        "{}",
        faults[0]
    );
}

#[test]
fn a_file_that_is_refused_is_an_error() {
    init();
    for (text, words) in [
        (None, "cannot be read"),
        (
            Some("[[rule]]\nid = \"r\"\nwhen = { is = \"seen\" }\n"),
            "expected present, absent",
        ),
        (
            Some("[[zone]]\nid = \"z\"\npoints = []\n"),
            "expected 3 to 128 points",
        ),
    ] {
        let dir = tempfile::tempdir().expect("a writable temporary directory");
        let file = dir.path().join("rules.toml");
        if let Some(text) = text {
            fs::write(&file, text).expect("written");
        }
        let pipeline = pipeline(&format!(
            "fakesrc ! video/x-raw ! mdetrrules rules=\"{}\" ! fakesink",
            file.display()
        ));
        let error = run(&pipeline).expect_err("refused");
        assert!(
            error.contains(words) && error.contains("rules.toml"),
            "{error}"
        );
    }
    let named =
        pipeline("videotestsrc num-buffers=1 ! mdetrrules camera=\"front door\" ! fakesink");
    assert!(run(&named).expect_err("no name").contains("front door"));
}

#[test]
fn lines_have_states_and_events() {
    let mut events = watched(RULES);
    let mut json = gst_check::Harness::new("mdetr2json");
    json.set_src_caps_str(RGB);
    let schema: Value = serde_json::from_str(mdetr_rules::event::SCHEMA).expect("JSON");
    let mut kinds = Vec::new();
    for number in 0..12 {
        let buffer = events.push(number, Some(16.0 + 4.0 * number as f32));
        let line = parse(&json.push_and_pull(buffer).expect("a line"));
        assert_eq!(line["rules"][0]["id"], "there");
        assert_eq!(line["rules"][0]["holds"], number >= 4);
        for event in line["events"].as_array().expect("a list") {
            assert!(jsonschema::is_valid(&schema, event), "{event}");
            kinds.push((number, event["rule"].as_str().unwrap().to_owned()));
        }
    }
    assert_eq!(kinds[0], (5, "there".to_owned()));
    let plain = parse(&json.push_and_pull(frame(12, None)).expect("a line"));
    assert_eq!((plain.get("rules"), plain.get("events")), (None, None));
}

#[test]
fn zones_and_lines_are_drawn() {
    let draw = |properties: &str, x: f32| {
        let mut events = watched(RULES);
        let mut overlay =
            gst_check::Harness::new_parse(&format!("mdetroverlay line-width=1 {properties}"));
        overlay.set_src_caps_str(RGB);
        let mut last = None;
        for number in 0..4 {
            let mut buffer = rgb_frame(SIZE.0, SIZE.1, number);
            let black = vec![0u8; buffer.size()];
            let writable = buffer.get_mut().unwrap();
            writable.copy_from_slice(0, &black).expect("as large");
            frame(number, Some(x))
                .copy_into(writable, gst::BufferCopyFlags::META, ..)
                .expect("copied");
            let passed = events.harness.push_and_pull(buffer).expect("a frame");
            last = Some(overlay.push_and_pull(passed).expect("a frame"));
        }
        let buffer = last.expect("a frame");
        let map = buffer.map_readable().expect("system memory");
        let at = |x: usize, y: usize| map[(y * 64 + x) * 3];
        // In the zone, away from its edges, the ball and the words; and beside it.
        (at(58, 40), at(8, 40))
    };
    let (quiet, beside) = draw("", 10.0);
    let (bright, _) = draw("", 40.0);
    assert!(quiet > 0 && beside == 0, "a faint fill: {quiet}, {beside}");
    assert!(bright > quiet, "{bright} over {quiet}");
    assert_eq!(draw("show-rules=false", 40.0), (0, 0));
}

#[test]
fn a_pipeline_tells_of_events() {
    let dir = tempfile::tempdir().expect("a writable temporary directory");
    let file = dir.path().join("rules.toml");
    fs::write(
        &file,
        "[[rule]]\nid = \"any\"\nwhen = { is = \"present\", query = \"q1\" }\n",
    )
    .expect("written");
    let pipeline = pipeline(&format!(
        "tabletopsrc seed=11 objects=3 num-buffers=8 ! video/x-raw,width=320,height=240 \
         ! mdetr query=\"all objects\" model=MODEL ! mdetrtrack min-hits=1 ! mdetrrules name=watch rules=\"{}\" ! fakesink",
        file.display()
    ));
    let buffers = collect(&pad(&pipeline, "watch", "src"));
    let bus = pipeline.bus().expect("a pipeline has a bus");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let mut events = Vec::new();
    let kinds = [
        gst::MessageType::Eos,
        gst::MessageType::Error,
        gst::MessageType::Element,
    ];
    while let Some(message) = bus.timed_pop_filtered(PATIENCE, &kinds) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Element(element) => {
                let structure = element.structure().expect("with fields");
                if structure.name() == rules::MESSAGE {
                    events.push(
                        serde_json::from_str::<Event>(structure.get("json").unwrap()).unwrap(),
                    );
                }
            }
            _ => panic!("{message:?}"),
        }
    }
    pipeline.set_state(gst::State::Null).expect("it stops");
    assert_eq!(
        steps(&events),
        [("any", EventKind::New), ("any", EventKind::End)]
    );
    assert_eq!(
        (events[0].camera.as_str(), events[1].reason),
        ("watch", Some(EndReason::StreamRestarted))
    );
    assert!(!events[0].tracks.is_empty());
    let time = events[0].time.as_millisecond() - events[0].start.as_millisecond();
    assert!(
        Duration::from_millis(time as u64) < Duration::from_secs(1),
        "in the time of the stream"
    );
    assert_eq!(buffers.lock().unwrap().len(), 8);
}
