//! One run of the element, from READY to READY: the grounder, its workers and the frames they hold.
//!
//! All shared state is behind one lock, `Session::inner`. It is never held while inference runs, while
//! a buffer, event or query is pushed, or while another lock is taken.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Instant;

use gst::prelude::MulDiv;
use gst_video::VideoInfo;
use mdetr::{Grounder, Grounding, Looked};

use super::Mode;
use super::queue::{Item, Queue};
use super::settings::Settings;
use super::stats::Counters;
use crate::frame;
use crate::meta::FrameGrounding;

/// Taken for the duration of a frame when the caps do not say.
const USUAL_FRAME_DURATION: gst::ClockTime = gst::ClockTime::from_mseconds(40);

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
    pts: Option<gst::ClockTime>,
    arrived: Instant,
}

impl Finished {
    /// The result as a frame of another time carries it.
    fn carried_to(&self, time: FrameTime) -> FrameGrounding {
        let by_pts = time
            .pts
            .zip(self.time.pts)
            .and_then(|(to, from)| to.checked_sub(from));
        let by_arrival = || {
            let passed = time.arrived.saturating_duration_since(self.time.arrived);
            gst::ClockTime::from_nseconds(passed.as_nanos().try_into().unwrap_or(u64::MAX - 1))
        };
        FrameGrounding {
            grounding: self.grounding.clone(),
            age: if time.index == self.time.index {
                gst::ClockTime::ZERO
            } else {
                by_pts.unwrap_or_else(by_arrival)
            },
        }
    }
}

/// A frame on its way out of mode every-frame.
#[derive(Debug)]
pub(super) struct Done {
    pub buffer: gst::Buffer,
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

/// What mode live does with a frame.
#[derive(Debug)]
pub(super) struct Offer {
    /// The newest finished result.
    pub found: Option<FrameGrounding>,
    /// A worker holds a reference to the frame now.
    pub taken: bool,
    /// The frame was due for inference but all workers were busy.
    pub skipped: bool,
}

#[derive(Debug)]
struct Inner {
    stopping: bool,
    flushing: bool,
    /// What downstream said last.
    flow: Result<(), gst::FlowError>,
    /// Rises when frames in flight become void.
    epoch: u64,
    info: Option<Arc<VideoInfo>>,
    jobs: VecDeque<Job>,
    busy: usize,
    queue: Queue<Done, gst::Event>,
    /// The thread that pushes downstream at this moment.
    pushing: Option<ThreadId>,
    newest: Option<Finished>,
    /// The latest inferred frame at a glance, with its index; kept where frames are compared.
    looked: Option<(u64, Arc<Looked>)>,
    failure: Option<String>,
    arrived: u64,
    last_started: Option<u64>,
    /// Longest time from a frame's arrival to its result, with a quarter on top.
    slowest: gst::ClockTime,
    /// The latency last told.
    reported: gst::ClockTime,
    counters: Counters,
}

impl Inner {
    /// Whether frames are taken.
    fn open(&self) -> Result<(), gst::FlowError> {
        if self.flushing || self.stopping {
            Err(gst::FlowError::Flushing)
        } else {
            self.flow
        }
    }

    /// Forgets the frames in flight and their results; gives the events that were between them.
    fn void_frames(&mut self) -> Vec<gst::Event> {
        self.epoch += 1;
        self.jobs.retain(|job| matches!(job, Job::Prepare(..)));
        self.newest = None;
        self.looked = None;
        self.last_started = None;
        self.queue.clear()
    }

    fn arrive(&mut self, buffer: &gst::BufferRef) -> FrameTime {
        let index = self.arrived;
        let now = Instant::now();
        self.arrived += 1;
        self.counters.arrived(now);
        FrameTime {
            index,
            pts: buffer.pts(),
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

    fn frame_duration(&self) -> gst::ClockTime {
        let fps = self.info.as_ref().map(|info| info.fps());
        fps.filter(|fps| fps.numer() > 0 && fps.denom() > 0)
            .and_then(|fps| {
                gst::ClockTime::SECOND.mul_div_ceil(fps.denom() as u64, fps.numer() as u64)
            })
            .unwrap_or(USUAL_FRAME_DURATION)
    }
}

/// One run of the element.
pub(super) struct Session {
    pub grounder: Arc<Grounder>,
    pub mode: Mode,
    max_in_flight: usize,
    workers: usize,
    interval: AtomicU32,
    /// Bits of a float.
    change_threshold: AtomicU32,
    inner: Mutex<Inner>,
    /// Notified when anything in `inner` changes that a thread may wait for.
    changed: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Session {
    /// Starts the workers.
    pub fn start(grounder: Arc<Grounder>, settings: &Settings) -> std::io::Result<Arc<Session>> {
        let session = Arc::new(Session {
            grounder,
            mode: settings.mode,
            max_in_flight: settings.in_flight(),
            workers: settings.worker_count(),
            interval: AtomicU32::new(settings.inference_interval),
            change_threshold: AtomicU32::new(settings.change_threshold.to_bits()),
            inner: Mutex::new(Inner {
                stopping: false,
                flushing: false,
                flow: Ok(()),
                epoch: 0,
                info: None,
                jobs: VecDeque::new(),
                busy: 0,
                queue: Queue::default(),
                pushing: None,
                newest: None,
                looked: None,
                failure: None,
                arrived: 0,
                last_started: None,
                slowest: gst::ClockTime::ZERO,
                reported: gst::ClockTime::ZERO,
                counters: Counters::default(),
            }),
            changed: Condvar::new(),
            threads: Mutex::default(),
        });
        for number in 0..session.workers {
            let worker = session.clone();
            let spawned = thread::Builder::new()
                .name(format!("mdetr-worker-{number}"))
                .spawn(move || worker.work());
            match spawned {
                Ok(thread) => session.threads.lock().expect("never poisoned").push(thread),
                Err(error) => {
                    session.shut();
                    session.join();
                    return Err(error);
                }
            }
        }
        Ok(session)
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
        let mut inner = self.lock();
        inner.stopping = true;
        inner.void_frames();
        inner.jobs.clear();
        self.changed.notify_all();
    }

    /// Waits for the workers, each of which ends at most one frame more after `shut`.
    pub fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().expect("never poisoned"));
        for thread in threads {
            // Workers catch panics; one outside of that has nothing left to report here.
            let _ = thread.join();
        }
    }

    pub fn set_interval(&self, interval: u32) {
        self.interval.store(interval, Ordering::Relaxed);
    }

    /// Sets what counts as a change. The next frame is inferred, since other limits may have changed
    /// with it.
    pub fn set_change_threshold(&self, threshold: f32) {
        self.change_threshold
            .store(threshold.to_bits(), Ordering::Relaxed);
        self.lock().looked = None;
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
        inner.looked = None;
        self.changed.notify_all();
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

    /// How long a frame may stay in the element.
    ///
    /// With every frame inferred in time, no frame is held longer than it takes as many as may be in
    /// flight to arrive. Where inference was seen to take longer, that counts.
    pub fn latency(&self) -> gst::ClockTime {
        let mut inner = self.lock();
        inner.reported = self.latency_now(&inner);
        inner.reported
    }

    /// Whether the latency has risen since it was last told or asked after.
    pub fn latency_grew(&self) -> bool {
        let mut inner = self.lock();
        let now = self.latency_now(&inner);
        let grew = now > inner.reported;
        inner.reported = now;
        grew
    }

    fn latency_now(&self, inner: &Inner) -> gst::ClockTime {
        match self.mode {
            Mode::Live => gst::ClockTime::ZERO,
            Mode::EveryFrame => {
                let expected = inner.frame_duration() * self.max_in_flight as u64;
                expected.max(inner.slowest)
            }
        }
    }

    pub fn max_in_flight(&self) -> usize {
        self.max_in_flight
    }

    fn has_queries(&self) -> bool {
        !self.grounder.queries().queries().is_empty()
    }
}

/// Mode every-frame.
impl Session {
    /// Queues a frame; waits while `max-in-flight` are queued.
    pub fn enqueue(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let asked = self.has_queries();
        let mut inner = self.lock();
        while inner.queue.frames() >= self.max_in_flight && inner.open().is_ok() {
            inner = self.wait(inner);
        }
        inner.open()?;
        let info = inner.info.clone().ok_or(gst::FlowError::NotNegotiated)?;
        let time = inner.arrive(&buffer);
        let due = inner.due(&buffer, time.index, self.interval.load(Ordering::Relaxed));
        if asked && due {
            inner.last_started = Some(time.index);
            let job = Job::Frame {
                buffer,
                info,
                time,
                epoch: inner.epoch,
                place: Some(inner.queue.reserve()),
            };
            inner.jobs.push_back(job);
        } else {
            let outcome = if asked {
                Outcome::Carried
            } else {
                // The first frame that is asked about again is inferred.
                inner.last_started = None;
                Outcome::Unasked
            };
            inner.queue.push_frame(Done {
                buffer,
                outcome,
                time,
            });
        }
        self.changed.notify_all();
        Ok(gst::FlowSuccess::Ok)
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

    /// The result that goes with a frame, or why there is none. Frames must come in order.
    pub fn settle(&self, done: Done) -> (gst::Buffer, Result<Option<FrameGrounding>, String>) {
        let Done {
            buffer,
            outcome,
            time,
        } = done;
        let found = match outcome {
            Outcome::Grounded(grounding) => {
                let finished = Finished { grounding, time };
                let found = finished.carried_to(time);
                self.lock().newest = Some(finished);
                Ok(Some(found))
            }
            Outcome::Carried => {
                let newest = self.lock().newest.clone();
                Ok(newest.map(|newest| newest.carried_to(time)))
            }
            Outcome::Unasked => Ok(None),
            Outcome::Failed(failure) => Err(failure),
        };
        (buffer, found)
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

/// Mode live.
impl Session {
    /// Gives the newest result for a frame and hands the frame to a worker if one is free.
    pub fn offer(&self, buffer: &gst::Buffer) -> Result<Offer, gst::FlowError> {
        let asked = self.has_queries();
        let mut inner = self.lock();
        if inner.flushing || inner.stopping {
            return Err(gst::FlowError::Flushing);
        }
        let info = inner.info.clone().ok_or(gst::FlowError::NotNegotiated)?;
        let time = inner.arrive(buffer);
        if !asked {
            (inner.newest, inner.last_started) = (None, None);
        }
        let found = inner.newest.as_ref().map(|newest| newest.carried_to(time));
        let due = asked && inner.due(buffer, time.index, self.interval.load(Ordering::Relaxed));
        let free = inner.jobs.len() + inner.busy < self.workers;
        if due && free {
            inner.last_started = Some(time.index);
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
        let skipped = due && !free;
        inner.counters.skipped += u64::from(skipped);
        Ok(Offer {
            found,
            taken: due && free,
            skipped,
        })
    }
}

/// Workers.
impl Session {
    fn work(&self) {
        while let Some(job) = self.take_job() {
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
                    let result = self.ground(&buffer, &info, time, epoch);
                    self.finish(buffer, result, time, epoch, place);
                }
            }
            self.lock().busy -= 1;
            self.changed.notify_all();
        }
    }

    fn take_job(&self) -> Option<Job> {
        let mut inner = self.lock();
        loop {
            if inner.stopping {
                return None;
            }
            if let Some(job) = inner.jobs.pop_front() {
                inner.busy += 1;
                return Some(job);
            }
            inner = self.wait(inner);
        }
    }

    /// The result of a frame; `None` if it looks like the last inferred one.
    fn ground(
        &self,
        buffer: &gst::BufferRef,
        info: &VideoInfo,
        time: FrameTime,
        epoch: u64,
    ) -> Result<Option<Grounding>, String> {
        let threshold = f32::from_bits(self.change_threshold.load(Ordering::Relaxed));
        if threshold <= 0.0 {
            let ground = |frame: &mdetr::Frame| self.grounder.ground(frame);
            return guarded(|| frame::with_frame(buffer, info, ground))?
                .map(Some)
                .map_err(|error| error.to_string());
        }
        let before = self.lock().looked.clone();
        let before = before.filter(|(index, _)| *index < time.index);
        let before = before.as_ref().map(|(_, looked)| &**looked);
        let ground =
            |frame: &mdetr::Frame| self.grounder.ground_if_changed(frame, before, threshold);
        let found = guarded(|| frame::with_frame(buffer, info, ground))?
            .map_err(|error| error.to_string())?;
        Ok(found.map(|(grounding, looked)| {
            let mut inner = self.lock();
            let newer = inner.looked.as_ref().is_none_or(|(i, _)| *i < time.index);
            if newer && inner.epoch == epoch {
                inner.looked = Some((time.index, Arc::new(looked)));
            }
            grounding
        }))
    }

    fn finish(
        &self,
        buffer: gst::Buffer,
        result: Result<Option<Grounding>, String>,
        time: FrameTime,
        epoch: u64,
        place: Option<u64>,
    ) {
        let mut inner = self.lock();
        if let Ok(None) = result {
            inner.counters.unchanged += 1;
        } else if result.is_ok() {
            let took = time.arrived.elapsed();
            inner.counters.inferred(took);
            if took.as_nanos() > u128::from(inner.slowest.nseconds()) {
                inner.slowest = gst::ClockTime::from_nseconds((took.as_nanos() * 5 / 4) as u64);
            }
        }
        let result = result.map(|found| found.map(Arc::new));
        match place {
            Some(place) => {
                let outcome = match result {
                    Ok(Some(grounding)) => Outcome::Grounded(grounding),
                    Ok(None) => Outcome::Carried,
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
                Ok(None) => (),
                Ok(Some(grounding)) => {
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

/// Runs `call`; its error or panic becomes a message.
pub(super) fn guarded<T, E: std::fmt::Display>(
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, String> {
    // What a panicking call leaves behind is its own; the frame is given up.
    match panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned());
            let text = text.unwrap_or_else(|| "no message".to_owned());
            Err(format!("internal panic: {text}; please report it"))
        }
    }
}
