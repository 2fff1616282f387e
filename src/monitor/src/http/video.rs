//! Coded pictures of cameras as they come.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::Response;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::app::{App, Ending};
use super::auth::Caller;
use super::error::{ApiError, ErrorBody, Name, Params};
use super::live::{Messages, Peer, upgraded};
use super::pictures::{Seat, framed};
use crate::hub::Notice;
use crate::video::{Codec, CodedPicture};

/// What is told of a coded picture.
#[derive(Debug, Serialize)]
struct Header<'a> {
    pts_us: u64,
    key: bool,
    /// Of key pictures.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    codec: Option<&'a Codec>,
}

/// Coded pictures and results of a camera, as long as somebody may see them.
struct Viewer {
    seat: Seat,
    /// To be sent first.
    group: VecDeque<Arc<CodedPicture>>,
    /// Whether a key picture was sent.
    begun: bool,
    pictures: broadcast::Receiver<Arc<CodedPicture>>,
    notices: broadcast::Receiver<Notice>,
}

impl Messages for Viewer {
    async fn next_message(&mut self) -> Option<Message> {
        if let Some(picture) = self.group.pop_front() {
            self.begun = true;
            return Some(coded(&picture));
        }
        loop {
            tokio::select! {
                () = self.seat.left() => return None,
                picture = self.pictures.recv() => match picture {
                    Ok(picture) if self.begun || picture.key => {
                        self.begun = true;
                        return Some(coded(&picture));
                    }
                    Ok(_) => {}
                    // Without those it missed, it cannot decode the next.
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
                },
                notice = self.notices.recv() => match notice {
                    Ok(Notice::Report(report)) if *report.camera == *self.seat.camera => {
                        return Some(Message::text(report.json.to_string()));
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }
}

fn coded(picture: &CodedPicture) -> Message {
    let header = Header {
        pts_us: picture.pts_us,
        key: picture.key,
        codec: picture.key.then_some(&*picture.codec),
    };
    let header = serde_json::to_string(&header).unwrap_or_default();
    framed(&header, (*picture.data).as_ref())
}

/// Coded pictures of a camera and its results (WebSocket)
///
/// For cameras that give H.264. Each binary message is the length of a JSON text as a big-endian 32-bit number, that text,
/// and a coded picture; the text has `pts_us`, the presentation time in microseconds, and `key`, and in key pictures `codec`
/// as RFC 6381 has it and `description`, an `AVCDecoderConfigurationRecord` in hexadecimal digits; without one pictures are
/// as in Annex B. The first is a key picture. Each text message is the result of a frame as `mdetr/1`, whose `pts_ns` is the
/// time of its picture. The connection ends when the camera is lost, or the client is too slow.
#[utoipa::path(
    get,
    path = "/api/cameras/{camera}/video",
    tag = "live",
    params(("camera" = Name, Path, description = "Name of the camera")),
    responses(
        (status = 101, description = "The WebSocket is open"),
        (status = 404, description = "There is no such camera, it is switched off, or gives no H.264", body = ErrorBody),
        (status = 426, description = "No WebSocket was asked for", body = ErrorBody, headers(("upgrade" = String))),
    )
)]
pub(super) async fn video(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(ending): Extension<Ending>,
    Params(Name(camera)): Params<Name>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgraded(upgrade)?;
    let notices = app.state.hub.listen();
    let listening = app.state.hub.videos.listen(&camera);
    let seat = Seat::new(app, caller, ending, camera)?;
    let (group, pictures) = listening.ok_or_else(|| {
        let name = &seat.camera;
        ApiError::missing(format!("the camera {name:?} gives no H.264 now"))
    })?;
    let viewer = Viewer {
        seat,
        group: group.into(),
        begun: false,
        pictures,
        notices,
    };
    Ok(upgrade.on_upgrade(|socket| Peer::new(socket).show(viewer)))
}
