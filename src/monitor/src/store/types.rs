//! What goes into the store and comes out of it.

use jiff::Timestamp;
use mdetr_rules::Event;
use mdetr_rules::document::Severity;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// An event as it is kept: its last step and what there is beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoredEvent {
    /// Its last step.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub event: Event,
    /// Whether there is a picture of its best view.
    pub has_picture: bool,
    /// Whether there is a clip.
    pub has_clip: bool,
    /// Whether it is kept until somebody removes it.
    pub kept: bool,
}

/// Which events.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventFilter {
    /// Those that end at or behind this time, or are open.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// Those that begin before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
    /// Of this camera.
    pub camera: Option<String>,
    /// Of this rule.
    pub rule: Option<String>,
    /// Whose query or phrases have all of these words.
    pub words: Option<String>,
    /// Of this severity.
    #[param(value_type = Option<String>)]
    pub severity: Option<Severity>,
    /// Those that go on, or those that are over.
    pub open: Option<bool>,
    /// Those behind the event with this id in the order of the list.
    pub after: Option<String>,
    /// At most so many, 1 to 1000; 100 if not given.
    pub limit: Option<u32>,
}

/// A configuration that was in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigEntry {
    /// Its revision.
    pub revision: u64,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// Who gave it: `file`, `http: NAME` or `mqtt`.
    pub origin: String,
    /// SHA-256 of the file that was read last before it, in hexadecimal digits.
    pub file_sha256: String,
    /// The document as JSON.
    pub document: String,
}

/// A step of an event on its way to a receiver.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// Its place in the order of all steps.
    pub sequence: i64,
    /// The step.
    pub event: Event,
    /// How often sending it failed.
    pub attempts: u32,
}
