//! Events with their pictures and clips.

use std::path::PathBuf;

use axum::body::Body as Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tower::ServiceExt;
use tower_http::services::ServeFile;
use utoipa::{IntoParams, ToSchema};

use super::app::App;
use super::error::{ApiError, Body, ErrorBody, Name, Params, Search};
use super::schema;
use crate::events::StoredPicture;
use crate::store::{EventFilter, StoredEvent};

/// Most events of an answer.
const MAX_EVENTS: u32 = 1000;
/// How many there are if it is not said.
const EVENTS: u32 = 100;
/// Longest text that is looked for.
const MAX_WORDS: usize = 1000;

/// Events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Events {
    /// Newest first.
    #[schema(value_type = Vec<schema::StoredEvent>)]
    events: Vec<StoredEvent>,
    /// There may be more: those behind this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    next: Option<String>,
}

fn unknown(id: &str) -> ApiError {
    ApiError::missing(format!("there is no event {id:?}: see /api/events"))
}

/// Search events
#[utoipa::path(
    get,
    path = "/api/events",
    tag = "events",
    params(EventFilter),
    responses((status = 200, description = "Events, newest first", body = Events))
)]
pub(super) async fn list(
    State(app): State<App>,
    Search(mut filter): Search<EventFilter>,
) -> Result<axum::Json<Events>, ApiError> {
    let limit = filter.limit.unwrap_or(EVENTS);
    if !(1..=MAX_EVENTS).contains(&limit) {
        let message = format!("limit: expected 1 to {MAX_EVENTS}, found {limit}");
        return Err(ApiError::bad(message));
    }
    let texts = [&filter.camera, &filter.rule, &filter.words, &filter.after];
    let mut texts = texts.into_iter().flatten();
    if texts.any(|text| text.len() > MAX_WORDS || text.contains('\0')) {
        let message = format!("expected texts of at most {MAX_WORDS} bytes without NUL");
        return Err(ApiError::bad(message));
    }
    filter.limit = Some(limit);
    let events = app.state.events.events(&filter).await?;
    let last = events.last().filter(|_| events.len() == limit as usize);
    let next = last.map(|last| last.event.id.clone());
    Ok(axum::Json(Events { events, next }))
}

/// One event
#[utoipa::path(
    get,
    path = "/api/events/{id}",
    tag = "events",
    params(("id" = Name, Path, description = "Its id")),
    responses(
        (status = 200, description = "The event", body = schema::StoredEvent),
        (status = 404, description = "There is no such event", body = ErrorBody),
    )
)]
pub(super) async fn get(
    State(app): State<App>,
    Params(Name(id)): Params<Name>,
) -> Result<axum::Json<StoredEvent>, ApiError> {
    let event = app.state.events.event(&id).await?;
    Ok(axum::Json(event.ok_or_else(|| unknown(&id))?))
}

/// Remove an event with its picture and clip
#[utoipa::path(
    delete,
    path = "/api/events/{id}",
    tag = "events",
    params(("id" = Name, Path, description = "Its id")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is no such event", body = ErrorBody),
    )
)]
pub(super) async fn remove(
    State(app): State<App>,
    Params(Name(id)): Params<Name>,
) -> Result<StatusCode, ApiError> {
    if app.state.events.remove(&id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown(&id))
    }
}

/// Whether an event is kept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// Whether it is kept until somebody removes it.
    kept: bool,
}

/// Keep an event until somebody removes it, or no longer
#[utoipa::path(
    put,
    path = "/api/events/{id}/kept",
    tag = "events",
    params(("id" = Name, Path, description = "Its id")),
    request_body = Kept,
    responses(
        (status = 204, description = "Done"),
        (status = 404, description = "There is no such event", body = ErrorBody),
    )
)]
pub(super) async fn keep(
    State(app): State<App>,
    Params(Name(id)): Params<Name>,
    Body(Kept { kept }): Body<Kept>,
) -> Result<StatusCode, ApiError> {
    if app.state.events.set_kept(&id, kept).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown(&id))
    }
}

/// Which picture.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Drawn {
    /// Whether boxes and words are drawn on it.
    #[param(required = false)]
    drawn: bool,
}

/// The frame that shows an event best
///
/// Part of it, if the header `Range` asks for one.
#[utoipa::path(
    get,
    path = "/api/events/{id}/picture.jpg",
    tag = "events",
    params(("id" = Name, Path, description = "Id of the event"), Drawn),
    responses(
        (status = 200, description = "The picture", content_type = "image/jpeg", body = Vec<u8>),
        (status = 206, description = "Part of it", content_type = "image/jpeg", body = Vec<u8>),
        (status = 304, description = "It has not changed"),
        (status = 404, description = "There is no such event, or it has no picture", body = ErrorBody),
        (status = 412, description = "It has changed", body = ErrorBody),
        (status = 416, description = "There is no such part", body = ErrorBody),
    )
)]
pub(super) async fn picture(
    State(app): State<App>,
    Params(Name(id)): Params<Name>,
    Search(Drawn { drawn }): Search<Drawn>,
    request: Request,
) -> Result<Response, ApiError> {
    match app.state.events.picture(&id, drawn).await? {
        Some(StoredPicture::File(path)) => file(&id, path, request).await,
        Some(StoredPicture::Bytes(jpeg)) => {
            let kind = [(header::CONTENT_TYPE, "image/jpeg")];
            Ok((kind, jpeg).into_response())
        }
        None => {
            let message = format!("the event {id:?} has no picture, or is gone");
            Err(ApiError::missing(message))
        }
    }
}

/// The clip of an event
///
/// Part of it, if the header `Range` asks for one.
#[utoipa::path(
    get,
    path = "/api/events/{id}/clip",
    tag = "events",
    params(("id" = Name, Path, description = "Id of the event")),
    responses(
        (status = 200, description = "The clip", content(
            (Vec<u8> = "video/mp4"), (Vec<u8> = "video/webm"))),
        (status = 206, description = "Part of it", content(
            (Vec<u8> = "video/mp4"), (Vec<u8> = "video/webm"))),
        (status = 304, description = "It has not changed"),
        (status = 404, description = "There is no such event, or it has no clip yet", body = ErrorBody),
        (status = 412, description = "It has changed", body = ErrorBody),
        (status = 416, description = "There is no such part", body = ErrorBody),
    )
)]
pub(super) async fn clip(
    State(app): State<App>,
    Params(Name(id)): Params<Name>,
    request: Request,
) -> Result<Response, ApiError> {
    let path = app.state.events.clip(&id).await?;
    let path =
        path.ok_or_else(|| ApiError::missing(format!("the event {id:?} has no clip, or is gone")))?;
    file(&id, path, request).await
}

/// A file of the store, or the part of it that the request asks for.
async fn file(id: &str, path: PathBuf, request: Request) -> Result<Response, ApiError> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let name = format!("{id}.{}", extension.unwrap_or("bin"));
    let served = ServeFile::new(&path).ignore_multi_range_requests(true);
    let served = served.oneshot(request).await;
    let mut response = match served {
        Ok(response) => response.map(Bytes::new),
        Err(never) => match never {},
    };
    let status = response.status();
    if status.is_server_error() {
        tracing::error!(path = %path.display(), "cannot be read");
        let message = "the store does not answer: see the program's log and /readyz";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message));
    }
    if status.is_client_error() {
        let message = match status {
            StatusCode::NOT_FOUND => format!("the file of the event {id:?} is gone"),
            StatusCode::RANGE_NOT_SATISFIABLE => "range: the file has no such part".to_owned(),
            _ => "the file has changed".to_owned(),
        };
        let error = ApiError::new(status, message);
        return Err(match response.headers_mut().remove(header::CONTENT_RANGE) {
            Some(range) => error.with_header(header::CONTENT_RANGE, range),
            None => error,
        });
    }
    // A name is letters, digits, - and _.
    if let Ok(value) = HeaderValue::from_str(&format!("inline; filename=\"{name}\"")) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}
