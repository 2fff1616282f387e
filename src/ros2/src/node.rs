//! The node: its state, and what changes it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mdetr_record::RecordError;
use mdetr_ros2_bus::{Bus, BusError, Output, reliable};
use mdetr_ros2_messages::lifecycle_msgs::{Transition, TransitionEvent};
use mdetr_ros2_messages::rcl_interfaces::{Parameter, ParameterEvent};
use ros2_client::ParameterValue;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking, spawn_local};

use crate::camera::{Camera, Pace};
use crate::clock::Clock;
use crate::entries::Entries;
use crate::inputs;
use crate::lifecycle::{self, Outcome, Phase, Step};
use crate::outputs::Outputs;
use crate::parameters::{self, Values};
use crate::space::{DepthOptions, Space};
use crate::standing::{Slot, Standing, Wanted};
use crate::taps::{TapError, Taps};
use crate::topics::{Topics, within};
use crate::{prompt, rules};

/// Why the node cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A parameter on the command line or in a file is wrong.
    #[error("parameter {0}")]
    Parameter(String),
    /// DDS, or the environment.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// There is no recording, or no view.
    #[error(transparent)]
    Tap(#[from] TapError),
    /// The recording is not whole.
    #[error("--record {0}")]
    Record(#[from] RecordError),
    /// The recording was not waited for.
    #[error("--record: the file has no index; what was written can be read after --recover")]
    Unfinished,
    /// The system.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// The node. All of it but the threads of cameras is on one thread.
pub(crate) struct Node {
    pub bus: Bus,
    /// Where messages go beside DDS.
    pub taps: Taps,
    pub clock: Clock,
    values: RefCell<Values>,
    /// Its queries, for viewers.
    entries: Entries,
    phase: Cell<Phase>,
    /// Held by whoever changes parameters or the state: one after the other.
    changing: Mutex<()>,
    /// What pictures are answered with.
    slot: Slot,
    /// The last revision that was given.
    revision: Cell<u64>,
    cameras: RefCell<Vec<Camera>>,
    receiving: RefCell<Vec<JoinHandle<()>>>,
    /// Whether pictures are taken in the state active.
    enabled: Rc<Cell<bool>>,
    clock_task: RefCell<Option<JoinHandle<()>>>,
    parameter_events: Output<ParameterEvent>,
    transition_events: Output<TransitionEvent>,
}

impl Node {
    /// A node on the network, in the state unconfigured. Other threads read the queries from `entries`.
    ///
    /// # Errors
    /// DDS refuses.
    pub fn new(
        bus: Bus,
        taps: Taps,
        clock: Clock,
        values: Values,
        entries: Entries,
    ) -> Result<Node, BusError> {
        entries.set(values.strings("queries"));
        Ok(Node {
            parameter_events: bus.output("/parameter_events", reliable(1000))?,
            transition_events: bus.output("~/transition_event", reliable(10))?,
            bus,
            taps,
            clock,
            values: RefCell::new(values),
            entries,
            phase: Cell::new(Phase::Unconfigured),
            changing: Mutex::new(()),
            slot: Slot::default(),
            revision: Cell::new(0),
            cameras: RefCell::default(),
            receiving: RefCell::default(),
            enabled: Rc::new(Cell::new(true)),
            clock_task: RefCell::default(),
        })
    }

    /// The state.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// The parameters.
    pub fn values(&self) -> Values {
        self.values.borrow().clone()
    }

    /// What pictures are answered with; `None` in the state unconfigured.
    pub fn standing(&self) -> Option<Arc<Standing>> {
        self.slot.get()
    }

    /// The revision in force, or the last one that was.
    pub fn revision(&self) -> u64 {
        self.revision.get()
    }

    /// Does something with each camera.
    pub fn each_camera(&self, look: impl FnMut(&Camera)) {
        self.cameras.borrow().iter().for_each(look);
    }

    /// Takes pictures in the state active, or leaves them.
    pub fn enable(&self, enabled: bool) {
        self.enabled.set(enabled);
        if !enabled {
            self.each_camera(|camera| camera.shared.clear());
        }
    }

    /// Whether pictures are taken in the state active.
    pub fn enabled(&self) -> bool {
        self.enabled.get()
    }

    fn parameter_phase(&self) -> parameters::Phase {
        match self.phase.get().is_configured() {
            true => parameters::Phase::Configured,
            false => parameters::Phase::Unconfigured,
        }
    }

    /// Sets parameters, all or none. Returns when pictures that come from now on are answered by the new ones, with
    /// their revision.
    ///
    /// # Errors
    /// One cannot be set, or the model or a query cannot be used: says which. All stay as they were.
    pub async fn set_parameters(
        &self,
        changes: &[(String, ParameterValue)],
    ) -> Result<u64, String> {
        let _turn = self.changing.lock().await;
        let new = self.values().with(changes, self.parameter_phase())?;
        if let Some(standing) = self.slot.get() {
            self.stand(&new, Some(standing)).await?;
        }
        self.commit(new);
        Ok(self.revision.get())
    }

    /// Sets the queries from a prompt; as [`set_parameters`](Self::set_parameters).
    pub async fn set_prompt(&self, prompt: &str) -> Result<u64, String> {
        self.set_queries(prompt::entries(prompt)?).await
    }

    /// Sets the queries; as [`set_parameters`](Self::set_parameters).
    pub async fn set_queries(&self, queries: Vec<String>) -> Result<u64, String> {
        if self.slot.get().is_none() {
            return Err(
                "no model is loaded in the state unconfigured; configure the node".to_owned(),
            );
        }
        let change = ("queries".to_owned(), ParameterValue::StringArray(queries));
        self.set_parameters(&[change]).await
    }

    /// Makes what the values say ready, and puts it in force.
    async fn stand(&self, values: &Values, before: Option<Arc<Standing>>) -> Result<(), String> {
        let wanted = Wanted::new(values)?;
        if before.as_ref().is_some_and(|before| before.is(&wanted)) {
            return Ok(());
        }
        let revision = self.revision.get() + 1;
        let ready = spawn_blocking(move || wanted.stand(before.as_deref(), revision)).await;
        let standing =
            ready.map_err(|error| format!("the model cannot be made ready: {error}"))??;
        self.revision.set(revision);
        tracing::info!(
            "revision {revision}: {} queries, model {}, engine {}",
            standing.queries(),
            standing.model(),
            standing.engine()
        );
        self.slot.set(Some(Arc::new(standing)));
        Ok(())
    }

    /// Takes over values that were made ready.
    fn commit(&self, new: Values) {
        let changed = self.values().changed(&new);
        let pace = pace(&new);
        self.each_camera(|camera| camera.shared.set_pace(pace));
        *self.values.borrow_mut() = new;
        let is_changed = |name| changed.iter().any(|(changed, _)| *changed == name);
        if is_changed("use_sim_time") {
            self.follow_clock();
        }
        if is_changed("queries") {
            self.entries.set(self.values.borrow().strings("queries"));
            if let Some(view) = self.taps.view() {
                view.queries_changed();
            }
        }
        if !changed.is_empty() {
            self.announce(changed);
        }
    }

    fn announce(&self, changed: Vec<(&'static str, ParameterValue)>) {
        let parameters = changed.into_iter().map(|(name, value)| Parameter {
            name: name.to_owned(),
            value: parameters::message(value),
        });
        self.parameter_events.publish(ParameterEvent {
            stamp: self.clock.now(),
            node: self.bus.own_name(),
            changed_parameters: parameters.collect(),
            ..ParameterEvent::default()
        });
    }

    /// Listens to /clock, or does not any more, as the parameter says.
    pub fn follow_clock(&self) {
        let simulated = self.values.borrow().boolean("use_sim_time");
        self.clock.simulate(simulated);
        if let Some(task) = self.clock_task.borrow_mut().take() {
            task.abort();
        }
        if !simulated {
            return;
        }
        match inputs::clock(&self.bus) {
            Ok(messages) => {
                let clock = self.clock.clone();
                let task = spawn_local(async move { clock.follow(&messages).await });
                *self.clock_task.borrow_mut() = Some(task);
            }
            Err(error) => tracing::error!("{error}"),
        }
    }

    /// Takes a transition. Whether it was taken and went well.
    pub async fn transition(&self, asked: &Transition) -> bool {
        let _turn = self.changing.lock().await;
        let Some(step) = lifecycle::asked(self.phase.get(), asked) else {
            let (id, label, phase) = (asked.id, &asked.label, self.phase.get().state().label);
            tracing::error!("there is no transition {id} {label:?} from the state {phase}");
            return false;
        };
        self.go(step);
        let done = match step.to {
            Phase::Configuring => self.configure().await,
            Phase::Activating => self.activate(),
            Phase::Deactivating => {
                self.deactivate();
                Ok(())
            }
            Phase::CleaningUp | Phase::ShuttingDown => {
                self.deactivate();
                self.clean_up().await;
                Ok(())
            }
            other => unreachable!("{other:?} is not where a transition that is asked for leads"),
        };
        let outcome = match &done {
            Ok(()) => Outcome::Success,
            Err(error) => {
                tracing::error!("{}: {error}", step.label);
                Outcome::Failure
            }
        };
        let end = lifecycle::end(step.to, outcome).expect("transition states have ends");
        self.go(end);
        done.is_ok()
    }

    fn go(&self, step: Step) {
        self.phase.set(step.to);
        let nanos = self.clock.now().nanos();
        self.transition_events.publish(TransitionEvent {
            timestamp: u64::try_from(nanos).unwrap_or(0),
            transition: step.transition(),
            start_state: step.from.state(),
            goal_state: step.to.state(),
        });
    }

    /// Loads the model, encodes the queries, and makes the topics of the cameras.
    async fn configure(&self) -> Result<(), String> {
        let values = self.values();
        let rules = rules::read(values.string("rules"), values.strings("queries"))?;
        self.stand(&values, None).await?;
        let mut names = values.strings("cameras").to_vec();
        if names.is_empty() {
            names.push(String::new());
        }
        let mut cameras = Vec::new();
        for name in names {
            let camera = self.camera(name, &values, rules.clone());
            match camera {
                Ok(camera) => cameras.push(camera),
                Err(error) => {
                    self.slot.set(None);
                    return Err(error);
                }
            }
        }
        *self.cameras.borrow_mut() = cameras;
        Ok(())
    }

    fn camera(
        &self,
        name: String,
        values: &Values,
        rules: Option<mdetr_rules::RuleSet>,
    ) -> Result<Camera, String> {
        let topics = Topics::new(&self.bus, &name, values.string("image_transport"));
        let topics = topics.map_err(|error| error.to_string())?;
        let outputs = Outputs::new(&self.bus, &name, &topics, &self.taps, rules);
        let outputs = outputs.map_err(|error| error.to_string())?;
        let space = self.space(&name, &topics, values)?;
        let camera = Camera::start(
            name,
            topics,
            values.integer("queue_size") as usize,
            pace(values),
            self.slot.clone(),
            outputs,
            space,
        );
        camera.map_err(no_thread)
    }

    /// Places what is found in space, if depth is to be taken.
    fn space(&self, name: &str, topics: &Topics, values: &Values) -> Result<Option<Space>, String> {
        if !values.boolean("depth") {
            return Ok(None);
        }
        let output = self
            .bus
            .output(&within(name, "~/detections_3d"), reliable(10));
        let output = output.map_err(|error| error.to_string())?;
        let options = DepthOptions {
            tolerance: Duration::from_secs_f64(values.double("depth_tolerance")),
            rectified: values.boolean("rectified"),
        };
        let space = Space::start(topics, options, output, &self.taps);
        space.map(Some).map_err(no_thread)
    }

    /// Subscribes to the topics of pictures.
    fn activate(&self) -> Result<(), String> {
        let values = self.values();
        let mut tasks = Vec::new();
        for camera in self.cameras.borrow().iter() {
            let received = inputs::receive(&self.bus, camera, &values, &self.enabled);
            match received {
                Ok(received) => tasks.extend(received),
                Err(error) => {
                    tasks.iter().for_each(JoinHandle::abort);
                    return Err(error.to_string());
                }
            }
        }
        *self.receiving.borrow_mut() = tasks;
        Ok(())
    }

    fn deactivate(&self) {
        for task in self.receiving.borrow_mut().drain(..) {
            task.abort();
        }
        self.each_camera(|camera| camera.shared.clear());
    }

    /// Gives up the model, and waits for pictures that are being answered.
    async fn clean_up(&self) {
        self.slot.set(None);
        let cameras = std::mem::take(&mut *self.cameras.borrow_mut());
        // All end at the same time.
        cameras.iter().for_each(|camera| camera.shared.close());
        // Nothing is to be done about a thread that panicked where it ended.
        let _ = spawn_blocking(move || drop(cameras)).await;
    }

    /// Goes to the state active, if the node is to start by itself.
    pub async fn start(&self) {
        self.follow_clock();
        if !self.values.borrow().boolean("autostart") {
            return;
        }
        for label in ["configure", "activate"] {
            let transition = Transition {
                id: 0,
                label: label.to_owned(),
            };
            if !self.transition(&transition).await {
                let state = self.phase.get().state().label;
                tracing::warn!(
                    "the node stays in the state {state}; mend what is wrong and {label} it"
                );
                return;
            }
        }
    }

    /// Gives everything up.
    pub async fn stop(&self) {
        let _turn = self.changing.lock().await;
        self.deactivate();
        self.clean_up().await;
    }
}

fn no_thread(error: std::io::Error) -> String {
    format!("a thread cannot be started: {error}")
}

fn pace(values: &Values) -> Pace {
    Pace {
        max_rate: values.double("max_rate"),
        track: values.boolean("track"),
    }
}

/// Keeps count of who listens.
pub(crate) fn follow_listeners(node: &Rc<Node>) -> JoinHandle<()> {
    let node = node.clone();
    spawn_local(async move { node.bus.follow_listeners().await })
}
