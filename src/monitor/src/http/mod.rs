//! The page, and the interface for programs: REST, events as they happen, pictures, metrics.

mod auth;
mod cameras;
mod config;
mod error;
mod events;
mod limit;
mod listen;
mod live;
mod openapi;
mod page;
mod pictures;
mod schema;
mod status;
pub mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::timeout::TimeoutLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::Control;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::store::Store;

use auth::Sessions;
use error::ApiError;
use limit::Limiter;

pub use listen::{Server, serve};
pub use openapi::document;

/// How long the answer to a request may take to begin.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is served.
#[derive(Debug, Clone)]
pub struct HttpState {
    /// The middle of the program.
    pub hub: Arc<Hub>,
    /// What takes changes of the configuration.
    pub control: Arc<Control>,
    /// Events, pictures and clips.
    pub store: Store,
    /// What is counted.
    pub metrics: Arc<Metrics>,
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
struct App(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: HttpState,
    sessions: Sessions,
    requests: Limiter,
    logins: Limiter,
    connections: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    fn new(state: HttpState) -> App {
        let limits = state.limits;
        App(Arc::new(Shared {
            state,
            sessions: Sessions::default(),
            requests: Limiter::new(limits.rate, limits.burst),
            logins: Limiter::new(limits.logins / 60.0, limits.logins),
            connections: Arc::new(Semaphore::new(limits.connections)),
            streams: Arc::new(Semaphore::new(limits.streams)),
        }))
    }

    /// A place among the streams.
    fn stream(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.streams.clone().try_acquire_owned().map_err(|_| {
            let most = self.state.limits.streams;
            let message = format!("at most {most} streams at once: close one");
            ApiError::too_many(message, 5)
        })
    }
}

/// Whether the connection is encrypted.
#[derive(Debug, Clone, Copy)]
struct Secure(bool);

/// Says when streams have to end.
#[derive(Debug, Clone)]
struct Ending(watch::Receiver<bool>);

impl Ending {
    async fn wait(&mut self) {
        // Without a sender there is no server any more.
        let _ = self.0.wait_for(|ending| *ending).await;
    }
}

/// All routes with their documents.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(status::status))
        .routes(routes!(status::healthz))
        .routes(routes!(status::readyz))
        .routes(routes!(status::metrics))
        .routes(routes!(openapi::openapi))
        .routes(routes!(auth::login))
        .routes(routes!(auth::logout))
        .routes(routes!(config::get, config::put))
        .routes(routes!(config::history))
        .routes(routes!(config::check))
        .routes(routes!(cameras::list, cameras::add))
        .routes(routes!(cameras::get, cameras::put, cameras::remove))
        .routes(routes!(cameras::watch))
        .routes(routes!(cameras::enable))
        .routes(routes!(cameras::enable_rule))
        .routes(routes!(pictures::picture))
        .routes(routes!(pictures::mjpeg))
        .routes(routes!(pictures::live))
        .routes(routes!(events::list))
        .routes(routes!(events::get, events::remove))
        .routes(routes!(events::keep))
        .routes(routes!(events::picture))
        .routes(routes!(events::clip))
        .routes(routes!(live::sse))
        .routes(routes!(live::websocket))
        .routes(routes!(page::index))
        .routes(routes!(page::asset))
}

fn router(app: App, secure: Secure, ending: Ending) -> Router {
    let (router, _) = routes().split_for_parts();
    let hub = app.state.hub.clone();
    let allowed = AllowOrigin::predicate(move |origin, _| {
        let config = hub.config();
        let mut origins = config.document.http.origins.iter();
        origins.any(|known| known.as_bytes() == origin.as_bytes())
    });
    let cors = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::RANGE,
        ])
        .expose_headers([header::ETAG, header::LOCATION, header::CONTENT_RANGE])
        .max_age(Duration::from_secs(600));
    router
        .fallback(page::other)
        .method_not_allowed_fallback(not_allowed)
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            TIMEOUT,
        ))
        .layer(middleware::from_fn_with_state(app.clone(), auth::gate))
        .layer(cors)
        .layer(middleware::from_fn(protect))
        .layer(axum::Extension(secure))
        .layer(axum::Extension(ending))
        .with_state(app)
}

async fn not_allowed(method: Method) -> ApiError {
    let message = format!("{method} is not possible here: see /api/openapi.json");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message)
}

/// What the page may do: only what comes from here.
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Headers of all answers.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    // The layer that counts the time says nothing.
    if response.status() == StatusCode::REQUEST_TIMEOUT {
        let seconds = TIMEOUT.as_secs();
        let message = format!("it took more than {seconds} seconds");
        response = ApiError::new(StatusCode::REQUEST_TIMEOUT, message).into_response();
    }
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    set(
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    // Files of the page have their own.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
