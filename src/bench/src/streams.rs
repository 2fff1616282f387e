//! Live streams in one process.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use gst::prelude::*;
use serde_json::json;

use crate::frames::{Size, Source};
use crate::model::Model;
use crate::pipeline::{self, Done, Passages, Playing};
use crate::usage::{Cost, milliseconds};

/// Inferences of each stream before those that are measured.
const WARM: u64 = 2;
/// Longest wait for them.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Args)]
pub struct StreamsArgs {
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    source: Source,
    #[arg(long, value_name = "N")]
    streams: usize,
    /// Frames per second of each.
    #[arg(long, value_name = "N")]
    rate: u32,
    #[arg(long, value_name = "N")]
    seconds: u64,
}

/// One stream.
struct Stream {
    source: gst_app::AppSrc,
    element: gst::Element,
    passages: Passages,
}

impl StreamsArgs {
    pub fn run(self) -> Result<()> {
        ensure!(
            self.streams > 0 && self.rate > 0,
            "--streams, --rate: expected 1 or more"
        );
        pipeline::init()?;
        let pictures = self.source.read()?;
        let Size(width, height) = pictures.size;
        let rate = i32::try_from(self.rate).context("--rate")?;
        let format = gst_video::VideoFormat::Rgb;
        let info = gst_video::VideoInfo::builder(format, width, height)
            .fps((rate, 1))
            .build()?;
        let buffers = pictures.pixels.into_iter().map(gst::Buffer::from_slice);
        let buffers: Vec<gst::Buffer> = buffers.collect();

        let pipeline = gst::Pipeline::new();
        let streams = (0..self.streams).map(|_| self.stream(&pipeline, &info));
        let streams: Vec<Stream> = streams.collect::<Result<_>>()?;
        let playing = Playing::start(pipeline)?;
        let begun = Instant::now();
        let mut feeder = Feeder {
            streams: &streams,
            buffers: &buffers,
            interval: Duration::from_secs(1) / self.rate,
            begun,
            fed: 0,
        };
        while counts(&streams)?.iter().any(|done| done.inferred < WARM) {
            ensure!(
                begun.elapsed() < PATIENCE,
                "no {WARM} inferences within {PATIENCE:?}"
            );
            feeder.feed(&playing)?;
        }
        let before = counts(&streams)?;
        let ends = Instant::now() + Duration::from_secs(self.seconds);
        let first = feeder.fed;
        let since = gst::ClockTime::try_from(feeder.due(0)?).context("a time out of range")?;
        let (after, cost) = Cost::of(|| {
            while Instant::now() < ends {
                feeder.feed(&playing)?;
            }
            counts(&streams)
        })?;
        let fed = (feeder.fed - first) * streams.len() as u64;
        // So that what is on its way comes through.
        thread::sleep(Duration::from_millis(100));
        let passed = streams.iter().flat_map(|stream| stream.passages.take());
        let passed: Vec<_> = passed.filter(|passage| passage.pts >= since).collect();
        let lateness = passed
            .iter()
            .map(|p| p.left.saturating_duration_since(begun + p.pts.into()));
        let pairs = || after.iter().zip(&before);
        let inferred: Vec<u64> = pairs().map(|(a, b)| a.inferred - b.inferred).collect();
        let spent = |of: fn(&Done) -> f64| pairs().map(|(a, b)| of(a) - of(b)).sum::<f64>();
        println!(
            "{}",
            json!({
                "fed": fed,
                "passages_ms": passed.iter().map(|p| milliseconds(p.left - p.entered)).collect::<Vec<_>>(),
                "lateness_ms": lateness.map(milliseconds).collect::<Vec<_>>(),
                "copied": passed.iter().filter(|passage| passage.copied).count(),
                "inferred": inferred,
                "skipped": pairs().map(|(a, b)| a.skipped - b.skipped).sum::<u64>(),
                "users": after[0].users,
                "inference_ms": spent(|done| done.preprocess_ms + done.graphs_ms)
                    / inferred.iter().sum::<u64>().max(1) as f64,
                "wall_ms": cost.wall_ms,
                "cpu_ms": cost.cpu_ms,
                "peak_bytes": cost.peak_bytes,
            })
        );
        Ok(())
    }

    fn stream(&self, pipeline: &gst::Pipeline, info: &gst_video::VideoInfo) -> Result<Stream> {
        let source = gst_app::AppSrc::builder()
            .caps(&info.to_caps()?)
            .format(gst::Format::Time)
            .is_live(true)
            .build();
        let element = pipeline::element(&self.model, "live", "a red cube")?;
        let sink = gst::ElementFactory::make("fakesink")
            .property("sync", false)
            .build()?;
        let chain = [source.upcast_ref(), &element, &sink];
        pipeline.add_many(chain)?;
        gst::Element::link_many(chain)?;
        Ok(Stream {
            passages: Passages::of(&element)?,
            source,
            element,
        })
    }
}

fn counts(streams: &[Stream]) -> Result<Vec<Done>> {
    streams
        .iter()
        .map(|stream| Done::of(&stream.element))
        .collect()
}

/// Gives all streams a frame at each interval, spread evenly over it, as cameras of their own would.
struct Feeder<'a> {
    streams: &'a [Stream],
    buffers: &'a [gst::Buffer],
    interval: Duration,
    begun: Instant,
    /// Frames each stream was given.
    fed: u64,
}

impl Feeder<'_> {
    /// When the next frame of a stream is due, from the beginning.
    fn due(&self, stream: usize) -> Result<Duration> {
        let frame = u32::try_from(self.fed).context("too many frames")?;
        let phase = self.interval * stream as u32 / self.streams.len() as u32;
        Ok(self.interval * frame + phase)
    }

    fn feed(&mut self, playing: &Playing) -> Result<()> {
        for (index, stream) in self.streams.iter().enumerate() {
            let due = self.due(index)?;
            thread::sleep((self.begun + due).saturating_duration_since(Instant::now()));
            let pts = gst::ClockTime::try_from(due).context("a time out of range")?;
            let picture = &self.buffers[(self.fed as usize + index) % self.buffers.len()];
            let pushed = stream.source.push_buffer(pipeline::at(picture, pts));
            pushed.map_err(|_| playing.failure())?;
        }
        self.fed += 1;
        Ok(())
    }
}
