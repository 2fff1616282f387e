//! What the element costs outside of its graphs.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use gst::prelude::*;
use serde_json::json;

use crate::frames::Size;
use crate::model::Model;
use crate::pipeline::{self, Done, Passages, Playing};
use crate::usage::{cpu_time, milliseconds};

/// Frames before those that are measured.
const WARM: usize = 20;
/// Unlike frames that come in turn.
const DISTINCT: usize = 4;

#[derive(Debug, Args)]
pub struct ElementArgs {
    #[command(flatten)]
    model: Model,
    #[arg(long, value_name = "MODE")]
    mode: String,
    /// GStreamer's name of the frames' format.
    #[arg(long, value_name = "FORMAT")]
    format: String,
    #[arg(long, value_name = "WxH")]
    size: Size,
    /// Frames measured, with the element and without it each.
    #[arg(long, value_name = "N")]
    frames: usize,
    /// How often.
    #[arg(long, value_name = "N")]
    rounds: usize,
    /// Frames per second; 0: as fast as they go.
    #[arg(long, value_name = "N")]
    rate: u64,
}

/// One pipeline, played once.
struct Round {
    cpu_ms: f64,
    done: Option<(Done, Done)>,
    copied: usize,
    passed: usize,
}

impl ElementArgs {
    pub fn run(self) -> Result<()> {
        ensure!(self.frames > 0, "--frames: expected 1 or more, found 0");
        pipeline::init()?;
        let (caps, buffers) = self.pictures()?;
        let mut rounds = Vec::new();
        for _ in 0..self.rounds {
            let without = self.play(&caps, &buffers, None)?;
            let element = pipeline::element(&self.model, &self.mode, "a red cube")?;
            // One after the other, so that times in graphs are CPU times.
            element.set_property("workers", 1u32);
            let with = self.play(&caps, &buffers, Some(element))?;
            let (before, after) = with.done.context("played with the element")?;
            ensure!(
                with.passed == self.frames,
                "{} of {} frames came out",
                with.passed,
                self.frames
            );
            rounds.push(json!({
                "frames": self.frames,
                "without_cpu_ms": without.cpu_ms,
                "with_cpu_ms": with.cpu_ms,
                "inferred": after.inferred - before.inferred,
                "preprocess_ms": after.preprocess_ms - before.preprocess_ms,
                "graphs_ms": after.graphs_ms - before.graphs_ms,
                "copied": with.copied,
            }));
        }
        println!("{}", json!({ "rounds": rounds }));
        Ok(())
    }

    /// A few frames and their caps.
    fn pictures(&self) -> Result<(gst::Caps, Vec<gst::Buffer>)> {
        let Size(width, height) = self.size;
        let description = format!(
            "videotestsrc num-buffers={DISTINCT} pattern=ball ! video/x-raw,format={},width={width},\
             height={height},framerate=30/1 ! appsink name=frames sync=false",
            self.format
        );
        let pipeline = gst::parse::launch(&description).context(description)?;
        let pipeline = pipeline
            .downcast::<gst::Pipeline>()
            .expect("more than one element");
        let sink = pipeline
            .by_name("frames")
            .and_then(|sink| sink.downcast().ok());
        let sink: gst_app::AppSink = sink.expect("named above");
        let playing = Playing::start(pipeline)?;
        let samples = (0..DISTINCT).map(|_| sink.pull_sample().map_err(|_| playing.failure()));
        let samples: Vec<gst::Sample> = samples.collect::<Result<_>>()?;
        let caps = samples[0].caps_owned().context("a frame without caps")?;
        let buffers = samples.iter().map(|sample| sample.buffer_owned());
        let buffers = buffers
            .collect::<Option<_>>()
            .context("a sample without a frame")?;
        Ok((caps, buffers))
    }

    fn play(
        &self,
        caps: &gst::Caps,
        buffers: &[gst::Buffer],
        element: Option<gst::Element>,
    ) -> Result<Round> {
        let source = gst_app::AppSrc::builder()
            .caps(caps)
            .format(gst::Format::Time)
            .block(true)
            .max_buffers(2)
            .build();
        let sink = gst::ElementFactory::make("fakesink")
            .property("sync", false)
            .build()?;
        let chain = [Some(source.upcast_ref()), element.as_ref(), Some(&sink)];
        let chain: Vec<&gst::Element> = chain.into_iter().flatten().collect();
        let pipeline = gst::Pipeline::new();
        pipeline.add_many(&chain)?;
        gst::Element::link_many(&chain)?;
        let arrivals = pipeline::arrivals(&sink)?;
        let passages = element.as_ref().map(Passages::of).transpose()?;
        let playing = Playing::start(pipeline)?;
        let feed = |frames: std::ops::Range<usize>| -> Result<()> {
            let begun = Instant::now();
            for (n, frame) in frames.clone().enumerate() {
                if self.rate > 0 {
                    let due = begun + Duration::from_secs(n as u64) / self.rate as u32;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                let pts = gst::ClockTime::from_mseconds(33 * frame as u64);
                let buffer = pipeline::at(&buffers[frame % buffers.len()], pts);
                source.push_buffer(buffer).map_err(|_| playing.failure())?;
            }
            playing.wait(&arrivals, frames.len())
        };
        feed(0..WARM)?;
        if let Some(passages) = &passages {
            passages.take();
        }
        let done = || element.as_ref().map(Done::of).transpose();
        let (before, cpu) = (done()?, cpu_time());
        feed(WARM..WARM + self.frames)?;
        let cpu_ms = milliseconds(cpu_time() - cpu);
        let passed = passages.map_or(Vec::new(), |passages| passages.take());
        Ok(Round {
            cpu_ms,
            done: before.zip(done()?),
            copied: passed.iter().filter(|passage| passage.copied).count(),
            passed: passed.len(),
        })
    }
}
