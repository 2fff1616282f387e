//! What is served, and what handlers share.

use std::sync::Arc;

use axum::http::StatusCode;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::error::ApiError;
use super::limit::Limiter;
use super::sessions::Sessions;
use crate::control::Control;
use crate::events::Events;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::past::Archive;
use crate::sites::Counts;
use crate::store::Store;

/// Searches at once: each takes all the time that cameras leave.
const SEARCHES: usize = 1;
/// Pictures that were kept and are read at once; others wait.
const KEPT_PICTURES: usize = 2;

/// What is served.
#[derive(Debug, Clone)]
pub struct HttpState {
    /// The middle of the program.
    pub hub: Arc<Hub>,
    /// What takes changes of the configuration.
    pub control: Arc<Control>,
    /// Events, pictures and clips.
    pub events: Events,
    /// The history of the configuration, and what waits to be sent.
    pub store: Store,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What a hub counts; this is a hub if it is there.
    pub counts: Option<Arc<Counts>>,
    /// What cameras saw; a hub has seen nothing.
    pub past: Option<Arc<Archive>>,
    /// What is told of the program.
    pub about: About,
    /// How much clients may ask for.
    pub limits: Limits,
}

/// What is told of the program.
#[derive(Debug, Clone)]
pub struct About {
    /// When it started.
    pub started: Timestamp,
    /// Name of the model.
    pub model: String,
    /// Name of the engine that runs it.
    pub engine: String,
}

/// How much clients may ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Most connections at once.
    pub connections: usize,
    /// Most streams of pictures and events at once.
    pub streams: usize,
    /// Requests a second of one address, over a longer time.
    pub rate: f64,
    /// Requests of one address at once.
    pub burst: f64,
    /// Tokens a minute that one address may try.
    pub logins: f64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 256,
            streams: 32,
            rate: 100.0,
            burst: 400.0,
            logins: 10.0,
        }
    }
}

/// What handlers share.
#[derive(Debug, Clone)]
pub(super) struct App(Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub state: HttpState,
    pub sessions: Sessions,
    pub requests: Limiter,
    pub logins: Limiter,
    pub connections: Arc<Semaphore>,
    pub streams: Arc<Semaphore>,
    pub searches: Arc<Semaphore>,
    pub kept_pictures: Arc<Semaphore>,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub(super) fn new(state: HttpState) -> App {
        let limits = state.limits;
        App(Arc::new(Shared {
            state,
            sessions: Sessions::default(),
            requests: Limiter::new(limits.rate, limits.burst),
            logins: Limiter::new(limits.logins / 60.0, limits.logins),
            connections: Arc::new(Semaphore::new(limits.connections)),
            streams: Arc::new(Semaphore::new(limits.streams)),
            searches: Arc::new(Semaphore::new(SEARCHES)),
            kept_pictures: Arc::new(Semaphore::new(KEPT_PICTURES)),
        }))
    }

    /// A place to search.
    pub(super) fn search(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.searches.clone().try_acquire_owned().map_err(|_| {
            ApiError::too_many(
                "another search is running: wait for its end, or cancel it",
                5,
            )
        })
    }

    /// A place to read a picture that was kept, once there is one.
    pub(super) async fn kept_picture(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let place = self.kept_pictures.clone().acquire_owned().await;
        place.map_err(|_| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the program ends"))
    }

    /// A place among the streams.
    pub(super) fn stream(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.streams.clone().try_acquire_owned().map_err(|_| {
            let most = self.state.limits.streams;
            let message = format!("at most {most} streams at once: close one");
            ApiError::too_many(message, 5)
        })
    }
}

/// Whether the connection is encrypted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Secure(pub bool);

/// Says when streams have to end.
#[derive(Debug, Clone)]
pub(super) struct Ending(pub watch::Receiver<bool>);

impl Ending {
    pub(super) async fn wait(&mut self) {
        // Without a sender there is no server any more.
        let _ = self.0.wait_for(|ending| *ending).await;
    }
}
