//! One run of the element, from READY to READY: the grounder, its workers and the frames they hold.
//!
//! All shared state is behind one lock, `Session::state`. It is never held while inference runs, while
//! a buffer, event or query is pushed, or while another lock is taken; nor is it taken by who holds the
//! lock of the scheduler.
//!
//! For each job that is queued, the scheduler is asked for a turn among those of all elements in the process.
//! A worker waits for a turn, and only then takes the job that is first by that time.

mod every_frame;
mod frames;
mod jobs;
mod latency;
mod live;
mod pacing;
mod queue;
mod stream;
mod workers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use gst::glib;
use mdetr::Grounder;
use mdetr::frame::LumaGrid;
use mdetr_gst::analytics::Analytics;

use super::enums::Mode;
use super::scheduler::Ticket;
use super::settings::Settings;
use super::stats::{self, Counters};
use super::threads::Threads;
use crate::frame::{self, Layout};
use frames::{FrameTime, Results};
use jobs::{Job, Jobs};
use latency::{Latency, Preparation, Preparations};
use pacing::Pacing;
use queue::OrderedQueue;
use stream::Stream;

pub(super) use frames::OutputFrame;
pub(super) use queue::Item;

/// How long READY waits for inferences and encodings in progress; nothing can interrupt those.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The model or the first queries are not there yet.
    Starting,
    /// Frames are answered.
    Ready,
    /// Frames cannot be answered; the application was told why.
    Failed,
    /// The element goes to READY.
    Stopping,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    stream: Stream,
    pacing: Pacing,
    jobs: Jobs,
    results: Results,
    /// Of mode every-frame.
    queue: OrderedQueue<OutputFrame, gst::Event>,
    /// The thread that pushes downstream at this moment, in mode every-frame.
    pushing: Option<ThreadId>,
    latency: Latency,
    counters: Counters,
}

impl State {
    /// Whether nothing may wait for the stream to go on.
    fn interrupted(&self) -> bool {
        self.stream.flushing || self.phase == Phase::Stopping
    }

    /// Whether frames are taken.
    fn open(&self) -> Result<(), gst::FlowError> {
        if self.interrupted() {
            Err(gst::FlowError::Flushing)
        } else if self.phase == Phase::Failed {
            Err(gst::FlowError::Error)
        } else {
            self.stream.flow
        }
    }

    /// Forgets the frames in flight and their results; gives the events that were between them.
    fn void_frames(&mut self) -> Vec<gst::Event> {
        self.stream.epoch += 1;
        self.stream.past = Arc::default();
        self.jobs.remove_frames();
        self.results.newest = None;
        self.pacing.forget_last();
        self.pacing.forget_shown();
        self.queue.clear()
    }

    fn arrive(&mut self, buffer: &gst::BufferRef) -> FrameTime {
        let now = Instant::now();
        self.counters.arrived(now);
        self.stream.arrive(buffer, now)
    }
}

/// What there is once the model is loaded.
struct Loaded {
    grounder: Arc<Grounder>,
    ticket: Ticket,
    capacity: Capacity,
    /// 0: frames have the size that options say.
    target_fps: f64,
    /// To tell of what was measured, and of what does not work.
    element: glib::WeakRef<gst::Element>,
    /// Whether it was told that frames are read whole.
    told_of_whole_frames: AtomicBool,
}

impl Loaded {
    /// Gives up waiting inferences and texts that are being encoded.
    fn leave(&self) {
        self.ticket.leave();
        self.grounder.give_up();
    }
}

/// How much is done at once; by default that depends on the engine.
#[derive(Debug, Clone, Copy)]
struct Capacity {
    workers: usize,
    in_flight: usize,
}

impl Capacity {
    fn of(settings: &Settings, engine: &str) -> Capacity {
        Capacity {
            workers: settings.worker_count(engine),
            in_flight: settings.in_flight(engine),
        }
    }
}

/// One run of the element.
pub(super) struct Session {
    loaded: OnceLock<Loaded>,
    /// Until the model is loaded.
    expected: Capacity,
    /// Name of the element, for its results.
    element: Arc<str>,
    pub mode: Mode,
    /// Where detections are attached beside regions.
    pub analytics: Option<Analytics>,
    cancelled: Arc<AtomicBool>,
    preparations: Preparations,
    state: Mutex<State>,
    /// Notified when anything in `state` changes that a thread of a pad may wait for.
    changed: Condvar,
    /// Workers, and what encodes queries.
    pub threads: Threads,
}

impl Session {
    /// A session without a model, whose frames wait or pass.
    pub fn new(element: &str, settings: &Settings, analytics: Option<Analytics>) -> Session {
        Session {
            loaded: OnceLock::new(),
            expected: Capacity::of(settings, ""),
            element: element.into(),
            mode: settings.mode,
            analytics,
            cancelled: Arc::default(),
            preparations: Preparations::default(),
            state: Mutex::new(State {
                phase: Phase::Starting,
                stream: Stream::default(),
                pacing: Pacing::new(settings),
                jobs: Jobs::default(),
                results: Results::default(),
                queue: OrderedQueue::default(),
                pushing: None,
                latency: Latency::default(),
                counters: Counters::default(),
            }),
            changed: Condvar::new(),
            threads: Threads::default(),
        }
    }

    /// The model, once it is loaded.
    pub fn grounder(&self) -> Option<&Arc<Grounder>> {
        self.loaded.get().map(|loaded| &loaded.grounder)
    }

    /// As [`Grounder::past_interval`].
    fn past_interval(&self) -> Option<Duration> {
        self.grounder()?.past_interval()
    }

    fn capacity(&self) -> Capacity {
        let loaded = self.loaded.get();
        loaded.map_or(self.expected, |loaded| loaded.capacity)
    }

    /// Frames can be answered: the first queries stand, if there are any.
    pub fn ready(&self) {
        let revision = self.standing_revision();
        let mut state = self.lock();
        if state.phase != Phase::Starting {
            return;
        }
        state.phase = Phase::Ready;
        // A frame that waited is answered by these.
        state.pacing.set_revision(revision);
        let jobs = state.jobs.waiting();
        drop(state);
        self.changed.notify_all();
        self.request_turns(jobs);
    }

    /// Frames will not be answered, as the application knows.
    pub fn fail(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Starting {
            state.phase = Phase::Failed;
            self.changed.notify_all();
        }
    }

    /// Lets workers do so many jobs more, which were queued since the session is ready.
    fn request_turns(&self, jobs: usize) {
        if let Some(loaded) = self.loaded.get() {
            loaded.ticket.request(jobs);
        }
    }

    /// Begins a preparation that inferences may have to wait for.
    pub fn prepare(&self) -> Preparation<'_> {
        self.preparations.begin()
    }

    /// Set once plans that are being made for this run are to be given up.
    pub fn cancelled(&self) -> Arc<AtomicBool> {
        self.cancelled.clone()
    }

    /// Whether the element is going to READY.
    pub fn stopping(&self) -> bool {
        self.lock().phase == Phase::Stopping
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, the state would still be whole.
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait<'a>(&self, guard: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(guard)
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes no more frames and wakes every thread; frames in flight are dropped.
    pub fn shut_down(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        let mut state = self.lock();
        state.phase = Phase::Stopping;
        state.void_frames();
        state.jobs.clear();
        self.changed.notify_all();
        drop(state);
        if let Some(loaded) = self.loaded.get() {
            loaded.leave();
        }
    }

    /// Waits a little for what is in progress, once the session is shut down; gives how many threads go
    /// on. Each ends after its frame or its text, whose result is dropped.
    pub fn join_threads(&self) -> usize {
        self.threads.join(STOP_TIMEOUT)
    }

    /// Takes over what may change while playing, apart from the queries, if the model is loaded. Then the
    /// next frame is inferred whatever it shows.
    pub fn set_limits(&self, settings: &Settings) {
        let Some(grounder) = self.grounder() else {
            return;
        };
        settings.apply_limits(grounder);
        let mut state = self.lock();
        state.pacing.set(settings);
        // A frame that waits for the start is answered by these already.
        if state.phase != Phase::Starting {
            state.pacing.forget_shown();
        }
    }

    /// What a frame shows, coarsely, if it matters. A worker reports what is wrong with a buffer.
    fn luma(&self, buffer: &gst::BufferRef) -> Option<LumaGrid> {
        let state = self.lock();
        let info = state
            .stream
            .info
            .clone()
            .filter(|_| state.pacing.compares());
        drop(state);
        frame::with_frame(buffer, &*info?, || LumaGrid::FINEST, LumaGrid::of).ok()
    }

    /// Frames from now on are `info`; a worker prepares for them before it takes the first.
    pub fn set_info(&self, info: Layout) {
        let mut state = self.lock();
        state.jobs.push(Job::Prepare(info.width(), info.height()));
        state.stream.info = Some(Arc::new(info));
        if self.mode == Mode::Live {
            state.void_frames();
        }
        state.pacing.forget_last();
        state.pacing.forget_shown();
        state.latency.forget();
        let ready = state.phase == Phase::Ready;
        drop(state);
        self.request_turns(usize::from(ready));
    }

    /// Frames from now on are of this segment.
    pub fn set_segment(&self, segment: &gst::Segment) {
        // Segments in other units say nothing about times.
        let segment = segment
            .clone()
            .downcast()
            .unwrap_or_else(|_| gst::FormattedSegment::new());
        let stream = &mut self.lock().stream;
        stream.segment = segment;
        // Another part of the stream, or another stream.
        stream.past = Arc::default();
    }

    pub fn info(&self) -> Option<Arc<Layout>> {
        self.lock().stream.info.clone()
    }

    /// An error that no frame reported, once.
    pub fn take_failure(&self) -> Option<String> {
        self.lock().results.failure.take()
    }

    pub fn counters(&self) -> Counters {
        self.lock().counters.clone()
    }

    /// The content of the property `stats`.
    pub fn stats(&self) -> gst::Structure {
        stats::of(
            &self.counters(),
            self.grounder().map(|grounder| &**grounder),
        )
    }

    /// Buffers that are held at once at most.
    pub fn held(&self) -> usize {
        match self.mode {
            Mode::EveryFrame => self.capacity().in_flight,
            Mode::Live => self.capacity().workers,
        }
    }

    /// The revision of the standing queries, if there are any.
    fn standing_revision(&self) -> Option<u64> {
        let standing = self.grounder()?.queries();
        (!standing.queries().is_empty()).then_some(standing.revision())
    }

    /// Drops the frames in flight and takes no more; gives the events that were between them.
    pub fn flush_start(&self) -> Vec<gst::Event> {
        let mut state = self.lock();
        state.stream.flushing = true;
        let events = state.void_frames();
        self.changed.notify_all();
        events
    }

    pub fn flush_stop(&self) {
        let mut state = self.lock();
        state.stream.flushing = false;
        state.stream.flow = Ok(());
        state.void_frames();
        self.changed.notify_all();
    }
}
