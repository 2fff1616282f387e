//! What is looked for, and what is found.

use std::thread;
use std::time::{Duration, SystemTime};

use mdetr::report::rfc3339;
use mdetr::{Answer, Detection, Grounder, Query};
use serde::{Serialize, Serializer};

/// What is looked for, and how.
#[derive(Debug, Clone)]
pub struct Search {
    /// The query.
    pub query: Query,
    /// What is wanted of it.
    pub mode: Mode,
    /// A frame whose best detection has a score above this is a hit.
    pub threshold: f32,
    /// Ask every frame, not only those that seem worth it.
    pub exhaustive: bool,
    /// Most hits that are kept.
    pub limit: usize,
    /// Of hits of a camera that are closer than this only the best is kept.
    pub apart: Duration,
    /// Frames that are asked at once.
    pub threads: usize,
}

/// What is wanted of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The frames that answer it best.
    Best,
    /// Its answer over time: of a question.
    Curve,
    /// When it appears and disappears.
    Moments,
}

impl Search {
    /// A question's answer over time, where the model answers questions, else the best 20 hits, a minute apart, with the
    /// model's threshold, on all cores.
    pub fn new(query: Query, grounder: &Grounder) -> Search {
        let answers = query.is_question() && grounder.manifest().answers.is_some();
        let own = query.score_threshold();
        Search {
            mode: if answers { Mode::Curve } else { Mode::Best },
            threshold: own.unwrap_or(grounder.settings().score_threshold),
            query,
            exhaustive: false,
            limit: 20,
            apart: Duration::from_secs(60),
            threads: thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// A frame that answers the query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// Name of the camera.
    pub camera: String,
    /// When it was seen.
    #[serde(serialize_with = "utc")]
    pub time: i64,
    /// Until when the camera is known to have shown the same.
    #[serde(serialize_with = "utc")]
    pub until: i64,
    /// Width and height of the frame, in pixels: boxes are in them.
    pub size: (u32, u32),
    /// Score of the best detection.
    pub score: f32,
    /// Those above the threshold, best first.
    #[serde(serialize_with = "mdetr::report::detections")]
    pub detections: Vec<Detection>,
    /// Place of the frame among [`Past::frames`](crate::Past::frames).
    pub frame: usize,
    /// Whether a picture was kept beside it.
    pub has_picture: bool,
}

/// What a question was answered from a time on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Name of the camera.
    pub camera: String,
    /// When the frame was seen.
    #[serde(serialize_with = "utc")]
    pub time: i64,
    /// Until when the answer is known to hold.
    #[serde(serialize_with = "utc")]
    pub until: i64,
    /// The answer; none if the model has none.
    pub answer: Option<Answer>,
}

/// The query's target appears or disappears.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    /// Name of the camera.
    pub camera: String,
    /// Whether it appears.
    pub appears: bool,
    /// The first time at which it is known to be there, or not to be.
    #[serde(serialize_with = "utc")]
    pub time: i64,
    /// The last time before at which it was not there, or was.
    #[serde(serialize_with = "utc")]
    pub after: i64,
    /// The frame that shows it: the first in which it is there, or the last. None if that frame was not kept.
    pub shown: Option<Hit>,
}

/// What happens while frames are asked.
#[derive(Debug)]
pub enum Event<'a> {
    /// A frame answers better than those that were found of its camera at about its time.
    Hit(&'a Hit),
    /// A question was answered for a frame.
    Answer(&'a CurvePoint),
    /// So many frames were asked, of so many that there are.
    Progress {
        /// Asked so far.
        asked: usize,
        /// All that were selected. Not all need be asked.
        of: usize,
    },
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// How the query was understood.
    pub mode: Mode,
    /// Frames that were selected.
    pub frames: usize,
    /// Frames that were asked.
    pub asked: usize,
    /// Frames that could not be asked.
    pub unreadable: usize,
    /// What is wrong with the first of them.
    pub first_unreadable: Option<String>,
    /// Whether it was cancelled.
    pub cancelled: bool,
    /// Best first.
    pub hits: Vec<Hit>,
    /// Where answers change, camera by camera and by time.
    pub curve: Vec<CurvePoint>,
    /// Camera by camera and by time.
    pub moments: Vec<Moment>,
}

/// A time as `2026-01-05T10:15:03.123Z`.
fn utc<S: Serializer>(time: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    let nanoseconds = Duration::from_nanos(time.unsigned_abs());
    let time = match time {
        0.. => SystemTime::UNIX_EPOCH.checked_add(nanoseconds),
        _ => SystemTime::UNIX_EPOCH.checked_sub(nanoseconds),
    };
    serializer.collect_str(&time.and_then(rfc3339).unwrap_or_default())
}
