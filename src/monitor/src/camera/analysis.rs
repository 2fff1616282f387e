//! What a camera's frames show: reports for listeners, events by its rules.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use gst_video::VideoInfo;
use gstmdetr::meta;
use jiff::Timestamp;
use mdetr_grounding::Grounding;
use mdetr_grounding::query::QueryEntry;
use mdetr_grounding::report::{self, FrameInfo};
use mdetr_rules::event::EndReason;
use mdetr_rules::{Event, Fault, Moment, Observation, RuleSet, Watch};
use tokio::sync::oneshot;

use super::pictures::{Painter, Pictures};
use super::queries;
use super::rates::Rate;
use super::recorder::Recorder;
use crate::hub::{Delivery, Hub, LazyLine, Notice, Report, Step};
use crate::metrics::Metrics;

/// Reports that are kept for pictures that come later: more than any encoder holds back.
const RECENT: usize = 64;
/// Frames that wait to become pictures of events.
const WAITING_FRAMES: usize = 4;

/// What is watched for: queries and rules that belong together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Task {
    /// Revision of the configuration they are of.
    pub(super) revision: u64,
    /// Standing queries.
    pub(super) queries: Vec<QueryEntry>,
    /// Zones, lines and rules.
    pub(super) rules: RuleSet,
}

/// A frame on its way to the page and the rules.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    /// The frame with its results.
    pub(super) buffer: &'a gst::BufferRef,
    /// Its format and size.
    pub(super) info: &'a VideoInfo,
    /// Its running time.
    pub(super) running: gst::ClockTime,
    /// When it was taken.
    pub(super) utc: SystemTime,
}

/// How fast frames come and are inferred.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Speed {
    pub(super) fps: f64,
    pub(super) inferred_fps: f64,
}

/// The frames of one camera, over all its connections.
#[derive(Debug)]
pub(super) struct Analysis {
    camera: Arc<str>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    jobs: Sender<Job>,
    /// Frames that wait for the painter.
    waiting: Arc<AtomicUsize>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    watch: Watch,
    /// In force.
    task: Task,
    /// To be in force from the frame on that answers its queries.
    next: Option<Task>,
    /// Added to running time, so that time grows over connections too.
    offset: Duration,
    /// Of the last frame.
    now: Moment,
    frame: u64,
    last_frame: Option<Instant>,
    size: Option<[u32; 2]>,
    /// Running time of the frame that was inferred last.
    inferred_at: Option<gst::ClockTime>,
    recent: VecDeque<(gst::ClockTime, Arc<Report>)>,
    frames: Rate,
    inferred: Rate,
}

/// What the painter's thread does.
#[derive(Debug)]
enum Job {
    /// Steps of events, with their frame if it is to be a picture.
    Steps(Vec<Event>, Option<Shot>),
    /// To say that all jobs before are done.
    Settle(oneshot::Sender<()>),
}

/// A frame that is to become a picture.
#[derive(Debug)]
struct Shot {
    buffer: gst::Buffer,
    info: VideoInfo,
    number: u64,
    found: Option<Arc<Grounding>>,
}

impl Analysis {
    /// Of a camera that has not given any frame.
    ///
    /// # Errors
    /// The rules cannot be used.
    pub(super) fn new(
        camera: &str,
        task: Task,
        hub: Arc<Hub>,
        metrics: Arc<Metrics>,
        recorder: Arc<Recorder>,
    ) -> Result<Arc<Analysis>, Vec<Fault>> {
        let watch = Watch::new(camera, task.rules.clone())?;
        let waiting = Arc::new(AtomicUsize::new(0));
        let jobs = start_painter(hub.clone(), metrics.clone(), recorder, waiting.clone());
        let state = State {
            watch,
            task,
            next: None,
            offset: Duration::ZERO,
            now: moment(Duration::ZERO, SystemTime::now()),
            frame: 0,
            last_frame: None,
            size: None,
            inferred_at: None,
            recent: VecDeque::new(),
            frames: Rate::default(),
            inferred: Rate::default(),
        };
        Ok(Arc::new(Analysis {
            camera: camera.into(),
            hub,
            metrics,
            jobs,
            waiting,
            state: Mutex::new(state),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics with the lock")
    }

    /// Watches for something else, from the first frame on whose result answers its queries.
    pub(super) fn set_task(&self, task: Task) {
        let mut state = self.state();
        if task.queries == state.task.queries && task.rules == state.task.rules {
            state.task.revision = task.revision;
            state.next = None;
        } else {
            state.next = Some(task);
        }
    }

    /// Revision of the configuration that results answer.
    pub(super) fn revision(&self) -> u64 {
        self.state().task.revision
    }

    /// When the last frame came.
    pub(super) fn last_frame(&self) -> Option<Instant> {
        self.state().last_frame
    }

    /// Width and height of the last frame.
    pub(super) fn size(&self) -> Option<[u32; 2]> {
        self.state().size
    }

    /// Frames a second.
    pub(super) fn speed(&self) -> Speed {
        let now = Instant::now();
        let mut state = self.state();
        Speed {
            fps: state.frames.per_second(now),
            inferred_fps: state.inferred.per_second(now),
        }
    }

    /// The report of the frame with this presentation time.
    pub(super) fn report(&self, pts: gst::ClockTime) -> Option<Arc<Report>> {
        let state = self.state();
        let found = state.recent.iter().rev().find(|(time, _)| *time == pts);
        found.map(|(_, report)| report.clone())
    }

    /// A new connection begins: its running time starts at 0.
    pub(super) fn connected(&self) {
        let mut state = self.state();
        state.offset = state.now.time + Duration::from_millis(1);
        state.recent.clear();
        state.inferred_at = None;
    }

    /// The frames stop, and with them all events.
    pub(super) fn end_events(&self, reason: EndReason) {
        let mut state = self.state();
        let since = state
            .last_frame
            .map_or(Duration::ZERO, |last| last.elapsed());
        let at = moment(state.now.time + since, SystemTime::now());
        let steps = state.watch.end_all(reason, at);
        self.send(steps, None);
    }

    /// Takes a frame in.
    pub(super) fn frame(&self, frame: &Frame) {
        let found = meta::read(frame.buffer).into_iter().next();
        let (width, height) = (frame.info.width(), frame.info.height());
        let mut state = self.state();
        let time = state.offset + Duration::from_nanos(frame.running.nseconds());
        let at = moment(time.max(state.now.time), frame.utc);
        let now = Instant::now();
        state.now = at;
        state.last_frame = Some(now);
        state.size = Some([width, height]);
        state.frames.count(now);
        self.metrics.frame(&self.camera);
        let grounding = found
            .as_ref()
            .map(|found| Arc::new(found.scaled(width, height)));
        let mut steps = self.change_task(&mut state, grounding.as_deref());
        let age = found
            .as_ref()
            .map(|found| Duration::from_nanos(found.age.nseconds()));
        if let (Some(found), Some(age), Some(grounding)) = (&found, age, &grounding) {
            let made = frame.running.saturating_sub(found.age);
            if state.inferred_at.replace(made) != Some(made) {
                state.inferred.count(now);
                self.metrics.inference(&self.camera, age.as_secs_f64());
            }
            self.metrics.age(&self.camera, age.as_secs_f64());
            let observation = Observation {
                moment: at,
                frame: state.frame,
                pts_ns: frame.buffer.pts().map(gst::ClockTime::nseconds),
                age,
                grounding,
            };
            steps.extend(state.watch.observe(&observation));
        }
        let report = self.reported(state.frame, frame, age, grounding.clone());
        if let Some(pts) = frame.buffer.pts() {
            state.recent.push_back((pts, report.clone()));
            if state.recent.len() > RECENT {
                state.recent.pop_front();
            }
        }
        let shown = steps.iter().any(|step| step.best.frame == state.frame);
        let shot = shown
            .then(|| self.shot(frame, state.frame, grounding))
            .flatten();
        state.frame += 1;
        self.send(steps, shot);
        drop(state);
        self.hub.tell(Notice::Report(report));
    }

    /// Puts the next task in force if this result answers its queries.
    fn change_task(&self, state: &mut State, grounding: Option<&Grounding>) -> Vec<Event> {
        let answered = state.next.as_ref().is_some_and(|next| match grounding {
            Some(grounding) => queries::are_answered(&next.queries, grounding),
            None => next.queries.is_empty(),
        });
        let Some(next) = state.next.take_if(|_| answered) else {
            return Vec::new();
        };
        match state.watch.replace(next.rules.clone(), state.now) {
            Ok(steps) => {
                state.task = next;
                steps
            }
            Err(faults) => {
                // The whole document was checked before.
                tracing::error!(camera = &*self.camera, ?faults, "rules refused");
                Vec::new()
            }
        }
    }

    fn reported(
        &self,
        number: u64,
        frame: &Frame,
        age: Option<Duration>,
        grounding: Option<Arc<Grounding>>,
    ) -> Arc<Report> {
        let age_ms = age.map(|age| age.as_secs_f64() * 1e3);
        let info = FrameInfo {
            source: self.camera.to_string(),
            frame: number,
            pts_ns: frame.buffer.pts().map(gst::ClockTime::nseconds),
            utc: Some(frame.utc),
            age_ms,
        };
        let shown = grounding.clone().unwrap_or_else(|| {
            Arc::new(Grounding {
                revision: 0,
                width: frame.info.width(),
                height: frame.info.height(),
                queries: Vec::new(),
            })
        });
        Arc::new(Report {
            camera: self.camera.clone(),
            frame: number,
            utc: timestamp(frame.utc),
            age_ms: age_ms.unwrap_or_default(),
            grounding,
            json: LazyLine::new(Box::new(move || report::to_json_line(&info, &shown))),
        })
    }

    /// A frame that is to become a picture; none if too many wait to, or no pictures are wanted.
    fn shot(&self, frame: &Frame, number: u64, found: Option<Arc<Grounding>>) -> Option<Shot> {
        if !self.hub.config().document.store.pictures {
            return None;
        }
        if self.waiting.load(Ordering::Relaxed) >= WAITING_FRAMES {
            return None;
        }
        // Copied, since decoders wait for the frames that they lent.
        let buffer = frame.buffer.copy_deep().ok()?;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Some(Shot {
            buffer,
            info: frame.info.clone(),
            number,
            found,
        })
    }

    /// Gives steps to the painter's thread, in order, with the frame if it is to be a picture of one of them.
    fn send(&self, steps: Vec<Event>, shot: Option<Shot>) {
        if !steps.is_empty() {
            // The thread ends when this is dropped, not before.
            let _ = self.jobs.send(Job::Steps(steps, shot));
        }
    }

    /// Waits until all steps so far are delivered.
    pub(super) async fn settled(&self) {
        let (done, settled) = oneshot::channel();
        let _ = self.jobs.send(Job::Settle(done));
        // Without the thread there is nothing to wait for.
        let _ = settled.await;
    }
}

/// Starts the thread that does what frames should not wait for: it begins and ends clips, makes pictures, and delivers
/// steps.
fn start_painter(
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    recorder: Arc<Recorder>,
    waiting: Arc<AtomicUsize>,
) -> Sender<Job> {
    let (jobs, received) = mpsc::channel::<Job>();
    let work = move || {
        let mut painter: Option<Painter> = None;
        for job in received {
            let (steps, shot) = match job {
                Job::Steps(steps, shot) => (steps, shot),
                Job::Settle(done) => {
                    // Who asked may have stopped waiting.
                    let _ = done.send(());
                    continue;
                }
            };
            for step in &steps {
                metrics.event(step);
                recorder.step(step);
            }
            let shown = shot.as_ref().map(|shot| shot.number);
            let pictures = shot.and_then(|shot| {
                waiting.fetch_sub(1, Ordering::Relaxed);
                let painted = paint(&mut painter, &shot);
                if let Err(error) = &painted {
                    tracing::warn!(error, "an event has no picture");
                }
                painted.ok()
            });
            for event in steps {
                let is_shown = Some(event.best.frame) == shown;
                let shown = pictures.clone().filter(|_| is_shown);
                let (plain, drawn) = shown.map(|both| (both.plain, both.drawn)).unzip();
                let step = Step {
                    event,
                    plain,
                    drawn,
                };
                hub.deliver(Delivery::Step(Box::new(step)));
            }
        }
    };
    let thread = thread::Builder::new().name("painter".to_owned());
    thread.spawn(work).expect("the system gives a thread");
    jobs
}

fn paint(painter: &mut Option<Painter>, shot: &Shot) -> Result<Pictures, String> {
    let found = shot.found.as_deref();
    match painter {
        Some(painter) if painter.takes(&shot.info) => painter.paint(&shot.buffer, found),
        _ => painter
            .insert(Painter::new(&shot.info)?)
            .paint(&shot.buffer, found),
    }
}

fn moment(time: Duration, utc: SystemTime) -> Moment {
    Moment {
        time,
        utc: timestamp(utc),
    }
}

/// Times outside the years -9999 to 9999 become the nearest of them.
pub(super) fn timestamp(time: SystemTime) -> Timestamp {
    let limit = || match time < SystemTime::UNIX_EPOCH {
        true => Timestamp::MIN,
        false => Timestamp::MAX,
    };
    Timestamp::try_from(time).unwrap_or_else(|_| limit())
}
