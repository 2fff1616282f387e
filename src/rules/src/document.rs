//! Zones, lines and rules as they are written in TOML and JSON.
//!
//! ```toml
//! [[zone]]
//! id = "yard"
//! points = [[0.1, 0.4], [0.9, 0.4], [0.9, 1.0], [0.1, 1.0]]
//!
//! [[line]]
//! id = "gate"
//! from = [0.2, 0.5]
//! to = [0.8, 0.5]
//!
//! [[rule]]
//! id = "no-helmet"
//! when = { is = "present", query = "helmet", zone = "yard" }
//! for = "2s"
//! every = "60s"
//! ```

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// Zones, lines and the rules that use them. Of one camera.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// Zones.
    #[serde(default, rename = "zone", skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<Zone>,
    /// Lines.
    #[serde(default, rename = "line", skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<Line>,
    /// Rules.
    #[serde(default, rename = "rule", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

/// A polygon on a camera's picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Name, unique among zones: letters, digits, `-` and `_`.
    pub id: String,
    /// Corners, x and y from 0 to 1 of the picture's width and height, from its top left corner. At least three.
    pub points: Vec<[f32; 2]>,
}

/// A segment on a camera's picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Name, unique among lines.
    pub id: String,
    /// Where it begins, x and y from 0 to 1.
    pub from: [f32; 2],
    /// Where it ends. Looking from `from` to `to`, forward is from the left side to the right side.
    pub to: [f32; 2],
}

/// A condition with its times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name, unique among rules.
    pub id: String,
    /// How much it matters.
    #[serde(default)]
    pub severity: Severity,
    /// What is watched for.
    pub when: Condition,
    /// How long the condition must hold before there is an event.
    #[serde(
        default,
        rename = "for",
        skip_serializing_if = "SignedDuration::is_zero"
    )]
    pub hold: SignedDuration,
    /// How many new results in a row must confirm the condition, and its end.
    #[serde(default = "default_frames")]
    pub frames: u32,
    /// How long the condition must not hold before an event ends.
    #[serde(default = "default_clear")]
    pub clear: SignedDuration,
    /// Least time between the beginnings of two events of the rule.
    #[serde(default, skip_serializing_if = "SignedDuration::is_zero")]
    pub every: SignedDuration,
    /// When the rule watches; always, if empty.
    #[serde(default, rename = "schedule", skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<Schedule>,
    /// Whether it watches.
    #[serde(default = "enabled", skip_serializing_if = "is_true")]
    pub enabled: bool,
}

fn default_frames() -> u32 {
    2
}

fn default_clear() -> SignedDuration {
    SignedDuration::from_secs(1)
}

fn enabled() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody should look.
    #[default]
    Alert,
    /// Kept for later.
    Detection,
}

/// A span of the week in which a rule watches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Days on which it begins; every day, if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// Beginning, such as `18:00`.
    pub from: jiff::civil::Time,
    /// End; on the next day if not after `from`.
    pub to: jiff::civil::Time,
    /// IANA name of the time zone, such as `Europe/Berlin`.
    #[serde(default = "utc")]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "days need no words")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anchor {
    /// The middle of the lower edge: where things stand.
    #[default]
    BottomCenter,
    /// The middle of the box.
    Center,
    /// Any part of the box.
    Any,
    /// The whole box.
    All,
    /// At least `share` of the mask, or of the box if there is no mask.
    Share,
}

/// Where objects are looked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Place {
    /// Zone; the whole picture without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What must be in the zone.
    pub anchor: Anchor,
    /// With the anchor `share`, the least part, above 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f32>,
}

/// Bounds of a number; at least one of them is given.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Bounds {
    /// Greater than.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over: Option<f64>,
    /// Less than.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub under: Option<f64>,
    /// Exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<f64>,
}

/// Which way across a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the left of the line to its right, looking along it.
    Forward,
    /// From the right to the left.
    Backward,
    /// Either.
    #[default]
    Both,
}

/// What is watched for. `query` is the id of a standing query; what counts are its targets.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "lowercase")]
#[expect(missing_docs, reason = "query, zone and the rest are explained above")]
pub enum Condition {
    /// Something is found.
    Present {
        query: String,
        #[serde(flatten)]
        place: Place,
    },
    /// A result says that nothing is found. Without a result nothing is known.
    Absent {
        query: String,
        #[serde(flatten)]
        place: Place,
    },
    /// The number of objects; of a question, the number in its answer.
    Count {
        query: String,
        #[serde(flatten)]
        place: Place,
        #[serde(flatten)]
        bounds: Bounds,
    },
    /// The answer to a question has these words.
    Answer { query: String, equals: String },
    /// An object comes into a zone.
    Enters {
        query: String,
        #[serde(flatten)]
        place: Place,
    },
    /// An object goes out of a zone.
    Leaves {
        query: String,
        #[serde(flatten)]
        place: Place,
    },
    /// An object is in a zone for longer than `longer_than`.
    Dwells {
        query: String,
        #[serde(flatten)]
        place: Place,
        longer_than: SignedDuration,
    },
    /// An object crosses a line.
    Crosses {
        query: String,
        line: String,
        direction: Direction,
        anchor: Anchor,
    },
    /// An object has not moved for longer than `longer_than`.
    Still {
        query: String,
        #[serde(flatten)]
        place: Place,
        longer_than: SignedDuration,
    },
    /// An object moves faster than `faster_than`, in picture heights a second.
    Moves {
        query: String,
        #[serde(flatten)]
        place: Place,
        faster_than: f32,
    },
    /// All of them hold.
    All { of: Vec<Condition> },
    /// One of them holds at least.
    Any { of: Vec<Condition> },
    /// It does not hold.
    Not { of: Box<Condition> },
}
