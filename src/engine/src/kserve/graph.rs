//! A graph that servers run, and its plans.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use mdetr_kserve::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use mdetr_kserve::inference::{
    ModelConfigRequest, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
};
use mdetr_kserve::{DataType, Values, outputs, raw};

use super::NAME;
use super::contract::{Contract, Wanted};
use super::servers::{Failure, Servers};
use crate::error::EngineError;
use crate::graph::{Dimension, Graph, GraphSource, InputShape, Plan, describe, not_on_the_host};
use crate::log::{self, LogLevel};
use crate::served::model_name;
use crate::sync::locked;
use crate::tensor::{Data, Tensor, View};

/// How long a server that failed is left alone before it is asked what it has. It doubles with each run that fails though
/// the server says that it is back.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How often: after 16 s it is not left alone for longer.
const DOUBLINGS: u32 = 6;

#[derive(Debug)]
pub(super) struct RemoteGraph(Arc<Remote>);

impl RemoteGraph {
    pub(super) fn new(servers: Arc<Servers>, source: &GraphSource) -> RemoteGraph {
        RemoteGraph(Arc::new(Remote {
            path: source.path.clone(),
            wanted: Wanted {
                model: model_name(&source.bundle, source.role),
                sha256: source.sha256.clone(),
            },
            shapes: source.shapes.clone(),
            sites: (0..servers.count()).map(|_| Site::default()).collect(),
            servers,
        }))
    }
}

impl Graph for RemoteGraph {
    fn plan(&self, shapes: &[InputShape]) -> Result<Arc<dyn Plan>, EngineError> {
        Ok(Arc::new(RemotePlan {
            remote: self.0.clone(),
            shapes: shapes.to_vec(),
        }))
    }
}

#[derive(Debug)]
struct RemotePlan {
    remote: Arc<Remote>,
    shapes: Vec<InputShape>,
}

impl Plan for RemotePlan {
    fn run(
        &self,
        inputs: &[View],
        outputs: &[&'static str],
        _keep: &[&'static str],
    ) -> Result<Vec<Tensor>, EngineError> {
        let run = || {
            let fed: Vec<(&InputShape, View)> = self
                .shapes
                .iter()
                .zip(inputs)
                .map(|(shape, view)| (shape, view.on_the_host()))
                .collect();
            self.remote.run(&fed, outputs)
        };
        run().map_err(|message| EngineError::Run {
            engine: NAME,
            graph: self.remote.path.clone(),
            shapes: describe(&self.shapes),
            message,
        })
    }
}

/// What the plans of a graph share.
#[derive(Debug)]
struct Remote {
    path: String,
    wanted: Wanted,
    servers: Arc<Servers>,
    shapes: BTreeMap<&'static str, Vec<Dimension>>,
    /// One for each server.
    sites: Vec<Site>,
}

/// How a server does with this graph.
#[derive(Debug, Default)]
struct Site {
    state: Mutex<State>,
    /// Whether a task waits for it to be back. Changed with `state` locked.
    watched: AtomicBool,
    /// Runs that failed since its last right answer.
    failures: AtomicU32,
}

impl Site {
    fn pause(&self) -> Duration {
        let doublings = self.failures.load(Ordering::Relaxed).saturating_sub(1);
        FIRST_PAUSE * 2_u32.pow(doublings.min(DOUBLINGS))
    }
}

#[derive(Debug, Default)]
enum State {
    /// It has not been asked yet, or its connection was lost.
    #[default]
    Unknown,
    Ready(Arc<Contract>),
    /// A task asks it from time to time whether it is back.
    Failed(String),
}

impl Remote {
    /// What the first server gives that gives something right, within the deadline.
    fn run(
        self: &Arc<Self>,
        inputs: &[(&InputShape, View)],
        outputs: &[&'static str],
    ) -> Result<Vec<Tensor>, String> {
        let end = Instant::now() + self.servers.deadline;
        let mut faults = Vec::new();
        let mut candidates = Vec::new();
        for replica in self.servers.in_turn() {
            match &*locked(&self.sites[replica].state) {
                State::Failed(message) => faults.push(self.at(replica, message)),
                _ => candidates.push(replica),
            }
        }
        for (position, &replica) in candidates.iter().enumerate() {
            // One that hangs leaves time for the others.
            let left = end.saturating_duration_since(Instant::now());
            let share = left / (candidates.len() - position) as u32;
            match self.attempt(replica, share, inputs, outputs) {
                Ok(found) => {
                    self.servers.answers.fetch_add(1, Ordering::Relaxed);
                    self.sites[replica].failures.store(0, Ordering::Relaxed);
                    return Ok(found);
                }
                Err(failure) => {
                    faults.push(self.at(replica, &failure.message));
                    self.leave_alone(replica, failure.message);
                }
            }
        }
        Err(faults.join("; "))
    }

    fn at(&self, replica: usize, message: &str) -> String {
        format!("{}: {message}", self.servers.endpoint(replica))
    }

    /// Asks a server, and again at once if the connection was lost.
    fn attempt(
        &self,
        replica: usize,
        limit: Duration,
        inputs: &[(&InputShape, View)],
        outputs: &[&'static str],
    ) -> Result<Vec<Tensor>, Failure> {
        let end = Instant::now() + limit;
        let ask = || {
            let found = self.ask(replica, end, inputs, outputs);
            if found.is_err() {
                self.servers.failures.fetch_add(1, Ordering::Relaxed);
                let mut state = locked(&self.sites[replica].state);
                if let State::Ready(_) = *state {
                    *state = State::Unknown;
                }
            }
            found
        };
        match ask() {
            Err(failure) if failure.lost && Instant::now() < end => ask(),
            found => found,
        }
    }

    fn ask(
        &self,
        replica: usize,
        end: Instant,
        inputs: &[(&InputShape, View)],
        outputs: &[&'static str],
    ) -> Result<Vec<Tensor>, Failure> {
        let known = match &*locked(&self.sites[replica].state) {
            State::Ready(contract) => Some(contract.clone()),
            _ => None,
        };
        let left = || end.saturating_duration_since(Instant::now());
        let contract = match known {
            Some(contract) => contract,
            None => {
                let contract = self.servers.wait(left(), self.contract(replica)?)?;
                let contract = Arc::new(contract);
                *locked(&self.sites[replica].state) = State::Ready(contract.clone());
                contract
            }
        };
        let request = self
            .servers
            .request(self.message(&contract, inputs, outputs)?)?;
        let mut client = self.servers.client(replica);
        let call = async move { Ok(client.model_infer(request).await?.into_inner()) };
        let response = self.servers.wait(left(), call)?;
        Ok(self.read(&contract, response, inputs, outputs)?)
    }

    /// Asks what a server has.
    fn contract(
        &self,
        replica: usize,
    ) -> Result<impl Future<Output = Result<Contract, Failure>> + Send + use<>, String> {
        let (name, version) = (self.wanted.model.clone(), String::new());
        let metadata = self.servers.request(ModelMetadataRequest {
            name: name.clone(),
            version: version.clone(),
        })?;
        let config = self.servers.request(ModelConfigRequest { name, version })?;
        let client = self.servers.client(replica);
        Ok(Contract::ask(client, self.wanted.clone(), metadata, config))
    }

    fn message(
        &self,
        contract: &Contract,
        inputs: &[(&InputShape, View)],
        outputs: &[&'static str],
    ) -> Result<ModelInferRequest, String> {
        let mut request = ModelInferRequest {
            model_name: self.wanted.model.clone(),
            model_version: contract.version.clone(),
            ..ModelInferRequest::default()
        };
        for (input, view) in inputs {
            let kind = contract.input(input)?;
            request.inputs.push(InferInputTensor {
                name: input.name.to_owned(),
                datatype: kind.name().to_owned(),
                shape: input.shape.iter().map(|&size| size as i64).collect(),
                ..InferInputTensor::default()
            });
            request.raw_input_contents.push(match view {
                View::F32(values) if kind == DataType::Fp16 => raw::fp16(values),
                View::F32(values) => raw::fp32(values),
                View::I64(values) => raw::int64(values),
                View::Constant(_) | View::Device(_) => return Err(not_on_the_host(input)),
            });
        }
        let named = |name: &&'static str| InferRequestedOutputTensor {
            name: (*name).to_owned(),
            ..InferRequestedOutputTensor::default()
        };
        request.outputs = outputs.iter().map(named).collect();
        Ok(request)
    }

    /// The outputs in their order.
    fn read(
        &self,
        contract: &Contract,
        response: ModelInferResponse,
        inputs: &[(&InputShape, View)],
        names: &[&'static str],
    ) -> Result<Vec<Tensor>, String> {
        let (asked, found) = (&contract.version, &response.model_version);
        if !asked.is_empty() && !found.is_empty() && asked != found {
            let model = &self.wanted.model;
            return Err(format!(
                "model {model}: asked for version {asked}, version {found:.20} answered"
            ));
        }
        let mut tensors = outputs(response).map_err(|error| error.to_string())?;
        let sizes = self.sizes(inputs);
        let output = |name: &&'static str| {
            let place = tensors.iter().position(|tensor| tensor.name == *name);
            let place = place.ok_or_else(|| format!("the answer lacks output {name}"))?;
            let tensor = tensors.swap_remove(place);
            let Values::F32(values) = tensor.values else {
                return Err(format!(
                    "output {name}: expected floats, found something else"
                ));
            };
            self.check_shape(name, &tensor.shape, &sizes)?;
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(format!(
                    "output {name}: expected finite numbers, found {value}"
                ));
            }
            Ok(Tensor {
                shape: tensor.shape,
                data: Data::Host(values),
            })
        };
        names.iter().map(output).collect()
    }

    /// Sizes of open dimensions, by name, as inputs have them; `None` of a name for two sizes.
    fn sizes(&self, inputs: &[(&InputShape, View)]) -> BTreeMap<&str, Option<usize>> {
        let mut sizes = BTreeMap::new();
        for (input, _) in inputs {
            let shape = self.shapes.get(input.name).into_iter().flatten();
            for (dimension, &size) in shape.zip(&input.shape) {
                if let Dimension::Open(name) = dimension {
                    let known = sizes.entry(name.as_str()).or_insert(Some(size));
                    *known = known.filter(|&known| known == size);
                }
            }
        }
        sizes
    }

    fn check_shape(
        &self,
        name: &str,
        found: &[usize],
        sizes: &BTreeMap<&str, Option<usize>>,
    ) -> Result<(), String> {
        let Some(shape) = self.shapes.get(name) else {
            return Ok(());
        };
        let expected: Vec<Option<usize>> = shape
            .iter()
            .map(|dimension| match dimension {
                Dimension::Fixed(size) => Some(*size),
                Dimension::Open(name) => sizes.get(name.as_str()).copied().flatten(),
            })
            .collect();
        let fits = |(expected, found): (&Option<usize>, &usize)| {
            expected.is_none_or(|size| size == *found)
        };
        if expected.len() == found.len() && expected.iter().zip(found).all(fits) {
            return Ok(());
        }
        let size =
            |size: &Option<usize>| size.map_or_else(|| "any".to_owned(), |size| size.to_string());
        let expected: Vec<String> = expected.iter().map(size).collect();
        let expected = expected.join(", ");
        Err(format!(
            "output {name}: expected shape [{expected}], found {found:?}"
        ))
    }

    /// Asks a server nothing until it is back.
    fn leave_alone(self: &Arc<Self>, replica: usize, message: String) {
        let model = &self.wanted.model;
        let at = self.at(replica, &message);
        log::tell(LogLevel::Warning, &self.path, &format!("{model}: {at}"));
        let site = &self.sites[replica];
        site.failures.fetch_add(1, Ordering::Relaxed);
        let mut state = locked(&site.state);
        *state = State::Failed(message);
        let is_watched = site.watched.swap(true, Ordering::Relaxed);
        drop(state);
        if !is_watched {
            let remote = Arc::downgrade(self);
            self.servers.spawn(Self::watch(remote, replica));
        }
    }

    /// Until the server is back, or nobody needs it.
    async fn watch(remote: Weak<Self>, replica: usize) {
        loop {
            let Some(pause) = remote.upgrade().map(|r| r.sites[replica].pause()) else {
                return;
            };
            tokio::time::sleep(pause).await;
            let asking = remote.upgrade().map(|remote| remote.asking(replica));
            let Some((call, limit)) = asking else {
                return;
            };
            let answer = match call {
                Ok(call) => tokio::time::timeout(limit, call)
                    .await
                    .unwrap_or_else(|_| Err(Failure::late(limit))),
                Err(message) => Err(message.into()),
            };
            let Some(remote) = remote.upgrade() else {
                return;
            };
            if remote.settle(replica, answer) {
                return;
            }
        }
    }

    fn asking(
        &self,
        replica: usize,
    ) -> (
        Result<impl Future<Output = Result<Contract, Failure>> + Send + use<>, String>,
        Duration,
    ) {
        (self.contract(replica), self.servers.deadline)
    }

    /// Takes what a server that had failed says; whether it is back.
    fn settle(&self, replica: usize, answer: Result<Contract, Failure>) -> bool {
        let site = &self.sites[replica];
        match answer {
            Ok(contract) => {
                let mut state = locked(&site.state);
                *state = State::Ready(Arc::new(contract));
                site.watched.store(false, Ordering::Relaxed);
                drop(state);
                let words = format!("{}: {}", self.wanted.model, self.at(replica, "it is back"));
                log::tell(LogLevel::Info, &self.path, &words);
                true
            }
            Err(failure) => {
                *locked(&site.state) = State::Failed(failure.message);
                false
            }
        }
    }
}
