//! One camera: pictures in, what was found in them out. Its thread answers them; DDS never waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mdetr::{Grounding, Past};
use mdetr_ros2_bus::{Found, Mailbox};
use mdetr_ros2_messages::std_msgs::Header;
use mdetr_track::{TrackOptions, Tracking};

use crate::outputs::Outputs;
use crate::picture::Picture;
use crate::space::{Space, Teller};
use crate::standing::{Slot, Standing};
use crate::taps::Received;
use crate::topics::Topics;

/// How long a thread sleeps at most before it looks whether it is to end.
const NAP: Duration = Duration::from_millis(20);
/// How long ago an inference may have been for the rate to count it.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// A stamp that is so much older than the newest means that time began anew.
const RESTART: Duration = Duration::from_secs(1);

/// What may change while pictures are answered.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Pace {
    /// Most pictures a second; 0: as many as come.
    pub max_rate: f64,
    /// Whether detections have ids.
    pub track: bool,
}

/// What happened to the pictures of a camera so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Pictures that came.
    pub received: AtomicU64,
    /// Those that were not answered, because a newer one came.
    pub dropped: AtomicU64,
    /// Those that were answered.
    pub answered: AtomicU64,
    /// Those that could not be read or answered.
    pub failed: AtomicU64,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    answered: std::collections::VecDeque<Instant>,
    failure: Option<String>,
    latency: Duration,
}

impl Counts {
    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, taken: Duration) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let mut recent = self.recent();
        recent.answered.push_back(Instant::now());
        recent.latency = taken;
        recent.failure = None;
        while recent
            .answered
            .front()
            .is_some_and(|at| at.elapsed() > RATE_WINDOW)
        {
            recent.answered.pop_front();
        }
    }

    fn failed(&self, topic: &str, failure: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut recent = self.recent();
        // What stays the same is said once.
        if recent.failure.as_ref() != Some(&failure) {
            tracing::error!("{topic}: {failure}");
            recent.failure = Some(failure);
        }
    }

    /// Pictures answered a second, of late.
    pub fn rate(&self) -> f64 {
        let recent = self.recent();
        let count = recent
            .answered
            .iter()
            .filter(|at| at.elapsed() <= RATE_WINDOW);
        count.count() as f64 / RATE_WINDOW.as_secs_f64()
    }

    /// How long the last answer took, and when it was given.
    pub fn last(&self) -> Option<(Duration, Instant)> {
        let recent = self.recent();
        recent.answered.back().map(|at| (recent.latency, *at))
    }

    /// Why the last picture was not answered, if it was not.
    pub fn failure(&self) -> Option<String> {
        self.recent().failure.clone()
    }
}

/// A picture that waits, and since when.
pub(crate) struct Waiting {
    picture: Received<Picture>,
    since: Instant,
}

/// What the thread of a camera and those who hand it pictures share.
pub(crate) struct Shared {
    /// Its name; empty, if it is the only one.
    pub name: String,
    /// Its topics.
    pub topics: Topics,
    /// What happened so far.
    pub counts: Counts,
    pace: RwLock<Pace>,
    mailbox: Mailbox<Waiting>,
}

impl Shared {
    /// Hands a picture over; does not wait.
    pub fn put(&self, picture: Received<Picture>) {
        self.counts.received.fetch_add(1, Ordering::Relaxed);
        let since = Instant::now();
        if self.mailbox.put(Waiting { picture, since }).is_some() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has the thread end after the picture that it answers.
    pub fn close(&self) {
        self.mailbox.close();
    }

    /// Forgets pictures that wait.
    pub fn clear(&self) {
        self.mailbox.clear();
    }

    /// Says that a message could not be read.
    pub fn unreadable(&self, failure: String) {
        self.counts.received.fetch_add(1, Ordering::Relaxed);
        self.counts.failed(&self.topics.image, failure);
    }

    /// Changes what may change.
    pub fn set_pace(&self, pace: Pace) {
        *self.pace.write().unwrap_or_else(PoisonError::into_inner) = pace;
    }

    fn pace(&self) -> Pace {
        *self.pace.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A camera with its thread, which ends when this is dropped.
pub(crate) struct Camera {
    /// What its thread shares.
    pub shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// With depth.
    pub space: Option<Space>,
}

impl Camera {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(
        name: String,
        topics: Topics,
        queue_size: usize,
        pace: Pace,
        slot: Slot,
        outputs: Outputs,
        space: Option<Space>,
    ) -> std::io::Result<Camera> {
        let shared = Arc::new(Shared {
            name,
            topics,
            counts: Counts::default(),
            pace: RwLock::new(pace),
            mailbox: Mailbox::new(queue_size),
        });
        let worker = Worker {
            shared: shared.clone(),
            slot,
            outputs,
            teller: space.as_ref().map(Space::teller),
            past: Past::new(),
            tracking: Tracking::new(TrackOptions {
                // What is reported at all is followed.
                high_threshold: 0.0,
                ..TrackOptions::default()
            }),
            stamp: Duration::ZERO,
            frame: 0,
        };
        let builder = thread::Builder::new().name("mdetr-camera".into());
        let thread = builder.spawn(move || worker.run())?;
        Ok(Camera {
            shared,
            thread: Some(thread),
            space,
        })
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take() {
            // It catches its panics.
            let _ = thread.join();
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    slot: Slot,
    outputs: Outputs,
    teller: Option<Teller>,
    tracking: Tracking,
    /// What the model remembers of the pictures.
    past: Past,
    /// The newest of the pictures.
    stamp: Duration,
    frame: u64,
}

impl Worker {
    fn run(mut self) {
        let shared = self.shared.clone();
        let mut begun: Option<Instant> = None;
        while let Some(waiting) = shared.mailbox.take() {
            let started = Instant::now();
            let Some(standing) = self.slot.get() else {
                continue;
            };
            let answered = catch_unwind(AssertUnwindSafe(|| self.answer(waiting, &standing)));
            match answered {
                Ok(Ok(())) => shared.counts.answered(started.elapsed()),
                Ok(Err(failure)) => shared.counts.failed(&shared.topics.image, failure),
                Err(_) => {
                    let failure =
                        "a picture was given up: this is a fault of this program; report it";
                    shared
                        .counts
                        .failed(&shared.topics.image, failure.to_owned());
                }
            }
            self.frame += 1;
            let due = begun.map_or(started, |due| due.max(started));
            begun = self.pause(due);
        }
    }

    /// Waits until the next picture may be answered, and says when that was to be.
    fn pause(&self, started: Instant) -> Option<Instant> {
        loop {
            let rate = self.shared.pace().max_rate;
            if rate <= 0.0 {
                return None;
            }
            let due = started + Duration::from_secs_f64(1.0 / rate);
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() || self.shared.mailbox.closed() {
                return Some(due);
            }
            thread::sleep(left.min(NAP));
        }
    }

    fn answer(&mut self, waiting: Waiting, standing: &Standing) -> Result<(), String> {
        let pace = self.shared.pace();
        let header = waiting.picture.message.header().clone();
        let opened = waiting.picture.message.open()?;
        let frame = opened.frame()?;
        let time = self.advance(&header);
        let mut grounding = standing
            .ground(&self.past, time, &frame)
            .map_err(|error| error.to_string())?;
        if pace.track {
            self.track(time, &mut grounding);
        }
        let found = Found {
            source: &self.shared.name,
            frame: self.frame,
            header: &header,
            grounding: &grounding,
            parts: &[],
            age: waiting.since.elapsed(),
            score_threshold: standing.score_threshold(),
        };
        self.outputs.publish(&found, &frame);
        if let Some(teller) = &self.teller {
            teller.result(&header, &grounding);
        }
        self.outputs.keep(waiting.picture);
        Ok(())
    }

    /// The time of a picture. Where the stream begins anew, what is known of it is forgotten.
    fn advance(&mut self, header: &Header) -> Duration {
        let nanos = u64::try_from(header.stamp.nanos()).unwrap_or(0);
        let time = Duration::from_nanos(nanos);
        if time + RESTART < self.stamp {
            // A recording that is played again, or a simulation.
            self.tracking.reset();
            self.past.forget();
            self.stamp = time;
        }
        self.stamp = self.stamp.max(time);
        time
    }

    /// Gives detections the ids of the objects they are. They stay where they were found, and what is not seen is not
    /// reported.
    fn track(&mut self, time: Duration, grounding: &mut Grounding) {
        self.tracking.update(time, grounding);
        let Some(tracked) = self.tracking.at(time) else {
            return;
        };
        for (result, tracked) in grounding.queries.iter_mut().zip(tracked.queries) {
            for detection in &mut result.detections {
                let same = tracked.detections.iter().find(|t| t.bbox == detection.bbox);
                detection.track = same.and_then(|tracked| tracked.track);
            }
        }
    }
}
