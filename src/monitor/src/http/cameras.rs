//! Cameras, and what is watched for in them.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mdetr_grounding::query::QueryEntry;
use mdetr_rules::document::{Line, Rule, Zone};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::app::App;
use super::auth::Caller;
use super::config::{self, Expected, Revision};
use super::error::{ApiError, Body, ErrorBody, Name, Params};
use crate::config::{Camera, Document, redacted, schema};
use crate::control::ApplyError;

/// Cameras.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cameras {
    /// Revision of the configuration.
    revision: u64,
    /// In the order of the configuration.
    cameras: Vec<Camera>,
}

/// Which revision is changed.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its shape is used")]
struct IfMatch {
    /// The ETag of the configuration that was changed; any without.
    #[param(rename = "if-match", required = false)]
    if_match: Option<String>,
}

pub(super) fn unknown(name: &str) -> ApiError {
    ApiError::missing(format!("there is no camera {name:?}: see /api/cameras"))
}

/// Changes the configuration, if it is the one that `If-Match` names. What `change` finds missing is told as it says.
async fn edit(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    change: impl FnOnce(&mut Document) -> Result<(), ApiError>,
) -> Result<axum::Json<Revision>, ApiError> {
    let mut refusal = None;
    let origin = caller.origin();
    let expected = config::expected(headers)?.and_then(Expected::revision);
    let edited = app.state.control.edit(&origin, |document| {
        // No other change is made meanwhile.
        let current = app.state.hub.config().revision;
        let checked = match expected {
            Some(expected) if expected != current => {
                Err(ApplyError::Conflict { expected, current }.into())
            }
            _ => change(document),
        };
        checked.map_err(|error| {
            refusal = Some(error);
            "refused".to_owned()
        })
    });
    let edited = edited.await;
    match refusal {
        Some(error) => Err(error),
        None => Ok(axum::Json(Revision { revision: edited? })),
    }
}

fn find<'a>(document: &'a mut Document, name: &str) -> Result<&'a mut Camera, ApiError> {
    let mut cameras = document.cameras.iter_mut();
    cameras
        .find(|camera| camera.name == name)
        .ok_or_else(|| unknown(name))
}

/// All cameras
///
/// Passwords in URLs are `***`.
#[utoipa::path(
    get,
    path = "/api/cameras",
    tag = "cameras",
    responses((status = 200, description = "The cameras", body = Cameras))
)]
pub(super) async fn list(State(app): State<App>) -> axum::Json<Cameras> {
    let current = app.state.hub.config();
    let cameras = redacted(&current.document).cameras;
    let revision = current.revision;
    axum::Json(Cameras { revision, cameras })
}

/// Add a camera
#[utoipa::path(
    post,
    path = "/api/cameras",
    tag = "cameras",
    params(IfMatch),
    request_body = Camera,
    responses(
        (status = 201, description = "It is watched", body = Revision, headers(("location" = String))),
        (status = 409, description = "There is one of this name", body = ErrorBody),
        (status = 412, description = "Another revision is in force than `If-Match` names", body = ErrorBody),
        (status = 422, description = "It is refused", body = ErrorBody),
    )
)]
pub(super) async fn add(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Body(camera): Body<Camera>,
) -> Result<Response, ApiError> {
    let place = format!("/api/cameras/{}", camera.name);
    let body = edit(&app, &caller, &headers, |document| {
        let name = &camera.name;
        if document.cameras.iter().any(|known| known.name == *name) {
            let message = format!("there is a camera {name:?} already: change it by PUT {place}");
            return Err(ApiError::new(StatusCode::CONFLICT, message));
        }
        document.cameras.push(camera);
        Ok(())
    })
    .await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], body).into_response())
}

/// One camera
#[utoipa::path(
    get,
    path = "/api/cameras/{camera}",
    tag = "cameras",
    params(("camera" = Name, Path, description = "Its name")),
    responses(
        (status = 200, description = "The camera", body = Camera),
        (status = 404, description = "There is no such camera", body = ErrorBody),
    )
)]
pub(super) async fn get(
    State(app): State<App>,
    Params(Name(name)): Params<Name>,
) -> Result<axum::Json<Camera>, ApiError> {
    let current = app.state.hub.config();
    let mut document = redacted(&current.document);
    let camera = find(&mut document, &name)?;
    Ok(axum::Json(camera.clone()))
}

/// Replace a camera
///
/// Where a URL has `***`, the password in force stays.
#[utoipa::path(
    put,
    path = "/api/cameras/{camera}",
    tag = "cameras",
    params(
        ("camera" = Name, Path, description = "Its name, which the body has too"),
        IfMatch,
    ),
    request_body = Camera,
    responses(
        (status = 200, description = "It is watched", body = Revision),
        (status = 404, description = "There is no such camera", body = ErrorBody),
        (status = 412, description = "Another revision is in force than `If-Match` names", body = ErrorBody),
        (status = 422, description = "It is refused", body = ErrorBody),
    )
)]
pub(super) async fn put(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(Name(name)): Params<Name>,
    Body(camera): Body<Camera>,
) -> Result<axum::Json<Revision>, ApiError> {
    if camera.name != name {
        let found = &camera.name;
        let message = format!(
            "name: expected {name:?} as in the path, found {found:?}: a camera of another name is another camera"
        );
        return Err(ApiError::bad(message));
    }
    edit(&app, &caller, &headers, |document| {
        *find(document, &name)? = camera;
        Ok(())
    })
    .await
}

/// Remove a camera
///
/// Its events stay as long as others.
#[utoipa::path(
    delete,
    path = "/api/cameras/{camera}",
    tag = "cameras",
    params(
        ("camera" = Name, Path, description = "Its name"),
        IfMatch,
    ),
    responses(
        (status = 200, description = "It is not watched any more", body = Revision),
        (status = 404, description = "There is no such camera", body = ErrorBody),
        (status = 412, description = "Another revision is in force than `If-Match` names", body = ErrorBody),
        (status = 422, description = "Something else in the configuration needs it", body = ErrorBody),
    )
)]
pub(super) async fn remove(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(Name(name)): Params<Name>,
) -> Result<axum::Json<Revision>, ApiError> {
    edit(&app, &caller, &headers, |document| {
        find(document, &name)?;
        document.cameras.retain(|camera| camera.name != name);
        Ok(())
    })
    .await
}

/// What is watched for in a camera. What is not given stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Watch {
    /// All standing queries.
    #[schema(value_type = Option<Vec<schema::QueryEntry>>)]
    queries: Option<Vec<QueryEntry>>,
    /// All zones.
    #[schema(value_type = Option<Vec<schema::Zone>>)]
    zones: Option<Vec<Zone>>,
    /// All lines.
    #[schema(value_type = Option<Vec<schema::Line>>)]
    lines: Option<Vec<Line>>,
    /// All rules.
    #[schema(value_type = Option<Vec<schema::Rule>>)]
    rules: Option<Vec<Rule>>,
}

/// Change what is watched for
///
/// Queries, zones, lines and rules together, under one revision: all of them, or nothing.
#[utoipa::path(
    put,
    path = "/api/cameras/{camera}/watch",
    tag = "cameras",
    params(
        ("camera" = Name, Path, description = "Name of the camera"),
        IfMatch,
    ),
    request_body = Watch,
    responses(
        (status = 200, description = "In force", body = Revision),
        (status = 404, description = "There is no such camera", body = ErrorBody),
        (status = 412, description = "Another revision is in force than `If-Match` names", body = ErrorBody),
        (status = 422, description = "It is refused", body = ErrorBody),
    )
)]
pub(super) async fn watch(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(Name(name)): Params<Name>,
    Body(watch): Body<Watch>,
) -> Result<axum::Json<Revision>, ApiError> {
    fn set<T>(place: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *place = value;
        }
    }
    edit(&app, &caller, &headers, |document| {
        let camera = find(document, &name)?;
        set(&mut camera.queries, watch.queries);
        set(&mut camera.zones, watch.zones);
        set(&mut camera.lines, watch.lines);
        set(&mut camera.rules, watch.rules);
        Ok(())
    })
    .await
}

/// Whether something is switched on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Enabled {
    /// Whether it is.
    enabled: bool,
}

/// Switch a camera on or off
#[utoipa::path(
    put,
    path = "/api/cameras/{camera}/enabled",
    tag = "cameras",
    params(
        ("camera" = Name, Path, description = "Name of the camera"),
        IfMatch,
    ),
    request_body = Enabled,
    responses(
        (status = 200, description = "In force", body = Revision),
        (status = 404, description = "There is no such camera", body = ErrorBody),
        (status = 412, description = "Another revision is in force than `If-Match` names", body = ErrorBody),
        (status = 422, description = "It is refused", body = ErrorBody),
    )
)]
pub(super) async fn enable(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(Name(name)): Params<Name>,
    Body(Enabled { enabled }): Body<Enabled>,
) -> Result<axum::Json<Revision>, ApiError> {
    edit(&app, &caller, &headers, |document| {
        find(document, &name)?.enabled = enabled;
        Ok(())
    })
    .await
}

/// Switch a rule on or off
#[utoipa::path(
    put,
    path = "/api/cameras/{camera}/rules/{rule}/enabled",
    tag = "cameras",
    params(
        ("camera" = Name, Path, description = "Name of the camera"),
        ("rule" = Name, Path, description = "Id of the rule"),
        IfMatch,
    ),
    request_body = Enabled,
    responses(
        (status = 200, description = "In force", body = Revision),
        (status = 404, description = "There is no such camera or rule", body = ErrorBody),
        (status = 412, description = "Another revision is in force than `If-Match` names", body = ErrorBody),
        (status = 422, description = "It is refused", body = ErrorBody),
    )
)]
pub(super) async fn enable_rule(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(names): Params<(Name, Name)>,
    Body(Enabled { enabled }): Body<Enabled>,
) -> Result<axum::Json<Revision>, ApiError> {
    let (Name(name), Name(id)) = names;
    edit(&app, &caller, &headers, |document| {
        let camera = find(document, &name)?;
        let mut rules = camera.rules.iter_mut();
        let rule = rules
            .find(|rule| rule.id == id)
            .ok_or_else(|| ApiError::missing(format!("the camera {name:?} has no rule {id:?}")))?;
        rule.enabled = enabled;
        Ok(())
    })
    .await
}
