//! Mode every-frame: frames wait in a queue for their result.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use gst_video::VideoInfo;

use super::super::queue::Item;
use super::{Done, Finished, Job, Outcome, Session, Start};
use crate::meta::FrameGrounding;

/// A frame that leaves, with what its caps say.
pub(in super::super) struct Settled {
    pub buffer: gst::Buffer,
    pub info: Arc<VideoInfo>,
    /// The result that goes with it, or why there is none.
    pub found: Result<Option<FrameGrounding>, String>,
}

impl Session {
    /// Queues a frame; waits until frames can be answered, and while `max-in-flight` are queued.
    pub fn enqueue(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.wait_for_start()?;
        let asked = self.asked();
        let picture = self.picture(&buffer);
        let mut inner = self.lock();
        while inner.queue.frames() >= self.capacity().in_flight && inner.open().is_ok() {
            inner = self.wait(inner);
        }
        inner.open()?;
        let info = inner.info.clone().ok_or(gst::FlowError::NotNegotiated)?;
        let time = inner.arrive(&buffer);
        let due = inner.due(&buffer, time.index, self.interval.load(Ordering::Relaxed));
        let revision = asked.filter(|_| due);
        let still = revision
            .is_some_and(|asked| inner.still(picture.as_ref(), asked, self.change_threshold()));
        inner.counters.unchanged += u64::from(still);
        if let Some(revision) = revision.filter(|_| !still) {
            inner.started(time.index, picture, revision);
            let job = Job::Frame {
                buffer,
                info,
                time,
                epoch: inner.epoch,
                place: Some(inner.queue.reserve()),
            };
            inner.jobs.push_back(job);
        } else {
            let outcome = if asked.is_some() {
                Outcome::Carried
            } else {
                // The first frame that is asked about again is inferred.
                inner.last_started = None;
                Outcome::Unasked
            };
            inner.queue.push_frame(Done {
                buffer,
                info,
                outcome,
                time,
            });
        }
        self.changed.notify_all();
        Ok(gst::FlowSuccess::Ok)
    }

    fn wait_for_start(&self) -> Result<(), gst::FlowError> {
        let mut inner = self.lock();
        while inner.start == Start::Waiting && inner.open().is_ok() {
            inner = self.wait(inner);
        }
        inner.open()
    }

    /// Queues a serialized event behind the frames before it; `false` while flushing.
    pub fn enqueue_event(&self, event: gst::Event) -> bool {
        let mut inner = self.lock();
        if inner.flushing || inner.stopping {
            return false;
        }
        inner.queue.push_event(event);
        self.changed.notify_all();
        true
    }

    /// Waits until everything queued has been pushed; `false` if a flush came between.
    pub fn drain(&self) -> bool {
        let mut inner = self.lock();
        while !(inner.flushing || inner.stopping)
            && (!inner.queue.is_empty() || inner.pushing.is_some())
        {
            inner = self.wait(inner);
        }
        !(inner.flushing || inner.stopping)
    }

    /// The next thing to push and the epoch it belongs to; `None` once the session is shut.
    ///
    /// [`pushed`](Self::pushed) must follow.
    pub fn next(&self) -> Option<(Item<Done, gst::Event>, u64)> {
        let mut inner = self.lock();
        loop {
            if inner.stopping {
                return None;
            }
            let item = if inner.flushing {
                None
            } else {
                inner.queue.pop()
            };
            if let Some(item) = item {
                inner.pushing = Some(thread::current().id());
                self.changed.notify_all();
                return Some((item, inner.epoch));
            }
            inner = self.wait(inner);
        }
    }

    /// Ends what [`next`](Self::next) began. A flow of an older epoch says nothing about this one.
    pub fn pushed(&self, epoch: u64, flow: Result<(), gst::FlowError>) {
        let mut inner = self.lock();
        inner.pushing = None;
        if inner.epoch == epoch && flow.is_err() {
            inner.flow = flow;
        }
        self.changed.notify_all();
    }

    /// What downstream said last.
    pub fn flow(&self) -> Result<(), gst::FlowError> {
        self.lock().flow
    }

    /// Takes frames again if downstream's refusal was `error`.
    pub fn forgive(&self, error: gst::FlowError) {
        let mut inner = self.lock();
        if inner.flow == Err(error) {
            inner.flow = Ok(());
        }
    }

    /// The frame with the result that goes with it. Frames must come in order.
    pub fn settle(&self, done: Done) -> Settled {
        let Done {
            buffer,
            info,
            outcome,
            time,
        } = done;
        let found = match outcome {
            Outcome::Grounded(grounding) => {
                let finished = Finished { grounding, time };
                let found = finished.carried_to(time, &self.element);
                self.lock().newest = Some(finished);
                Ok(Some(found))
            }
            Outcome::Carried => {
                let newest = self.lock().newest.clone();
                Ok(newest.map(|newest| newest.carried_to(time, &self.element)))
            }
            Outcome::Unasked => Ok(None),
            Outcome::Failed(failure) => Err(failure),
        };
        Settled {
            buffer,
            info,
            found,
        }
    }

    /// Results of frames so far are not for those that follow.
    pub fn forget_newest(&self) {
        self.lock().newest = None;
    }

    /// Drops the frames in flight and takes no more; gives the events that were between them.
    pub fn flush_start(&self) -> Vec<gst::Event> {
        let mut inner = self.lock();
        inner.flushing = true;
        let events = inner.void_frames();
        self.changed.notify_all();
        events
    }

    /// Waits until nothing of before the flush is still being pushed by another thread.
    pub fn wait_for_push(&self) {
        let this = thread::current().id();
        let mut inner = self.lock();
        while !inner.stopping && inner.pushing.is_some_and(|thread| thread != this) {
            inner = self.wait(inner);
        }
    }

    pub fn flush_stop(&self) {
        let mut inner = self.lock();
        inner.flushing = false;
        inner.flow = Ok(());
        inner.void_frames();
        self.changed.notify_all();
    }
}
