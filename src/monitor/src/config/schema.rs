//! Shapes of documents for the OpenAPI document, where another crate owns the type that is read.
//!
//! Nothing is ever made of these types. A test compares them with the types that they describe.

#![expect(dead_code, reason = "only their shapes are used")]
#![allow(missing_docs, reason = "they are explained where they are read")]

use utoipa::ToSchema;

/// A standing query.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryEntry {
    /// Its id.
    id: String,
    /// The sentence, targets in brackets.
    text: String,
    /// Its own score threshold.
    #[schema(minimum = 0, maximum = 1, required = false)]
    score_threshold: Option<f32>,
    /// Its own phrase threshold.
    #[schema(minimum = 0, maximum = 1, required = false)]
    phrase_threshold: Option<f32>,
}

/// Where a secret is.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Secret {
    /// Name of an environment variable.
    Env(String),
    /// Path of a file; white space at its end is left out.
    File(String),
}

/// A polygon on a camera's picture.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Name, unique among zones: letters, digits, `-` and `_`.
    id: String,
    /// Corners, x and y from 0 to 1 of the picture's width and height, from its top left corner. At least three.
    #[schema(min_items = 3)]
    points: Vec<[f32; 2]>,
}

/// A segment on a camera's picture.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Name, unique among lines.
    id: String,
    /// Where it begins, x and y from 0 to 1.
    from: [f32; 2],
    /// Where it ends. Looking from `from` to `to`, forward is from the left side to the right side.
    to: [f32; 2],
}

/// A condition with its times.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name, unique among rules.
    id: String,
    /// How much it matters.
    #[schema(required = false, default = "alert")]
    severity: Severity,
    /// What is watched for.
    when: Condition,
    /// How long the condition must hold before there is an event, such as `2s`.
    #[schema(required = false)]
    r#for: String,
    /// How many new results in a row must confirm the condition, and its end.
    #[schema(required = false, default = 2)]
    frames: u32,
    /// How long the condition must not hold before an event ends, such as `1s`.
    #[schema(required = false)]
    clear: String,
    /// Least time between the beginnings of two events of the rule, such as `1m`.
    #[schema(required = false)]
    every: String,
    /// When the rule watches; always, if empty.
    #[schema(required = false)]
    schedule: Vec<Schedule>,
    /// Whether it watches.
    #[schema(required = false, default = true)]
    enabled: bool,
}

/// How much an event matters.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Severity {
    Alert,
    Detection,
}

/// A span of the week in which a rule watches.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Days on which it begins; every day, if empty.
    #[schema(required = false)]
    days: Vec<Day>,
    /// Beginning, such as `18:00`.
    from: String,
    /// End; on the next day if not after `from`.
    to: String,
    /// IANA name of the time zone, such as `Europe/Berlin`.
    #[schema(required = false, default = "UTC")]
    time_zone: String,
}

/// A day of the week.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// The point of a box, or the part of an object, that must be in a zone.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum Anchor {
    BottomCenter,
    Center,
    Any,
    All,
    Share,
}

/// Which way across a line.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Direction {
    Forward,
    Backward,
    Both,
}

/// What a condition is.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum ConditionKind {
    Present,
    Absent,
    Count,
    Answer,
    Enters,
    Leaves,
    Dwells,
    Crosses,
    Still,
    Moves,
    All,
    Any,
    Not,
}

/// What is watched for. Which of the fields there are depends on `is`.
#[derive(ToSchema)]
#[schema(no_recursion)]
pub struct Condition {
    /// What it is.
    is: ConditionKind,
    /// Id of a standing query: of all but `all`, `any` and `not`.
    #[schema(required = false)]
    query: String,
    /// Zone; the whole picture without.
    #[schema(required = false)]
    zone: Option<String>,
    /// What must be in the zone.
    #[schema(required = false)]
    anchor: Anchor,
    /// With the anchor `share`, the least part, above 0 to 1.
    #[schema(required = false)]
    share: Option<f32>,
    /// Of `count`: greater than.
    #[schema(required = false)]
    over: Option<f64>,
    /// Of `count`: less than.
    #[schema(required = false)]
    under: Option<f64>,
    /// Of `count`: exactly, a number. Of `answer`: the words.
    #[schema(required = false, value_type = Value)]
    equals: String,
    /// Of `dwells` and `still`: a duration such as `10s`.
    #[schema(required = false)]
    longer_than: String,
    /// Of `moves`: picture heights a second.
    #[schema(required = false)]
    faster_than: f32,
    /// Of `crosses`: the line.
    #[schema(required = false)]
    line: String,
    /// Of `crosses`: which way.
    #[schema(required = false)]
    direction: Direction,
    /// Of `all` and `any`: conditions. Of `not`: a condition.
    #[schema(required = false)]
    of: Conditions,
}

/// Conditions within another.
#[derive(ToSchema)]
#[schema(no_recursion)]
#[serde(untagged)]
pub enum Conditions {
    Several(Vec<Condition>),
    One(Box<Condition>),
}

/// A step in the life of an event.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum EventKind {
    New,
    Update,
    End,
}
