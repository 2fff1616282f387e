//! `mdetr/1`: one JSON line per frame.
//!
//! ```json
//! {"schema":"mdetr/1","source":"cam0","frame":412,"pts_ns":13733333333,"utc":"2026-01-05T10:15:03.123Z","age_ms":41.0,
//!  "size":[1280,720],"revision":3,"queries":[
//!   {"id":"helmet","text":"a person without a helmet","present":true,"detections":[
//!     {"box":[412.0,96.5,88.0,210.0],"score":0.93,"track":7,"phrases":[{"text":"a person","span":[0,8],"score":0.97}]}]},
//!   {"id":"q2","text":"how many cones are there?","answer":{"text":"3","score":0.98}},
//!   {"id":"q3","text":"a forklift","present":false,"detections":[]}]}
//! ```
//!
//! Boxes are x, y, width, height in pixels of the frame, to 0.01; scores to 0.0001. A detection of a
//! model that draws masks has `"mask":{"size":[720,1280],"counts":"..."}`: height, width and COCO's
//! compressed run lengths. One that is hidden now has `"hidden_ms":800.0`: milliseconds since it was seen, and the box where
//! it was last. Keys whose value is not known (`pts_ns`, `utc`, `age_ms`, `track`, `hidden_ms`, `mask`) are left out.
//!
//! Where several elements answered a frame, each query says which one did: `"element":"mdetr1","revision":2,
//! "age_ms":40.0`. Ids are unique within an element. The frame's `revision` is the sum of theirs then, and its
//! `age_ms` that of the oldest result.
//!
//! A frame that rules looked at has `rules`, the state of each, and `events`, the steps of events on this frame:
//! `"rules":[{"id":"gate","holds":true,"event":"1767608103.123-cam0-gate-1","events":1,"objects":1}],"events":[...]`.
//! `holds` is left out where it is not known.

use std::time::SystemTime;

use jiff::SignedDuration;
use jiff::civil::date;
use serde::{Serialize, Serializer};

use crate::result::{Answer, Detection, Grounding, QueryResult};
use crate::rle::{CompressedRle, Rle};
use crate::span::Span;

/// JSON Schema (draft 2020-12) of what [`to_json_line`] writes.
pub const SCHEMA: &str = include_str!("../schema/mdetr-1.json");

/// Where and when a frame was taken.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FrameInfo {
    /// Name of the camera, file or stream; `mdetr detect` replaces what is not UTF-8 in a file name by
    /// U+FFFD.
    pub source: String,
    /// Index of the frame in its source, from 0.
    pub frame: u64,
    /// Presentation time in nanoseconds.
    pub pts_ns: Option<u64>,
    /// Wall clock time of the frame; times outside the years 0 to 9999 are left out.
    pub utc: Option<SystemTime>,
    /// How old the result is when it is reported, in milliseconds.
    pub age_ms: Option<f64>,
}

/// What one of several elements found in a frame.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Name of the element, unique on the frame.
    pub element: &'a str,
    /// How old its result is, in milliseconds.
    pub age_ms: f64,
    /// Its result, in pixels of the frame.
    pub grounding: &'a Grounding,
}

/// One line of JSON without the line feed.
pub fn to_json_line(info: &FrameInfo, grounding: &Grounding) -> String {
    let size = [grounding.width, grounding.height];
    let queries = grounding.queries.iter().map(Entry::new).collect();
    line(info, size, grounding.revision, queries)
}

/// The line of a frame of `size` (width and height) that several elements answered.
pub fn to_json_line_of_parts(info: &FrameInfo, size: [u32; 2], parts: &[Part]) -> String {
    let revisions = parts.iter().map(|part| part.grounding.revision);
    let revision = revisions.fold(0, u64::saturating_add);
    let entries = parts.iter().flat_map(|part| {
        part.grounding.queries.iter().map(|result| Entry {
            element: Some(part.element),
            revision: Some(part.grounding.revision),
            age_ms: age(Some(part.age_ms)),
            ..Entry::new(result)
        })
    });
    line(info, size, revision, entries.collect())
}

/// Detections as a line has them, for serde's `serialize_with`.
///
/// # Errors
/// Those of the serializer.
pub fn detections<S: Serializer>(
    detections: &[Detection],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(detections.iter().map(Found::new))
}

/// Adds what rules said of the frame to its line: their states as `rules`, and the steps of events as `events`.
pub fn add_rules(line: &mut String, rules: &impl Serialize, events: &impl Serialize) {
    #[derive(Serialize)]
    struct Added<'a, R, E> {
        rules: &'a R,
        events: &'a E,
    }
    let added = serde_json::to_string(&Added { rules, events });
    let added = added.expect("strings and finite numbers always serialise");
    let object = line.pop();
    debug_assert_eq!(object, Some('}'), "a line is an object");
    line.push(',');
    line.push_str(&added[1..]);
}

fn age(milliseconds: Option<f64>) -> Option<f64> {
    milliseconds
        .filter(|age| age.is_finite())
        .map(|age| rounded(age, 1e3))
}

fn line(info: &FrameInfo, size: [u32; 2], revision: u64, queries: Vec<Entry>) -> String {
    let line = Line {
        schema: "mdetr/1",
        source: &info.source,
        frame: info.frame,
        pts_ns: info.pts_ns,
        utc: info.utc.and_then(rfc3339),
        age_ms: age(info.age_ms),
        size,
        revision,
        queries,
    };
    serde_json::to_string(&line).expect("strings and finite numbers always serialise")
}

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    source: &'a str,
    frame: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pts_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    utc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<f64>,
    size: [u32; 2],
    revision: u64,
    queries: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    element: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<f64>,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    present: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detections: Option<Vec<Found<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Words<'a>>,
}

impl<'a> Entry<'a> {
    /// A question with an answer states presence only if there are boxes with it.
    fn new(result: &'a QueryResult) -> Entry<'a> {
        let grounded = result.answer.is_none() || result.present();
        Entry {
            id: result.query.id(),
            element: None,
            revision: None,
            age_ms: None,
            text: result.query.text(),
            present: grounded.then(|| result.present()),
            detections: grounded.then(|| result.detections.iter().map(Found::new).collect()),
            answer: result.answer.as_ref().map(Words::from),
        }
    }
}

#[derive(Serialize)]
struct Found<'a> {
    #[serde(rename = "box")]
    bbox: [f64; 4],
    score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    track: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden_ms: Option<f64>,
    phrases: Vec<Words<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<CompressedRle>,
}

impl<'a> Found<'a> {
    fn new(detection: &'a Detection) -> Found<'a> {
        let bbox = detection.bbox;
        let phrases = detection.phrases.iter().map(|phrase| Words {
            text: &phrase.text,
            span: Some(phrase.span),
            score: probability(phrase.score),
        });
        Found {
            bbox: [bbox.x, bbox.y, bbox.width, bbox.height].map(|v| rounded(v.into(), 1e2)),
            score: probability(detection.score),
            track: detection.track,
            hidden_ms: age(detection.hidden_ms.map(f64::from)),
            phrases: phrases.collect(),
            mask: detection.mask.as_ref().map(Rle::compressed),
        }
    }
}

#[derive(Serialize)]
struct Words<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<Span>,
    score: f64,
}

impl<'a> From<&'a Answer> for Words<'a> {
    fn from(answer: &'a Answer) -> Words<'a> {
        Words {
            text: &answer.text,
            span: None,
            score: probability(answer.score),
        }
    }
}

fn probability(value: f32) -> f64 {
    rounded(value.into(), 1e4)
}

/// JSON knows no NaN and no infinities: they become 0. Numbers too large to scale have no fraction.
fn rounded(value: f64, scale: f64) -> f64 {
    let scaled = value * scale;
    match (value.is_finite(), scaled.is_finite()) {
        (true, true) => scaled.round() / scale,
        (true, false) => value,
        (false, _) => 0.0,
    }
}

/// `2026-01-05T10:15:03.123Z`; `None` outside the years 0 to 9999.
pub fn rfc3339(time: SystemTime) -> Option<String> {
    let epoch = date(1970, 1, 1).at(0, 0, 0, 0);
    let since = SignedDuration::system_until(SystemTime::UNIX_EPOCH, time).ok()?;
    let time = epoch.checked_add(since).ok()?;
    (time.year() >= 0).then(|| time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::bbox::BBox;
    use crate::query::Query;
    use crate::result::Phrase;

    fn result(id: &str, text: &str, detections: Vec<Detection>) -> QueryResult {
        let query = Arc::new(Query::parse(id, text).unwrap());
        QueryResult {
            query,
            detections,
            answer: None,
        }
    }

    #[test]
    fn the_example_of_the_documentation() {
        let helmet = Detection {
            bbox: BBox {
                x: 412.0,
                y: 96.499,
                width: 88.0,
                height: 210.0,
            },
            score: 0.930_04,
            phrases: vec![Phrase {
                text: "a person".into(),
                span: Span { start: 0, end: 8 },
                score: 0.97,
            }],
            track: Some(7),
            hidden_ms: None,
            identity: None,
            mask: None,
        };
        let answer = Some(Answer {
            text: "3".into(),
            score: 0.98,
        });
        let question = QueryResult {
            answer,
            ..result("q2", "how many cones are there?", vec![])
        };
        let grounding = Grounding {
            revision: 3,
            width: 1280,
            height: 720,
            queries: vec![
                result("helmet", "[a person] without a helmet", vec![helmet]),
                question,
                result("q3", "a forklift", vec![]),
            ],
        };
        let info = FrameInfo {
            source: "cam0".into(),
            frame: 412,
            pts_ns: Some(13_733_333_333),
            utc: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_608_103_123)),
            age_ms: Some(41.0),
        };
        assert_eq!(
            to_json_line(&info, &grounding),
            concat!(
                r#"{"schema":"mdetr/1","source":"cam0","frame":412,"pts_ns":13733333333,"#,
                r#""utc":"2026-01-05T10:15:03.123Z","age_ms":41.0,"size":[1280,720],"revision":3,"queries":["#,
                r#"{"id":"helmet","text":"a person without a helmet","present":true,"detections":["#,
                r#"{"box":[412.0,96.5,88.0,210.0],"score":0.93,"track":7,"phrases":["#,
                r#"{"text":"a person","span":[0,8],"score":0.97}]}]},"#,
                r#"{"id":"q2","text":"how many cones are there?","answer":{"text":"3","score":0.98}},"#,
                r#"{"id":"q3","text":"a forklift","present":false,"detections":[]}]}"#
            )
        );
    }

    #[test]
    fn what_is_hidden_is_marked() {
        let detection = Detection {
            bbox: BBox::default(),
            score: 0.9,
            phrases: vec![],
            track: Some(3),
            hidden_ms: Some(800.0),
            identity: None,
            mask: None,
        };
        let grounding = Grounding {
            revision: 1,
            width: 3,
            height: 2,
            queries: vec![result("q", "a cube", vec![detection])],
        };
        let line = to_json_line(&FrameInfo::default(), &grounding);
        assert!(
            line.contains(r#""score":0.9,"track":3,"hidden_ms":800.0,"phrases":[]}"#),
            "{line}"
        );
        let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
        assert!(validator.is_valid(&serde_json::from_str(&line).unwrap()));
    }

    #[test]
    fn masks_are_cocos() {
        let detection = Detection {
            bbox: BBox::default(),
            score: 0.9,
            phrases: vec![],
            track: None,
            hidden_ms: None,
            identity: None,
            mask: Some(Rle::encode(&[0, 1, 0, 0, 1, 0], 3, 2)),
        };
        let grounding = Grounding {
            revision: 1,
            width: 3,
            height: 2,
            queries: vec![result("q", "a cube", vec![detection])],
        };
        let line = to_json_line(&FrameInfo::default(), &grounding);
        assert!(
            line.contains(r#""phrases":[],"mask":{"size":[2,3],"counts":"222"}}"#),
            "{line}"
        );
    }

    #[test]
    fn several_elements_are_told_apart() {
        let grounding = |revision, text| Grounding {
            revision,
            width: 8,
            height: 8,
            queries: vec![result("q1", text, vec![])],
        };
        let (first, second) = (grounding(2, "a cube"), grounding(5, "a ball"));
        let part = |element, age_ms, grounding| Part {
            element,
            age_ms,
            grounding,
        };
        let parts = [part("near", 0.0, &first), part("far", 40.0, &second)];
        let line = to_json_line_of_parts(&FrameInfo::default(), [8, 8], &parts);
        let expected = concat!(
            r#""size":[8,8],"revision":7,"queries":["#,
            r#"{"id":"q1","element":"near","revision":2,"age_ms":0.0,"text":"a cube","present":false,"detections":[]},"#,
            r#"{"id":"q1","element":"far","revision":5,"age_ms":40.0,"text":"a ball","present":false,"detections":[]}]}"#
        );
        assert!(line.ends_with(expected), "{line}");
        let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
        assert!(validator.is_valid(&serde_json::from_str(&line).unwrap()));
    }

    #[test]
    fn times_of_the_calendar() {
        let at = |seconds: i64| {
            let epoch = SystemTime::UNIX_EPOCH;
            let duration = Duration::from_secs(seconds.unsigned_abs());
            rfc3339(if seconds < 0 {
                epoch - duration
            } else {
                epoch + duration
            })
        };
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_799, "2000-02-29T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000Z"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(at(seconds).as_deref(), Some(expected));
        }
        assert_eq!(at(253_402_300_800), None);
    }

    fn any_result() -> impl Strategy<Value = QueryResult> {
        let number = prop_oneof![any::<f32>(), 0.0f32..4000.0];
        let phrase = ("\\PC{0,12}|.{0,5}", 0u32..50, 1u32..50, 0.0f32..=1.0).prop_map(
            |(text, start, length, score)| Phrase {
                text,
                span: Span {
                    start,
                    end: start + length,
                },
                score,
            },
        );
        let bbox = (number.clone(), number, 0.0f32..9000.0, 0.0f32..9000.0).prop_map(
            |(x, y, width, height)| BBox {
                x,
                y,
                width,
                height,
            },
        );
        let detection = (
            bbox,
            0.0f32..=1.0,
            prop::collection::vec(phrase, 0..3),
            prop::option::of(any::<u64>()),
            prop::option::of(prop::collection::vec(0u8..2, 12)),
        )
            .prop_map(|(bbox, score, phrases, track, mask)| Detection {
                bbox: bbox.clamp(4000.0, 4000.0),
                score,
                phrases,
                track,
                hidden_ms: None,
                identity: None,
                mask: mask.map(|bits| Rle::encode(&bits, 4, 3)),
            });
        let answer = ("\\PC{0,12}", 0.0f32..=1.0).prop_map(|(text, score)| Answer { text, score });
        (
            "\\PC{1,12}",
            "x\\PC{0,30}",
            prop::collection::vec(detection, 0..4),
            prop::option::of(answer),
        )
            .prop_filter_map("not a query", |(id, text, detections, answer)| {
                let query = Arc::new(Query::parse(id, &text).ok()?);
                Some(QueryResult {
                    query,
                    detections,
                    answer,
                })
            })
    }

    proptest! {
        #[test]
        fn every_line_keeps_the_schema(
            source in ".{0,20}",
            frame in any::<u64>(),
            pts_ns in prop::option::of(any::<u64>()),
            seconds in prop::option::of(0u64..300_000_000_000),
            age_ms in prop::option::of(any::<f64>()),
            size in (1u32..=16384, 1u32..=16384),
            queries in prop::collection::vec(any_result(), 0..4),
        ) {
            static VALIDATOR: std::sync::LazyLock<jsonschema::Validator> =
                std::sync::LazyLock::new(|| {
                    jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap()
                });
            let utc = seconds.map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
            let info = FrameInfo { source, frame, pts_ns, utc, age_ms };
            let grounding = Grounding { revision: frame, width: size.0, height: size.1, queries };
            let line = to_json_line(&info, &grounding);
            prop_assert!(!line.contains(['\n', '\r']));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            let errors: Vec<String> =
                VALIDATOR.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
            prop_assert!(errors.is_empty(), "{line}: {errors:?}");
            prop_assert_eq!(value["queries"].as_array().unwrap().len(), grounding.queries.len());
            prop_assert_eq!(value["source"].as_str().unwrap(), info.source);
        }
    }

    #[test]
    fn what_rules_say_stands_at_the_end() {
        let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
        let grounding = Grounding {
            revision: 1,
            width: 8,
            height: 8,
            queries: vec![],
        };
        let mut line = to_json_line(&FrameInfo::default(), &grounding);
        let rule = serde_json::json!({"id": "gate", "holds": true, "events": 0, "objects": 1});
        add_rules(&mut line, &[&rule], &[] as &[(); 0]);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(validator.is_valid(&value), "{line}");
        assert_eq!(value["rules"][0], rule);
        assert!(line.ends_with(r#""events":[]}"#), "{line}");
        let mut without = value.clone();
        without.as_object_mut().unwrap().remove("rules");
        assert!(!validator.is_valid(&without), "no events without rules");
    }

    #[test]
    fn the_schema_refuses_what_is_not_a_report() {
        let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
        let grounding = Grounding {
            revision: 1,
            width: 8,
            height: 8,
            queries: vec![result("q", "a cube", vec![])],
        };
        let line = to_json_line(&FrameInfo::default(), &grounding);
        let sound: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(validator.is_valid(&sound));
        let without = |key: &str| {
            let mut value = sound.clone();
            value.as_object_mut().unwrap().remove(key);
            value
        };
        for key in ["schema", "source", "frame", "size", "revision", "queries"] {
            assert!(
                !validator.is_valid(&without(key)),
                "{key} may not be missing"
            );
        }
        let changes: [fn(&mut serde_json::Value); 5] = [
            |v| v["queries"][0]["present"] = true.into(),
            |v| v["queries"][0]["detections"] = serde_json::Value::Null,
            |v| v["queries"][0] = serde_json::json!({"id": "q", "text": "a cube"}),
            |v| v["size"] = serde_json::json!([8]),
            |v| v["extra"] = 1.into(),
        ];
        for change in changes {
            let mut value = sound.clone();
            change(&mut value);
            assert!(!validator.is_valid(&value), "{value}");
        }
    }
}
