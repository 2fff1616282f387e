//! What happens, as it happens: server-sent events and WebSockets.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use utoipa::IntoParams;

use super::app::{App, Ending};
use super::auth::Caller;
use super::error::{ApiError, ErrorBody, Search};
use crate::hub::Notice;

/// How often a client is asked whether it is there.
pub(super) const PING: Duration = Duration::from_secs(15);
/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(45);
/// How long a message may take.
const SEND: Duration = Duration::from_secs(10);
/// Most bytes of a message from a client.
const MAX_MESSAGE: usize = 4 << 10;

/// What is told.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Whether each frame's results are told too.
    #[param(required = false)]
    reports: bool,
    /// Only of this camera.
    camera: Option<String>,
}

/// Something that happened.
struct Told {
    kind: &'static str,
    /// JSON.
    data: String,
}

/// A listener, as long as it may listen.
struct Listener {
    app: App,
    caller: Caller,
    ending: Ending,
    wanted: Wanted,
    notices: broadcast::Receiver<Notice>,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// The next thing; `None` at the end.
    async fn next(&mut self) -> Option<Told> {
        loop {
            let notice = tokio::select! {
                () = self.ending.wait() => return None,
                notice = self.notices.recv() => notice,
            };
            let told = match notice {
                Ok(notice) => {
                    if let Notice::Config(_) = notice
                        && !self
                            .caller
                            .is_known(&self.app.state.hub.config().document.http)
                    {
                        return None;
                    }
                    self.told(&notice)
                }
                Err(broadcast::error::RecvError::Lagged(count)) => Some(Told {
                    kind: "missed",
                    data: serde_json::json!({ "count": count }).to_string(),
                }),
                Err(broadcast::error::RecvError::Closed) => return None,
            };
            if told.is_some() {
                return told;
            }
        }
    }

    fn told(&self, notice: &Notice) -> Option<Told> {
        fn json(kind: &'static str, data: &impl Serialize) -> Option<Told> {
            let data = serde_json::to_string(data);
            let data = data.inspect_err(|error| tracing::error!(%error, kind, "not told"));
            data.ok().map(|data| Told { kind, data })
        }
        let of = |camera: &str| self.wanted.camera.as_deref().is_none_or(|of| of == camera);
        match notice {
            Notice::Report(report) => (self.wanted.reports && of(&report.camera)).then(|| Told {
                kind: "report",
                data: report.json.to_string(),
            }),
            Notice::Event(event) if of(&event.camera) => json("event", event.as_ref()),
            Notice::Event(_) => None,
            Notice::Clip(event) => json("clip", &serde_json::json!({ "event": event.as_ref() })),
            Notice::Camera(status) if of(&status.name) => json("camera", status.as_ref()),
            Notice::Camera(_) => None,
            Notice::Config(revision) => {
                json("config", &serde_json::json!({ "revision": revision }))
            }
            Notice::Broker(status) => json("broker", status.as_ref()),
            Notice::Store(status) => json("store", status.as_ref()),
        }
    }
}

/// Events as they happen (SSE)
///
/// Types: `event` (a step of an event), `clip` (`{"event": ID}`), `camera`, `broker` and `store` (its state), `config`
/// (`{"revision": N}`), `report` (a frame as `mdetr/1`, if asked for), `missed` (`{"count": N}`: the client was too slow and has to
/// read the state anew). The data are JSON.
#[utoipa::path(
    get,
    path = "/api/live",
    tag = "live",
    params(Wanted),
    responses((status = 200, description = "A stream without end", content_type = "text/event-stream", body = String))
)]
pub(super) async fn sse(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(ending): Extension<Ending>,
    Search(wanted): Search<Wanted>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let listener = listener(app, caller, ending, wanted)?;
    let told = stream::unfold(listener, |mut listener| async move {
        let told = listener.next().await?;
        let event = Event::default().event(told.kind).data(told.data);
        Some((Ok(event), listener))
    });
    // The first bytes tell the client that it is connected.
    let hello = Event::default()
        .comment("listening")
        .retry(Duration::from_secs(2));
    let told = stream::iter([Ok(hello)]).chain(told);
    Ok(Sse::new(told).keep_alive(KeepAlive::new().interval(PING)))
}

/// Events as they happen (WebSocket)
///
/// Each message is a text: `{"type": TYPE, "data": DATA}` with the types and data of `/api/live`.
#[utoipa::path(
    get,
    path = "/api/ws",
    tag = "live",
    params(Wanted),
    responses(
        (status = 101, description = "The WebSocket is open"),
        (status = 426, description = "No WebSocket was asked for", body = ErrorBody, headers(("upgrade" = String))),
    )
)]
pub(super) async fn websocket(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(ending): Extension<Ending>,
    Search(wanted): Search<Wanted>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgraded(upgrade)?;
    let listener = listener(app, caller, ending, wanted)?;
    Ok(upgrade.on_upgrade(|socket| Peer::new(socket).show(listener)))
}

fn listener(
    app: App,
    caller: Caller,
    ending: Ending,
    wanted: Wanted,
) -> Result<Listener, ApiError> {
    let _place = app.stream()?;
    let notices = app.state.hub.listen();
    Ok(Listener {
        app,
        caller,
        ending,
        wanted,
        notices,
        _place,
    })
}

/// A request that is one for a WebSocket.
pub(super) fn upgraded(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<WebSocketUpgrade, ApiError> {
    let upgrade = upgrade.map_err(|rejection| {
        let message = format!("expected a WebSocket: {}", rejection.body_text());
        ApiError::new(StatusCode::UPGRADE_REQUIRED, message)
            .with_header(header::UPGRADE, HeaderValue::from_static("websocket"))
    })?;
    Ok(upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE))
}

/// The other end of a WebSocket.
pub(super) struct Peer {
    socket: WebSocket,
    heard: Instant,
    pings: tokio::time::Interval,
}

/// The other end is gone.
struct Gone;

/// What a WebSocket is sent.
pub(super) trait Messages: Send + 'static {
    /// The next message; `None` when there will be none. May be dropped at any time.
    fn next_message(&mut self) -> impl Future<Output = Option<Message>> + Send;
}

impl Messages for Listener {
    async fn next_message(&mut self) -> Option<Message> {
        let told = self.next().await?;
        let message = format!(r#"{{"type":"{}","data":{}}}"#, told.kind, told.data);
        Some(Message::text(message))
    }
}

impl Peer {
    pub(super) fn new(socket: WebSocket) -> Peer {
        let pings = tokio::time::interval(PING);
        let heard = Instant::now();
        Peer {
            socket,
            heard,
            pings,
        }
    }

    /// Sends messages until one of both sides ends.
    pub(super) async fn show(mut self, mut messages: impl Messages) {
        loop {
            tokio::select! {
                message = messages.next_message() => {
                    let Some(message) = message else {
                        self.close("the camera is gone, the token is not known any more, or the program ends").await;
                        return;
                    };
                    if self.send(message).await.is_err() {
                        return;
                    }
                }
                there = self.listen() => {
                    if !there {
                        return;
                    }
                }
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        match tokio::time::timeout(SEND, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }

    /// Waits for a sign of life, or asks for one. Whether the other end is there. May be dropped at any time.
    async fn listen(&mut self) -> bool {
        tokio::select! {
            message = self.socket.recv() => {
                self.heard = Instant::now();
                matches!(message, Some(Ok(message)) if !matches!(message, Message::Close(_)))
            }
            _ = self.pings.tick() => {
                if self.heard.elapsed() > SILENCE {
                    return false;
                }
                self.send(Message::Ping(Default::default())).await.is_ok()
            }
        }
    }

    async fn close(&mut self, reason: &'static str) {
        let frame = CloseFrame {
            code: close_code::AWAY,
            reason: reason.into(),
        };
        // The other end may be gone already.
        let _ = self.send(Message::Close(Some(frame))).await;
    }
}
