//! How the program does.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::app::App;
use super::auth::Caller;
use super::error::{ApiError, ErrorBody};
use crate::config::{Document, Role};
use crate::hub::{BrokerStatus, CameraStatus, StoreStatus};
use crate::metrics::Scrape;

/// How the program does.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// Version of the program.
    version: &'static str,
    /// Revision of the configuration in force.
    revision: u64,
    /// When the program started.
    #[schema(value_type = String, format = DateTime)]
    started: Timestamp,
    /// Name of the model.
    model: String,
    /// Name of the engine that runs it.
    engine: String,
    /// Name of the token that asks; `loopback` if none is needed.
    name: String,
    /// What it allows.
    role: Role,
    /// Whether it is a hub: its cameras are those of many sites, and are changed there.
    hub: bool,
    /// Cameras.
    cameras: Vec<CameraStatus>,
    /// The broker, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    broker: Option<BrokerStatus>,
    /// The store.
    store: StoreStatus,
}

/// How the program, its cameras, the broker and the store do
#[utoipa::path(
    get,
    path = "/api/status",
    tag = "state",
    responses((status = 200, description = "The state", body = Status))
)]
pub(super) async fn status(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> axum::Json<Status> {
    let hub = &app.state.hub;
    let about = &app.state.about;
    axum::Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        revision: hub.config().revision,
        started: about.started,
        model: about.model.clone(),
        engine: about.engine.clone(),
        name: caller.name.to_string(),
        role: caller.role,
        hub: app.state.counts.is_some(),
        cameras: hub
            .cameras()
            .into_iter()
            .map(Arc::unwrap_or_clone)
            .collect(),
        broker: hub.broker().map(Arc::unwrap_or_clone),
        store: Arc::unwrap_or_clone(hub.store()),
    })
}

/// Whether the program runs
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "state",
    security(()),
    responses((status = 200, description = "It does", content_type = "text/plain; charset=utf-8", body = String))
)]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the program does its work
///
/// A configuration is in force, and events can be kept. Cameras do not matter: one that cannot be reached is no reason to
/// start the program anew.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "state",
    security(()),
    responses(
        (status = 200, description = "It does", content_type = "text/plain; charset=utf-8", body = String),
        (status = 503, description = "It does not, and why", body = ErrorBody),
    )
)]
pub(super) async fn readyz(State(app): State<App>) -> Result<&'static str, ApiError> {
    let store = app.state.hub.store();
    if !store.writable {
        // Paths are not for everyone: /api/status says why.
        let message = "the store cannot write: see /api/status";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message));
    }
    Ok("ready\n")
}

/// Metrics for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "state",
    responses((
        status = 200,
        description = "In Prometheus' text format",
        content_type = "text/plain; version=0.0.4; charset=utf-8",
        body = String
    ))
)]
pub(super) async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let hub = &app.state.hub;
    let mut outbox = Vec::new();
    for receiver in receivers(&hub.config().document) {
        let waiting = app.state.store.waiting(&receiver).await?;
        outbox.push((receiver, waiting));
    }
    let counters = app.state.store.counters();
    let text = app.state.metrics.render(&Scrape {
        revision: hub.config().revision,
        cameras: hub.cameras(),
        broker: hub.broker(),
        store: hub.store(),
        failures: counters.failures.load(Ordering::Relaxed),
        lost: counters.steps_lost.load(Ordering::Relaxed),
        outbox,
        counts: app.state.counts.clone(),
    });
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Names of all who are told of events.
fn receivers(document: &Document) -> Vec<String> {
    let mut receivers = Vec::new();
    receivers.extend(document.mqtt.as_ref().map(|_| "mqtt".to_owned()));
    let webhooks = document.webhooks.iter();
    receivers.extend(webhooks.map(|webhook| format!("webhook:{}", webhook.id)));
    receivers.extend(document.email.as_ref().map(|_| "email".to_owned()));
    receivers
}
