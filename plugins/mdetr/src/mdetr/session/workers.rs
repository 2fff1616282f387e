//! What the workers do, in both modes.

use std::sync::Arc;
use std::time::Instant;

use gst_video::VideoInfo;
use mdetr::{Grounder, Grounding};

use super::super::catch_panic::catch_panic;
use super::{Done, Finished, Job, Loaded, Outcome, Session, Start};
use crate::frame;

impl Session {
    pub(super) fn work(&self) {
        // There before any worker starts.
        let Some(Loaded { grounder, seat, .. }) = self.loaded.get() else {
            return;
        };
        while self.claim_job() {
            let (begun, quiet) = (Instant::now(), self.preparations.quiet());
            let Some(_turn) = seat.turn() else {
                return;
            };
            // A flush may have taken the job away.
            let Some(job) = self.take_job() else { continue };
            match job {
                Job::Prepare(width, height) => {
                    let _preparation = self.prepare();
                    if let Err(failure) = catch_panic(|| grounder.prepare(width, height)) {
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
                    let result = ground(grounder, &buffer, &info);
                    if result.is_ok() && self.preparations.quiet_since(&quiet) {
                        self.lock().latency.took(begun.elapsed());
                    }
                    let done = Done {
                        buffer,
                        info,
                        outcome: match result {
                            Ok(grounding) => Outcome::Grounded(Arc::new(grounding)),
                            Err(failure) => Outcome::Failed(failure),
                        },
                        time,
                    };
                    self.finish_frame(done, epoch, place);
                }
            }
            self.lock().busy -= 1;
            self.changed.notify_all();
        }
    }

    /// Waits for a job that no other worker waits to begin; `false` once the session is shut.
    fn claim_job(&self) -> bool {
        let mut inner = self.lock();
        let waits =
            |inner: &super::Inner| inner.start != Start::Ready || inner.jobs.len() <= inner.claimed;
        while !inner.stopping && waits(&inner) {
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

    fn finish_frame(&self, done: Done, epoch: u64, place: Option<u64>) {
        let time = done.time;
        let mut inner = self.lock();
        if matches!(done.outcome, Outcome::Grounded(_)) {
            inner.counters.inferred(time.arrived.elapsed());
        }
        match place {
            Some(place) => {
                // The queue was flushed meanwhile if it does not take the frame.
                let _ = inner.queue.finish(place, done);
            }
            None if inner.epoch != epoch => (),
            None => match done.outcome {
                Outcome::Grounded(grounding) => {
                    let newer = inner
                        .newest
                        .as_ref()
                        .is_none_or(|n| n.time.index < time.index);
                    if newer {
                        inner.newest = Some(Finished { grounding, time });
                    }
                }
                Outcome::Failed(failure) => {
                    inner.failure.get_or_insert(failure);
                }
                Outcome::Carried | Outcome::Unasked => (),
            },
        }
    }
}

fn ground(
    grounder: &Grounder,
    buffer: &gst::BufferRef,
    info: &VideoInfo,
) -> Result<Grounding, String> {
    catch_panic(|| frame::with_frame(buffer, info, |frame| grounder.ground(frame)))?
        .map_err(|error| error.to_string())
}
