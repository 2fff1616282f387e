//! Messages that tell of events.

use mdetr_rules::{Event, EventKind};
use serde_json::{Value, json};

/// Content type of a message in the structured mode of CloudEvents.
const CLOUDEVENTS: &str = "application/cloudevents+json";
/// Content type of the others.
const JSON: &str = "application/json";

/// Word for a step.
pub fn word(kind: EventKind) -> &'static str {
    match kind {
        EventKind::New => "new",
        EventKind::Update => "update",
        EventKind::End => "end",
    }
}

/// What is the same whenever the same step is sent again, and differs for every other.
pub fn step_id(event: &Event) -> String {
    format!("{}/{}/{}", event.id, word(event.kind), event.time)
}

/// What came before and the step itself, in Frigate's shape.
fn change(before: Option<&Event>, after: &Event) -> Value {
    json!({ "type": word(after.kind), "before": before, "after": after })
}

/// Payload and content type of the message of a step.
pub fn message(
    before: Option<&Event>,
    after: &Event,
    cloudevents: bool,
) -> (Vec<u8>, &'static str) {
    let change = change(before, after);
    if !cloudevents {
        return (change.to_string().into_bytes(), JSON);
    }
    let wrapped = json!({
        "specversion": "1.0",
        "id": step_id(after),
        "source": format!("/cameras/{}/rules/{}", after.camera, after.rule),
        "type": format!("mdetr.event.{}", word(after.kind)),
        "subject": after.id,
        "time": after.time,
        "datacontenttype": JSON,
        "data": change,
    });
    (wrapped.to_string().into_bytes(), CLOUDEVENTS)
}
