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
