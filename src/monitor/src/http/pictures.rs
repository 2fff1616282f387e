//! Pictures of cameras as they come.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::app::{App, Ending};
use super::auth::Caller;
use super::error::{ApiError, ErrorBody, Name, Params};
use super::live::{Messages, Peer, upgraded};
use crate::hub::{Current, Picture};

/// How long a picture may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a stream goes on without a picture.
const DROUGHT: Duration = Duration::from_secs(30);

/// A place of somebody who looks at a camera.
pub(super) struct Seat {
    app: App,
    caller: Caller,
    ending: Ending,
    /// Name of the camera.
    pub(super) camera: String,
    configs: watch::Receiver<Arc<Current>>,
    _place: OwnedSemaphorePermit,
}

impl Seat {
    pub(super) fn new(
        app: App,
        caller: Caller,
        ending: Ending,
        camera: String,
    ) -> Result<Seat, ApiError> {
        must_be_enabled(&app, &camera)?;
        let _place = app.stream()?;
        let configs = app.state.hub.watch_config();
        Ok(Seat {
            app,
            caller,
            ending,
            camera,
            configs,
            _place,
        })
    }

    /// Waits until there is nothing to see any more for who sits here.
    pub(super) async fn left(&mut self) {
        loop {
            tokio::select! {
                () = self.ending.wait() => return,
                _ = self.configs.changed() => {
                    let current = self.configs.borrow_and_update().clone();
                    if !self.caller.is_known(&current.document.http)
                        || must_be_enabled(&self.app, &self.camera).is_err()
                    {
                        return;
                    }
                }
            }
        }
    }
}

/// Pictures of a camera, as long as somebody may see them.
struct Viewer {
    seat: Seat,
    pictures: watch::Receiver<Option<Arc<Picture>>>,
}

impl Viewer {
    fn new(app: App, caller: Caller, ending: Ending, camera: String) -> Result<Viewer, ApiError> {
        let hub = app.state.hub.clone();
        let seat = Seat::new(app, caller, ending, camera)?;
        let pictures = hub.watch_pictures(&seat.camera);
        Ok(Viewer { seat, pictures })
    }

    /// The next picture; `None` when there will be none.
    async fn next(&mut self) -> Option<Arc<Picture>> {
        loop {
            tokio::select! {
                () = self.seat.left() => return None,
                changed = self.pictures.changed() => {
                    changed.ok()?;
                    if let Some(picture) = self.pictures.borrow_and_update().clone() {
                        return Some(picture);
                    }
                }
            }
        }
    }
}

impl Messages for Viewer {
    async fn next_message(&mut self) -> Option<Message> {
        let picture = self.next().await?;
        Some(framed(&picture.report.json, &picture.jpeg))
    }
}

fn must_be_enabled(app: &App, name: &str) -> Result<(), ApiError> {
    let config = app.state.hub.config();
    let mut cameras = config.document.cameras.iter();
    match cameras.find(|camera| camera.name == name) {
        Some(camera) if camera.enabled => Ok(()),
        Some(_) => Err(ApiError::missing(format!(
            "the camera {name:?} is switched off"
        ))),
        None => Err(super::cameras::unknown(name)),
    }
}

/// The next picture of a camera
#[utoipa::path(
    get,
    path = "/api/cameras/{camera}/picture.jpg",
    tag = "pictures",
    params(("camera" = Name, Path, description = "Name of the camera")),
    responses(
        (status = 200, description = "The picture", content_type = "image/jpeg", body = Vec<u8>),
        (status = 404, description = "There is no such camera, or it gives no pictures", body = ErrorBody),
    )
)]
pub(super) async fn picture(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(ending): Extension<Ending>,
    Params(Name(camera)): Params<Name>,
) -> Result<Response, ApiError> {
    let mut viewer = Viewer::new(app, caller, ending, camera)?;
    match tokio::time::timeout(PATIENCE, viewer.next()).await {
        Ok(Some(picture)) => {
            let jpeg = Bytes::from_owner(picture.jpeg.clone());
            Ok(([(header::CONTENT_TYPE, "image/jpeg")], jpeg).into_response())
        }
        _ => {
            let name = &viewer.seat.camera;
            let message = format!("the camera {name:?} gives no pictures: see /api/status");
            Err(ApiError::missing(message))
        }
    }
}

/// Pictures of a camera as they come (MJPEG)
///
/// A slow client gets fewer. The stream ends when the camera gives no pictures for 30 seconds, is switched off or removed.
#[utoipa::path(
    get,
    path = "/api/cameras/{camera}/stream.mjpg",
    tag = "pictures",
    params(("camera" = Name, Path, description = "Name of the camera")),
    responses(
        (status = 200, description = "Parts of `image/jpeg`", content_type = "multipart/x-mixed-replace", body = Vec<u8>),
        (status = 404, description = "There is no such camera, or it is switched off", body = ErrorBody),
    )
)]
pub(super) async fn mjpeg(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(ending): Extension<Ending>,
    Params(Name(camera)): Params<Name>,
) -> Result<Response, ApiError> {
    let viewer = Viewer::new(app, caller, ending, camera)?;
    // The boundary stands behind each picture, since browsers show a picture when they have seen it.
    let first = Bytes::from_static(b"--picture\r\n");
    let parts = stream::unfold(viewer, |mut viewer| async move {
        let next = tokio::time::timeout(DROUGHT, viewer.next()).await;
        Some((Ok(part(&next.ok()??.jpeg)), viewer))
    });
    let parts = stream::iter([Ok::<_, std::io::Error>(first)]).chain(parts);
    let kind = "multipart/x-mixed-replace; boundary=picture";
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(parts)).into_response())
}

fn part(jpeg: &[u8]) -> Bytes {
    let length = jpeg.len();
    let head = format!("Content-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), jpeg, b"\r\n--picture\r\n"]
        .concat()
        .into()
}

/// Frames of a camera with their results (WebSocket)
///
/// Each binary message is the length of a JSON text as a big-endian 32-bit number, that text (the frame as `mdetr/1`), and
/// the frame as JPEG. A slow client gets fewer.
#[utoipa::path(
    get,
    path = "/api/cameras/{camera}/live",
    tag = "live",
    params(("camera" = Name, Path, description = "Name of the camera")),
    responses(
        (status = 101, description = "The WebSocket is open"),
        (status = 404, description = "There is no such camera, or it is switched off", body = ErrorBody),
        (status = 426, description = "No WebSocket was asked for", body = ErrorBody, headers(("upgrade" = String))),
    )
)]
pub(super) async fn live(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(ending): Extension<Ending>,
    Params(Name(camera)): Params<Name>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgraded(upgrade)?;
    let viewer = Viewer::new(app, caller, ending, camera)?;
    Ok(upgrade.on_upgrade(|socket| Peer::new(socket).show(viewer)))
}

/// The length of a JSON text as a big-endian 32-bit number, the text, and bytes it says something of.
pub(super) fn framed(json: &str, bytes: &[u8]) -> Message {
    let length = (json.len() as u32).to_be_bytes();
    Message::binary([&length, json.as_bytes(), bytes].concat())
}
