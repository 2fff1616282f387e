//! Mode every-frame: frames wait in a queue for their result.

use std::thread;

use mdetr_gst::meta::FrameGrounding;

use super::super::enums::Mode;
use super::frames::{Outcome, OutputFrame, TimedResult};
use super::jobs::{InputFrame, Job};
use super::queue::Item;
use super::{Capacity, Phase, Session};
use crate::frame;

impl Session {
    /// Queues a frame; waits until frames can be answered, and while `max-in-flight` are queued.
    pub fn enqueue(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.wait_for_start()?;
        let standing = self.standing_revision();
        let luma = self.luma(&buffer);
        let mut state = self.lock();
        while state.queue.frames() >= self.capacity().in_flight && state.open().is_ok() {
            state = self.wait(state);
        }
        state.open()?;
        let info = state.stream.info.clone();
        let info = info.ok_or(gst::FlowError::NotNegotiated)?;
        let time = state.arrive(&buffer);
        let due = state.pacing.due(&buffer, time.index);
        let revision = standing.filter(|_| due);
        let lasting = self.past_interval();
        let unchanged = revision.is_some_and(|revision| {
            let pacing = &state.pacing;
            pacing.unchanged(luma.as_ref(), time.stream, revision, lasting)
        });
        state.counters.unchanged += u64::from(unchanged);
        let revision = revision.filter(|_| !unchanged);
        if let Some(revision) = revision {
            state
                .pacing
                .started(time.index, time.stream, luma, revision);
            let frame = InputFrame {
                buffer,
                info,
                time,
                epoch: state.stream.epoch,
                past: state.stream.past.clone(),
                place: Some(state.queue.reserve()),
            };
            state.jobs.push(Job::Infer(frame));
        } else {
            let outcome = if standing.is_some() {
                Outcome::Repeated
            } else {
                // The first frame that there are queries for is inferred.
                state.pacing.forget_last();
                Outcome::NoQueries
            };
            state.queue.push_frame(OutputFrame {
                buffer,
                info,
                outcome,
                time,
            });
            self.changed.notify_all();
        }
        drop(state);
        self.request_turns(usize::from(revision.is_some()));
        Ok(gst::FlowSuccess::Ok)
    }

    fn wait_for_start(&self) -> Result<(), gst::FlowError> {
        let mut state = self.lock();
        while state.phase == Phase::Starting && state.open().is_ok() {
            state = self.wait(state);
        }
        state.open()
    }

    /// Queues a serialized event behind the frames before it; `false` while flushing.
    pub fn enqueue_event(&self, event: gst::Event) -> bool {
        let mut state = self.lock();
        if state.interrupted() {
            return false;
        }
        state.queue.push_event(event);
        self.changed.notify_all();
        true
    }

    /// Waits until everything queued has been pushed; `false` if a flush came between.
    pub fn drain(&self) -> bool {
        let mut state = self.lock();
        while !state.interrupted() && (!state.queue.is_empty() || state.pushing.is_some()) {
            state = self.wait(state);
        }
        !state.interrupted()
    }

    /// The next thing to push and the epoch it belongs to; `None` once the session is shut down.
    ///
    /// [`pushed`](Self::pushed) must follow.
    pub fn next(&self) -> Option<(Item<OutputFrame, gst::Event>, u64)> {
        let mut state = self.lock();
        while state.phase != Phase::Stopping {
            let item = match state.stream.flushing {
                true => None,
                false => state.queue.pop(),
            };
            if let Some(item) = item {
                state.pushing = Some(thread::current().id());
                self.changed.notify_all();
                return Some((item, state.stream.epoch));
            }
            state = self.wait(state);
        }
        None
    }

    /// Ends what [`next`](Self::next) began. A flow of an older epoch says nothing about this one.
    pub fn pushed(&self, epoch: u64, flow: Result<(), gst::FlowError>) {
        let mut state = self.lock();
        state.pushing = None;
        if state.stream.epoch == epoch && flow.is_err() {
            state.stream.flow = flow;
        }
        self.changed.notify_all();
    }

    /// What downstream answered last.
    pub fn flow(&self) -> Result<(), gst::FlowError> {
        self.lock().stream.flow
    }

    /// Takes frames again if downstream's last answer was `error`.
    pub fn clear_flow(&self, error: gst::FlowError) {
        let mut state = self.lock();
        if state.stream.flow == Err(error) {
            state.stream.flow = Ok(());
        }
    }

    /// The result that a frame leaves with, or why it has none. Frames must come in order.
    pub fn result_of(&self, frame: &OutputFrame) -> Result<Option<FrameGrounding>, String> {
        let time = frame.time;
        match &frame.outcome {
            Outcome::Inferred(grounding) => {
                let grounding = grounding.clone();
                let result = TimedResult { grounding, time };
                let found = result.carried_to(time, &self.element);
                self.lock().results.newest = Some(result);
                Ok(Some(found))
            }
            Outcome::Repeated => {
                let newest = self.lock().results.newest.clone();
                Ok(newest.map(|newest| newest.carried_to(time, &self.element)))
            }
            Outcome::NoQueries => Ok(None),
            Outcome::Failed(failure) => Err(failure.clone()),
        }
    }

    /// Results of frames so far are not for those that follow.
    pub fn forget_newest(&self) {
        self.lock().results.newest = None;
    }

    /// Waits until nothing of before the flush is still being pushed by another thread.
    pub fn wait_for_push(&self) {
        let this = thread::current().id();
        let mut state = self.lock();
        while state.phase != Phase::Stopping && state.pushing.is_some_and(|thread| thread != this) {
            state = self.wait(state);
        }
    }

    /// How long a frame may stay in the element.
    pub fn latency(&self) -> gst::ClockTime {
        self.update_latency().0
    }

    /// Whether the latency is another than was last reported.
    pub fn latency_changed(&self) -> bool {
        self.update_latency().1
    }

    fn update_latency(&self) -> (gst::ClockTime, bool) {
        if self.mode == Mode::Live {
            return (gst::ClockTime::ZERO, false);
        }
        let mut state = self.lock();
        let Capacity { workers, in_flight } = self.capacity();
        let arrival = frame::duration(state.stream.info.as_deref().map(|layout| &**layout))
            * in_flight as u64;
        state.latency.update(arrival, in_flight, workers)
    }
}
