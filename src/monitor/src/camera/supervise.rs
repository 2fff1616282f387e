//! Which cameras run: those of the configuration in force.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use mdetr::bundle::Models;
use mdetr_rules::event::EndReason;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::analysis::{Analysis, Task};
use super::pipeline::{Model, Outlets};
use super::recorder::Recorder;
use super::run::{Order, Runner};
use crate::config::{Camera, Document};
use crate::hub::{CameraState, CameraStatus, Current, Hub};
use crate::metrics::Metrics;

/// What all cameras need.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where they tell what they saw.
    pub hub: Arc<Hub>,
    /// Where they count.
    pub metrics: Arc<Metrics>,
    /// Where models are found by name.
    pub models: Models,
    /// Directory in which clips are written.
    pub parts: PathBuf,
}

/// All cameras.
#[derive(Debug)]
pub struct Cameras {
    context: Context,
    running: BTreeMap<String, Running>,
}

#[derive(Debug)]
struct Running {
    /// All but queries, zones, lines and rules: if this changes, it is started anew.
    base: Camera,
    model: Model,
    orders: watch::Sender<Order>,
    task: JoinHandle<()>,
}

impl Cameras {
    /// Runs the cameras of the configuration in force, whichever it is, until `stop` says so.
    pub async fn run(context: Context, mut stop: watch::Receiver<bool>) {
        let mut config = context.hub.watch_config();
        let mut cameras = Cameras {
            context,
            running: BTreeMap::new(),
        };
        loop {
            let current = config.borrow_and_update().clone();
            cameras.set(&current).await;
            tokio::select! {
                changed = config.changed() => if changed.is_err() { break },
                _ = stop.wait_for(|&stop| stop) => break,
            }
        }
        cameras.stop_all().await;
    }

    fn model(&self, document: &Document) -> Model {
        let models = &self.context.models;
        let named = document.model.clone();
        let named = named.unwrap_or_else(|| models.default_model());
        // The element says what is wrong with one that is not found.
        let found = models.find(&named);
        Model {
            bundle: found.unwrap_or(named),
            engine: document.engine.clone(),
            kserve: document.kserve.clone(),
            text_cache: document.data.join("cache").join("text"),
        }
    }

    async fn set(&mut self, current: &Current) {
        let document = &current.document;
        let model = self.model(document);
        let wanted: BTreeMap<&str, &Camera> = document
            .cameras
            .iter()
            .map(|camera| (camera.name.as_str(), camera))
            .collect();
        let mut stopping = Vec::new();
        for name in self.running.keys().cloned().collect::<Vec<_>>() {
            let camera = wanted.get(name.as_str()).filter(|camera| camera.enabled);
            let stays = camera.is_some_and(|camera| {
                let running = &self.running[&name];
                running.base == base(camera) && running.model == model
            });
            if stays {
                continue;
            }
            // What is changed goes on as another connection: the camera is lost for a moment.
            let reason = match camera {
                Some(_) => EndReason::CameraLost,
                None => EndReason::RuleChanged,
            };
            if let Some(running) = self.running.remove(&name) {
                stopping.push(stop(running, reason));
            }
            if !wanted.contains_key(name.as_str()) {
                self.context.hub.remove_camera(&name);
            }
        }
        for handle in stopping {
            // A camera that panicked has stopped too.
            let _ = handle.await;
        }
        for camera in wanted.values() {
            let task = Task {
                revision: current.revision,
                queries: camera.queries.clone(),
                rules: camera.rule_set(),
            };
            match self.running.get(&camera.name) {
                Some(running) => {
                    running.orders.send_if_modified(|order| {
                        let changed = order.task != task;
                        order.task = task;
                        changed
                    });
                }
                None if camera.enabled => self.start(camera, &model, task),
                None => self
                    .context
                    .hub
                    .set_camera(disabled(&camera.name, current.revision)),
            }
        }
    }

    fn start(&mut self, camera: &Camera, model: &Model, task: Task) {
        let Context {
            hub,
            metrics,
            parts,
            ..
        } = self.context.clone();
        let runtime = tokio::runtime::Handle::current();
        let recorder = Recorder::new(
            &camera.name,
            camera.record.clone(),
            parts,
            hub.clone(),
            runtime,
        );
        let analysis = match Analysis::new(
            &camera.name,
            task.clone(),
            hub.clone(),
            metrics.clone(),
            recorder.clone(),
        ) {
            Ok(analysis) => analysis,
            Err(faults) => {
                // The whole document was checked before.
                tracing::error!(camera = camera.name, ?faults, "rules refused");
                return;
            }
        };
        let outlets = Outlets {
            hub,
            analysis,
            recorder,
        };
        let (orders, received) = watch::channel(Order { task, stop: None });
        let runner = Runner::new(camera.clone(), model.clone(), outlets, metrics, received);
        let running = Running {
            base: base(camera),
            model: model.clone(),
            orders,
            task: tokio::spawn(runner.run()),
        };
        self.running.insert(camera.name.clone(), running);
    }

    async fn stop_all(&mut self) {
        let running = std::mem::take(&mut self.running);
        let stopping: Vec<JoinHandle<()>> = running
            .into_values()
            .map(|running| stop(running, EndReason::Stopped))
            .collect();
        for handle in stopping {
            let _ = handle.await;
        }
    }
}

fn stop(running: Running, reason: EndReason) -> JoinHandle<()> {
    running
        .orders
        .send_modify(|order| order.stop = Some(reason));
    running.task
}

/// What a connection is made of.
fn base(camera: &Camera) -> Camera {
    Camera {
        queries: Vec::new(),
        zones: Vec::new(),
        lines: Vec::new(),
        rules: Vec::new(),
        ..camera.clone()
    }
}

fn disabled(name: &str, revision: u64) -> CameraStatus {
    CameraStatus {
        name: name.to_owned(),
        state: CameraState::Disabled,
        since: Timestamp::now(),
        message: None,
        size: None,
        video: false,
        fps: 0.0,
        inferred_fps: 0.0,
        reconnects: 0,
        revision,
    }
}
