//! Writes a clip: coded pictures as they came, in a container that browsers play.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use gst::prelude::*;
use gst_app::AppSrc;
use jiff::Timestamp;

use super::unit::Unit;
use crate::hub::{Clip, Delivery, Hub};

/// Longest time in which a file is brought to its end.
const FINISH: Duration = Duration::from_secs(30);

/// Elements between the pictures and the file, and the ending of its name. JPEG is coded anew, since no browser
/// plays it in a container.
fn container(caps: &gst::Caps) -> Option<(&'static str, &'static str)> {
    Some(match caps.structure(0)?.name().as_str() {
        "video/x-h264" => ("h264parse ! mp4mux faststart=true", "mp4"),
        "video/x-h265" => ("h265parse ! mp4mux faststart=true", "mp4"),
        "video/mpeg" => ("mp4mux faststart=true", "mp4"),
        "video/x-vp8" | "video/x-vp9" | "video/x-av1" => ("webmmux", "webm"),
        "image/jpeg" => (
            "jpegdec ! videoconvert ! vp8enc deadline=1 cpu-used=8 threads=1 target-bitrate=2000000 ! webmmux",
            "webm",
        ),
        _ => return None,
    })
}

/// A clip that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    pipeline: gst::Pipeline,
    source: AppSrc,
    path: PathBuf,
    extension: &'static str,
    times: Mutex<Times>,
}

#[derive(Debug, Default)]
struct Times {
    /// Least time stamp of the first picture, from which the others count.
    base: Option<gst::ClockTime>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Writer {
    /// Begins a file in the directory `parts` for pictures with these caps.
    ///
    /// # Errors
    /// In words.
    pub(super) fn start(caps: &gst::Caps, parts: &Path, event: &str) -> Result<Writer, String> {
        let (elements, extension) =
            container(caps).ok_or_else(|| format!("no container for {caps}"))?;
        let path = parts.join(format!("{event}.{extension}"));
        let description =
            format!("appsrc name=source format=time ! {elements} ! filesink name=file");
        let pipeline = gst::parse::launch(&description).map_err(|error| error.to_string())?;
        let pipeline = pipeline
            .downcast::<gst::Pipeline>()
            .map_err(|_| "not a pipeline".to_owned())?;
        let named = |name| {
            pipeline
                .by_name(name)
                .ok_or_else(|| format!("no element {name}"))
        };
        let source = named("source")?
            .downcast::<AppSrc>()
            .map_err(|_| "not a source".to_owned())?;
        source.set_caps(Some(caps));
        source.set_max_bytes(0);
        named("file")?.set_property("location", &path);
        pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| error.to_string())?;
        Ok(Writer {
            pipeline,
            source,
            path,
            extension,
            times: Mutex::default(),
        })
    }

    /// The next picture.
    pub(super) fn push(&self, unit: &Unit) {
        let mut times = self.times.lock().expect("no code panics with the lock");
        if times.first.is_none() && !unit.key {
            return;
        }
        let Some(pts) = unit.buffer.pts() else {
            return;
        };
        let earliest = unit.buffer.dts().map_or(pts, |dts| dts.min(pts));
        let base = *times.base.get_or_insert(earliest);
        times.first.get_or_insert(unit.utc);
        times.last = Some(unit.utc);
        drop(times);
        // The pixels are shared, the times are not.
        let mut buffer = unit.buffer.copy();
        let stamps = buffer.make_mut();
        stamps.set_pts(pts.checked_sub(base));
        stamps.set_dts(unit.buffer.dts().and_then(|dts| dts.checked_sub(base)));
        // A file that cannot be written says so on the bus, which is read at its end.
        let _ = self.source.push_buffer(buffer);
    }

    /// Brings the file to its end and delivers it.
    pub(super) async fn finish(self, event: String, hub: Arc<Hub>) {
        let _ = self.source.end_of_stream();
        let ended = tokio::time::timeout(FINISH, ended(&self.pipeline)).await;
        let outcome =
            ended.unwrap_or_else(|_| Err(format!("not written after {} s", FINISH.as_secs())));
        let _ = self.pipeline.set_state(gst::State::Null);
        let times = self.times.lock().expect("no code panics with the lock");
        match (outcome, times.first, times.last) {
            (Ok(()), Some(first), Some(last)) => hub.deliver(Delivery::Clip(Clip {
                event,
                path: self.path.clone(),
                extension: self.extension,
                start: first,
                seconds: last.duration_since(first).as_secs_f64(),
            })),
            (outcome, ..) => {
                let error = outcome
                    .err()
                    .unwrap_or_else(|| "no picture came".to_owned());
                tracing::warn!(event, error, "no clip");
                // Maybe it was never made.
                let _ = std::fs::remove_file(&self.path);
            }
        }
    }
}

/// Waits for the end of the stream, or what went wrong.
async fn ended(pipeline: &gst::Pipeline) -> Result<(), String> {
    let bus = pipeline.bus().ok_or("no bus")?;
    let mut messages = bus.stream_filtered(&[gst::MessageType::Eos, gst::MessageType::Error]);
    match messages.next().await.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => Err(error.error().to_string()),
        _ => Ok(()),
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
