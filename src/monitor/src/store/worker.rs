//! Writes what is delivered, in order, and goes on whatever the disk does.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mdetr_rules::Event;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::base::Store;
use super::batch::{Written, write};
use super::counters::add;
use super::error::StoreError;
use super::media::Pictures;
use super::queue::{Limits, Queue, Waiting};
use super::room::{Usage, free_bytes, with_room};
use crate::hub::{Current, Delivery, Hub, StoreStatus};

/// Steps that are written in one transaction.
const BATCH: usize = 64;
/// The status says free bytes in steps of this, or it would be another one all the time.
const FREE_STEP: u64 = 1 << 20;

/// How often things are done, and how much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Between sweeps.
    pub sweep: Duration,
    /// Between looks at the disk.
    pub look: Duration,
    /// Before the first try again, and the longest; each is twice the one before.
    pub retry: (Duration, Duration),
    /// What a stop may take.
    pub drain: Duration,
    pub limits: Limits,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            sweep: Duration::from_secs(60),
            look: Duration::from_secs(5),
            retry: (Duration::from_millis(250), Duration::from_secs(5)),
            drain: Duration::from_millis(1500),
            limits: Limits {
                items: 10_000,
                picture_bytes: 64 << 20,
            },
        }
    }
}

/// Writes what is delivered until `stop` is true or gone: then what is there, for as long as a stop may take.
/// `receivers` says who gets letters of a step.
///
/// Each step is told as a [`Notice::Event`](crate::hub::Notice::Event) once it is in the database, each clip as a [`Notice::Clip`](crate::hub::Notice::Clip). While nothing
/// can be written, steps wait in memory; pictures are given up first, then updates of events. What was given up is said
/// in the log and in the store's status.
pub async fn run(
    store: Store,
    hub: Arc<Hub>,
    deliveries: UnboundedReceiver<Delivery>,
    receivers: impl Fn(&Current, &Event) -> Vec<String>,
    stop: watch::Receiver<bool>,
) {
    run_at(Pace::default(), store, hub, deliveries, receivers, stop).await;
}

pub(super) async fn run_at(
    pace: Pace,
    store: Store,
    hub: Arc<Hub>,
    mut deliveries: UnboundedReceiver<Delivery>,
    receivers: impl Fn(&Current, &Event) -> Vec<String>,
    mut stop: watch::Receiver<bool>,
) {
    let mut worker = Worker::new(pace, store, hub);
    let mut looks = interval(pace.look);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping = None;
    let mut came = Vec::new();
    loop {
        worker.begin_writing();
        let retry_at = worker.retry_at();
        tokio::select! {
            biased;
            () = until(stopping) => break,
            // Whoever stops the program without saying so stops it too.
            _ = stop.wait_for(|&stop| stop), if stopping.is_none() => {
                stopping = Some(Instant::now() + pace.drain);
                deliveries.close();
                worker.hurry();
            }
            written = ended(&mut worker.writing) => worker.written(written),
            count = deliveries.recv_many(&mut came, BATCH), if !deliveries.is_closed() || !deliveries.is_empty() => {
                let current = worker.hub.config();
                for delivery in came.drain(..count) {
                    let receivers = match &delivery {
                        Delivery::Step(step) => receivers(&current, &step.event),
                        Delivery::Clip(_) => Vec::new(),
                    };
                    worker.queue.push(Waiting { delivery, receivers, pictures: Pictures::default() });
                }
                worker.tell_lost();
            }
            looked = ended(&mut worker.looking) => worker.looked(looked),
            _ = looks.tick(), if stopping.is_none() => worker.begin_looking(),
            () = until(retry_at) => {}
        }
        if stopping.is_some() && deliveries.is_empty() && worker.is_idle() {
            break;
        }
    }
    worker.end();
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// Waits for a task, and takes it away.
async fn ended<T>(task: &mut Option<JoinHandle<T>>) -> T {
    match task {
        Some(running) => {
            let result = running.await.expect("a task of the store does not panic");
            *task = None;
            result
        }
        None => pending().await,
    }
}

/// Why nothing can be written.
#[derive(Debug)]
struct Failure {
    message: String,
    since: Instant,
    wait: Duration,
    at: Instant,
}

#[derive(Debug)]
struct Worker {
    pace: Pace,
    store: Store,
    hub: Arc<Hub>,
    queue: Queue,
    writing: Option<JoinHandle<Written>>,
    /// How much is being written.
    taken: usize,
    looking: Option<JoinHandle<Look>>,
    /// When the last sweep began.
    swept: Option<Instant>,
    usage: Usage,
    failure: Option<Failure>,
    /// Why pictures, and why room, cannot be had; told once each.
    pictures: Option<String>,
    room: Option<String>,
    /// Steps that were lost since the failure began.
    lost: u64,
    batch: usize,
}

/// What a look at the disk found.
#[derive(Debug)]
struct Look {
    usage: Result<Usage, StoreError>,
    swept: Option<Result<(), StoreError>>,
    /// What is to be left free.
    free_bytes: u64,
}

impl Worker {
    fn new(pace: Pace, store: Store, hub: Arc<Hub>) -> Worker {
        Worker {
            queue: Queue::new(pace.limits),
            pace,
            store,
            hub,
            writing: None,
            taken: 0,
            looking: None,
            swept: None,
            usage: Usage::default(),
            failure: None,
            pictures: None,
            room: None,
            lost: 0,
            batch: BATCH,
        }
    }

    /// Whether everything is written.
    fn is_idle(&self) -> bool {
        self.writing.is_none() && self.queue.is_empty()
    }

    /// How much is not written yet.
    fn waiting(&self) -> u64 {
        (self.queue.len() + self.taken) as u64
    }

    /// When a try after a failure is due.
    fn retry_at(&self) -> Option<Instant> {
        let failure = self.failure.as_ref()?;
        let waits = self.writing.is_none() && !self.queue.is_empty();
        waits.then_some(failure.at)
    }

    /// Before a stop there is less time between tries.
    fn hurry(&mut self) {
        self.pace.retry.1 = self.pace.retry.0;
        if let Some(failure) = &mut self.failure {
            failure.at = Instant::now();
        }
    }

    fn begin_writing(&mut self) {
        let is_due = self.retry_at().is_none_or(|at| Instant::now() >= at);
        if self.writing.is_some() || self.queue.is_empty() || !is_due {
            return;
        }
        let taken = self.queue.take(self.batch);
        self.taken = taken.len();
        let store = self.store.clone();
        let settings = self.hub.config().document.store.clone();
        self.writing = Some(tokio::spawn(async move {
            write(&store, &settings, taken).await
        }));
    }

    fn written(&mut self, written: Written) {
        self.taken = 0;
        let counters = self.store.counters();
        match written.pictures {
            Some(Ok(())) if self.pictures.take().is_some() => {
                tracing::info!("pictures are written again");
            }
            Some(Ok(())) | None => {}
            Some(Err(error)) => {
                let message = format!("pictures cannot be written: {error}");
                if self.pictures.is_none() {
                    tracing::error!("{message}; events are kept without them");
                }
                self.pictures = Some(message);
            }
        }
        for notice in written.done {
            self.hub.tell(notice);
        }
        self.queue.put_back(written.left);
        if let Some(error) = written.error {
            add(&counters.failures, 1);
            self.fail(&error);
        } else if written.works {
            self.batch = BATCH;
            self.recover();
        }
        self.tell_lost();
    }

    fn fail(&mut self, error: &StoreError) {
        // One that cannot be written is found by itself.
        self.batch = 1;
        let now = Instant::now();
        let (first, longest) = self.pace.retry;
        let before = self.failure.take();
        let (since, wait) = match &before {
            Some(failure) => (failure.since, (failure.wait * 2).min(longest)),
            None => (now, first),
        };
        let message = format!("events cannot be written: {error}");
        match before {
            Some(_) => tracing::debug!("{message}"),
            None => tracing::error!("{message}; they wait in memory"),
        }
        let at = now + wait;
        self.failure = Some(Failure {
            message,
            since,
            wait,
            at,
        });
        self.set_status();
        if error.may_be_full() {
            self.swept = None;
            self.begin_looking();
        }
    }

    fn recover(&mut self) {
        let Some(failure) = self.failure.take() else {
            return;
        };
        let (seconds, lost) = (
            failure.since.elapsed().as_secs(),
            std::mem::take(&mut self.lost),
        );
        tracing::info!(seconds, lost, "events are written again");
        self.set_status();
    }

    /// Says what had to be given up.
    fn tell_lost(&mut self) {
        let lost = self.queue.lost();
        let counters = self.store.counters();
        add(&counters.steps_lost, lost.steps);
        add(&counters.clips_lost, lost.clips);
        add(&counters.pictures_lost, lost.pictures);
        if lost.pictures > 0 && self.pictures.is_none() {
            let message = "too many pictures wait to be written: the oldest are given up";
            tracing::error!("{message}");
            self.pictures = Some(message.to_owned());
        }
        if lost.steps + lost.clips > 0 {
            if self.lost == 0 {
                let most = self.pace.limits.items;
                tracing::error!(
                    most,
                    "too many steps of events wait to be written: updates, then the oldest, are given up"
                );
            }
            self.lost += lost.steps + lost.clips;
            self.set_status();
        }
    }

    /// Looks at the disk, and sweeps where it is time.
    fn begin_looking(&mut self) {
        if self.looking.is_some() {
            return;
        }
        let now = Instant::now();
        let sweeps = self
            .swept
            .is_none_or(|swept| now - swept >= self.pace.sweep);
        if sweeps {
            self.swept = Some(now);
        }
        let store = self.store.clone();
        let settings = self.hub.config().document.store.clone();
        let settings = match &self.failure {
            Some(_) => with_room(settings, &store.inner.data),
            None => settings,
        };
        let before = self.usage;
        self.looking = Some(tokio::spawn(async move {
            let swept = match sweeps {
                true => Some(store.sweep(&settings, Timestamp::now()).await.map(drop)),
                false => None,
            };
            Look {
                usage: usage(&store, before, sweeps).await,
                swept,
                free_bytes: settings.free_bytes,
            }
        }));
    }

    fn looked(&mut self, look: Look) {
        if let Ok(usage) = look.usage {
            self.usage = usage;
        }
        let free = self.usage.free_bytes;
        let trouble = match look.swept {
            None => None,
            Some(Err(error)) => Some(format!("old events cannot be removed: {error}")),
            Some(Ok(())) if free < look.free_bytes => Some(format!(
                "the disk has {} MiB free, fewer than the {} MiB to be left, and no event may go for it",
                free >> 20,
                look.free_bytes >> 20
            )),
            Some(Ok(())) => {
                if self.room.take().is_some() {
                    tracing::info!("there is room on the disk again");
                }
                None
            }
        };
        if let Some(message) = trouble {
            if self.room.is_none() {
                tracing::warn!("{message}");
            }
            self.room = Some(message);
        }
        if let Some(failure) = &mut self.failure {
            // There may be room now.
            failure.at = failure.at.min(Instant::now() + self.pace.retry.0);
        }
        self.set_status();
    }

    fn set_status(&self) {
        let failure = self.failure.as_ref().map(|failure| match self.lost {
            0 => failure.message.clone(),
            lost => format!("{}; {lost} steps of events were given up", failure.message),
        });
        let message = failure
            .or_else(|| self.pictures.clone())
            .or_else(|| self.room.clone());
        self.hub.set_store(StoreStatus {
            writable: self.failure.is_none(),
            message,
            bytes: self.usage.bytes,
            free_bytes: self.usage.free_bytes / FREE_STEP * FREE_STEP,
            waiting: self.waiting(),
        });
    }

    fn end(self) {
        let left = self.waiting();
        if let Some(writing) = self.writing {
            writing.abort();
        }
        if let Some(looking) = self.looking {
            looking.abort();
        }
        if left > 0 {
            add(&self.store.counters().steps_lost, left);
            let why = self.failure.map(|failure| failure.message);
            tracing::error!(
                left,
                why,
                "the program stops with steps of events that are not written: they are lost"
            );
        }
    }
}

/// What the store takes is added up only when it was swept: that reads every event.
async fn usage(store: &Store, before: Usage, sweeps: bool) -> Result<Usage, StoreError> {
    if sweeps {
        return store.usage().await;
    }
    let data = &store.inner.data;
    let free_bytes = free_bytes(data).map_err(StoreError::file(data))?;
    Ok(Usage {
        free_bytes,
        ..before
    })
}
