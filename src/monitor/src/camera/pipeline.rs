//! The pipeline of one connection to a camera.
//!
//! ```text
//! source -> (whole pictures of RTP) -> parsebin -> tee -> decodebin -> (pace) -> mdetr -> mdetrtrack -> (frames) -> valve -> scale -> jpegenc -> (pictures)
//!                          \-> (coded pictures for clips)
//! ```
//!
//! What gives pixels has no parser; its pictures for clips are coded as JPEG.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use gst::prelude::*;
use gst_app::{AppSink, AppSinkCallbacks};
use gst_video::VideoInfo;
use jiff::Timestamp;

use super::analysis::{Analysis, Frame, Task, timestamp};
use super::model::Model;
use super::pace::Pace;
use super::queries;
use super::recorder::Recorder;
use super::source::{self, Output, Source};
use super::unit::Unit;
use super::video::Tap;
use crate::config::Camera;
use crate::hub::{Hub, Picture};
use crate::past::{Archive, Shown};

/// Quality of JPEG in the ring of what gives pixels.
const RING_QUALITY: i32 = 85;

/// A connection to a camera, or the attempt at one.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) pipeline: gst::Pipeline,
    mdetr: gst::Element,
    valve: gst::Element,
}

/// What a connection gives its frames to.
#[derive(Debug, Clone)]
pub(super) struct Outlets {
    pub(super) hub: Arc<Hub>,
    pub(super) analysis: Arc<Analysis>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) past: Arc<Archive>,
}

fn element(name: &str) -> Result<gst::element_factory::ElementBuilder<'_>, String> {
    match gst::ElementFactory::find(name) {
        Some(_) => Ok(gst::ElementFactory::make(name)),
        None => Err(format!(
            "GStreamer's element {name} is missing: install the packages gstreamer1.0-plugins-base and -good"
        )),
    }
}

fn build(builder: gst::element_factory::ElementBuilder) -> Result<gst::Element, String> {
    builder.build().map_err(|error| error.to_string())
}

fn plain(name: &str) -> Result<gst::Element, String> {
    build(element(name)?)
}

/// A queue that drops what is old before it delays what is new.
fn leaky_queue(buffers: u32) -> Result<gst::Element, String> {
    build(
        element("queue")?
            .property("max-size-buffers", buffers)
            .property("max-size-bytes", 0u32)
            .property("max-size-time", 0u64)
            .property_from_str("leaky", "downstream"),
    )
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Connection {
    /// Makes the pipeline; nothing is read yet.
    ///
    /// # Errors
    /// In words, without passwords.
    pub(super) fn new(
        camera: &Camera,
        password: Option<&str>,
        model: &Model,
        task: &Task,
        outlets: &Outlets,
    ) -> Result<Connection, String> {
        let pipeline = gst::Pipeline::with_name(&camera.name);
        let source = source::open(camera, &camera.url, password)?;
        let (head, mdetr, valve) = watching(&pipeline, camera, model, task, source.live, outlets)?;
        let rings = camera.record.clips && camera.record_url.is_none();
        let ring = match rings {
            true => Some(ring(&pipeline, source.output, outlets)?),
            false => None,
        };
        let tap = Tap::new(&camera.name, outlets.hub.clone());
        connect(&pipeline, source, &head, ring.as_ref(), tap)?;
        Ok(Connection {
            pipeline,
            mdetr,
            valve,
        })
    }

    /// Begins.
    pub(super) fn start(&self) -> Result<(), String> {
        // The message on the bus has the cause.
        let started = self.pipeline.set_state(gst::State::Playing);
        started
            .map(drop)
            .map_err(|_| "it does not start".to_owned())
    }

    /// Asks for other queries.
    pub(super) fn set_queries(&self, task: &Task) {
        self.mdetr
            .set_property("queries", queries::to_array(&task.queries));
    }

    /// Whether pictures are made for the page.
    pub(super) fn set_watched(&self, watched: bool) {
        self.valve.set_property("drop", !watched);
    }

    /// Ends; may take as long as the camera's host takes to answer.
    pub(super) fn stop(&self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// From decoded frames to pictures for the page: the first element, `mdetr`, and the valve before the pictures.
fn watching(
    pipeline: &gst::Pipeline,
    camera: &Camera,
    model: &Model,
    task: &Task,
    live: bool,
    outlets: &Outlets,
) -> Result<(gst::Element, gst::Element, gst::Element), String> {
    let mut chain = vec![leaky_queue(2)?];
    if !live {
        // Frames of a file wait for their time, and none is dropped before.
        chain = vec![
            plain("queue")?,
            build(element("clocksync")?.property("sync", true))?,
        ];
    }
    let mdetr = build(
        element("mdetr")?
            .property_from_str("mode", "live")
            .property_from_str("engine", &model.engine)
            .property("model", &model.bundle)
            .property("text-cache-dir", &model.text_cache)
            .property("workers", 1u32)
            .property("queries", queries::to_array(&task.queries)),
    )?;
    if let Some(kserve) = &model.kserve {
        mdetr.set_property("endpoints", kserve.endpoints.join(","));
        mdetr.set_property(
            "token-file",
            kserve.token_file.as_deref().and_then(Path::to_str),
        );
        mdetr.set_property("ca-file", kserve.ca.as_deref().and_then(Path::to_str));
        mdetr.set_property("remote-deadline", kserve.deadline_ms);
        mdetr.set_property_from_str("fallback", &kserve.fallback);
    }
    slow_down(&mdetr, camera.fps)?;
    let track = plain("mdetrtrack")?;
    let valve = build(
        element("valve")?
            .property("drop", true)
            // The end of the stream passes.
            .property_from_str("drop-mode", "forward-sticky-events"),
    )?;
    let width = i32::try_from(camera.page.width).unwrap_or(i32::MAX);
    let small = gst::Caps::builder("video/x-raw")
        .field("width", gst::IntRange::new(1, width))
        .field("height", gst::IntRange::new(1, i32::from(u16::MAX)))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build();
    let quality = i32::from(camera.page.quality);
    chain.extend([
        mdetr.clone(),
        track.clone(),
        valve.clone(),
        leaky_queue(1)?,
        plain("videoscale")?,
        build(element("capsfilter")?.property("caps", small))?,
        plain("videoconvert")?,
        build(element("jpegenc")?.property("quality", quality))?,
        pictures(outlets).upcast(),
    ]);
    pipeline.add_many(&chain).map_err(words)?;
    gst::Element::link_many(&chain).map_err(words)?;
    let pad = track
        .static_pad("src")
        .ok_or("mdetrtrack has no source pad")?;
    let (analysis, past) = (outlets.analysis.clone(), outlets.past.clone());
    let name = camera.name.clone();
    let element = track.downgrade();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let (Some(element), Some(buffer)) = (element.upgrade(), info.buffer()) {
            watch(pad, &element, buffer, &analysis, |frame| {
                past.offer(
                    &name,
                    &Shown {
                        buffer: frame.buffer,
                        info: frame.info,
                        utc: frame.utc,
                    },
                );
            });
        }
        gst::PadProbeReturn::Ok
    });
    let first = chain.swap_remove(0);
    Ok((first, mdetr, valve))
}

/// Gives an element at most so many frames a second.
fn slow_down(element: &gst::Element, fps: u32) -> Result<(), String> {
    let pad = element
        .static_pad("sink")
        .ok_or_else(|| format!("{} has no pad sink", element.name()))?;
    let pace = Mutex::new(Pace::new(fps));
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let time = info.buffer().and_then(|buffer| buffer.pts());
        let mut pace = pace.lock().expect("no code panics with the lock");
        match time {
            Some(time) if !pace.takes(time.into()) => gst::PadProbeReturn::Drop,
            _ => gst::PadProbeReturn::Ok,
        }
    });
    Ok(())
}

/// Gives a frame to the analysis, and to who keeps it.
fn watch(
    pad: &gst::Pad,
    element: &gst::Element,
    buffer: &gst::BufferRef,
    analysis: &Analysis,
    keep: impl FnOnce(&Frame),
) {
    let Some(info) = pad
        .current_caps()
        .and_then(|caps| VideoInfo::from_caps(&caps).ok())
    else {
        return;
    };
    let running = running_time(pad, buffer.pts()).or_else(|| element.current_running_time());
    let running = running.unwrap_or(gst::ClockTime::ZERO);
    let frame = Frame {
        buffer,
        info: &info,
        running,
        utc: gstmdetr::time::utc(buffer, element, running),
    };
    analysis.frame(&frame);
    keep(&frame);
}

fn running_time(pad: &gst::Pad, pts: Option<gst::ClockTime>) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    event
        .segment()
        .downcast_ref::<gst::ClockTime>()?
        .to_running_time(pts)
}

/// Takes pictures for the page.
fn pictures(outlets: &Outlets) -> AppSink {
    let (hub, analysis) = (outlets.hub.clone(), outlets.analysis.clone());
    let take = move |sink: &AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let Some(buffer) = sample.buffer() else {
            return Ok(gst::FlowSuccess::Ok);
        };
        let report = buffer.pts().and_then(|pts| analysis.report(pts));
        if let (Some(report), Ok(map)) = (report, buffer.map_readable()) {
            let jpeg = map.as_slice().into();
            hub.show(Picture { report, jpeg });
        }
        Ok(gst::FlowSuccess::Ok)
    };
    let sink = AppSink::builder()
        .name("pictures")
        .sync(false)
        .max_buffers(1)
        .drop(true)
        .callbacks(AppSinkCallbacks::builder().new_sample(take).build())
        .build();
    // With the valve shut nothing comes, and the pipeline shall play nevertheless.
    sink.set_property("async", false);
    sink
}

/// Takes coded pictures into the ring: the first element of the way there.
fn ring(
    pipeline: &gst::Pipeline,
    output: Output,
    outlets: &Outlets,
) -> Result<gst::Element, String> {
    let mut chain = vec![leaky_queue(64)?];
    if output == Output::Raw {
        chain.push(plain("videoconvert")?);
        chain.push(build(
            element("jpegenc")?.property("quality", RING_QUALITY),
        )?);
    }
    chain.push(coded(outlets.recorder.clone()).upcast());
    pipeline.add_many(&chain).map_err(words)?;
    gst::Element::link_many(&chain).map_err(words)?;
    Ok(chain.swap_remove(0))
}

fn coded(recorder: Arc<Recorder>) -> AppSink {
    let take = move |sink: &AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if let (Some(caps), Some(buffer)) = (sample.caps(), sample.buffer_owned()) {
            let utc = taken(sink, &sample);
            let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
            recorder.push(&caps.to_owned(), Unit { buffer, utc, key });
        }
        Ok(gst::FlowSuccess::Ok)
    };
    let sink = AppSink::builder()
        .name("coded")
        .sync(false)
        .max_buffers(64)
        .callbacks(AppSinkCallbacks::builder().new_sample(take).build())
        .build();
    sink.set_property("async", false);
    sink
}

/// When a coded picture was taken.
fn taken(sink: &AppSink, sample: &gst::Sample) -> Timestamp {
    let segment = sample
        .segment()
        .and_then(|segment| segment.downcast_ref::<gst::ClockTime>().cloned());
    let pts = sample.buffer().and_then(|buffer| buffer.pts());
    let running = segment.and_then(|segment| segment.to_running_time(pts));
    let time = running
        .zip(sample.buffer())
        .map(|(running, buffer)| gstmdetr::time::utc(buffer, sink, running));
    timestamp(time.unwrap_or_else(SystemTime::now))
}

/// Connects a source with what its frames go to, as its pads come.
fn connect(
    pipeline: &gst::Pipeline,
    source: Source,
    head: &gst::Element,
    ring: Option<&gst::Element>,
    tap: Tap,
) -> Result<(), String> {
    let decode = plain("decodebin")?;
    let tee = build(element("tee")?.property("allow-not-linked", true))?;
    pipeline
        .add_many([&source.element, &decode, &tee])
        .map_err(words)?;
    match source.output {
        Output::Coded => {
            let parse = plain("parsebin")?;
            pipeline.add(&parse).map_err(words)?;
            link_later(&source.element, &parse)?;
            link_later(&parse, &tee)?;
            tap.attach(&tee.static_pad("sink").ok_or("tee has no sink pad")?);
            let queue = plain("queue")?;
            pipeline.add(&queue).map_err(words)?;
            gst::Element::link_many([&tee, &queue, &decode]).map_err(words)?;
            link_later(&decode, head)?;
        }
        Output::Raw => {
            gst::Element::link(&source.element, &decode).map_err(words)?;
            link_later(&decode, &tee)?;
            gst::Element::link(&tee, head).map_err(words)?;
        }
    }
    if let Some(ring) = ring {
        gst::Element::link(&tee, ring).map_err(words)?;
    }
    Ok(())
}

/// Whole pictures of what is sent over RTP. `parsebin` would have parts of them, and wait for the next picture to know where one
/// ends: late by as long as a frame lasts.
fn whole_pictures(caps: &gst::CapsRef) -> Result<Option<gst::Element>, String> {
    let coding = caps
        .structure(0)
        .and_then(|structure| structure.get::<&str>("encoding-name").ok());
    let (depayloader, coded) = match coding {
        Some("H264") => ("rtph264depay", "video/x-h264"),
        Some("H265") => ("rtph265depay", "video/x-h265"),
        _ => return Ok(None),
    };
    let bin = gst::Bin::new();
    let depayloader = plain(depayloader)?;
    let whole = gst::Caps::builder(coded).field("alignment", "au").build();
    let filter = build(element("capsfilter")?.property("caps", whole))?;
    bin.add_many([&depayloader, &filter]).map_err(words)?;
    gst::Element::link(&depayloader, &filter).map_err(words)?;
    for (element, name) in [(&depayloader, "sink"), (&filter, "src")] {
        let pad = element
            .static_pad(name)
            .ok_or_else(|| format!("{} has no pad {name}", element.name()))?;
        let ghost = gst::GhostPad::with_target(&pad).map_err(words)?;
        bin.add_pad(&ghost).map_err(words)?;
    }
    Ok(Some(bin.upcast()))
}

/// Links a pad that came with what takes coded pictures.
fn link_coded(pad: &gst::Pad, caps: &gst::CapsRef, target: &gst::Pad) -> Result<(), String> {
    let Some(between) = whole_pictures(caps)? else {
        return pad.link(target).map(drop).map_err(words);
    };
    let pipeline = target
        .parent_element()
        .and_then(|element| element.parent())
        .and_downcast::<gst::Bin>()
        .ok_or("no pipeline")?;
    pipeline.add(&between).map_err(words)?;
    let (sink, source) = (between.static_pad("sink"), between.static_pad("src"));
    let (sink, source) = sink.zip(source).ok_or("no pads")?;
    source.link(target).map_err(words)?;
    between.sync_state_with_parent().map_err(words)?;
    pad.link(&sink).map(drop).map_err(words)
}

/// Links the first video pad of `from`, which may come later, with `to`.
fn link_later(from: &gst::Element, to: &gst::Element) -> Result<(), String> {
    let target = to
        .static_pad("sink")
        .ok_or_else(|| format!("{} has no pad sink", to.name()))?;
    if from.static_pad("src").is_some() {
        return gst::Element::link(from, to).map_err(words);
    }
    from.connect_pad_added(move |_, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let is_video = caps.structure(0).is_none_or(|structure| {
            let name = structure.name();
            let media = structure.get::<&str>("media").ok();
            name.starts_with("video/")
                || name.starts_with("image/")
                || name == "application/x-rtp" && media == Some("video")
        });
        if is_video
            && !target.is_linked()
            && let Err(error) = link_coded(pad, &caps, &target)
        {
            tracing::warn!(pad = %pad.name(), error, "not linked");
        }
    });
    Ok(())
}

/// The pipeline of a second stream that is for clips only.
pub(super) fn recording(
    camera: &Camera,
    url: &str,
    password: Option<&str>,
    recorder: Arc<Recorder>,
) -> Result<gst::Pipeline, String> {
    let pipeline = gst::Pipeline::with_name(&format!("{}-record", camera.name));
    let source = source::open(camera, url, password)?;
    let parse = plain("parsebin")?;
    let sink = coded(recorder);
    pipeline
        .add_many([&source.element, &parse, sink.upcast_ref()])
        .map_err(words)?;
    link_later(&source.element, &parse)?;
    link_later(&parse, sink.upcast_ref())?;
    Ok(pipeline)
}
