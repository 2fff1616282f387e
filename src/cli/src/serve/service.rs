//! The calls of the protocol.

use std::sync::Arc;

use mdetr::{Encoded, Frame, Grounder, Grounding};
use mdetr_kserve::DataType;
use mdetr_kserve::inference::grpc_inference_service_server::GrpcInferenceService;
use mdetr_kserve::inference::model_metadata_response::TensorMetadata;
use mdetr_kserve::inference::*;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, async_trait};

use super::answer::{OUTPUTS, write};
use super::question::{IMAGE, QUERY, Question};

/// Answers calls with a loaded model.
#[derive(Debug, Clone)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    grounder: Arc<Grounder>,
    /// Taken by whoever infers.
    workers: Arc<Semaphore>,
}

/// Why a question is not answered.
enum Fault {
    /// What was asked cannot be.
    Question(String),
    Engine(String),
}

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    pub fn new(grounder: Arc<Grounder>, workers: usize) -> Service {
        Service(Arc::new(Inner {
            grounder,
            workers: Arc::new(Semaphore::new(workers.min(Semaphore::MAX_PERMITS))),
        }))
    }

    /// The model's name and version.
    pub fn model(&self) -> String {
        let manifest = self.0.grounder.manifest();
        format!("{} {}", manifest.name, manifest.version)
    }

    /// Refuses another model, or another version of it; without one it is this.
    fn check(&self, name: &str, version: &str) -> Result<(), Status> {
        let manifest = self.0.grounder.manifest();
        if name == manifest.name && (version.is_empty() || version == manifest.version) {
            return Ok(());
        }
        let short = |words: &str| words.chars().take(64).collect::<String>();
        let (name, version) = (short(name), short(version));
        let message = format!("expected model {}, found {name} {version}", self.model());
        Err(Status::not_found(message))
    }
}

impl Inner {
    /// On a thread that may be kept busy.
    fn answer(&self, request: ModelInferRequest) -> Result<ModelInferResponse, Fault> {
        let named: Vec<String> = request
            .outputs
            .iter()
            .map(|output| output.name.clone())
            .collect();
        let Question { picture, queries } = Question::read(request).map_err(Fault::Question)?;
        let asked = match self.grounder.encode(queries) {
            Ok(asked) => asked,
            Err(error @ mdetr::Error::Query(_)) => return Err(Fault::Question(error.to_string())),
            Err(error) => return Err(Fault::Engine(error.to_string())),
        };
        let found = picture.with(|frame| Ok(self.ground(frame, &asked)));
        let grounding = found.map_err(Fault::Question)?.map_err(Fault::Engine)?;
        write(&grounding, &named).map_err(Fault::Question)
    }

    fn ground(&self, frame: &Frame, asked: &Encoded) -> Result<Grounding, String> {
        let found = self.grounder.ground_encoded(frame, asked);
        let found = found.map_err(|error| error.to_string())?;
        Ok(Grounding {
            revision: 0,
            width: frame.width(),
            height: frame.height(),
            queries: found.into_iter().map(|(result, _)| result).collect(),
        })
    }
}

#[async_trait]
impl GrpcInferenceService for Service {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Answer<ServerLiveResponse> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Answer<ServerReadyResponse> {
        Ok(Response::new(ServerReadyResponse { ready: true }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Answer<ModelReadyResponse> {
        let ModelReadyRequest { name, version } = request.into_inner();
        self.check(&name, &version)?;
        Ok(Response::new(ModelReadyResponse { ready: true }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Answer<ServerMetadataResponse> {
        Ok(Response::new(ServerMetadataResponse {
            name: "mdetr".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: Vec::new(),
        }))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Answer<ModelMetadataResponse> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        self.check(&name, &version)?;
        let tensor = |(name, kind, shape): (&str, DataType, &[i64])| TensorMetadata {
            name: name.to_owned(),
            datatype: kind.name().to_owned(),
            shape: shape.to_vec(),
        };
        let inputs: [(&str, DataType, &[i64]); 2] = [
            (IMAGE, DataType::Bytes, &[1]),
            (QUERY, DataType::Bytes, &[-1]),
        ];
        Ok(Response::new(ModelMetadataResponse {
            name,
            versions: vec![self.0.grounder.manifest().version.clone()],
            platform: "mdetr".to_owned(),
            inputs: inputs.map(tensor).to_vec(),
            outputs: OUTPUTS.map(tensor).to_vec(),
            ..ModelMetadataResponse::default()
        }))
    }

    async fn model_config(&self, _: Request<ModelConfigRequest>) -> Answer<ModelConfigResponse> {
        Err(Status::unimplemented(
            "a configuration is Triton's own; ask for ModelMetadata",
        ))
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Answer<ModelInferResponse> {
        let request = request.into_inner();
        self.check(&request.model_name, &request.model_version)?;
        let worker = self.0.workers.clone().acquire_owned().await;
        let worker = worker.map_err(|_| Status::unavailable("the server stops"))?;
        let (inner, id) = (self.0.clone(), request.id.clone());
        let answer = tokio::task::spawn_blocking(move || {
            // Kept until the work is done, even if the client has gone.
            let _held = worker;
            inner.answer(request)
        });
        let answer = answer
            .await
            .map_err(|error| Status::internal(format!("internal panic: {error}")))?;
        let mut response = answer.map_err(|fault| match fault {
            Fault::Question(message) => Status::invalid_argument(message),
            Fault::Engine(message) => Status::internal(message),
        })?;
        let manifest = self.0.grounder.manifest();
        response.model_name.clone_from(&manifest.name);
        response.model_version.clone_from(&manifest.version);
        response.id = id;
        Ok(Response::new(response))
    }
}
