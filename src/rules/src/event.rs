//! What a rule found.

use jiff::Timestamp;
use mdetr_grounding::Span;
use serde::{Deserialize, Serialize};

use crate::document::{Direction, Severity};

/// JSON Schema (draft 2020-12) of an [`Event`].
pub const SCHEMA: &str = include_str!("../schema/event-1.json");

/// A step in the life of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// It begins.
    New,
    /// It goes on, and something of it changed.
    Update,
    /// It is over.
    End,
}

/// Why an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The condition does not hold any more.
    Cleared,
    /// It was an event of a moment: an object entered, left or crossed.
    Moment,
    /// The object was not seen any more.
    ObjectLost,
    /// The camera gives no frames any more.
    CameraLost,
    /// The stream began anew: a seek, a flush, a loop.
    StreamRestarted,
    /// The rule, or a zone or line it uses, is gone or another one now.
    RuleChanged,
    /// The sentence of a query it uses is gone or another one now.
    QueryChanged,
    /// The time in which the rule watches is over.
    ScheduleOver,
    /// The program stopped.
    Stopped,
    /// The program stopped without saying so; found at its next start.
    Interrupted,
}

/// A phrase of the sentence that an event rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventPhrase {
    /// The words.
    pub text: String,
    /// Where they stand in the query's text, in code points.
    pub span: Span,
    /// Best score.
    pub score: f32,
}

/// The frame that shows an event best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Number of the frame in its stream.
    pub frame: u64,
    /// Presentation time in nanoseconds, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pts_ns: Option<u64>,
    /// Wall clock time of the frame.
    pub utc: Timestamp,
    /// Width and height of the frame in pixels.
    pub size: [u32; 2],
    /// Boxes of the objects: x, y, width, height in pixels of the frame. Empty for what is absent.
    pub boxes: Vec<[f32; 4]>,
    /// Highest score of the objects in it; 0 for what is absent.
    pub score: f32,
}

/// What a rule found: a step in the life of one event. Steps of the same event have the same `id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Which step.
    pub kind: EventKind,
    /// Unique over cameras, rules and time: `1767608103.123-gate-no-helmet-17`.
    pub id: String,
    /// Name of the camera.
    pub camera: String,
    /// Id of the rule.
    pub rule: String,
    /// How much it matters.
    pub severity: Severity,
    /// Id of the query; of a condition with several, the first.
    pub query: String,
    /// The query's text.
    pub text: String,
    /// Revision of the queries that were answered.
    pub revision: u64,
    /// When the condition began to hold.
    pub start: Timestamp,
    /// Time of this step.
    pub time: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<EndReason>,
    /// Best score; 0 for what is absent.
    pub score: f32,
    /// Identities of the objects, if they are tracked.
    pub tracks: Vec<u64>,
    /// The words it rests on.
    pub phrases: Vec<EventPhrase>,
    /// Zones it was in.
    pub zones: Vec<String>,
    /// The line that was crossed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// Which way it was crossed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Most objects at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The answer to the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The frame that shows it best.
    pub best: View,
}
