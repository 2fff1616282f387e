//! Frames and results on their way through a session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mdetr::Grounding;
use mdetr_gst::meta::FrameGrounding;

use crate::frame::Layout;

/// When a frame is shown and when it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameTime {
    /// Number of the frame in this run.
    pub index: u64,
    /// Running time, also outside of the segment.
    pub running: Option<gst::Signed<gst::ClockTime>>,
    /// Stream time: what passes between two frames of a scene, at any rate of playback.
    pub stream: Option<Duration>,
    pub arrived: Instant,
}

/// A result and the time of the frame it was made from.
#[derive(Debug, Clone)]
pub(super) struct TimedResult {
    pub grounding: Arc<Grounding>,
    pub time: FrameTime,
}

impl TimedResult {
    /// The result as a frame of another time carries it.
    pub fn carried_to(&self, time: FrameTime, element: &Arc<str>) -> FrameGrounding {
        // Timestamps that fall in the middle of a segment are those of another clock.
        let by_running_time = time
            .running
            .zip(self.time.running)
            .and_then(|(to, from)| (to - from).positive());
        let by_arrival = || {
            let passed = time.arrived.saturating_duration_since(self.time.arrived);
            gst::ClockTime::from_nseconds(passed.as_nanos().try_into().unwrap_or(u64::MAX - 1))
        };
        FrameGrounding {
            grounding: self.grounding.clone(),
            age: if time.index == self.time.index {
                gst::ClockTime::ZERO
            } else {
                by_running_time.unwrap_or_else(by_arrival)
            },
            element: element.clone(),
        }
    }
}

/// What finished inferences leave for the frames to come.
#[derive(Debug, Default)]
pub(super) struct Results {
    /// Of the results so far, that of the last frame.
    pub newest: Option<TimedResult>,
    /// The first error that was not posted yet.
    pub failure: Option<String>,
}

impl Results {
    /// Takes a result over unless there is one of a later frame.
    pub fn add(&mut self, result: TimedResult) {
        let newest = self.newest.as_ref();
        if newest.is_none_or(|newest| newest.time.index < result.time.index) {
            self.newest = Some(result);
        }
    }

    pub fn fail(&mut self, failure: String) {
        self.failure.get_or_insert(failure);
    }
}

/// A frame on its way out of mode every-frame.
#[derive(Debug)]
pub(in super::super) struct OutputFrame {
    pub buffer: gst::Buffer,
    /// What the frame's own caps say.
    pub info: Arc<Layout>,
    pub(super) outcome: Outcome,
    pub(super) time: FrameTime,
}

/// What a frame leaves with.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Its own result.
    Inferred(Arc<Grounding>),
    /// The result of the last frame before it that was inferred.
    Repeated,
    /// None, as there are no queries.
    NoQueries,
    /// Why its inference failed.
    Failed(String),
}
