//! What the workers do, in both modes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gst::glib;
use mdetr::{Frame, Grounder, Grounding, Past};

use super::super::catch_panic::catch_panic;
use super::super::messages;
use super::super::scheduler::Ticket;
use super::super::settings::Settings;
use super::frames::{Outcome, OutputFrame, TimedResult};
use super::jobs::{InputFrame, Job};
use super::{Capacity, Loaded, Session};
use crate::frame::{self, Layout};

impl Session {
    /// Takes the model, whose first queries may still be encoded, and starts the workers, which wait for
    /// [`ready`](Self::ready). Once in a session.
    pub fn load(
        self: &Arc<Self>,
        grounder: Arc<Grounder>,
        settings: &Settings,
        element: &glib::WeakRef<gst::Element>,
    ) -> std::io::Result<()> {
        let capacity = Capacity::of(settings, &grounder.engine().name);
        let loaded = self.loaded.get_or_init(|| Loaded {
            grounder,
            ticket: Ticket::new(capacity.workers),
            capacity,
            target_fps: settings.target_fps,
            element: element.clone(),
            told_of_whole_frames: AtomicBool::new(false),
        });
        if self.stopping() {
            loaded.leave();
        }
        // What is measured would be slower beside frames, and those of another size than chosen.
        self.lock().jobs.alone = settings.target_fps > 0.0;
        for number in 0..capacity.workers {
            let session = self.clone();
            let name = format!("mdetr-worker-{number}");
            self.threads.spawn(name, move || session.work())?;
        }
        Ok(())
    }

    fn work(&self) {
        // There before any worker starts.
        let Some(loaded) = self.loaded.get() else {
            return;
        };
        let Loaded {
            grounder, ticket, ..
        } = loaded;
        let mut idle_since = Instant::now();
        while let Some(_turn) = ticket.turn() {
            let job = self.lock().jobs.begin();
            match job {
                Some(Job::Prepare(width, height)) => {
                    self.prepare_for(loaded, width, height);
                    let refused = self.lock().jobs.end_preparation();
                    ticket.request(refused);
                }
                Some(Job::Infer(frame)) => {
                    self.infer(grounder, frame, idle_since);
                    loaded.tell_of_whole_frames();
                    self.lock().jobs.end();
                }
                // A flush has taken the job away.
                None => continue,
            }
            idle_since = Instant::now();
        }
    }

    fn prepare_for(&self, loaded: &Loaded, width: u32, height: u32) {
        let _preparation = self.prepare();
        let prepare = || {
            if loaded.target_fps > 0.0 {
                loaded.choose_short_side(width, height)?;
            }
            loaded.grounder.prepare(width, height)
        };
        if let Err(failure) = catch_panic(prepare) {
            self.lock().results.fail(failure);
        }
    }

    /// Infers a frame on a worker that was idle since a time.
    fn infer(&self, grounder: &Grounder, input: InputFrame, idle_since: Instant) {
        let InputFrame {
            buffer,
            info,
            time,
            epoch,
            past,
            place,
        } = input;
        let past = time.stream.map(|at| (&*past, at));
        let result = ground(grounder, &buffer, &info, past);
        // From when the worker could have begun: it may have waited for its turn.
        let begun = idle_since.max(time.arrived);
        let quiet = self.preparations.quiet_since(begun);
        let mut state = self.lock();
        if result.is_ok() {
            state.counters.inferred(time.arrived.elapsed());
            if quiet {
                state.latency.took(begun.elapsed());
            }
        }
        let result = result.map(Arc::new);
        if let Some(place) = place {
            let frame = OutputFrame {
                buffer,
                info,
                outcome: result.map_or_else(Outcome::Failed, Outcome::Inferred),
                time,
            };
            // The queue was flushed meanwhile if it does not take the frame.
            let refused = state.queue.finish(place, frame);
            self.changed.notify_all();
            drop(state);
            drop(refused);
        } else if state.stream.epoch == epoch {
            match result {
                Ok(grounding) => state.results.add(TimedResult { grounding, time }),
                Err(failure) => state.results.fail(failure),
            }
        }
    }
}

impl Loaded {
    /// Says once that the hardware does not scale frames, if that is so.
    fn tell_of_whole_frames(&self) {
        if let Some(why) = frame::read_whole()
            && !self.told_of_whole_frames.swap(true, Ordering::Relaxed)
            && let Some(element) = self.element.upgrade()
        {
            messages::warn_whole_frames(&element, why);
        }
    }

    fn choose_short_side(&self, width: u32, height: u32) -> Result<(), mdetr::Error> {
        let choice = self
            .grounder
            .choose_short_side(width, height, self.target_fps)?;
        if let Some(element) = self.element.upgrade() {
            messages::post_short_side(&element, &choice, self.target_fps);
        }
        Ok(())
    }
}

fn ground(
    grounder: &Grounder,
    buffer: &gst::BufferRef,
    layout: &Layout,
    past: Option<(&Past, Duration)>,
) -> Result<Grounding, String> {
    let size = (layout.width(), layout.height());
    // Where there is none, inference says why.
    let target = || grounder.input_size(size.0, size.1).unwrap_or(size);
    let ground = |frame: &Frame| match past {
        Some((past, at)) => grounder.ground_in(past, at, frame),
        None => grounder.ground(frame),
    };
    catch_panic(|| frame::with_frame(buffer, layout, target, ground))?
        .map_err(|error| error.to_string())
}
