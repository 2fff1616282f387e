//! What the workers do, in both modes.

use std::sync::Arc;

use gst_video::VideoInfo;
use mdetr::Grounding;

use super::{Done, Finished, FrameTime, Job, Outcome, Session, guarded};
use crate::frame;

impl Session {
    pub(super) fn work(&self) {
        while self.claim_job() {
            let Some(_turn) = self.seat.turn() else {
                return;
            };
            // A flush may have taken the job away.
            let Some(job) = self.take_job() else { continue };
            match job {
                Job::Prepare(width, height) => {
                    if let Err(failure) = guarded(|| self.grounder.prepare(width, height)) {
                        self.lock().failure.get_or_insert(failure);
                    }
                }
                Job::Frame {
                    buffer,
                    info,
                    time,
                    epoch,
                    place,
                } => {
                    let result = self.ground(&buffer, &info);
                    self.finish(buffer, result, time, epoch, place);
                }
            }
            self.lock().busy -= 1;
            self.changed.notify_all();
        }
    }

    /// Waits for a job that no other worker waits to begin; `false` once the session is shut.
    fn claim_job(&self) -> bool {
        let mut inner = self.lock();
        while !inner.stopping && inner.jobs.len() <= inner.claimed {
            inner = self.wait(inner);
        }
        inner.claimed += 1;
        !inner.stopping
    }

    /// The first job, for a worker that claimed one.
    fn take_job(&self) -> Option<Job> {
        let mut inner = self.lock();
        inner.claimed -= 1;
        let job = inner.jobs.pop_front();
        inner.busy += usize::from(job.is_some());
        job
    }

    fn ground(&self, buffer: &gst::BufferRef, info: &VideoInfo) -> Result<Grounding, String> {
        guarded(|| frame::with_frame(buffer, info, |frame| self.grounder.ground(frame)))?
            .map_err(|error| error.to_string())
    }

    fn finish(
        &self,
        buffer: gst::Buffer,
        result: Result<Grounding, String>,
        time: FrameTime,
        epoch: u64,
        place: Option<u64>,
    ) {
        let mut inner = self.lock();
        if result.is_ok() {
            let took = time.arrived.elapsed();
            inner.counters.inferred(took);
            if took.as_nanos() > u128::from(inner.slowest.nseconds()) {
                inner.slowest = gst::ClockTime::from_nseconds((took.as_nanos() * 5 / 4) as u64);
            }
        }
        let result = result.map(Arc::new);
        match place {
            Some(place) => {
                let outcome = match result {
                    Ok(grounding) => Outcome::Grounded(grounding),
                    Err(failure) => Outcome::Failed(failure),
                };
                let done = Done {
                    buffer,
                    outcome,
                    time,
                };
                // The queue was flushed meanwhile if it does not take the frame.
                let _ = inner.queue.finish(place, done);
            }
            None if inner.epoch != epoch => (),
            None => match result {
                Ok(grounding) => {
                    let newer = inner
                        .newest
                        .as_ref()
                        .is_none_or(|n| n.time.index < time.index);
                    if newer {
                        inner.newest = Some(Finished { grounding, time });
                    }
                }
                Err(failure) => {
                    inner.failure.get_or_insert(failure);
                }
            },
        }
    }
}
