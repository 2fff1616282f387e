//! `mdetr serve`: answers clients of the Open Inference Protocol, as NVIDIA Triton's, over gRPC.

mod answer;
mod question;
mod service;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use mdetr::GrounderOptions;
use mdetr_kserve::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use mdetr_kserve::{Token, read_certificates};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Status};
use tower::ServiceExt;

use crate::model::ModelArgs;
use crate::output::say;
use service::Service;

/// How long calls that run may take to finish when the program is to end.
const GRACE: Duration = Duration::from_secs(10);
/// How often a connection on which nothing comes is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long a call may take, from its first byte on.
const LONGEST_CALL: Duration = Duration::from_secs(300);
/// Calls of a connection at once.
const MOST_STREAMS: u32 = 64;

/// Answer clients of the Open Inference Protocol (KServe v2, NVIDIA Triton's) over gRPC: pictures and sentences in,
/// boxes out. The model's name is the bundle's.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Address to listen on. Any but loopback needs --require-token.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8001")]
    grpc: SocketAddr,
    /// File with the token that clients must send, as `authorization: Bearer TOKEN`.
    #[arg(long, value_name = "FILE")]
    require_token: Option<PathBuf>,
    /// Certificate chain of the server, in PEM: clients then connect with TLS.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Pictures that are inferred at once [default: one for each processor].
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Calls that wait for their turn; more are refused.
    #[arg(long, value_name = "N", default_value_t = 16)]
    waiting: usize,
    /// Most MiB of a call. A picture of 1080p has 6 in pixels.
    #[arg(long, value_name = "MIB", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    max_request: u32,
    /// Report boxes with a score above this, 0 to 1 [default: the model's].
    #[arg(long, value_name = "X")]
    score_threshold: Option<f32>,
    /// Scale pictures to this short side in pixels for the network [default: the model's].
    #[arg(long, value_name = "PIXELS")]
    short_side: Option<u32>,
}

impl ServeArgs {
    /// Serves until a signal ends the program.
    ///
    /// # Errors
    /// The model, a file or the address cannot be used.
    pub fn run(self) -> Result<ExitCode> {
        let loopback = self.grpc.ip().is_loopback();
        ensure!(
            loopback || self.require_token.is_some(),
            "--grpc {}: whoever reaches it could use the model; give --require-token, or an address of loopback",
            self.grpc
        );
        let token = self.require_token.clone().map(Token::File);
        // For its faults, before anything is loaded.
        let header = token.as_ref().map(Token::header).transpose()?;
        drop(header);
        let tls = self.tls()?;
        let grounder = self.model.load(GrounderOptions {
            score_threshold: self.score_threshold,
            short_side: self.short_side,
            ..GrounderOptions::default()
        })?;
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let workers = self.workers.map_or(processors, NonZeroUsize::get);
        let service = Service::new(Arc::new(grounder), workers);
        let places = workers.saturating_add(self.waiting);
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start threads")?;
        let ended = runtime.block_on(self.serve(service, places, token, tls));
        // Inference that is still at work is left behind.
        Runtime::shutdown_background(runtime);
        ended.map(|()| ExitCode::SUCCESS)
    }

    fn tls(&self) -> Result<Option<ServerTlsConfig>> {
        let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_key) else {
            return Ok(None);
        };
        let certificate = read_certificates(certificate)?;
        let key = std::fs::read(key).with_context(|| key.display().to_string())?;
        let identity = Identity::from_pem(certificate, key);
        Ok(Some(ServerTlsConfig::new().identity(identity)))
    }

    async fn serve(
        &self,
        service: Service,
        places: Arc<Semaphore>,
        token: Option<Token>,
        tls: Option<ServerTlsConfig>,
    ) -> Result<()> {
        let model = service.model();
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter
            .set_serving::<GrpcInferenceServiceServer<Service>>()
            .await;
        let inference = GrpcInferenceServiceServer::new(service)
            .max_decoding_message_size((self.max_request as usize) << 20)
            .max_encoding_message_size(usize::MAX);
        let check = move |request: Request<()>| match &token {
            Some(token) => check(token, request),
            None => Ok(request),
        };
        let inference = InterceptedService::new(inference, check);
        // Probes of a cluster have no token.
        let routes = tower::service_fn(move |request: tonic::codegen::http::Request<_>| {
            let (inference, health) = (inference.clone(), health.clone());
            let place = places.clone().try_acquire_owned();
            async move {
                if request.uri().path().starts_with("/grpc.health.v1.Health/") {
                    return health.oneshot(request).await;
                }
                // Before the call is read: so many of the largest size are in memory at most.
                let Ok(_place) = place else {
                    let busy = "too many calls wait already; try again later";
                    return Ok(Status::resource_exhausted(busy).into_http());
                };
                let answer = inference.oneshot(request).await;
                answer.map(|answer| answer.map(Body::new))
            }
        });
        let mut server = Server::builder()
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .max_concurrent_streams(MOST_STREAMS)
            .timeout(LONGEST_CALL);
        let scheme = if tls.is_some() { "grpcs" } else { "grpc" };
        if let Some(tls) = tls {
            server = server
                .tls_config(tls)
                .context("--tls-certificate, --tls-key")?;
        }
        let listener = TcpListener::bind(self.grpc).await;
        let listener = listener.with_context(|| format!("--grpc {}", self.grpc))?;
        let address = listener.local_addr().context("--grpc")?;
        let mut stop = stop()?;
        let mut told = stop.clone();
        let ended = async move {
            let _ = told.wait_for(|stop| *stop).await;
            reporter
                .set_not_serving::<GrpcInferenceServiceServer<Service>>()
                .await;
        };
        say!("mdetr: serves {model} on {scheme}://{address}");
        let incoming = TcpListenerStream::new(listener);
        let serving = server.serve_with_incoming_shutdown(routes, incoming, ended);
        tokio::select! {
            ended = serving => ended.context("--grpc"),
            () = async {
                let _ = stop.wait_for(|stop| *stop).await;
                tokio::time::sleep(GRACE).await;
            } => Ok(()),
        }
    }
}

/// Becomes true at SIGINT or SIGTERM.
fn stop() -> Result<watch::Receiver<bool>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let _ = sender.send(true);
    });
    Ok(receiver)
}

fn check(token: &Token, request: Request<()>) -> Result<Request<()>, Status> {
    // It is read anew, as tokens are renewed.
    let expected = token.header().ok().flatten();
    let expected = expected.ok_or_else(|| Status::unavailable("the server has no token"))?;
    let found = request.metadata().get("authorization");
    let found = found.map_or(&b""[..], |found| found.as_encoded_bytes());
    match bool::from(expected.as_encoded_bytes().ct_eq(found)) {
        true => Ok(request),
        false => Err(Status::unauthenticated(
            "expected the header authorization: Bearer TOKEN with the server's token",
        )),
    }
}
