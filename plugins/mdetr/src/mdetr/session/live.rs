//! Mode live: frames pass, and take the newest result along.

use std::sync::Arc;

use mdetr_gst::meta::FrameGrounding;

use super::jobs::{InputFrame, Job};
use super::{Phase, Session};
use crate::frame::Layout;

/// What mode live does with a frame.
#[derive(Debug)]
pub(in super::super) struct Offer {
    /// What the frame's own caps say.
    pub info: Arc<Layout>,
    /// The newest finished result.
    pub found: Option<FrameGrounding>,
    /// A worker holds a reference to the frame now, or will.
    pub taken: bool,
    /// All workers were busy, and so this frame or one that waited is not inferred.
    pub skipped: bool,
}

impl Session {
    /// Gives the newest result for a frame and hands the frame to a worker if one is free, or will take
    /// it instead of an older one that waits for its turn.
    pub fn offer(&self, buffer: &gst::Buffer) -> Result<Offer, gst::FlowError> {
        let standing = self.standing_revision();
        let luma = self.luma(buffer);
        let mut state = self.lock();
        state.open()?;
        let info = state.stream.info.clone();
        let info = info.ok_or(gst::FlowError::NotNegotiated)?;
        let time = state.arrive(buffer);
        if standing.is_none() {
            state.results.newest = None;
            state.pacing.forget_last();
        }
        let newest = state.results.newest.as_ref();
        let found = newest.map(|newest| newest.carried_to(time, &self.element));
        let due = state.pacing.due(buffer, time.index);
        let mut offer = Offer {
            info: info.clone(),
            found,
            taken: false,
            skipped: false,
        };
        let starting = state.phase == Phase::Starting;
        // The newest frame is answered by the first queries, once they stand.
        let revision = standing.or(starting.then_some(0));
        let Some(revision) = revision.filter(|_| due) else {
            return Ok(offer);
        };
        let lasting = self.past_interval();
        let pacing = &state.pacing;
        if pacing.unchanged(luma.as_ref(), time.stream, revision, lasting) {
            state.counters.unchanged += 1;
            return Ok(offer);
        }
        let busy = match starting {
            true => state.jobs.has_frame(),
            false => state.jobs.unfinished() >= self.capacity().workers,
        };
        // A frame that still waits gives way to this one, which is newer, and leaves it its turn.
        let replaced = busy.then(|| state.jobs.remove_oldest_frame()).flatten();
        offer.skipped = busy && !starting;
        offer.taken = !busy || replaced.is_some();
        state.counters.skipped += u64::from(offer.skipped);
        if offer.taken {
            state
                .pacing
                .started(time.index, time.stream, luma, revision);
            let frame = InputFrame {
                buffer: buffer.clone(),
                info,
                time,
                epoch: state.stream.epoch,
                past: state.stream.past.clone(),
                place: None,
            };
            state.jobs.push(Job::Infer(frame));
        }
        // Before the replaced frame, which goes back to its pool.
        drop(state);
        if !busy && !starting {
            self.request_turns(1);
        }
        Ok(offer)
    }
}
