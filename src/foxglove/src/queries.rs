//! The standing queries as a parameter.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use foxglove::WebSocketServerHandle;
use foxglove::websocket::{
    AnyClient, GetParametersResponder, Parameter, ParameterHandler, ParameterValue,
    SetParametersResponder,
};
use tokio::sync::Semaphore;

/// The parameter's name.
const QUERIES: &str = "queries";
/// Most queries that are looked at, and most bytes of one.
const MAX_QUERIES: usize = 256;
const MAX_BYTES: usize = 1 << 16;
/// Changes that may wait for those before them.
const MAX_CHANGES: usize = 4;

/// What holds the standing queries.
pub trait Queries: Send + Sync + 'static {
    /// The sentences in force.
    fn get(&self) -> Vec<String>;

    /// Changes all of them; returns when the new ones are in force. Called on a thread that may wait, one at a time.
    ///
    /// # Errors
    /// Why those of before stay, in words.
    fn set(&self, sentences: Vec<String>) -> Result<(), String>;
}

/// Answers viewers that read and change the parameter.
pub(crate) struct Parameters(Arc<Inner>);

struct Inner {
    queries: Box<dyn Queries>,
    /// Changes are made one at a time, in the order they come.
    turn: Mutex<()>,
    waiting: Arc<Semaphore>,
    server: OnceLock<Weak<WebSocketServerHandle>>,
}

impl Parameters {
    pub fn new(queries: Box<dyn Queries>) -> Parameters {
        Parameters(Arc::new(Inner {
            queries,
            turn: Mutex::new(()),
            waiting: Arc::new(Semaphore::new(MAX_CHANGES)),
            server: OnceLock::new(),
        }))
    }

    /// Viewers that subscribed hear of changes by this server.
    pub fn publish_through(&self, server: &Arc<WebSocketServerHandle>) {
        let first = self.0.server.set(Arc::downgrade(server));
        debug_assert!(first.is_ok(), "there is one server");
    }

    /// Tells viewers that subscribed.
    pub fn publish(&self) {
        self.0.publish();
    }
}

impl Inner {
    fn current(&self) -> Parameter {
        let sentences = self.queries.get().into_iter();
        let values = sentences.map(ParameterValue::String);
        Parameter {
            name: QUERIES.to_owned(),
            r#type: None,
            value: Some(ParameterValue::Array(values.collect())),
        }
    }

    fn publish(&self) {
        if let Some(server) = self.server.get().and_then(Weak::upgrade) {
            server.publish_parameter_values(vec![self.current()]);
        }
    }

    fn change(&self, sentences: Vec<String>) -> Result<(), String> {
        // What a panic leaves behind is the queries' own.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.queries.set(sentences)
    }
}

impl ParameterHandler for Parameters {
    fn get(
        &self,
        _client: AnyClient,
        names: Vec<String>,
        _request: Option<String>,
        responder: GetParametersResponder,
    ) {
        let asked = names.is_empty() || names.iter().any(|name| name == QUERIES);
        let values = asked.then(|| self.0.current());
        responder.respond(values.into_iter().collect());
    }

    fn set(
        &self,
        client: AnyClient,
        parameters: Vec<Parameter>,
        _request: Option<String>,
        responder: SetParametersResponder,
    ) {
        let refuse = |responder: SetParametersResponder, reason: &str| {
            client.send_error(reason);
            responder.respond(vec![self.0.current()]);
        };
        let sentences = match sentences(parameters) {
            Ok(sentences) => sentences,
            Err(reason) => return refuse(responder, &reason),
        };
        let Ok(permit) = self.0.waiting.clone().try_acquire_owned() else {
            let reason = format!(
                "{QUERIES}: {MAX_CHANGES} changes wait to be made; set it again when they are"
            );
            return refuse(responder, &reason);
        };
        let (inner, client) = (self.0.clone(), client.clone());
        // Encoding sentences takes its time.
        tokio::task::spawn_blocking(move || {
            let changed = inner.change(sentences);
            drop(permit);
            if let Err(reason) = &changed {
                client.send_error(reason);
            }
            responder.respond(vec![inner.current()]);
            if changed.is_ok() {
                inner.publish();
            }
        });
    }
}

/// The sentences of a request: a text, or a list of texts.
fn sentences(parameters: Vec<Parameter>) -> Result<Vec<String>, String> {
    let mut found = None;
    for parameter in parameters {
        if parameter.name != QUERIES {
            let name: String = parameter.name.chars().take(60).collect();
            return Err(format!(
                "there is no parameter {name:?}: the one there is, is {QUERIES}"
            ));
        }
        found = Some(match parameter.value {
            Some(ParameterValue::String(text)) => vec![text],
            Some(ParameterValue::Array(values)) if values.len() <= MAX_QUERIES => {
                let texts = values.into_iter().map(|value| match value {
                    ParameterValue::String(text) => Some(text),
                    _ => None,
                });
                let texts: Option<Vec<String>> = texts.collect();
                texts.ok_or_else(|| format!("{QUERIES}: expected a list of texts"))?
            }
            Some(ParameterValue::Array(values)) => {
                let count = values.len();
                return Err(format!(
                    "{QUERIES}: expected at most {MAX_QUERIES} sentences, found {count}"
                ));
            }
            _ => return Err(format!("{QUERIES}: expected a text or a list of texts")),
        });
    }
    let sentences = found.ok_or_else(|| format!("expected the parameter {QUERIES}"))?;
    match sentences.iter().position(|text| text.len() > MAX_BYTES) {
        Some(index) => Err(format!(
            "{QUERIES}: sentence {index} has {} bytes, expected at most {MAX_BYTES}",
            sentences[index].len()
        )),
        None => Ok(sentences),
    }
}
