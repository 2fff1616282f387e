//! What cameras saw, asked later.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::{Body as Stream, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::Timestamp;
use mdetr::Query;
use mdetr_past::{Event, Mode, PastError, Selection, search as ask};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use utoipa::{IntoParams, ToSchema};

use super::app::{App, Ending};
use super::error::{ApiError, Body, ErrorBody, Search};
use crate::past::Archive;

/// Most hits that may be wanted.
const MAX_HITS: usize = 1000;
/// Longest query, in bytes.
const MAX_QUERY: usize = 4 << 10;
/// Lines that wait for a slow client.
const WAITING: usize = 64;
/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(250);
/// Searches give way to cameras: with a tenth of a camera's share of a core. With the least share that there is, a machine that
/// is busy would not search at all, and cameras would wait for locks that a search holds meanwhile.
const NICE: i32 = 10;

/// What is looked for.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// A sentence or a question. Only words in [brackets] are looked for, if there are any.
    query: String,
    /// From this time on.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Before this time.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Of these cameras; of all, if empty.
    #[serde(default)]
    #[schema(required = false)]
    cameras: Vec<String>,
    /// Tell when it appears and disappears.
    #[serde(default)]
    #[schema(required = false)]
    moments: bool,
    /// Ask every frame, not only those that seem worth it.
    #[serde(default)]
    #[schema(required = false)]
    exhaustive: bool,
    /// A frame whose best detection has a score above this is a hit; the model's, if not given.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    score_threshold: Option<f32>,
    /// Most hits.
    #[serde(default = "hits")]
    #[schema(required = false, minimum = 1, maximum = 1000, default = 20)]
    limit: usize,
}

fn hits() -> usize {
    20
}

/// Time in nanoseconds.
fn nanoseconds(time: Timestamp) -> Result<i64, ApiError> {
    let wide = time.as_nanosecond();
    i64::try_from(wide)
        .map_err(|_| ApiError::bad(format!("expected a time from 1678 to 2261, found {time}")))
}

impl Asked {
    fn selection(&self) -> Result<Selection, ApiError> {
        Ok(Selection {
            from: self.from.map(nanoseconds).transpose()?,
            to: self.to.map(nanoseconds).transpose()?,
            cameras: self.cameras.clone(),
        })
    }

    fn query(&self) -> Result<Query, ApiError> {
        let bad = |message: String| Err(ApiError::bad(message));
        if self.query.len() > MAX_QUERY {
            return bad(format!(
                "query: expected at most {MAX_QUERY} bytes, found {}",
                self.query.len()
            ));
        }
        if !(1..=MAX_HITS).contains(&self.limit) {
            return bad(format!(
                "limit: expected 1 to {MAX_HITS}, found {}",
                self.limit
            ));
        }
        let query = Query::parse("search", &self.query);
        let query = query.map_err(|error| ApiError::bad(error.to_string()))?;
        match self.score_threshold {
            Some(threshold) => query
                .with_score_threshold(threshold)
                .map_err(|error| ApiError::bad(error.to_string())),
            None => Ok(query),
        }
    }
}

/// Ask what cameras saw
///
/// The answer is one JSON object a line, as it is found: `{"hit": ...}` for a frame that answers better than those before of its
/// camera and about its time, `{"answer": ...}` for a question's answer for a frame, `{"progress": {"asked": N, "of": N}}`, and last
/// `{"outcome": ...}` with the best hits, the answers over time or the moments, or `{"error": ...}`. A sentence gives hits, a question
/// answers, and `moments` when something appears and disappears. Every 64th frame of each camera is asked first, then those around
/// what was found. The search ends when the client closes the connection. One runs at a time, at a low priority. Viewers may
/// search too.
#[utoipa::path(
    post,
    path = "/api/search",
    tag = "past",
    request_body = Asked,
    responses(
        (status = 200, description = "What is found, line by line", content_type = "application/x-ndjson", body = String),
        (status = 404, description = "The configuration has no `past`: nothing is kept", body = ErrorBody),
    )
)]
pub(super) async fn search(
    State(app): State<App>,
    Extension(ending): Extension<Ending>,
    Body(asked): Body<Asked>,
) -> Result<Response, ApiError> {
    let archive = kept(&app)?;
    let (query, selection) = (asked.query()?, asked.selection()?);
    let place = app.search()?;
    check_cameras(&app, &archive, &selection.cameras).await?;
    let (send, receive) = mpsc::channel(WAITING);
    let cancel = Arc::new(AtomicBool::new(false));
    let work = Work {
        archive,
        asked,
        query,
        selection,
        cancel: cancel.clone(),
        _place: place,
    };
    let name = thread::Builder::new().name("search".to_owned());
    name.spawn(move || work.run(&send)).map_err(|error| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("no search can begin: {error}"),
        )
    })?;
    let client = Client {
        receive,
        cancel,
        ending,
    };
    let lines = stream::unfold(client, |mut client| async move {
        let line = tokio::select! {
            () = client.ending.wait() => return None,
            line = client.receive.recv() => line?,
        };
        Some((Ok::<_, std::convert::Infallible>(line), client))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Stream::from_stream(lines)).into_response())
}

fn kept(app: &App) -> Result<Arc<Archive>, ApiError> {
    let config = app.state.hub.config();
    let message = "nothing is kept to be asked later: the configuration has no [past]";
    let kept = config.document.past.as_ref().and(app.state.past.clone());
    kept.ok_or_else(|| ApiError::missing(message))
}

/// Refuses cameras that the configuration does not have and no frame was kept of.
async fn check_cameras(
    app: &App,
    archive: &Arc<Archive>,
    wanted: &[String],
) -> Result<(), ApiError> {
    let config = app.state.hub.config();
    let cameras = config.document.cameras.iter();
    let mut known: BTreeSet<String> = cameras.map(|camera| camera.name.clone()).collect();
    if wanted.iter().all(|name| known.contains(name)) {
        return Ok(());
    }
    let archive = archive.clone();
    known.extend(read(move || archive.cameras()).await?);
    let Some(unknown) = wanted.iter().find(|name| !known.contains(*name)) else {
        return Ok(());
    };
    let known: Vec<String> = known.iter().map(|name| format!("{name:?}")).collect();
    Err(ApiError::bad(format!(
        "cameras: there is no camera {unknown:?}, and no frame of it was kept: expected some of {}",
        known.join(", ")
    )))
}

/// Reads what was kept, apart from the threads that answer.
async fn read<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PastError> + Send + 'static,
) -> Result<T, ApiError> {
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "what was kept is not read");
        let message = "what was kept cannot be read: see the program's log";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
    };
    let read = tokio::task::spawn_blocking(work).await;
    let read = read.map_err(|error| failed(&error))?;
    read.map_err(|error| failed(&error))
}

/// Who reads the lines. When it is gone, the search ends.
struct Client {
    receive: mpsc::Receiver<Bytes>,
    cancel: Arc<AtomicBool>,
    ending: Ending,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
    }
}

/// A search on a thread of its own.
struct Work {
    archive: Arc<Archive>,
    asked: Asked,
    query: Query,
    selection: Selection,
    cancel: Arc<AtomicBool>,
    _place: OwnedSemaphorePermit,
}

impl Work {
    fn run(self, send: &mpsc::Sender<Bytes>) {
        // Of this thread, and so of those that it starts.
        let _ = rustix::process::setpriority_process(None, NICE);
        let tell = |value: &Value| {
            if send.blocking_send(format!("{value}\n").into()).is_err() {
                self.cancel.store(true, Ordering::Relaxed);
            }
        };
        if let Err(error) = self.ask(&tell) {
            tell(&json!({ "error": error.to_string() }));
        }
    }

    fn ask(&self, tell: &dyn Fn(&Value)) -> Result<(), PastError> {
        let archive = &self.archive;
        let past = archive.open(&self.selection)?;
        for problem in past.problems() {
            tracing::warn!(problem, "a part of what was kept is not searched");
        }
        let grounder = archive.grounder()?;
        let own = mdetr_past::Search::new(self.query.clone(), &grounder);
        let wanted = mdetr_past::Search {
            mode: if self.asked.moments {
                Mode::Moments
            } else {
                own.mode
            },
            exhaustive: self.asked.exhaustive,
            limit: self.asked.limit,
            // The other half is for cameras that do not wait.
            threads: own.threads.div_ceil(2),
            ..own
        };
        let mut told: Option<Instant> = None;
        let outcome = ask(
            &past,
            &grounder,
            &wanted,
            &self.cancel,
            &mut |event| match event {
                Event::Hit(hit) => tell(&json!({ "hit": hit })),
                Event::Answer(point) => tell(&json!({ "answer": point })),
                Event::Progress { asked, of } => {
                    if told.is_none_or(|told| told.elapsed() >= PROGRESS) {
                        told = Some(Instant::now());
                        tell(&json!({ "progress": { "asked": asked, "of": of } }));
                    }
                }
            },
        )?;
        tell(&json!({ "outcome": outcome }));
        Ok(())
    }
}

/// Which frame.
#[derive(Debug, Deserialize, Serialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Name of the camera.
    camera: String,
    /// Its time, as a hit has it.
    #[param(value_type = String, format = DateTime)]
    time: Timestamp,
}

/// The picture that was kept beside a frame
#[utoipa::path(
    get,
    path = "/api/search/picture.jpg",
    tag = "past",
    params(Which),
    responses(
        (status = 200, description = "The picture", content_type = "image/jpeg", body = Vec<u8>),
        (status = 404, description = "There is no such frame, or it was kept without a picture", body = ErrorBody),
    )
)]
pub(super) async fn picture(
    State(app): State<App>,
    Search(which): Search<Which>,
) -> Result<Response, ApiError> {
    let archive = kept(&app)?;
    let place = app.kept_picture().await?;
    // Hits have milliseconds.
    let time = nanoseconds(which.time)?;
    let selection = Selection {
        from: Some(time),
        to: Some(time.saturating_add(1_000_000)),
        cameras: vec![which.camera],
    };
    let jpeg = read(move || {
        let _place = place;
        let past = archive.open(&selection)?;
        let mut frames = past.frames().iter().filter(|frame| frame.time() >= time);
        let frame = frames.find(|frame| frame.has_picture());
        let picture = frame.map(|frame| past.picture(frame)).transpose()?;
        Ok(picture.flatten())
    })
    .await?;
    let none = || ApiError::missing("no frame with a picture was kept at this time");
    let jpeg = jpeg.ok_or_else(none)?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], jpeg).into_response())
}
