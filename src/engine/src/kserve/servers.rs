//! Where the graphs are run, and the calls there.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use mdetr_kserve::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use mdetr_kserve::{Endpoint, Token, read_certificates};
use tokio::runtime::{Builder, Runtime};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::graph::RemoteCounts;
use crate::options::KServeOptions;

/// Most bytes of an answer with tensors, which is held in memory: the feature maps of a frame of 4K have less.
const MAX_ANSWER: usize = 256 << 20;
/// Most characters of a server's words that are repeated.
const MAX_WORDS: usize = 300;
/// Threads that send and receive. Frames wait on threads of their own.
const THREADS: usize = 2;

pub(super) type Client = GrpcInferenceServiceClient<Channel>;

/// Servers with the same models.
#[derive(Debug)]
pub(super) struct Servers {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    replicas: Vec<Replica>,
    token: Token,
    pub(super) deadline: Duration,
    /// Which of them is asked first.
    turn: AtomicUsize,
    pub(super) answers: AtomicU64,
    pub(super) failures: AtomicU64,
}

#[derive(Debug)]
struct Replica {
    endpoint: Endpoint,
    channel: Channel,
}

impl Servers {
    pub(super) fn new(options: &KServeOptions) -> Result<Servers, String> {
        let words = |error: &dyn fmt::Display| error.to_string();
        if options.endpoints.is_empty() {
            return Err("no server is named; give endpoints as grpc://HOST:8001".to_owned());
        }
        let deadline = options.deadline;
        let shortest = Duration::from_millis(1);
        if !(shortest..=KServeOptions::MAX_DEADLINE).contains(&deadline) {
            return Err(format!(
                "option deadline: expected 1 ms to 600 s, found {deadline:?}"
            ));
        }
        let token = match &options.token_file {
            Some(path) => Token::File(path.clone()),
            None => Token::Variable(KServeOptions::TOKEN_VARIABLE),
        };
        let has_token = token.header().map_err(|e| words(&e))?.is_some();
        let certificates = options.ca_file.as_deref().map(read_certificates);
        let certificates = certificates.transpose().map_err(|e| words(&e))?;
        let runtime = runtime().map_err(|error| format!("cannot start a thread: {error}"))?;
        let replica = |text: &String| {
            let endpoint: Endpoint = text.parse().map_err(|e| words(&e))?;
            if has_token && endpoint.is_exposed() {
                return Err(format!(
                    "{endpoint}: a token would be sent there in the clear; use grpcs://, or give no token"
                ));
            }
            let channel = endpoint.channel(certificates.as_deref(), deadline);
            let channel = channel.map_err(|e| words(&e))?;
            Ok(Replica { endpoint, channel })
        };
        let replicas = {
            let _inside = runtime.enter();
            options
                .endpoints
                .iter()
                .map(replica)
                .collect::<Result<_, _>>()?
        };
        Ok(Servers {
            runtime: Some(runtime),
            replicas,
            token,
            deadline,
            turn: AtomicUsize::new(0),
            answers: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    pub(super) fn counts(&self) -> RemoteCounts {
        RemoteCounts {
            answers: self.answers.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            fallbacks: 0,
        }
    }

    /// All of them by number, beginning with another each time.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = usize> {
        let count = self.replicas.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        (0..count).map(move |step| (first.wrapping_add(step)) % count)
    }

    pub(super) fn count(&self) -> usize {
        self.replicas.len()
    }

    pub(super) fn endpoint(&self, replica: usize) -> &Endpoint {
        &self.replicas[replica].endpoint
    }

    /// For calls to a server.
    pub(super) fn client(&self, replica: usize) -> Client {
        Client::new(self.replicas[replica].channel.clone())
            .max_decoding_message_size(MAX_ANSWER)
            .max_encoding_message_size(usize::MAX)
    }

    /// A request with the token.
    pub(super) fn request<T>(&self, message: T) -> Result<Request<T>, String> {
        let mut request = Request::new(message);
        if let Some(header) = self.token.header().map_err(|error| error.to_string())? {
            request.metadata_mut().insert("authorization", header);
        }
        Ok(request)
    }

    /// Waits for a call, on any thread; what takes longer than `limit` is given up.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        /// What the runtime may be late by.
        const LATE: Duration = Duration::from_secs(1);
        let (sender, receiver) = mpsc::sync_channel(1);
        let task = self.runtime().spawn(async move {
            let answer = tokio::time::timeout(limit, call).await;
            let late = |_| Err(Failure::late(limit));
            // Nobody waits for it any more if this fails.
            let _ = sender.send(answer.unwrap_or_else(late));
        });
        receiver.recv_timeout(limit + LATE).unwrap_or_else(|_| {
            task.abort();
            Err(Failure::late(limit))
        })
    }

    /// Lets a task run by itself.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime().spawn(task));
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until the drop")
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("mdetr-kserve")
        .enable_all()
        .build()
}

impl Drop for Servers {
    /// Waits for no call: the last user may be a task of the runtime itself.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, replica) in self.replicas.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}", replica.endpoint)?;
        }
        Ok(())
    }
}

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) message: String,
    /// The connection was lost or refused, as it is when a server has been restarted: worth another attempt at once.
    pub(super) lost: bool,
}

impl Failure {
    pub(super) fn late(limit: Duration) -> Failure {
        Failure::from(format!("no answer within {} ms", limit.as_millis()))
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Failure {
        Failure {
            message,
            lost: false,
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        let mut words: String = status.message().chars().take(MAX_WORDS).collect();
        // A lost connection says no more than that; its causes say why.
        let mut cause = std::error::Error::source(&status);
        while let Some(error) = cause {
            words += &format!(": {error}");
            cause = error.source();
        }
        Failure {
            message: format!("{:?}: {words}", status.code()),
            lost: status.code() == tonic::Code::Unavailable,
        }
    }
}
