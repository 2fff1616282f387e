//! A server in this process: the graphs of a bundle on tract, and faults on demand.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mdetr_engine::{
    Data, Engine, EngineKind, EngineOptions, Graph, GraphRole, GraphSource, InputShape, InputType,
    KServeOptions, Plan, TensorRtOptions, View, describe, model_name,
};
use mdetr_kserve::inference::grpc_inference_service_server::{
    GrpcInferenceService, GrpcInferenceServiceServer,
};
use mdetr_kserve::inference::model_infer_response::InferOutputTensor;
use mdetr_kserve::inference::model_metadata_response::TensorMetadata;
use mdetr_kserve::inference::*;
use mdetr_kserve::{DataType, Values, inputs, raw};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// What the server does wrong.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Fault {
    #[default]
    None,
    /// Every call.
    Fails(tonic::Code),
    /// Runs are not answered.
    Hangs,
    /// The last dimension of each output is one larger.
    WrongShapes,
    /// One dimension too many.
    WrongRanks,
    /// Fewer values than the shape says.
    TooFew,
    WrongTypes,
    NotNumbers,
    Lacks,
    /// More than a client takes.
    TooLarge,
    /// Of another version than was asked for.
    OtherVersion,
}

/// How it tells which graphs it has, and what it takes.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    pub versions: Vec<String>,
    /// For the property [`mdetr_engine::MODEL_HASH`]; `true`: as MLServer writes it.
    pub hash: Option<(String, bool)>,
    /// For Triton's configuration.
    pub parameter: Option<String>,
    /// Floats are taken and given as FP16.
    pub half: bool,
    /// It says nothing of inputs.
    pub silent: bool,
    /// The type that is told of floats.
    pub told: Option<&'static str>,
    pub token: Option<&'static str>,
    pub identity: Option<(String, String)>,
}

/// Name, type and rank of an input.
type Input = (&'static str, InputType, usize);
/// What a graph takes and gives.
type Interface = (GraphRole, &'static [Input], &'static [&'static str]);

struct Model {
    graph: Box<dyn Graph>,
    plans: Mutex<BTreeMap<String, Arc<dyn Plan>>>,
    inputs: Vec<Input>,
    outputs: Vec<&'static str>,
}

pub struct Served {
    models: BTreeMap<String, Model>,
    pub fault: Mutex<Fault>,
    manner: Manner,
    pub runs: AtomicUsize,
    /// Bytes of the last run's inputs.
    pub bytes: AtomicUsize,
}

#[derive(Clone)]
struct Service(Arc<Served>);

/// A running server; it ends when it is dropped.
pub struct Running {
    pub served: Arc<Served>,
    pub address: SocketAddr,
    scheme: &'static str,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<Runtime>,
}

impl Running {
    pub fn start(bundle: &Path, manner: Manner) -> Running {
        Running::start_at(bundle, manner, "127.0.0.1:0".parse().unwrap())
    }

    pub fn start_at(bundle: &Path, manner: Manner, address: SocketAddr) -> Running {
        let tls = manner.identity.clone();
        let served = Arc::new(Served {
            models: models(bundle),
            fault: Mutex::default(),
            manner,
            runs: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = Runtime::new().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let service = GrpcInferenceServiceServer::new(Service(served.clone()))
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        let scheme = if tls.is_some() { "grpcs" } else { "grpc" };
        runtime.spawn(async move {
            let incoming =
                TcpListenerStream::new(tokio::net::TcpListener::from_std(listener).unwrap());
            let mut server = Server::builder();
            if let Some((certificate, key)) = tls {
                let identity = Identity::from_pem(certificate, key);
                server = server
                    .tls_config(ServerTlsConfig::new().identity(identity))
                    .unwrap();
            }
            let ended = async { drop(stopped.await) };
            server
                .serve_with_incoming_shutdown(service, incoming, ended)
                .await
                .unwrap();
        });
        Running {
            served,
            address,
            scheme,
            stop: Some(stop),
            runtime: Some(runtime),
        }
    }

    pub fn endpoint(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }

    pub fn set(&self, fault: Fault) {
        *self.served.fault.lock().unwrap() = fault;
    }

    pub fn runs(&self) -> usize {
        self.served.runs.load(Ordering::SeqCst)
    }
}

impl Drop for Running {
    /// As if it were killed: calls are not finished.
    fn drop(&mut self) {
        drop(self.stop.take());
        self.runtime
            .take()
            .unwrap()
            .shutdown_timeout(Duration::from_secs(1));
    }
}

pub fn sha256(path: &Path) -> String {
    let digest = Sha256::digest(std::fs::read(path).unwrap());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn models(bundle: &Path) -> BTreeMap<String, Model> {
    let options = EngineOptions {
        tensorrt: &TensorRtOptions::default(),
        kserve: &KServeOptions::default(),
    };
    let tract = mdetr_engine::open(EngineKind::Tract.into(), "fp32", options).unwrap();
    const FLOAT: InputType = InputType::F32;
    let mask: &'static [Input] = &[
        ("hidden", FLOAT, 3),
        ("memory", FLOAT, 3),
        ("tokens", FLOAT, 3),
        ("pyramid_8", FLOAT, 4),
        ("pyramid_4", FLOAT, 4),
    ];
    let graphs: [Interface; 4] = [
        (
            GraphRole::Text,
            &[
                ("input_ids", InputType::I64, 2),
                ("attention_mask", InputType::I64, 2),
            ],
            &["text_memory"],
        ),
        (
            GraphRole::Vision,
            &[("image", FLOAT, 4)],
            &["tokens", "pyramid_8", "pyramid_4"],
        ),
        (
            GraphRole::Fusion,
            &[
                ("tokens", FLOAT, 3),
                ("position", FLOAT, 3),
                ("text_memory", FLOAT, 3),
                ("text_mask", InputType::I64, 2),
                ("past", FLOAT, 4),
                ("past_boxes", FLOAT, 4),
                ("past_age", FLOAT, 2),
            ],
            &[
                "logits",
                "boxes",
                "hidden",
                "memory",
                "present_boxes",
                "identity",
                "lost_age",
                "answer_type",
                "answer_binary",
                "answer_reg",
                "answer_attr",
            ],
        ),
        (GraphRole::Mask, mask, &["masks"]),
    ];
    graphs
        .into_iter()
        .map(|(role, inputs, outputs)| {
            let model = Model {
                graph: load(tract.as_ref(), bundle, role, outputs),
                plans: Mutex::default(),
                inputs: inputs.to_vec(),
                outputs: outputs.to_vec(),
            };
            (model_name("tabletop", role), model)
        })
        .collect()
}

fn load(engine: &dyn Engine, bundle: &Path, role: GraphRole, outputs: &[&str]) -> Box<dyn Graph> {
    let path = bundle.join(format!("{role}.onnx"));
    let source = GraphSource {
        bundle: "tabletop".to_owned(),
        role,
        path: path.display().to_string(),
        onnx: std::fs::read(&path).unwrap(),
        sha256: String::new(),
        half: false,
        outputs: outputs.iter().map(|name| (*name).to_owned()).collect(),
        shapes: BTreeMap::new(),
    };
    engine.load(source).unwrap()
}

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    fn check<T>(&self, request: &Request<T>) -> Result<Fault, Status> {
        if let Some(token) = self.0.manner.token {
            let found = request.metadata().get("authorization");
            if found.is_none_or(|found| found != format!("Bearer {token}").as_str()) {
                return Err(Status::unauthenticated("who are you?"));
            }
        }
        let fault = self.0.fault.lock().unwrap().clone();
        match fault {
            Fault::Fails(code) => Err(Status::new(code, "out of memory, as you wished")),
            fault => Ok(fault),
        }
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for Service {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Answer<ServerLiveResponse> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Answer<ServerReadyResponse> {
        Ok(Response::new(ServerReadyResponse { ready: true }))
    }

    async fn model_ready(&self, _: Request<ModelReadyRequest>) -> Answer<ModelReadyResponse> {
        Ok(Response::new(ModelReadyResponse { ready: true }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Answer<ServerMetadataResponse> {
        Ok(Response::new(ServerMetadataResponse::default()))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Answer<ModelMetadataResponse> {
        self.check(&request)?;
        let name = request.into_inner().name;
        let manner = &self.0.manner;
        let model = self.0.models.get(&name);
        let model = model.ok_or_else(|| Status::not_found(format!("no model {name}")))?;
        let floats = if manner.half { "FP16" } else { "FP32" };
        let input = |&(name, element, rank): &Input| TensorMetadata {
            name: name.to_owned(),
            datatype: match element {
                InputType::F32 => manner.told.unwrap_or(floats).to_owned(),
                InputType::I64 => "INT64".to_owned(),
            },
            shape: vec![-1; rank],
        };
        let mut told = ModelMetadataResponse {
            name,
            versions: manner.versions.clone(),
            ..ModelMetadataResponse::default()
        };
        if !manner.silent {
            told.inputs = model.inputs.iter().map(input).collect();
        }
        if let Some((hash, wrapped)) = &manner.hash {
            let parameter = InferParameter {
                parameter_choice: Some(infer_parameter::ParameterChoice::StringParam(hash.clone())),
            };
            let value = match wrapped {
                true => prost::Message::encode_to_vec(&parameter).into(),
                false => hash.clone().into(),
            };
            told.properties
                .insert(mdetr_engine::MODEL_HASH.to_owned(), value);
        }
        Ok(Response::new(told))
    }

    async fn model_config(&self, _: Request<ModelConfigRequest>) -> Answer<ModelConfigResponse> {
        let Some(hash) = &self.0.manner.parameter else {
            return Err(Status::unimplemented("not Triton"));
        };
        let parameter = ModelParameter {
            string_value: hash.clone(),
        };
        let config = ModelConfig {
            parameters: [(mdetr_engine::MODEL_HASH.to_owned(), parameter)].into(),
            ..ModelConfig::default()
        };
        Ok(Response::new(ModelConfigResponse {
            config: Some(config),
        }))
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Answer<ModelInferResponse> {
        let fault = self.check(&request)?;
        if fault == Fault::Hangs {
            std::future::pending::<()>().await;
        }
        let served = self.0.clone();
        let run = move || served.run(request.into_inner(), &fault);
        let answer = tokio::task::spawn_blocking(run).await.unwrap();
        answer.map(Response::new).map_err(Status::invalid_argument)
    }
}

impl Model {
    fn plan(&self, shapes: &[InputShape]) -> Result<Arc<dyn Plan>, String> {
        let mut plans = self.plans.lock().unwrap();
        if let Some(plan) = plans.get(&describe(shapes)) {
            return Ok(plan.clone());
        }
        let plan = self.graph.plan(shapes).map_err(|error| error.to_string())?;
        plans.insert(describe(shapes), plan.clone());
        Ok(plan)
    }
}

impl Served {
    fn run(&self, request: ModelInferRequest, fault: &Fault) -> Result<ModelInferResponse, String> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let bytes = request.raw_input_contents.iter().map(|raw| raw.len()).sum();
        self.bytes.store(bytes, Ordering::SeqCst);
        let mut version = request.model_version.clone();
        let model = self
            .models
            .get(&request.model_name)
            .ok_or("no such model")?;
        let asked: Vec<String> = request
            .outputs
            .iter()
            .map(|output| output.name.clone())
            .collect();
        let tensors = inputs(request).map_err(|error| error.to_string())?;
        let mut shapes = Vec::new();
        let mut views = Vec::new();
        for (name, element, _) in &model.inputs {
            let tensor = tensors.iter().find(|tensor| tensor.name == *name);
            let tensor = tensor.ok_or_else(|| format!("{name} is missing"))?;
            shapes.push(InputShape::new(name, *element, tensor.shape.clone()));
            views.push(match &tensor.values {
                Values::F32(values) => View::F32(values),
                Values::I64(values) => View::I64(values),
                _ => return Err("numbers, please".to_owned()),
            });
        }
        let known: Vec<&'static str> = model
            .outputs
            .iter()
            .copied()
            .filter(|name| asked.iter().any(|a| a == name))
            .collect();
        let plan = model.plan(&shapes)?;
        let found = plan
            .run(&views, &known, &[])
            .map_err(|error| error.to_string())?;
        let mut answer = ModelInferResponse::default();
        for (name, tensor) in known.iter().zip(found) {
            let mut shape: Vec<i64> = tensor.shape.iter().map(|&size| size as i64).collect();
            let Data::Host(mut values) = tensor.data else {
                unreachable!("tract is on the host")
            };
            match fault {
                Fault::WrongShapes => {
                    let rows = values.len() / tensor.shape[shape.len() - 1];
                    *shape.last_mut().unwrap() += 1;
                    values.resize(values.len() + rows, 0.0);
                }
                Fault::WrongRanks => shape.insert(0, 1),
                Fault::TooFew => values.truncate(1),
                Fault::NotNumbers => values[0] = f32::NAN,
                Fault::TooLarge if answer.outputs.is_empty() => {
                    shape = vec![65 << 20];
                    values = vec![0.0; 65 << 20];
                }
                _ => {}
            }
            let kind = if self.manner.half {
                DataType::Fp16
            } else {
                DataType::Fp32
            };
            let told = if *fault == Fault::WrongTypes {
                "INT64"
            } else {
                kind.name()
            };
            answer.outputs.push(InferOutputTensor {
                name: (*name).to_owned(),
                datatype: told.to_owned(),
                shape,
                ..InferOutputTensor::default()
            });
            answer.raw_output_contents.push(match kind {
                DataType::Fp16 => raw::fp16(&values),
                _ => raw::fp32(&values),
            });
        }
        match fault {
            Fault::Lacks => {
                answer.outputs.pop();
                answer.raw_output_contents.pop();
            }
            Fault::OtherVersion => version.push('1'),
            _ => {}
        }
        answer.model_version = version;
        Ok(answer)
    }
}
