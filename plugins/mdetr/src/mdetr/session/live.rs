//! Mode live: frames pass, and take the newest result along.

use std::sync::atomic::Ordering;

use super::{Job, Offer, Session};

impl Session {
    /// Gives the newest result for a frame and hands the frame to a worker if one is free, or will take
    /// it instead of an older one that waits for its turn.
    pub fn offer(&self, buffer: &gst::Buffer) -> Result<Offer, gst::FlowError> {
        let asked = self.asked();
        let picture = self.picture(buffer);
        let mut inner = self.lock();
        if inner.flushing || inner.stopping {
            return Err(gst::FlowError::Flushing);
        }
        let info = inner.info.clone().ok_or(gst::FlowError::NotNegotiated)?;
        let time = inner.arrive(buffer);
        if asked.is_none() {
            (inner.newest, inner.last_started) = (None, None);
        }
        let found = inner.newest.as_ref().map(|newest| newest.carried_to(time));
        let due = inner.due(buffer, time.index, self.interval.load(Ordering::Relaxed));
        let mut offer = Offer {
            found,
            taken: false,
            skipped: false,
        };
        let Some(revision) = asked.filter(|_| due) else {
            return Ok(offer);
        };
        if inner.still(picture.as_ref(), revision, self.change_threshold()) {
            inner.counters.unchanged += 1;
            return Ok(offer);
        }
        let busy = inner.jobs.len() + inner.busy >= self.workers;
        let waits = |job: &Job| matches!(job, Job::Frame { .. });
        let waiting = inner.jobs.iter().position(waits).filter(|_| busy);
        // A frame that still waits gives way to this one, which is newer.
        let replaced = waiting.and_then(|index| inner.jobs.remove(index));
        offer.skipped = busy;
        offer.taken = !busy || replaced.is_some();
        inner.counters.skipped += u64::from(offer.skipped);
        if offer.taken {
            inner.started(time.index, picture, revision);
            let job = Job::Frame {
                buffer: buffer.clone(),
                info,
                time,
                epoch: inner.epoch,
                place: None,
            };
            inner.jobs.push_back(job);
            self.changed.notify_all();
        }
        // Before the replaced frame, which goes back to its pool.
        drop(inner);
        Ok(offer)
    }
}
