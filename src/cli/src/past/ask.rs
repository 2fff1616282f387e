//! `mdetr past`: asks what was kept.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use mdetr::{BBox, GrounderOptions, Query};
use mdetr_past::{Event, Hit, Mode, Outcome, Past, Search, Selection, search};
use serde_json::json;

use super::key::KeyArgs;
use super::time;
use crate::import::stop_on_signals;
use crate::model::ModelArgs;
use crate::{output, progress, warning};

/// Ask what cameras saw: the frames that `mdetr see` kept.
///
/// A sentence gives the frames that answer it best, a question its answer over time, and --moments when something appears and
/// disappears. Every 64th frame is asked first, then those around what was found, or between those that differ.
#[derive(Debug, Args)]
pub struct PastArgs {
    /// Directory with what was kept.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// What to look for: a sentence or a question. Only words in [brackets] are looked for, if there are any.
    #[arg(long, value_name = "SENTENCE")]
    query: String,
    /// From this time on, such as 2026-01-05T10:15:03Z or 2026-01-05.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    from: Option<i64>,
    /// Before this time.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    to: Option<i64>,
    /// Of this camera. May be repeated [default: all].
    #[arg(long, value_name = "NAME")]
    camera: Vec<String>,
    /// Tell when it appears and disappears.
    #[arg(long)]
    moments: bool,
    /// Ask every frame.
    #[arg(long)]
    exhaustive: bool,
    /// Report frames whose best score is above this, 0 to 1 [default: the model's].
    #[arg(long, value_name = "X")]
    score_threshold: Option<f32>,
    /// Report as many frames at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Of frames of a camera that are fewer seconds apart, report the best.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    apart: f64,
    /// How to write what was found. As JSON one object a line, as it is found: "hit", "answer", and last "outcome".
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the pictures that were kept beside what is reported to this directory, as TIME-CAMERA.jpg.
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl PastArgs {
    /// Exit code 0 if the search came to its end, 1 if it was interrupted or some frames could not be asked.
    ///
    /// # Errors
    /// The directory, the key, the model or the query cannot be used.
    pub fn run(self) -> Result<ExitCode> {
        let in_range = |x: f32| (0.0..=1.0).contains(&x);
        ensure!(
            self.score_threshold.is_none_or(in_range),
            "--score-threshold: expected 0 to 1, found {}",
            self.score_threshold.unwrap_or_default()
        );
        let apart = Duration::try_from_secs_f64(self.apart)
            .with_context(|| format!("--apart: expected seconds, found {}", self.apart))?;
        let selection = Selection {
            from: self.from,
            to: self.to,
            cameras: self.camera.clone(),
        };
        let past = Past::open(&self.dir, self.key.read()?, &selection)?;
        past.problems()
            .iter()
            .for_each(|problem| warning::print(problem));
        let options = GrounderOptions {
            score_threshold: self.score_threshold,
            masks: false,
            ..GrounderOptions::default()
        };
        let grounder = self.model.load(options)?;
        let own = Search::new(Query::parse("past", &self.query)?, &grounder);
        let wanted = Search {
            mode: if self.moments {
                Mode::Moments
            } else {
                own.mode
            },
            exhaustive: self.exhaustive,
            limit: self.limit,
            apart,
            ..own
        };
        let stop = stop_on_signals()?;
        let bar = progress::bar(past.frames().len(), "frames");
        let mut written = Ok(());
        let outcome = search(&past, &grounder, &wanted, &stop, &mut |event| {
            let told = self.tell(&event, &bar);
            if told.is_err() && written.is_ok() {
                stop.store(true, Ordering::Relaxed);
                written = told;
            }
        });
        bar.finish_and_clear();
        if let Err(error) = written {
            return match error.kind() {
                io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
                _ => Err(error).context("standard output"),
            };
        }
        let outcome = outcome?;
        if let Some(first) = &outcome.first_unreadable {
            let count = outcome.unreadable;
            warning::print(&format!(
                "{count} frames cannot be asked, the first: {first}"
            ));
        }
        if let Some(dir) = &self.pictures {
            self.write_pictures(dir, &past, &outcome)?;
        }
        let text = match self.format {
            Format::Json => format!("{}\n", json!({ "outcome": outcome })),
            Format::Text => for_people(&outcome),
        };
        io::stdout()
            .lock()
            .write_all(text.as_bytes())
            .context("standard output")?;
        Ok(match outcome.cancelled || outcome.unreadable > 0 {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        })
    }

    /// Writes what was found as it is found: as JSON to standard output, for people to the terminal.
    fn tell(&self, event: &Event, bar: &ProgressBar) -> io::Result<()> {
        let line = match event {
            Event::Progress { asked, .. } => {
                bar.set_position(*asked as u64);
                return Ok(());
            }
            Event::Hit(hit) if self.format == Format::Text => {
                bar.suspend(|| eprint!("found  {}", hit_for_people(hit)));
                return Ok(());
            }
            Event::Answer(_) if self.format == Format::Text => return Ok(()),
            Event::Hit(hit) => json!({ "hit": hit }),
            Event::Answer(point) => json!({ "answer": point }),
        };
        bar.suspend(|| writeln!(io::stdout().lock(), "{line}"))
    }

    fn write_pictures(&self, dir: &Path, past: &Past, outcome: &Outcome) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let shown = outcome
            .moments
            .iter()
            .filter_map(|moment| moment.shown.as_ref());
        let mut missing = 0;
        for hit in outcome.hits.iter().chain(shown) {
            let Some(picture) = past.picture(&past.frames()[hit.frame])? else {
                missing += 1;
                continue;
            };
            let safe = |c: char| {
                if c.is_alphanumeric() || c == '-' {
                    c
                } else {
                    '_'
                }
            };
            let camera: String = hit.camera.chars().map(safe).take(60).collect();
            let time = time::text(hit.time).replace(':', "-");
            let path = dir.join(format!("{time}-{camera}.jpg"));
            // Of an earlier search, which found the same frame.
            let is_there = fs::read(&path).is_ok_and(|there| there == picture);
            if !is_there {
                output::write_new(&path, &picture)?;
            }
        }
        if missing > 0 {
            warning::print(&format!("{missing} frames were kept without a picture"));
        }
        Ok(())
    }
}

/// ```text
/// 2026-01-05T10:15:03.000Z  yard  0.97  12.0 30.5 40.2x38.0  "a red cube" 0.98
/// ```
fn hit_for_people(hit: &Hit) -> String {
    let mut text = format!("{}  {}", span(hit.time, hit.until), hit.camera);
    for detection in &hit.detections {
        let BBox {
            x,
            y,
            width,
            height,
        } = detection.bbox;
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "  {:.2}  {x:.1} {y:.1} {width:.1}x{height:.1}",
            detection.score
        );
        for phrase in &detection.phrases {
            let _ = write!(text, "  \"{}\" {:.2}", phrase.text, phrase.score);
        }
    }
    text + "\n"
}

fn span(time: i64, until: i64) -> String {
    match until > time {
        true => format!("{} to {}", time::text(time), time::text(until)),
        false => time::text(time),
    }
}

fn for_people(outcome: &Outcome) -> String {
    let mut text: String = outcome.hits.iter().map(hit_for_people).collect();
    for point in &outcome.curve {
        let span = span(point.time, point.until);
        let answer = point.answer.as_ref();
        let answer = answer.map_or("no answer".to_owned(), |answer| {
            format!("\"{}\" {:.2}", answer.text, answer.score)
        });
        let _ = writeln!(text, "{span}  {}  {answer}", point.camera);
    }
    for moment in &outcome.moments {
        let what = if moment.appears {
            "appears"
        } else {
            "disappears"
        };
        let (after, time) = (time::text(moment.after), time::text(moment.time));
        let _ = writeln!(text, "{time}  {}  {what} (after {after})", moment.camera);
    }
    let found = match outcome.mode {
        Mode::Best => format!("{} found", outcome.hits.len()),
        Mode::Curve => format!("{} answers", outcome.curve.len()),
        Mode::Moments => format!("{} moments", outcome.moments.len()),
    };
    let interrupted = if outcome.cancelled {
        ", interrupted"
    } else {
        ""
    };
    let (asked, frames) = (outcome.asked, outcome.frames);
    let _ = writeln!(
        text,
        "{found}; {asked} of {frames} frames asked{interrupted}"
    );
    text
}
