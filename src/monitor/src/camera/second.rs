//! The second stream of a camera, of which clips are made: connected, and connected again, apart from the first.

use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use gst::prelude::*;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time;

use super::pipeline;
use super::recorder::Recorder;
use super::run::{CONNECT, FIRST_WAIT, GIVE_UP, LONGEST_WAIT, STOP, TICK, first_error, in_words};
use super::source;
use crate::config::Camera;
use crate::retry::Backoff;

/// A second stream that fills a recorder. Its faults cost clips, not events.
#[derive(Debug)]
pub(super) struct Second {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Second {
    /// Begins.
    pub(super) fn start(camera: Camera, recorder: Arc<Recorder>) -> Second {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(record(camera, recorder, stopped));
        Second { stop, task }
    }

    /// Ends it and its clips.
    pub(super) async fn stop(self) {
        drop(self.stop);
        // If it panicked, it has ended too.
        let _ = self.task.await;
    }
}

async fn record(camera: Camera, recorder: Arc<Recorder>, mut stopped: oneshot::Receiver<()>) {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let message = match connect(&camera, &recorder) {
            Ok(pipeline) => {
                let message = tokio::select! {
                    message = play(&pipeline, &recorder, &mut backoff) => Some(message),
                    _ = &mut stopped => None,
                };
                let stopping = tokio::task::spawn_blocking(move || {
                    let _ = pipeline.set_state(gst::State::Null);
                });
                // A host that does not answer must not hold the program up.
                let _ = time::timeout(STOP, stopping).await;
                recorder.disconnected();
                message
            }
            Err(message) => Some(message),
        };
        let Some(message) = message else {
            return;
        };
        let wait = backoff.next();
        tracing::warn!(
            camera = camera.name,
            message,
            "no clips: record_url is lost; connected again in {:.1} s",
            wait.as_secs_f64()
        );
        tokio::select! {
            () = time::sleep(wait) => {}
            _ = &mut stopped => return,
        }
    }
}

fn connect(camera: &Camera, recorder: &Arc<Recorder>) -> Result<gst::Pipeline, String> {
    let url = camera.record_url.as_deref().ok_or("no record_url")?;
    let password = source::password(camera)?;
    pipeline::recording(camera, url, password.as_deref(), recorder.clone())
}

/// Plays until it fails: why, in words.
async fn play(pipeline: &gst::Pipeline, recorder: &Recorder, backoff: &mut Backoff) -> String {
    let Some(bus) = pipeline.bus() else {
        return "a pipeline without a bus".to_owned();
    };
    let wanted = [gst::MessageType::Error, gst::MessageType::Eos];
    let started = Instant::now();
    let starting = pipeline.clone();
    let outcome = tokio::task::spawn_blocking(move || starting.set_state(gst::State::Playing));
    if let Ok(Err(error)) = outcome.await {
        return first_error(&bus).unwrap_or_else(|| error.to_string());
    }
    let mut messages = bus.stream_filtered(&wanted);
    let mut ticks = time::interval(TICK);
    loop {
        tokio::select! {
            Some(message) = messages.next() => {
                return match message.view() {
                    gst::MessageView::Error(error) => in_words(&error.error()),
                    _ => "the camera ended the stream".to_owned(),
                };
            }
            _ = ticks.tick() => {
                let last = recorder.last().filter(|last| *last >= started);
                let (silent, longest) = match last {
                    Some(last) => (last.elapsed(), GIVE_UP),
                    None => (started.elapsed(), CONNECT),
                };
                if silent > longest {
                    return format!("no picture for {} s", longest.as_secs());
                }
                if last.is_some() {
                    backoff.reset();
                }
            }
        }
    }
}
