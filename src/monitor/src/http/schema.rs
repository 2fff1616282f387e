//! Shapes of answers for the OpenAPI document, where another crate owns the type.
//!
//! Nothing is ever made of these types. A test compares them with the types that they describe.

#![expect(dead_code, reason = "only their shapes are used")]

use utoipa::ToSchema;

use crate::config::schema::{Direction, EventKind, Severity};

/// Why an event ended.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub(super) enum EndReason {
    Cleared,
    Moment,
    ObjectLost,
    CameraLost,
    StreamRestarted,
    RuleChanged,
    QueryChanged,
    ScheduleOver,
    Stopped,
    Interrupted,
}

/// A phrase of the sentence that an event rests on.
#[derive(ToSchema)]
pub(super) struct EventPhrase {
    /// The words.
    text: String,
    /// Where they stand in the query's text, in code points: begin and end.
    span: [u32; 2],
    /// Best score.
    score: f32,
}

/// The frame that shows an event best.
#[derive(ToSchema)]
pub(super) struct View {
    /// Number of the frame in its stream.
    frame: u64,
    /// Presentation time in nanoseconds, if known.
    #[schema(required = false)]
    pts_ns: Option<u64>,
    /// Wall clock time of the frame.
    #[schema(format = DateTime)]
    utc: String,
    /// Width and height of the frame in pixels.
    size: [u32; 2],
    /// Boxes of the objects: x, y, width, height in pixels of the frame. Empty for what is absent.
    boxes: Vec<[f32; 4]>,
    /// Highest score of the objects in it; 0 for what is absent.
    score: f32,
}

/// An event: its last step, and what there is beside it.
#[derive(ToSchema)]
pub(super) struct StoredEvent {
    /// Which step.
    kind: EventKind,
    /// Unique over cameras, rules and time.
    id: String,
    /// Name of the camera.
    camera: String,
    /// Id of the rule.
    rule: String,
    /// How much it matters.
    severity: Severity,
    /// Id of the query; of a condition with several, the first.
    query: String,
    /// The query's text.
    text: String,
    /// Revision of the queries that were answered.
    revision: u64,
    /// When the condition began to hold.
    #[schema(format = DateTime)]
    start: String,
    /// Time of this step.
    #[schema(format = DateTime)]
    time: String,
    /// When it ended.
    #[schema(format = DateTime, required = false)]
    end: Option<String>,
    /// Why it ended.
    #[schema(required = false)]
    reason: Option<EndReason>,
    /// Best score; 0 for what is absent.
    score: f32,
    /// Identities of the objects, if they are tracked.
    tracks: Vec<u64>,
    /// The words it rests on.
    phrases: Vec<EventPhrase>,
    /// Zones it was in.
    zones: Vec<String>,
    /// The line that was crossed.
    #[schema(required = false)]
    line: Option<String>,
    /// Which way it was crossed.
    #[schema(required = false)]
    direction: Option<Direction>,
    /// Most objects at once.
    #[schema(required = false)]
    count: Option<u64>,
    /// The answer to the question.
    #[schema(required = false)]
    answer: Option<String>,
    /// The frame that shows it best.
    best: View,
    /// Whether there is a picture of its best view.
    has_picture: bool,
    /// Whether there is a clip.
    has_clip: bool,
    /// Whether it is kept until somebody removes it.
    kept: bool,
}
