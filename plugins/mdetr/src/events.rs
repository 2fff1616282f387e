//! What rules say of a frame, as metadata and as messages.

use std::sync::{Arc, Once};

use gst::glib;
use mdetr_rules::{Event, EventKind, RuleSet, RuleState};

use crate::custom_meta;

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
#[boxed_type(name = "GstMdetrEvents")]
struct Boxed(Arc<FrameEvents>);

/// Makes the metadata known to GStreamer. Loading the plugin does this.
pub fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::meta::CustomMeta::register_with_transform(NAME, &custom_meta::TAGS, transform);
    });
}

fn transform(
    target: &mut gst::BufferRef,
    meta: &gst::meta::CustomMeta,
    _source: &gst::BufferRef,
    kind: glib::Quark,
) -> bool {
    // Zones and lines are relative to the picture, so a scaled one has the same.
    match content(meta) {
        Some(found) if custom_meta::stays(kind) => add(target, found),
        _ => false,
    }
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
    let boxed = meta.structure().get::<Boxed>(EVENTS).ok()?;
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
    register();
    custom_meta::read(buffer, NAME, content)
}

/// Takes off a buffer what rules say.
pub fn remove(buffer: &mut gst::BufferRef) {
    custom_meta::remove(buffer, NAME);
}

/// The message of a step.
pub(crate) fn message(event: &Event) -> gst::Structure {
    let kind = match event.kind {
        EventKind::New => "new",
        EventKind::Update => "update",
        EventKind::End => "end",
    };
    let json = serde_json::to_string(event).expect("strings and finite numbers always serialise");
    gst::Structure::builder(MESSAGE)
        .field("kind", kind)
        .field("id", &event.id)
        .field("camera", &event.camera)
        .field("rule", &event.rule)
        .field("json", json)
        .build()
}
