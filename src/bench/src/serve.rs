//! The library as one of several contestants that are measured in turn.

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use mdetr::engine::{Fallback, KServeOptions};
use mdetr::{Grounder, GrounderOptions, Packing, Query};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::frames::{Pictures, Source};
use crate::model::Model;
use crate::usage::{Cost, milliseconds};

#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    source: Source,
    /// Sentences, one a line.
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,
    /// Scale frames to this short side in pixels for the network [default: the model's].
    #[arg(long, value_name = "PIXELS")]
    short_side: Option<u32>,
    /// Draw masks.
    #[arg(long)]
    masks: bool,
    /// Fuse all queries as one caption, or as few as have room.
    #[arg(long)]
    pack: bool,
}

/// What to do next.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// How many of the sentences stand.
    queries: usize,
    /// Frames before those that are measured.
    warm: usize,
    /// Measure for so long, and one frame at least.
    seconds: f64,
}

/// What it took.
#[derive(Debug, Serialize)]
struct Reply {
    latencies_ms: Vec<f64>,
    detections: usize,
    #[serde(flatten)]
    cost: Cost,
}

impl ServeArgs {
    pub fn run(self) -> Result<()> {
        let pictures = self.source.read()?;
        let path = self.queries.display().to_string();
        let sentences = fs::read_to_string(&self.queries).with_context(|| path.clone())?;
        let sentences: Vec<&str> = sentences.lines().collect();
        let options = GrounderOptions {
            engine: self.model.engine,
            kserve: KServeOptions {
                endpoints: KServeOptions::endpoints_in(&self.model.endpoints),
                fallback: Fallback::None,
                ..KServeOptions::default()
            },
            short_side: self.short_side,
            masks: self.masks,
            packing: match self.pack {
                true => Packing::All,
                false => Packing::None,
            },
            ..GrounderOptions::default()
        };
        let grounder = Grounder::load(&self.model.bundle, options)?;
        let engine = grounder.engine();
        say(&json!({"name": engine.name, "version": engine.version}))?;
        for line in io::stdin().lock().lines() {
            let line = line.context("standard input")?;
            let request: Request = serde_json::from_str(&line).context(line)?;
            ensure!(
                request.queries <= sentences.len(),
                "{path}: expected {} sentences or more, found {}",
                request.queries,
                sentences.len()
            );
            let standing = sentences[..request.queries].iter().enumerate();
            let standing = standing.map(|(i, text)| Query::parse(format!("q{}", i + 1), text));
            grounder.set_queries(standing.collect::<Result<_, _>>()?)?;
            for frame in 0..request.warm {
                grounder.ground(&pictures.frame(frame)?)?;
            }
            let (taken, cost) = Cost::of(|| ground(&grounder, &pictures, &request))?;
            say(&Reply {
                latencies_ms: taken.iter().map(|(time, _)| milliseconds(*time)).collect(),
                detections: taken.iter().map(|(_, found)| found).sum(),
                cost,
            })?;
        }
        Ok(())
    }
}

fn say(value: &impl Serialize) -> Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Time from a frame to its result and number of detections, for each frame.
fn ground(
    grounder: &Grounder,
    pictures: &Pictures,
    request: &Request,
) -> Result<Vec<(Duration, usize)>> {
    let (begun, mut taken) = (Instant::now(), Vec::new());
    while taken.is_empty() || begun.elapsed().as_secs_f64() < request.seconds {
        let frame = pictures.frame(taken.len())?;
        let started = Instant::now();
        let grounding = grounder.ground(&frame)?;
        let found = grounding.queries.iter().map(|query| query.detections.len());
        taken.push((started.elapsed(), found.sum()));
    }
    Ok(taken)
}
