//! Events as ONVIF's messages over MQTT (`onvif-ej`).
//!
//! The source of an event is the camera, the word `mdetr` and the rule. The sentence stands in the data as an item of
//! our own, never in a topic.

use mdetr_rules::{Condition, Event, EventKind};
use serde_json::{Map, Value, json};

/// Name of what analyses the video.
const CONFIGURATION: &str = "mdetr";

/// A message of ONVIF.
#[derive(Debug, Clone, PartialEq)]
pub struct OnvifMessage {
    /// Its topic.
    pub topic: String,
    /// Its payload; empty where a property is deleted.
    pub payload: Vec<u8>,
    /// Whether it is a property: the broker keeps its last state.
    pub retain: bool,
}

/// What a rule is for ONVIF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Something is in a field, and later not.
    Field,
    /// Something came into a field.
    Came,
    /// Something left a field.
    Left,
    Line,
    Loitering,
    Counter,
    /// What is seen; nothing, if something is absent.
    Object,
}

fn class(condition: &Condition) -> Class {
    match condition {
        Condition::Present { place, .. } if place.zone.is_some() => Class::Field,
        Condition::Enters { .. } => Class::Came,
        Condition::Leaves { .. } => Class::Left,
        Condition::Crosses { .. } => Class::Line,
        Condition::Dwells { .. } | Condition::Still { .. } => Class::Loitering,
        Condition::Count { .. } | Condition::Answer { .. } => Class::Counter,
        _ => Class::Object,
    }
}

/// The message of a step of an event of a rule with this condition, if there is one.
pub fn message(prefix: &str, condition: &Condition, event: &Event) -> Option<OnvifMessage> {
    let (new, end) = (event.kind == EventKind::New, event.kind == EventKind::End);
    let mut data = Map::new();
    let object = event.tracks.first().map(u64::to_string);
    let class = class(condition);
    let mut retain = false;
    let mut delete = false;
    let topic = match class {
        Class::Field | Class::Came | Class::Left => {
            let inside = match class {
                Class::Field if new || end => new,
                Class::Came if new => true,
                Class::Left if new => false,
                _ => return None,
            };
            retain = true;
            data.insert("IsInside".into(), inside.into());
            "FieldDetector/ObjectsInside"
        }
        Class::Line if new => "LineDetector/Crossed",
        Class::Loitering if new || end => {
            retain = true;
            delete = end;
            data.insert("Since".into(), json!(event.start));
            "LoiteringDetector/ObjectIsLoitering"
        }
        Class::Counter => {
            let number = || event.answer.as_ref()?.trim().parse().ok();
            let count = event.count.or_else(number)?;
            data.insert("Count".into(), count.into());
            "CountAggregation/Counter"
        }
        Class::Object if new => {
            let seen = !event.best.boxes.is_empty();
            let types: Vec<&str> = seen.then_some(event.query.as_str()).into_iter().collect();
            data.insert("ClassTypes".into(), json!(types));
            "ObjectDetection/Object"
        }
        _ => return None,
    };
    if let Some(object) = object.filter(|_| class != Class::Object && class != Class::Counter) {
        data.insert("ObjectId".into(), object.into());
    }
    data.insert("mdetr:Query".into(), event.text.as_str().into());
    data.insert("mdetr:Event".into(), event.id.as_str().into());
    let (camera, rule) = (&event.camera, &event.rule);
    let payload: Value = json!({
        "UtcTime": event.time,
        "Source": { "VideoSource": camera, "AnalyticsConfiguration": CONFIGURATION, "Rule": rule },
        "Data": data,
    });
    Some(OnvifMessage {
        topic: format!(
            "{}/onvif-ej/RuleEngine/{topic}/&{camera}/{CONFIGURATION}/{rule}",
            prefix.trim_end_matches('/')
        ),
        payload: if delete {
            Vec::new()
        } else {
            payload.to_string().into_bytes()
        },
        retain,
    })
}

#[cfg(test)]
mod tests {
    use mdetr_rules::RuleSet;

    use super::*;

    fn event(kind: &str) -> Event {
        let json = json!({
            "kind": kind, "id": "e1", "camera": "gate", "rule": "r", "severity": "alert", "query": "helmet",
            "text": "a person without a helmet", "revision": 1, "start": "2026-01-05T10:15:03Z",
            "time": "2026-01-05T10:15:04Z", "score": 0.9, "tracks": [15], "phrases": [], "zones": [],
            "best": { "frame": 1, "utc": "2026-01-05T10:15:03Z", "size": [640, 480],
                "boxes": [[1.0, 2.0, 3.0, 4.0]], "score": 0.9 },
        });
        serde_json::from_value(json).unwrap()
    }

    fn condition(toml: &str) -> Condition {
        let text = format!("[[rule]]\nid = \"r\"\nwhen = {{ {toml} }}\n");
        let rules: RuleSet = toml::from_str(&text).unwrap();
        rules.rules[0].when.clone()
    }

    /// Topic without its ends, data without our own items, and whether it is retained.
    fn said(condition: &Condition, event: &Event) -> Option<(String, Value, bool)> {
        let message = message("site/cam/", condition, event)?;
        let topic = message
            .topic
            .strip_prefix("site/cam/onvif-ej/RuleEngine/")?;
        let topic = topic.strip_suffix("/&gate/mdetr/r")?.to_owned();
        if message.payload.is_empty() {
            return Some((topic, Value::Null, message.retain));
        }
        let mut payload: Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(payload["UtcTime"], "2026-01-05T10:15:04Z");
        let source =
            json!({ "VideoSource": "gate", "AnalyticsConfiguration": "mdetr", "Rule": "r" });
        assert_eq!(payload["Source"], source);
        let data = payload["Data"].as_object_mut().unwrap();
        assert_eq!(
            data.remove("mdetr:Query").unwrap(),
            "a person without a helmet"
        );
        assert_eq!(data.remove("mdetr:Event").unwrap(), "e1");
        Some((topic, payload["Data"].take(), message.retain))
    }

    #[test]
    fn each_condition_has_its_topic() {
        let (new, end) = (event("new"), event("end"));
        let inside = |inside: bool| {
            let data = json!({ "IsInside": inside, "ObjectId": "15" });
            Some(("FieldDetector/ObjectsInside".to_owned(), data, true))
        };
        let field = condition("is = \"present\", query = \"helmet\", zone = \"yard\"");
        assert_eq!(said(&field, &new), inside(true));
        assert_eq!(said(&field, &event("update")), None);
        assert_eq!(said(&field, &end), inside(false));
        let enters = condition("is = \"enters\", query = \"helmet\", zone = \"yard\"");
        assert_eq!(
            (said(&enters, &new), said(&enters, &end)),
            (inside(true), None)
        );
        let leaves = condition("is = \"leaves\", query = \"helmet\", zone = \"yard\"");
        assert_eq!(
            (said(&leaves, &new), said(&leaves, &end)),
            (inside(false), None)
        );

        let crosses = condition("is = \"crosses\", query = \"helmet\", line = \"l\"");
        let crossed = (
            "LineDetector/Crossed".to_owned(),
            json!({ "ObjectId": "15" }),
            false,
        );
        assert_eq!(
            (said(&crosses, &new), said(&crosses, &end)),
            (Some(crossed), None)
        );

        let dwells = condition(
            "is = \"dwells\", query = \"helmet\", zone = \"yard\", longer_than = \"10s\"",
        );
        let topic = "LoiteringDetector/ObjectIsLoitering".to_owned();
        let data = json!({ "ObjectId": "15", "Since": "2026-01-05T10:15:03Z" });
        assert_eq!(said(&dwells, &new), Some((topic.clone(), data, true)));
        assert_eq!(said(&dwells, &end), Some((topic, Value::Null, true)));
    }

    #[test]
    fn absence_is_an_empty_list_and_counts_are_counted() {
        let object = |types: Value| {
            Some((
                "ObjectDetection/Object".to_owned(),
                json!({ "ClassTypes": types }),
                false,
            ))
        };
        let mut new = event("new");
        let present = condition("is = \"present\", query = \"helmet\"");
        assert_eq!(said(&present, &new), object(json!(["helmet"])));
        assert_eq!(said(&present, &event("end")), None);
        new.best.boxes.clear();
        let absent = condition("is = \"absent\", query = \"helmet\"");
        assert_eq!(said(&absent, &new), object(json!([])));

        let count = condition("is = \"count\", query = \"helmet\", over = 3");
        let counted = |count: u64| {
            Some((
                "CountAggregation/Counter".to_owned(),
                json!({ "Count": count }),
                false,
            ))
        };
        assert_eq!(said(&count, &new), None);
        new.count = Some(4);
        assert_eq!(said(&count, &new), counted(4));
        new.count = None;
        new.answer = Some("7".to_owned());
        assert_eq!(said(&count, &new), counted(7));
    }
}
