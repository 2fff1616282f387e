//! One camera: connected, watched over, and connected again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use gst::prelude::*;
use jiff::Timestamp;
use mdetr_rules::event::EndReason;
use tokio::sync::watch;
use tokio::time::{self, MissedTickBehavior};

use super::analysis::Task;
use super::model::Model;
use super::pipeline::{Connection, Outlets};
use super::{second, source};
use crate::config::Camera;
use crate::hub::{CameraState, CameraStatus};
use crate::metrics::Metrics;
use crate::retry::Backoff;

/// Longest time from the attempt to the first frame.
pub(super) const CONNECT: Duration = Duration::from_secs(20);
/// Longest time without a frame before a camera counts as stalled.
const STALL: Duration = Duration::from_secs(5);
/// Longest time without a frame before it is connected anew.
pub(super) const GIVE_UP: Duration = Duration::from_secs(15);
/// Wait after the first failure.
pub(super) const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often all this is looked at.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// How often the state is told when nothing but the rates changed.
const TELL: Duration = Duration::from_secs(2);
/// Longest time in which a pipeline is brought to its end; then it is left alone.
pub(super) const STOP: Duration = Duration::from_millis(1500);

/// What is asked of a running camera.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Order {
    /// What is watched for.
    pub(super) task: Task,
    /// Whether it goes on, or why not.
    pub(super) stop: Option<EndReason>,
}

/// Why a connection ended.
enum End {
    /// The stream is over and begins anew.
    Again,
    /// The stream is over.
    Over,
    /// It failed, in words.
    Failed(String),
    /// It shall stop.
    Stopped(EndReason),
}

/// A camera that runs.
pub(super) struct Runner {
    pub(super) camera: Camera,
    pub(super) model: Model,
    pub(super) outlets: Outlets,
    pub(super) metrics: Arc<Metrics>,
    pub(super) orders: watch::Receiver<Order>,
    state: CameraState,
    since: Timestamp,
    message: Option<String>,
    reconnects: u64,
    told: Option<Instant>,
}

impl Runner {
    pub(super) fn new(
        camera: Camera,
        model: Model,
        outlets: Outlets,
        metrics: Arc<Metrics>,
        orders: watch::Receiver<Order>,
    ) -> Runner {
        Runner {
            camera,
            model,
            outlets,
            metrics,
            orders,
            state: CameraState::Connecting,
            since: Timestamp::now(),
            message: None,
            reconnects: 0,
            told: None,
        }
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(mut self) {
        let second = self
            .records_apart()
            .then(|| second::Second::start(self.camera.clone(), self.outlets.recorder.clone()));
        let reason = self.watch_until_stopped().await;
        self.outlets.analysis.end_events(reason);
        // The store ends behind this.
        self.outlets.analysis.settled().await;
        if let Some(second) = second {
            second.stop().await;
        }
        self.outlets.recorder.settled().await;
    }

    /// Whether clips are of another stream.
    fn records_apart(&self) -> bool {
        self.camera.record.clips && self.camera.record_url.is_some()
    }

    /// Watches for this from the frame on that answers it.
    fn set_task(&self, task: &Task) {
        let holds = task.rules.rules.iter().filter(|rule| rule.enabled);
        let hold = holds.map(|rule| rule.hold).max().unwrap_or_default();
        self.outlets.recorder.set_hold(hold);
        self.outlets.analysis.set_task(task.clone());
    }

    async fn watch_until_stopped(&mut self) -> EndReason {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        self.tell();
        loop {
            let end = self.connect(&mut backoff).await;
            // Events that have just begun have clips of what there is.
            self.outlets.analysis.settled().await;
            if !self.records_apart() {
                self.outlets.recorder.disconnected();
            }
            let message = match end {
                End::Stopped(reason) => return reason,
                End::Again => {
                    self.outlets.analysis.end_events(EndReason::StreamRestarted);
                    continue;
                }
                End::Over => {
                    self.outlets.analysis.end_events(EndReason::CameraLost);
                    let message = "the file is at its end".to_owned();
                    self.set_state(CameraState::Offline, Some(message));
                    return self.stopped().await;
                }
                End::Failed(message) => message,
            };
            self.outlets.analysis.end_events(EndReason::CameraLost);
            let wait = backoff.next();
            let name = &self.camera.name;
            tracing::warn!(
                camera = name,
                message,
                "lost; connected again in {:.1} s",
                wait.as_secs_f64()
            );
            self.set_state(CameraState::Offline, Some(message));
            tokio::select! {
                () = time::sleep(wait) => {}
                reason = self.stopped() => return reason,
            }
            self.reconnects += 1;
            self.metrics.reconnect(&self.camera.name);
        }
    }

    /// Waits until it shall stop.
    async fn stopped(&mut self) -> EndReason {
        loop {
            if let Some(reason) = self.orders.borrow().stop {
                return reason;
            }
            if self.orders.changed().await.is_err() {
                return EndReason::Stopped;
            }
            let task = self.orders.borrow_and_update().task.clone();
            self.set_task(&task);
        }
    }

    /// One connection, from its beginning to its end.
    async fn connect(&mut self, backoff: &mut Backoff) -> End {
        let order = self.orders.borrow_and_update().clone();
        if let Some(reason) = order.stop {
            return End::Stopped(reason);
        }
        self.set_task(&order.task);
        self.outlets.analysis.connected();
        let password = match source::password(&self.camera) {
            Ok(password) => password,
            Err(message) => return End::Failed(message),
        };
        let made = Connection::new(
            &self.camera,
            password.as_deref(),
            &self.model,
            &order.task,
            &self.outlets,
        );
        let connection = match made {
            Ok(connection) => Arc::new(connection),
            Err(message) => return End::Failed(message),
        };
        let end = self.watch(&connection, order.task, backoff).await;
        let stopping = tokio::task::spawn_blocking(move || connection.stop());
        // A host that does not answer must not hold the program up.
        let _ = time::timeout(STOP, stopping).await;
        end
    }

    async fn watch(
        &mut self,
        connection: &Arc<Connection>,
        mut task: Task,
        backoff: &mut Backoff,
    ) -> End {
        let Some(bus) = connection.pipeline.bus() else {
            return End::Failed("a pipeline without a bus".to_owned());
        };
        let mut messages = bus.stream();
        let started = Instant::now();
        let starting = connection.clone();
        let mut start = tokio::task::spawn_blocking(move || starting.start());
        let mut running = false;
        let mut ticks = time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                outcome = &mut start, if !running => {
                    running = true;
                    if let Ok(Err(message)) = outcome {
                        return End::Failed(first_error(&bus).unwrap_or(message));
                    }
                }
                Some(message) = messages.next() => {
                    if let Some(end) = self.heard(&message) {
                        return end;
                    }
                }
                changed = self.orders.changed() => {
                    if changed.is_err() {
                        return End::Stopped(EndReason::Stopped);
                    }
                    let order = self.orders.borrow_and_update().clone();
                    if let Some(reason) = order.stop {
                        return End::Stopped(reason);
                    }
                    self.set_task(&order.task);
                    if order.task.queries != task.queries {
                        connection.set_queries(&order.task);
                    }
                    task = order.task;
                }
                _ = ticks.tick() => {
                    connection.set_watched(self.outlets.hub.is_watched(&self.camera.name));
                    if let Some(end) = self.look(started, backoff) {
                        return end;
                    }
                }
            }
        }
    }

    /// Whether frames come.
    fn look(&mut self, started: Instant, backoff: &mut Backoff) -> Option<End> {
        let last = self
            .outlets
            .analysis
            .last_frame()
            .filter(|last| *last >= started);
        let silent = last.unwrap_or(started).elapsed();
        match last {
            None if silent > CONNECT => {
                return Some(End::Failed(format!("no frame in {} s", CONNECT.as_secs())));
            }
            None => {}
            Some(_) if silent > GIVE_UP => {
                return Some(End::Failed(format!("no frame for {} s", GIVE_UP.as_secs())));
            }
            Some(_) if silent > STALL && self.state == CameraState::Stalled => {}
            Some(_) if silent > STALL => {
                self.outlets.analysis.end_events(EndReason::CameraLost);
                let message = format!("no frame for {} s", STALL.as_secs());
                self.set_state(CameraState::Stalled, Some(message));
            }
            Some(_) => {
                backoff.reset();
                if self.state != CameraState::Online {
                    tracing::info!(camera = self.camera.name, "online");
                    self.set_state(CameraState::Online, None);
                }
            }
        }
        if self.told.is_none_or(|told| told.elapsed() > TELL) {
            self.tell();
        }
        None
    }

    /// What a message of the pipeline says.
    fn heard(&mut self, message: &gst::Message) -> Option<End> {
        match message.view() {
            gst::MessageView::Error(error) => {
                let source = error.src().map(|source| source.name().to_string());
                tracing::debug!(camera = self.camera.name, source, debug = ?error.debug(), "{}", error.error());
                Some(End::Failed(in_words(&error.error())))
            }
            gst::MessageView::Eos(_) if self.camera.repeat => Some(End::Again),
            gst::MessageView::Eos(_) if self.camera.url.starts_with("file:") => Some(End::Over),
            gst::MessageView::Eos(_) => Some(End::Failed("the camera ended the stream".to_owned())),
            gst::MessageView::Warning(warning) => {
                tracing::warn!(camera = self.camera.name, "{}", warning.error());
                self.message = Some(warning.error().to_string());
                self.tell();
                None
            }
            _ => None,
        }
    }

    fn set_state(&mut self, state: CameraState, message: Option<String>) {
        if self.state != state {
            self.state = state;
            self.since = Timestamp::now();
        }
        self.message = message;
        self.tell();
    }

    fn tell(&mut self) {
        self.told = Some(Instant::now());
        let speed = self.outlets.analysis.speed();
        self.outlets.hub.set_camera(CameraStatus {
            name: self.camera.name.clone(),
            state: self.state,
            since: self.since,
            message: self.message.clone(),
            size: self.outlets.analysis.size(),
            video: self.outlets.hub.videos.has(&self.camera.name),
            fps: speed.fps,
            inferred_fps: speed.inferred_fps,
            reconnects: self.reconnects,
            revision: self.outlets.analysis.revision(),
        });
    }
}

pub(super) fn in_words(error: &gst::glib::Error) -> String {
    match error.kind::<gst::CoreError>() {
        Some(gst::CoreError::MissingPlugin) => {
            "there is no decoder for these pictures: install gstreamer1.0-libav and gstreamer1.0-plugins-bad".to_owned()
        }
        _ => error.to_string(),
    }
}

/// The error that is on a bus already.
pub(super) fn first_error(bus: &gst::Bus) -> Option<String> {
    let message = bus.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(error) => Some(in_words(&error.error())),
        _ => None,
    }
}
