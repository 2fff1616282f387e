//! Identities over time: which detection is the object that was seen before.
//!
//! Each query has its own tracks. A track is a box that moves at constant velocity (a Kalman filter
//! for its centre and its sides), and its mask along with it; detections continue the tracks whose
//! predicted boxes they overlap most, by optimal assignment, sure detections first (as ByteTrack
//! does). Where the model says what objects look like ([`Detection::identity`](mdetr_grounding::Detection)),
//! that counts too: a detection that looks like a track's object may continue it from further away, and
//! one that looks different never does. A track is *tentative*, and has no id, until it was seen
//! `min_hits` times without a miss; then it is *confirmed*. A confirmed track that is missed is still
//! reported for `coast`, so that a presence does not flicker, and is then *lost*: it comes back under
//! its id if it is seen again within `max_age`.
//!
//! ```
//! use std::time::Duration;
//! use mdetr_track::{Tracking, TrackOptions};
//! # use std::sync::Arc;
//! # use mdetr_grounding::{BBox, Detection, Grounding, Query, QueryResult};
//! # let query = Arc::new(Query::parse("q", "a ball").unwrap());
//! # let seen = |x: f32| Grounding { revision: 1, width: 320, height: 240, queries: vec![QueryResult {
//! #     query: query.clone(), answer: None, detections: vec![Detection { score: 0.9, phrases: vec![],
//! #     track: None, identity: None, hidden_ms: None, mask: None,
//! #     bbox: BBox { x, y: 50.0, width: 40.0, height: 40.0 } }] }] };
//! let mut tracking = Tracking::new(TrackOptions::default());
//! tracking.update(Duration::from_millis(0), &seen(10.0));
//! tracking.update(Duration::from_millis(100), &seen(20.0));
//! // A frame that was not inferred, a tenth of a second later.
//! let carried = tracking.at(Duration::from_millis(200)).unwrap();
//! let ball = &carried.queries[0].detections[0];
//! assert_eq!(ball.track, Some(1));
//! assert!(ball.bbox.x > 24.0);
//! ```

mod motion;
mod options;
mod tracker;

use std::time::Duration;

use mdetr_grounding::{Grounding, QueryResult};
pub use options::{TrackIds, TrackOptions};
use tracker::Tracker;

/// The tracks of a stream's standing queries.
#[derive(Debug, Clone)]
pub struct Tracking {
    options: TrackOptions,
    /// The last result and its time.
    last: Option<(Duration, Grounding)>,
    /// One for each query of the last result.
    trackers: Vec<Tracker>,
    ids: TrackIds,
}

impl Tracking {
    /// Nothing was seen yet. Ids begin at 1 and are never used twice, not even after
    /// [`reset`](Self::reset).
    pub fn new(options: TrackOptions) -> Tracking {
        Tracking::with_ids(options, TrackIds::default())
    }

    /// As [`new`](Self::new), with ids that are unique among all that share `ids`.
    pub fn with_ids(options: TrackOptions, ids: TrackIds) -> Tracking {
        Tracking {
            options,
            last: None,
            trackers: Vec::new(),
            ids,
        }
    }

    /// Follows by other rules from now on.
    pub fn set_options(&mut self, options: TrackOptions) {
        self.options = options;
    }

    /// Takes in the result of the frame at `time` on any steady clock. A result that is not later than
    /// the one before is not taken in.
    ///
    /// Queries are the same if their id and text are: their tracks go on through a change of the
    /// standing queries, and through a change of the frame's size.
    pub fn update(&mut self, time: Duration, found: &Grounding) {
        if self.last.as_ref().is_some_and(|(last, _)| time <= *last) {
            return;
        }
        let mut before: Vec<(QueryResult, Tracker)> = Vec::new();
        if let Some((_, last)) = self.last.take() {
            let (from, to) = ((last.width, last.height), (found.width, found.height));
            for tracker in &mut self.trackers {
                tracker.resize(from, to);
            }
            before = last
                .queries
                .into_iter()
                .zip(self.trackers.drain(..))
                .collect();
        }
        for result in &found.queries {
            let query = &result.query;
            let same = |(old, _): &(QueryResult, Tracker)| {
                old.query.id() == query.id() && old.query.text() == query.text()
            };
            let mut tracker = match before.iter().position(same) {
                Some(at) => before.swap_remove(at).1,
                None => Tracker::default(),
            };
            tracker.update(time, &result.detections, &self.options, &self.ids);
            self.trackers.push(tracker);
        }
        self.last = Some((time, found.clone()));
    }

    /// What is there at `time`: the last result with its detections as they are by then, with their
    /// ids. `None` before the first result.
    pub fn at(&self, time: Duration) -> Option<Grounding> {
        let (_, last) = self.last.as_ref()?;
        let (width, height) = (last.width as f32, last.height as f32);
        let queries = last.queries.iter().zip(&self.trackers);
        Some(Grounding {
            queries: queries
                .map(|(result, tracker)| {
                    let mut detections = tracker.at(time, &self.options);
                    for detection in &mut detections {
                        detection.bbox = detection.bbox.clamp(width, height);
                    }
                    // What has left the picture is not in it.
                    detections.retain(|d| d.track.is_none() || d.bbox.area() > 0.0);
                    QueryResult {
                        query: result.query.clone(),
                        detections,
                        answer: result.answer.clone(),
                    }
                })
                .collect(),
            ..*last
        })
    }

    /// Forgets all objects; ids go on.
    pub fn reset(&mut self) {
        self.last = None;
        self.trackers.clear();
    }
}
