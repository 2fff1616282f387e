//! The configuration as a whole.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::app::App;
use super::auth::Caller;
use super::error::{ApiError, Body, ErrorBody, Search};
use crate::config::{self, Document, Fault, Role};

/// Most bytes of a document.
const MAX_DOCUMENT: usize = config::MAX_BYTES as usize;

/// What is in force after a change.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Revision {
    /// Its revision.
    pub revision: u64,
}

/// The configuration in force
///
/// Passwords in URLs are `***`. Viewers do not see whom the program tells of events, nor tokens.
#[utoipa::path(
    get,
    path = "/api/config",
    tag = "configuration",
    responses((status = 200, description = "The document", body = Document, headers(("etag" = String))))
)]
pub(super) async fn get(State(app): State<App>, Extension(caller): Extension<Caller>) -> Response {
    let current = app.state.hub.config();
    let mut document = config::redacted(&current.document);
    if caller.role < Role::Admin {
        document.mqtt = None;
        document.webhooks.clear();
        document.email = None;
        document.http.tokens.clear();
        document.http.tls = None;
    }
    let tag = format!("\"{}\"", current.revision);
    ([(header::ETAG, tag)], axum::Json(document)).into_response()
}

/// Put a configuration in force
///
/// Only cameras may differ from the one in force. Where it has `***`, the password in force stays.
#[utoipa::path(
    put,
    path = "/api/config",
    tag = "configuration",
    params(("if-match" = String, Header, description = "The ETag of the document that was changed, or `*`")),
    request_body = Document,
    responses(
        (status = 200, description = "In force", body = Revision, headers(("etag" = String))),
        (status = 412, description = "Another revision is in force", body = ErrorBody),
        (status = 422, description = "The document is refused", body = ErrorBody),
        (status = 428, description = "The header `If-Match` is missing", body = ErrorBody),
    )
)]
pub(super) async fn put(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Body(document): Body<Document, MAX_DOCUMENT>,
) -> Result<Response, ApiError> {
    let Some(expected) = expected(&headers)? else {
        let message = "expected the header If-Match with the ETag of GET /api/config, or *";
        return Err(ApiError::new(StatusCode::PRECONDITION_REQUIRED, message));
    };
    let control = &app.state.control;
    let revision = control
        .apply(&document, expected.revision(), &caller.origin())
        .await?;
    let tag = format!("\"{revision}\"");
    let body = axum::Json(Revision { revision });
    Ok(([(header::ETAG, tag)], body).into_response())
}

/// What a change is made for, as the header `If-Match` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Expected {
    Any,
    Revision(u64),
}

impl Expected {
    pub(super) fn revision(self) -> Option<u64> {
        match self {
            Expected::Any => None,
            Expected::Revision(revision) => Some(revision),
        }
    }
}

/// `None` without the header.
pub(super) fn expected(headers: &HeaderMap) -> Result<Option<Expected>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("").trim();
    if text == "*" {
        return Ok(Some(Expected::Any));
    }
    let digits = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(revision) => Ok(Some(Expected::Revision(revision))),
        None => {
            let message = format!("If-Match: {text:?} is not the ETag of a configuration");
            Err(ApiError::new(StatusCode::PRECONDITION_FAILED, message))
        }
    }
}

/// A configuration that was in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Past {
    /// Its revision.
    revision: u64,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// Who gave it: `file`, `http: NAME` or `mqtt`.
    origin: String,
    /// SHA-256 of the file that was read last before it, in hexadecimal digits.
    file_sha256: String,
    /// The document, with `***` for passwords in URLs. Absent if this version of the program cannot read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    document: Option<Document>,
}

/// Configurations that were in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct History {
    /// Newest first.
    revisions: Vec<Past>,
}

/// How many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryFilter {
    /// At most so many; 20 if not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// Configurations that were in force
///
/// For admins.
#[utoipa::path(
    get,
    path = "/api/config/history",
    tag = "configuration",
    params(HistoryFilter),
    responses((status = 200, description = "The newest of them", body = History))
)]
pub(super) async fn history(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Search(filter): Search<HistoryFilter>,
) -> Result<axum::Json<History>, ApiError> {
    caller.must_be_admin()?;
    let limit = filter.limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(ApiError::bad(format!(
            "limit: expected 1 to 100, found {limit}"
        )));
    }
    let entries = app.state.store.configs(limit).await?;
    let past = entries.into_iter().map(|entry| {
        let document = config::parse_json(entry.document.as_bytes()).ok();
        Past {
            revision: entry.revision,
            time: entry.time,
            origin: entry.origin,
            file_sha256: entry.file_sha256,
            document: document.as_ref().map(config::redacted),
        }
    });
    let revisions = past.collect();
    Ok(axum::Json(History { revisions }))
}

/// What is wrong with a document.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Faults {
    /// Empty if it could be put in force.
    faults: Vec<Fault>,
}

/// Check a configuration
///
/// Nothing is put in force.
#[utoipa::path(
    post,
    path = "/api/config/check",
    tag = "configuration",
    request_body = Document,
    responses((status = 200, description = "What is wrong with it", body = Faults))
)]
pub(super) async fn check(
    State(app): State<App>,
    Body(document): Body<Document, MAX_DOCUMENT>,
) -> axum::Json<Faults> {
    let current = app.state.hub.config();
    let document = config::restored(&document, &current.document);
    let faults = config::check(&document);
    axum::Json(Faults { faults })
}
