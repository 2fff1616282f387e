//! One run of the element, from READY to READY: the grounder, its workers and the frames they hold.
//!
//! All shared state is behind one lock, `Session::inner`. It is never held while inference runs, while
//! a buffer, event or query is pushed, or while another lock is taken; nor is it taken by who holds the
//! lock of `turns`. Each inference has a turn among those of all elements in the process.

mod every_frame;
mod latency;
mod live;
mod workers;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use gst_video::VideoInfo;
use mdetr::frame::LumaGrid;
use mdetr::{Grounder, Grounding};

use super::enums::Mode;
use super::queue::Queue;
use super::settings::Settings;
use super::stats::{self, Counters};
use super::threads::Threads;
use super::turns::Seat;
use crate::frame;
use crate::meta::FrameGrounding;
pub(super) use every_frame::Settled;
use latency::Preparation;
use latency::{Latency, Preparations};

/// How long READY waits for inferences and encodings in progress; nothing can interrupt those.
const PATIENCE: Duration = Duration::from_millis(500);

/// A result and the frame it was made from.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    grounding: Arc<Grounding>,
    time: FrameTime,
}

/// When a frame is shown and when it came.
#[derive(Debug, Clone, Copy)]
struct FrameTime {
    index: u64,
    /// Running time, also outside of the segment.
    running: Option<gst::Signed<gst::ClockTime>>,
    arrived: Instant,
}

impl Finished {
    /// The result as a frame of another time carries it.
    fn carried_to(&self, time: FrameTime, element: &Arc<str>) -> FrameGrounding {
        // Timestamps that fall in the middle of a segment are those of another clock.
        let by_running_time = time
            .running
            .zip(self.time.running)
            .and_then(|(to, from)| (to - from).positive());
        let by_arrival = || {
            let passed = time.arrived.saturating_duration_since(self.time.arrived);
            gst::ClockTime::from_nseconds(passed.as_nanos().try_into().unwrap_or(u64::MAX - 1))
        };
        FrameGrounding {
            grounding: self.grounding.clone(),
            age: if time.index == self.time.index {
                gst::ClockTime::ZERO
            } else {
                by_running_time.unwrap_or_else(by_arrival)
            },
            element: element.clone(),
        }
    }
}

/// A frame on its way out of mode every-frame.
#[derive(Debug)]
pub(super) struct Done {
    pub buffer: gst::Buffer,
    info: Arc<VideoInfo>,
    outcome: Outcome,
    time: FrameTime,
}

#[derive(Debug)]
enum Outcome {
    /// Inferred.
    Grounded(Arc<Grounding>),
    /// Not inferred: carries the result of the last frame that was.
    Carried,
    /// No query stands.
    Unasked,
    Failed(String),
}

#[derive(Debug)]
enum Job {
    Prepare(u32, u32),
    Frame {
        buffer: gst::Buffer,
        info: Arc<VideoInfo>,
        time: FrameTime,
        epoch: u64,
        /// Place in the queue of mode every-frame.
        place: Option<u64>,
    },
}

/// Whether frames can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// The model or the first queries are not there yet.
    Waiting,
    Ready,
    /// They cannot be had; the application was told why.
    Failed,
}

/// What mode live does with a frame.
#[derive(Debug)]
pub(super) struct Offer {
    /// What the frame's own caps say.
    pub info: Arc<VideoInfo>,
    /// The newest finished result.
    pub found: Option<FrameGrounding>,
    /// A worker holds a reference to the frame now.
    pub taken: bool,
    /// All workers were busy, and so this frame or one that waited is not inferred.
    pub skipped: bool,
}

#[derive(Debug)]
struct Inner {
    start: Start,
    stopping: bool,
    flushing: bool,
    /// What downstream said last.
    flow: Result<(), gst::FlowError>,
    /// Rises when frames in flight become void.
    epoch: u64,
    info: Option<Arc<VideoInfo>>,
    segment: gst::FormattedSegment<gst::ClockTime>,
    jobs: VecDeque<Job>,
    /// Of `jobs`, how many have a worker that waits for its turn.
    claimed: usize,
    busy: usize,
    queue: Queue<Done, gst::Event>,
    /// The thread that pushes downstream at this moment.
    pushing: Option<ThreadId>,
    newest: Option<Finished>,
    failure: Option<String>,
    arrived: u64,
    last_started: Option<u64>,
    /// The picture inferred last and the revision it was asked about.
    pictured: Option<(LumaGrid, u64)>,
    latency: Latency,
    counters: Counters,
}

impl Inner {
    /// Whether frames are taken.
    fn open(&self) -> Result<(), gst::FlowError> {
        if self.flushing || self.stopping {
            Err(gst::FlowError::Flushing)
        } else if self.start == Start::Failed {
            Err(gst::FlowError::Error)
        } else {
            self.flow
        }
    }

    /// Forgets the frames in flight and their results; gives the events that were between them.
    fn void_frames(&mut self) -> Vec<gst::Event> {
        self.epoch += 1;
        self.jobs.retain(|job| matches!(job, Job::Prepare(..)));
        self.newest = None;
        self.last_started = None;
        self.pictured = None;
        self.queue.clear()
    }

    fn arrive(&mut self, buffer: &gst::BufferRef) -> FrameTime {
        let index = self.arrived;
        let now = Instant::now();
        self.arrived += 1;
        self.counters.arrived(now);
        FrameTime {
            index,
            running: buffer
                .pts()
                .and_then(|pts| self.segment.to_running_time_full(pts)),
            arrived: now,
        }
    }

    fn due(&self, buffer: &gst::BufferRef, index: u64, interval: u32) -> bool {
        let empty = buffer.size() == 0 || buffer.flags().contains(gst::BufferFlags::GAP);
        let rested = self
            .last_started
            .is_none_or(|last| index - last >= u64::from(interval));
        rested && !empty
    }

    /// Notes that a frame is inferred from now on.
    fn started(&mut self, index: u64, picture: Option<LumaGrid>, revision: u64) {
        self.last_started = Some(index);
        self.pictured = picture.map(|picture| (picture, revision));
    }

    /// Whether the picture differs from the one inferred last by no more than `threshold`.
    fn still(&self, picture: Option<&LumaGrid>, revision: u64, threshold: f32) -> bool {
        let last = self
            .pictured
            .as_ref()
            .filter(|(_, asked)| *asked == revision);
        last.zip(picture)
            .is_some_and(|((last, _), picture)| last.difference(picture) <= threshold)
    }
}

/// What there is once the model is loaded.
struct Loaded {
    grounder: Arc<Grounder>,
    seat: Seat,
    capacity: Capacity,
}

impl Loaded {
    /// Gives up waiting inferences and texts that are being encoded.
    fn leave(&self) {
        self.seat.leave();
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
    interval: AtomicU32,
    /// Bits of an `f32`; 0: every picture counts as changed.
    change_threshold: AtomicU32,
    /// Whether plans that are being made for this run are to be given up.
    given_up: Arc<AtomicBool>,
    preparations: Preparations,
    inner: Mutex<Inner>,
    /// Notified when anything in `inner` changes that a thread may wait for.
    changed: Condvar,
    /// Workers, and what encodes queries.
    pub threads: Threads,
}

impl Session {
    /// A session without a model, whose frames wait or pass.
    pub fn new(element: &str, settings: &Settings) -> Session {
        Session {
            loaded: OnceLock::new(),
            expected: Capacity::of(settings, ""),
            element: element.into(),
            mode: settings.mode,
            interval: AtomicU32::new(settings.inference_interval),
            change_threshold: AtomicU32::new(settings.change_threshold.to_bits()),
            given_up: Arc::default(),
            preparations: Preparations::default(),
            inner: Mutex::new(Inner {
                start: Start::Waiting,
                stopping: false,
                flushing: false,
                flow: Ok(()),
                epoch: 0,
                info: None,
                segment: gst::FormattedSegment::new(),
                jobs: VecDeque::new(),
                claimed: 0,
                busy: 0,
                queue: Queue::default(),
                pushing: None,
                newest: None,
                failure: None,
                arrived: 0,
                last_started: None,
                pictured: None,
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

    /// Takes the model, whose first queries may still be encoded, and starts the workers, which wait for
    /// [`ready`](Self::ready). Once in a session.
    pub fn load(
        self: &Arc<Self>,
        grounder: Arc<Grounder>,
        settings: &Settings,
    ) -> std::io::Result<()> {
        let capacity = Capacity::of(settings, grounder.engine().name);
        let loaded = self.loaded.get_or_init(|| Loaded {
            grounder,
            seat: Seat::take(capacity.workers),
            capacity,
        });
        if self.stopping() {
            loaded.leave();
        }
        for number in 0..capacity.workers {
            let worker = self.clone();
            let name = format!("mdetr-worker-{number}");
            self.threads.spawn(name, move || worker.work())?;
        }
        Ok(())
    }

    fn capacity(&self) -> Capacity {
        let loaded = self.loaded.get();
        loaded.map_or(self.expected, |loaded| loaded.capacity)
    }

    /// Frames can be answered: the first queries stand, if there are any.
    pub fn ready(&self) {
        let asked = self.asked();
        let mut inner = self.lock();
        inner.start = Start::Ready;
        // A frame that waited is answered by these.
        if let Some((picture, revision)) = inner.pictured.take().zip(asked) {
            inner.pictured = Some((picture.0, revision));
        }
        self.changed.notify_all();
    }

    /// Frames will not be answered, as the application knows.
    pub fn fail(&self) {
        self.lock().start = Start::Failed;
        self.changed.notify_all();
    }

    /// Begins a preparation that inferences may have to wait for.
    pub fn prepare(&self) -> Preparation<'_> {
        self.preparations.begin()
    }

    /// Set once the session is shut.
    pub fn given_up(&self) -> Arc<AtomicBool> {
        self.given_up.clone()
    }

    /// Whether the element is going to READY.
    pub fn stopping(&self) -> bool {
        self.lock().stopping
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds the lock; if it did, the state would still be whole.
        self.inner
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait<'a>(&self, guard: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        self.changed
            .wait(guard)
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes no more frames and wakes every thread; frames in flight are dropped.
    pub fn shut(&self) {
        self.given_up.store(true, Ordering::Relaxed);
        let mut inner = self.lock();
        inner.stopping = true;
        inner.void_frames();
        inner.jobs.clear();
        self.changed.notify_all();
        drop(inner);
        if let Some(loaded) = self.loaded.get() {
            loaded.leave();
        }
    }

    /// Waits a little for what is in progress, once the session is shut; gives how many threads go on.
    /// Each ends after its frame or its text, and nobody hears of that.
    pub fn finish(&self) -> usize {
        self.threads.finish(PATIENCE)
    }

    /// Takes over when frames are inferred. Thresholds of the grounder may have changed too: the next
    /// frame is inferred whatever it shows.
    fn set_pace(&self, interval: u32, change_threshold: f32) {
        self.interval.store(interval, Ordering::Relaxed);
        self.change_threshold
            .store(change_threshold.to_bits(), Ordering::Relaxed);
        let mut inner = self.lock();
        // A frame that waits for the start is answered by these already.
        if inner.start != Start::Waiting {
            inner.pictured = None;
        }
    }

    /// Takes over what may change while playing, apart from the queries, if the model is loaded.
    pub fn set_limits(&self, settings: &Settings) {
        if let Some(grounder) = self.grounder() {
            settings.apply_limits(grounder);
            self.set_pace(settings.inference_interval, settings.change_threshold);
        }
    }

    fn change_threshold(&self) -> f32 {
        f32::from_bits(self.change_threshold.load(Ordering::Relaxed))
    }

    /// What a frame shows, coarsely, if anybody asks. A worker reports what is wrong with a buffer.
    fn picture(&self, buffer: &gst::BufferRef) -> Option<LumaGrid> {
        if self.change_threshold() <= 0.0 {
            return None;
        }
        let info = self.info()?;
        frame::with_frame(buffer, &info, LumaGrid::of).ok()
    }

    /// Frames from now on are `info`; a worker prepares for them before it takes the first.
    pub fn set_info(&self, info: VideoInfo) {
        let mut inner = self.lock();
        inner
            .jobs
            .push_back(Job::Prepare(info.width(), info.height()));
        inner.info = Some(Arc::new(info));
        if self.mode == Mode::Live {
            inner.void_frames();
        }
        inner.last_started = None;
        inner.pictured = None;
        inner.latency.forget();
        self.changed.notify_all();
    }

    /// Frames from now on are of this segment.
    pub fn set_segment(&self, segment: &gst::Segment) {
        // Segments in other units say nothing about times.
        let segment = segment
            .clone()
            .downcast()
            .unwrap_or_else(|_| gst::FormattedSegment::new());
        self.lock().segment = segment;
    }

    pub fn info(&self) -> Option<Arc<VideoInfo>> {
        self.lock().info.clone()
    }

    /// An error that no frame reported, once.
    pub fn take_failure(&self) -> Option<String> {
        self.lock().failure.take()
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

    /// How long a frame may stay in the element.
    pub fn latency(&self) -> gst::ClockTime {
        self.update_latency().0
    }

    /// Whether the latency is another than was last told or asked after.
    pub fn latency_changed(&self) -> bool {
        self.update_latency().1
    }

    fn update_latency(&self) -> (gst::ClockTime, bool) {
        if self.mode == Mode::Live {
            return (gst::ClockTime::ZERO, false);
        }
        let mut inner = self.lock();
        let Capacity { workers, in_flight } = self.capacity();
        let arrival = frame::duration(inner.info.as_deref()) * in_flight as u64;
        inner.latency.update(arrival, in_flight, workers)
    }

    /// Buffers that are held at once at most.
    pub fn held(&self) -> usize {
        match self.mode {
            Mode::EveryFrame => self.capacity().in_flight,
            Mode::Live => self.capacity().workers,
        }
    }

    /// The revision of the standing queries, if there are any.
    fn asked(&self) -> Option<u64> {
        let standing = self.grounder()?.queries();
        (!standing.queries().is_empty()).then_some(standing.revision())
    }
}
