//! Mode live: frames pass, and take the newest result along.

use std::sync::atomic::Ordering;

use super::{Job, Offer, Session, Start};

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
        if inner.start == Start::Failed {
            return Err(gst::FlowError::Error);
        }
        let info = inner.info.clone().ok_or(gst::FlowError::NotNegotiated)?;
        let time = inner.arrive(buffer);
        if asked.is_none() {
            (inner.newest, inner.last_started) = (None, None);
        }
        let newest = inner.newest.as_ref();
        let found = newest.map(|newest| newest.carried_to(time, &self.element));
        let due = inner.due(buffer, time.index, self.interval.load(Ordering::Relaxed));
        let mut offer = Offer {
            info: info.clone(),
            found,
            taken: false,
            skipped: false,
        };
        let starting = inner.start == Start::Waiting;
        // The newest frame is answered by the first queries, once they stand.
        let asked = asked.or(starting.then_some(0));
        let Some(revision) = asked.filter(|_| due) else {
            return Ok(offer);
        };
        if inner.still(picture.as_ref(), revision, self.change_threshold()) {
            inner.counters.unchanged += 1;
            return Ok(offer);
        }
        let waits = |job: &Job| matches!(job, Job::Frame { .. });
        let waiting = inner.jobs.iter().position(waits);
        let busy = match starting {
            true => waiting.is_some(),
            false => inner.jobs.len() + inner.busy >= self.capacity().workers,
        };
        let waiting = waiting.filter(|_| busy);
        // A frame that still waits gives way to this one, which is newer.
        let replaced = waiting.and_then(|index| inner.jobs.remove(index));
        offer.skipped = busy && !starting;
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
