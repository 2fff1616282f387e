//! What rules say of a frame, as metadata and as messages.
//!
//! The structure of the metadata has `revision`, and the whole as `events`: a boxed value that GLib transforms to
//! `GBytes` with JSON.

use std::sync::{Arc, Once};

use gst::glib;
use mdetr_rules::{Event, EventKind, RuleSet, RuleState};
use serde::{Deserialize, Serialize};

use crate::custom_meta::{self, Shared};

/// Name of the metadata.
pub const NAME: &str = "GstMdetrEventsMeta";
/// Name of the message of a step.
pub const MESSAGE: &str = "mdetr-event";

/// Field with the boxed [`FrameEvents`].
const EVENTS: &str = "events";

/// What the rules of one element say of a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameEvents {
    /// The rules, with their zones and lines.
    pub rules: Arc<RuleSet>,
    /// Rises with each change of the rules, from 1.
    pub revision: u64,
    /// How each rule does, in their order.
    pub states: Vec<RuleState>,
    /// Steps of events: of this frame, and those that no frame had since the last.
    pub events: Vec<Event>,
}

#[derive(Debug, Clone, glib::Boxed)]
#[boxed_type(name = "GstMdetrEvents", allow_name_conflict)]
struct Boxed(Arc<FrameEvents>);

#[derive(Serialize)]
struct Written<'a> {
    rules: &'a RuleSet,
    revision: u64,
    states: &'a [RuleState],
    events: &'a [Event],
}

#[derive(Deserialize)]
struct Read {
    rules: RuleSet,
    revision: u64,
    states: Vec<RuleState>,
    events: Vec<Event>,
}

impl Shared for Boxed {
    fn to_json(&self) -> Option<Vec<u8>> {
        let written = Written {
            rules: &self.0.rules,
            revision: self.0.revision,
            states: &self.0.states,
            events: &self.0.events,
        };
        serde_json::to_vec(&written).ok()
    }

    fn from_json(json: &[u8]) -> Option<Boxed> {
        let read: Read = serde_json::from_slice(json).ok()?;
        Some(Boxed(Arc::new(FrameEvents {
            rules: Arc::new(read.rules),
            revision: read.revision,
            states: read.states,
            events: read.events,
        })))
    }
}

static REGISTERED: Once = Once::new();

/// Makes the metadata known to GStreamer. Loading a plugin that attaches it does this.
pub fn register() {
    REGISTERED.call_once(|| {
        // Zones and lines are relative to the picture, so a scaled one has the same.
        custom_meta::register::<Boxed, _>(NAME, content, add);
    });
}

fn add(buffer: &mut gst::BufferRef, found: Arc<FrameEvents>) -> bool {
    match gst::meta::CustomMeta::add(buffer, NAME) {
        Ok(mut meta) => {
            let structure = meta.mut_structure();
            structure.set("revision", found.revision);
            structure.set(EVENTS, Boxed(found));
            true
        }
        Err(_) => false,
    }
}

fn content(meta: &gst::meta::CustomMeta) -> Option<Arc<FrameEvents>> {
    let value = meta.structure().value(EVENTS).ok()?;
    let boxed: Boxed = custom_meta::content(value, REGISTERED.is_completed())?;
    Some(boxed.0)
}

/// Attaches what rules say. What others say stays.
pub fn attach(buffer: &mut gst::BufferRef, found: FrameEvents) {
    register();
    let added = add(buffer, Arc::new(found));
    debug_assert!(added, "{NAME} is registered");
}

/// What rules say of a buffer, for each `mdetrrules` it came through, in their order.
pub fn read(buffer: &gst::BufferRef) -> Vec<Arc<FrameEvents>> {
    custom_meta::read(buffer, NAME, content)
}

/// Takes off a buffer what rules say.
pub fn remove(buffer: &mut gst::BufferRef) {
    custom_meta::remove(buffer, NAME);
}

/// A step as JSON, as it is in messages and in lines of results.
pub fn json(event: &Event) -> String {
    serde_json::to_string(event).expect("strings and finite numbers always serialise")
}

/// The message of a step.
pub fn message(event: &Event) -> gst::Structure {
    let kind = match event.kind {
        EventKind::New => "new",
        EventKind::Update => "update",
        EventKind::End => "end",
    };
    gst::Structure::builder(MESSAGE)
        .field("kind", kind)
        .field("id", &event.id)
        .field("camera", &event.camera)
        .field("rule", &event.rule)
        .field("json", json(event))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_libraries_read_events_as_json() {
        gst::init().expect("GStreamer is installed");
        let rules = r#"
            [[zone]]
            id = "door"
            points = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0]]

            [[rule]]
            id = "gate"
            when = { is = "enters", query = "people", zone = "door" }
        "#;
        let found = FrameEvents {
            rules: Arc::new(RuleSet::parse_toml(rules).expect("rules")),
            revision: 2,
            states: vec![RuleState {
                id: "gate".into(),
                holds: Some(true),
                event: None,
                events: 1,
                objects: 0,
                since: None,
                lacks_tracks: false,
            }],
            events: vec![],
        };
        let mut buffer = gst::Buffer::new();
        attach(buffer.get_mut().expect("the only reference"), found.clone());
        let meta = gst::meta::CustomMeta::from_buffer(&buffer, NAME).expect("attached");
        let value = meta.structure().value(EVENTS).expect("a field");
        let read: Boxed = custom_meta::content(value, false).expect("JSON");
        assert_eq!(*read.0, found);
    }
}
