//! What measured pipelines share.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use gst::prelude::*;

use crate::model::Model;

/// Longest wait for a frame.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes the elements known to this process, once: a second time would take the place of the first, whose elements live.
pub fn init() -> Result<()> {
    static KNOWN: Mutex<bool> = Mutex::new(false);
    let mut known = KNOWN.lock().unwrap_or_else(|error| error.into_inner());
    if !*known {
        gst::init()?;
        gstmdetr::plugin_register_static()?;
        *known = true;
    }
    Ok(())
}

/// An `mdetr`.
pub fn element(model: &Model, mode: &str, query: &str) -> Result<gst::Element> {
    let bundle = model.bundle.to_str();
    let bundle = bundle.with_context(|| format!("{}: not UTF-8", model.bundle.display()))?;
    let builder = gst::ElementFactory::make("mdetr")
        .property("model", bundle)
        .property("query", query)
        .property("engine", model.engine.to_string())
        .property("endpoints", &model.endpoints)
        .property_from_str("mode", mode);
    Ok(builder.build()?)
}

/// Time of what an element has done so far, and how many frames it was.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    pub inferred: u64,
    pub skipped: u64,
    pub users: u64,
    pub preprocess_ms: f64,
    /// In graphs, and in drawing masks of what they give.
    pub graphs_ms: f64,
}

impl Done {
    pub fn of(element: &gst::Element) -> Result<Done> {
        let stats: gst::Structure = element.property("stats");
        let graphs = ["vision-ms", "fusion-ms", "mask-ms"];
        let graphs = graphs.map(|name| stats.get::<f64>(name));
        Ok(Done {
            inferred: stats.get("inferred")?,
            skipped: stats.get("skipped")?,
            users: stats.get("model-users")?,
            preprocess_ms: stats.get("preprocess-ms")?,
            graphs_ms: graphs.into_iter().sum::<Result<f64, _>>()?,
        })
    }
}

/// A pipeline that plays; stops when it is dropped.
pub struct Playing(pub gst::Pipeline);

impl Playing {
    pub fn start(pipeline: gst::Pipeline) -> Result<Playing> {
        let playing = Playing(pipeline);
        if playing.0.set_state(gst::State::Playing).is_err() {
            return Err(playing.failure());
        }
        Ok(playing)
    }

    /// The first error on the bus.
    pub fn failure(&self) -> anyhow::Error {
        let message = self
            .0
            .bus()
            .and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => anyhow!("{}", error.error()),
            _ => anyhow!("the pipeline stopped without an error message"),
        }
    }

    /// Waits for that many frames.
    pub fn wait(&self, frames: &Receiver<()>, count: usize) -> Result<()> {
        for _ in 0..count {
            match frames.recv_timeout(PATIENCE) {
                Ok(()) => (),
                Err(RecvTimeoutError::Disconnected) => return Err(self.failure()),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no frame within {PATIENCE:?}: {:#}", self.failure())
                }
            }
        }
        Ok(())
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        // Nothing is left to do about one that does not stop.
        let _ = self.0.set_state(gst::State::Null);
    }
}

fn pad(element: &gst::Element, name: &str) -> Result<gst::Pad> {
    let pad = element.static_pad(name);
    pad.with_context(|| format!("{} has no pad {name}", element.name()))
}

/// Tells of each buffer that comes to an element.
pub fn arrivals(element: &gst::Element) -> Result<Receiver<()>> {
    let (tell, told) = mpsc::channel();
    pad(element, "sink")?.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        // Whoever no longer listens has seen enough.
        let _ = tell.send(());
        gst::PadProbeReturn::Ok
    });
    Ok(told)
}

/// A frame on its way through an element.
#[derive(Debug, Clone, Copy)]
pub struct Passage {
    pub pts: gst::ClockTime,
    pub entered: Instant,
    pub left: Instant,
    /// Its pixels lie elsewhere than they did.
    pub copied: bool,
}

/// Frames by their time: when they came, and where their memories lay.
type Inside = HashMap<gst::ClockTime, (Instant, Vec<usize>)>;

/// The frames that have gone through an element.
#[derive(Debug, Clone, Default)]
pub struct Passages {
    inside: Arc<Mutex<Inside>>,
    passed: Arc<Mutex<Vec<Passage>>>,
}

impl Passages {
    pub fn of(element: &gst::Element) -> Result<Passages> {
        let passages = Passages::default();
        let this = passages.clone();
        pad(element, "sink")?.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some((pts, memories)) = info.buffer().and_then(seen) {
                let mut inside = this.inside.lock().expect("nobody panics with it");
                inside.insert(pts, (Instant::now(), memories));
            }
            gst::PadProbeReturn::Ok
        });
        let this = passages.clone();
        pad(element, "src")?.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let left = Instant::now();
            if let Some((pts, memories)) = info.buffer().and_then(seen) {
                let mut inside = this.inside.lock().expect("nobody panics with it");
                if let Some((entered, before)) = inside.remove(&pts) {
                    let passage = Passage {
                        pts,
                        entered,
                        left,
                        copied: before != memories,
                    };
                    this.passed
                        .lock()
                        .expect("nobody panics with it")
                        .push(passage);
                }
            }
            gst::PadProbeReturn::Ok
        });
        Ok(passages)
    }

    /// Those since the last call.
    pub fn take(&self) -> Vec<Passage> {
        std::mem::take(&mut *self.passed.lock().expect("nobody panics with it"))
    }
}

/// A buffer's time and where its memories lie.
fn seen(buffer: &gst::Buffer) -> Option<(gst::ClockTime, Vec<usize>)> {
    let memories = (0..buffer.n_memory()).map(|index| buffer.peek_memory(index).as_ptr() as usize);
    Some((buffer.pts()?, memories.collect()))
}

/// The buffer again, with another time; its memory is shared.
pub fn at(buffer: &gst::Buffer, pts: gst::ClockTime) -> gst::Buffer {
    let mut buffer = buffer.copy();
    buffer
        .get_mut()
        .expect("a new copy has one owner")
        .set_pts(pts);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of five frames an element copied.
    fn copied(element: &str, format: &str) -> usize {
        init().unwrap();
        let pipeline = gst::parse::launch(&format!(
            "videotestsrc num-buffers=5 ! video/x-raw,format=RGB,width=32,height=32
             ! {element} name=element ! video/x-raw,format={format} ! fakesink name=sink sync=false"
        ));
        let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
        let passages = Passages::of(&pipeline.by_name("element").unwrap()).unwrap();
        let arrivals = arrivals(&pipeline.by_name("sink").unwrap()).unwrap();
        let playing = Playing::start(pipeline).unwrap();
        playing.wait(&arrivals, 5).unwrap();
        let passages = passages.take();
        assert_eq!(passages.len(), 5);
        assert!(
            passages
                .iter()
                .all(|passage| passage.left >= passage.entered)
        );
        passages.iter().filter(|passage| passage.copied).count()
    }

    #[test]
    fn copies_are_seen() {
        assert_eq!(copied("identity", "RGB"), 0);
        assert_eq!(copied("videoconvert", "BGRx"), 5);
    }

    #[test]
    fn a_pipeline_that_cannot_play_says_why() {
        init().unwrap();
        let pipeline = gst::parse::launch("mdetr name=m model=/nowhere ! fakesink").unwrap();
        let error = Playing::start(pipeline.downcast().unwrap())
            .map(drop)
            .unwrap_err();
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }
}
