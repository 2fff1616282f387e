//! A day of a camera, kept and asked.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use mdetr::seen::TokenPrecision;
use mdetr::{Frame, Grounder, GrounderOptions, Query};
use mdetr_past::{Event, Mode, Outcome, Past, Search, Selection, Writer, WriterOptions, search};
use mdetr_scenes::{Colour, Object, Scene, SceneOptions, Shape, render};
use serde::Serialize;

use crate::model::Model;
use crate::usage::{Cost, milliseconds};

/// Scenes that are rendered; the frames of a camera show them in turn.
const SCENES: u64 = 32;
const SIZE: (u32, u32) = (320, 240);
const SECOND: i64 = 1_000_000_000;
/// What is looked for.
const TARGET: &str = "a purple cylinder";

/// Keep frames of rendered scenes, one a second, and ask them. What is looked for is there for one in a hundred, in one stretch.
#[derive(Debug, Args)]
pub struct PastArgs {
    #[command(flatten)]
    model: Model,
    /// Frames that are kept; a day has 86400.
    #[arg(long, value_name = "N", default_value_t = 86_400)]
    frames: u64,
    #[arg(long, value_name = "PRECISION", default_value_t)]
    precision: TokenPrecision,
    /// Frames that are asked at once.
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: usize,
    /// Directory that they are kept in, which must not be there [default: a temporary one].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    frames: u64,
    /// On disk, with the index.
    bytes: u64,
    write: Cost,
    open: Cost,
    /// Every frame.
    exhaustive: Cost,
    /// Every frame, for an answer over time.
    question: Cost,
    /// Only what seems worth it.
    coarse_to_fine: Asked,
    moments: Asked,
}

#[derive(Debug, Serialize)]
struct Asked {
    cost: Cost,
    asked: usize,
    /// Until the first frame was found that shows what was looked for.
    first_ms: Option<f64>,
    found: usize,
}

impl PastArgs {
    /// # Errors
    /// The model or the directory cannot be used, or what was kept is not found.
    pub fn run(self) -> Result<()> {
        let options = GrounderOptions {
            engine: self.model.engine,
            masks: false,
            ..GrounderOptions::default()
        };
        let grounder = Grounder::load(&self.model.bundle, options)?;
        let temporary = tempfile::tempdir()?;
        let dir = self
            .dir
            .clone()
            .unwrap_or_else(|| temporary.path().join("past"));
        ensure!(!dir.exists(), "{}: it is there already", dir.display());
        let [without, with] = self.tokens(&grounder)?;
        let first = self.frames / 3;
        let shows = first..first + (self.frames / 100).max(2);
        let (bytes, write) = Cost::of(|| {
            let mut writer = Writer::open(&dir, WriterOptions::default())?;
            for number in 0..self.frames {
                let scenes = if shows.contains(&number) {
                    &with
                } else {
                    &without
                };
                let tokens = &scenes[(number % SCENES) as usize];
                writer.frame("camera", number as i64 * SECOND, tokens, None)?;
            }
            writer.flush()?;
            Ok(writer.bytes())
        })?;
        let (past, open) = Cost::of(|| Ok(Past::open(&dir, None, &Selection::default())?))?;
        let wanted = |text: &str| -> Result<Search> {
            Ok(Search {
                threads: self.threads,
                ..Search::new(Query::parse("q", text)?, &grounder)
            })
        };
        let exhaustive = |text| -> Result<Search> {
            Ok(Search {
                exhaustive: true,
                ..wanted(text)?
            })
        };
        let moments = Search {
            mode: Mode::Moments,
            ..wanted(TARGET)?
        };
        let measured = Measured {
            frames: self.frames,
            bytes,
            write,
            open,
            coarse_to_fine: ask(&past, &grounder, &wanted(TARGET)?)?,
            moments: ask(&past, &grounder, &moments)?,
            exhaustive: ask(&past, &grounder, &exhaustive(TARGET)?)?.cost,
            question: ask(&past, &grounder, &exhaustive("how many cubes are there?")?)?.cost,
        };
        println!("{}", serde_json::to_string(&measured).context("JSON")?);
        Ok(())
    }

    /// The scenes as seen without and with what is looked for.
    fn tokens(&self, grounder: &Grounder) -> Result<[Vec<Vec<u8>>; 2]> {
        let options = SceneOptions {
            width: SIZE.0,
            height: SIZE.1,
            ..SceneOptions::default()
        };
        let is_target = |o: &Object| o.colour == Colour::Purple && o.shape == Shape::Cylinder;
        let see = |scene: &Scene, seed| -> Result<Vec<u8>> {
            let picture = render(scene, SIZE.0, SIZE.1, seed);
            let frame = Frame::rgb(SIZE.0, SIZE.1, &picture.rgb)?;
            Ok(grounder.see(&frame)?.to_bytes(self.precision)?)
        };
        let mut seen = [Vec::new(), Vec::new()];
        let scenes = (0..).map(|seed| (seed, Scene::sample(seed, &options)));
        let scenes = scenes.filter(|(_, scene)| scene.objects.iter().any(is_target));
        for (seed, mut scene) in scenes.take(SCENES as usize) {
            seen[1].push(see(&scene, seed)?);
            scene.objects.retain(|object| !is_target(object));
            seen[0].push(see(&scene, seed)?);
        }
        Ok(seen)
    }
}

fn ask(past: &Past, grounder: &Grounder, wanted: &Search) -> Result<Asked> {
    let begun = Instant::now();
    let mut first = None;
    let (outcome, cost): (Outcome, Cost) = Cost::of(|| {
        let cancel = AtomicBool::new(false);
        let outcome = search(past, grounder, wanted, &cancel, &mut |event| {
            if matches!(event, Event::Hit(_)) {
                first.get_or_insert_with(|| milliseconds(begun.elapsed()));
            }
        });
        Ok(outcome?)
    })?;
    Ok(Asked {
        cost,
        asked: outcome.asked,
        first_ms: first,
        found: outcome.hits.len() + outcome.moments.len() + outcome.curve.len(),
    })
}
