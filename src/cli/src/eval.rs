//! `mdetr eval`: how well a model grounds a data set, or how good a file of predictions is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use mdetr::{Frame, Grounder, GrounderOptions, Grounding, Packing, QueryResult};
use mdetr_draw::{Drawing, LegendLine, Style};
use mdetr_eval::grounding::{self, Clip, Counts, Example, MomentSummary, Moments, Picture, Tally};
use rayon::prelude::*;

use crate::disturb::Disturbance;
use crate::evaluator::{Evaluator, Judged, Watching};
use crate::model::ModelArgs;
use crate::output::{self, Author, say};
use crate::score::ScoreCommand;
use crate::stories::Stories;
use crate::{picture, progress};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct EvalArgs {
    #[command(subcommand)]
    score: Option<ScoreCommand>,
    /// A directory that `mdetr scenes dataset` or `mdetr scenes clips` wrote. Pictures are taken as they are stored, without
    /// regard to Exif orientation: so are the annotations.
    #[arg(required = true)]
    dataset: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    /// Fuse these captions of a picture as one: none, simple (no words of relation, no questions) or
    /// all but questions.
    #[arg(long, value_name = "WHICH", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "none", default_missing_value = "simple")]
    pack_queries: Packing,
    /// Only the first N pictures, or clips.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Of clips, show each frame as if it were the first: what the model remembers is forgotten before it.
    #[arg(long)]
    forget: bool,
    /// Measure under a fault of the camera, the link or the typist.
    #[arg(long, value_enum, value_name = "FAULT")]
    disturb: Option<Disturbance>,
    /// Write pictures of captions that went wrong to this directory, some of each kind. They replace
    /// those of an earlier run, and no other file.
    #[arg(long, value_name = "DIR")]
    failures: Option<PathBuf>,
    /// Write one JSON object to standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

/// A caption that went wrong.
struct Failure {
    picture: usize,
    example: usize,
    result: QueryResult,
}

/// What the pictures gave together.
#[derive(Default)]
struct Found {
    tally: Tally,
    failures: Vec<Failure>,
}

impl Found {
    fn join(mut self, other: Found) -> Found {
        self.tally.add(&other.tally);
        self.failures.extend(other.failures);
        self
    }
}

/// What the clips gave together.
#[derive(Default)]
struct Watched {
    tally: Tally,
    moments: Moments,
    /// Of what went behind something.
    hidden: Moments,
}

impl Watched {
    fn join(mut self, other: Watched) -> Watched {
        self.tally.add(&other.tally);
        self.moments.add(other.moments);
        self.hidden.add(other.hidden);
        self
    }
}

impl EvalArgs {
    /// # Errors
    /// The model, the data set, or predictions and annotations cannot be used.
    pub fn run(self) -> Result<ExitCode> {
        if let Some(score) = self.score {
            return score.run();
        }
        let dataset = self.dataset.as_ref().context("a data set is required")?;
        let options = GrounderOptions {
            packing: self.pack_queries,
            ..GrounderOptions::default()
        };
        let grounder = self.model.load(options)?;
        if grounding::has_clips(dataset) {
            return self.watch(&grounder, dataset);
        }
        let mut pictures = grounding::read(dataset, self.limit)?;
        if let Some(fault) = self.disturb {
            for example in pictures.iter_mut().flat_map(|p| &mut p.examples) {
                example.caption = fault.caption(&example.caption);
            }
        }
        if let Some(dir) = &self.failures {
            prepare_failures(dir, &pictures)?;
        }
        let evaluator = Evaluator::new(&grounder, &pictures)?;
        let progress = progress::bar(pictures.len(), "pictures");
        let found = pictures
            .par_iter()
            .enumerate()
            .map(|(index, entry)| {
                let found = self
                    .judge(&evaluator, index, entry)
                    .with_context(|| entry.path.display().to_string())?;
                progress.inc(1);
                Ok(found)
            })
            .try_reduce(Found::default, |a, b| Ok::<_, anyhow::Error>(a.join(b)))?;
        progress.finish_and_clear();
        if let Some(dir) = &self.failures {
            self.draw(dir, &pictures, found.failures)?;
        }
        self.report("pictures", pictures.len(), &found.tally, &[]);
        Ok(ExitCode::SUCCESS)
    }

    /// Evaluates clips: each from its first frame to its last, with what the model remembers.
    fn watch(&self, grounder: &Grounder, dataset: &Path) -> Result<ExitCode> {
        ensure!(
            self.failures.is_none(),
            "--failures: expected a data set of pictures, found clips in {}: leave it out",
            dataset.display()
        );
        let clips = grounding::read_clips(dataset, self.limit)?;
        let count = clips.len();
        let progress = progress::bar(count, "clips");
        let watched = clips
            .into_par_iter()
            .map(|mut clip| {
                self.disturb_captions(&mut clip);
                let watching = Watching::new(grounder, &clip)?;
                let mut watched = Watched::default();
                let mut stories = Stories::new(&clip);
                for at in &clip.frames {
                    let place = || at.path.display().to_string();
                    let image = self.picture(&at.path).with_context(place)?;
                    let frame = Frame::rgb(image.width(), image.height(), &image)?;
                    if self.forget {
                        watching.forget();
                    }
                    let (judged, with_box) = watching.next(&frame, at).with_context(place)?;
                    for ((_, example), judged) in at.examples.iter().zip(judged) {
                        watched.tally.count(&example.kind, &judged.counts);
                    }
                    stories.push(at, &with_box);
                }
                stories.count(&mut watched.moments, &mut watched.hidden);
                progress.inc(1);
                Ok(watched)
            })
            .try_reduce(Watched::default, |a, b| Ok::<_, anyhow::Error>(a.join(b)))?;
        progress.finish_and_clear();
        self.report(
            "clips",
            count,
            &watched.tally,
            &[
                ("moments", "things happened", watched.moments.summary()),
                (
                    "hidden_moments",
                    "things went behind others",
                    watched.hidden.summary(),
                ),
            ],
        );
        Ok(ExitCode::SUCCESS)
    }

    fn disturb_captions(&self, clip: &mut Clip) {
        let Some(fault) = self.disturb else {
            return;
        };
        let examples = clip.frames.iter_mut().flat_map(|frame| &mut frame.examples);
        let examples = examples.map(|(_, example)| &mut example.caption);
        for caption in clip.captions.iter_mut().chain(examples) {
            *caption = fault.caption(caption);
        }
    }

    /// `moments`: by their names in JSON and for people.
    fn report(
        &self,
        what: &str,
        count: usize,
        tally: &Tally,
        moments: &[(&str, &str, MomentSummary)],
    ) {
        if self.json {
            let mut report = serde_json::json!({
                what: count,
                "summary": tally.summary(),
                "kinds": tally.kinds,
            });
            for (name, _, moments) in moments {
                report[*name] = serde_json::json!(moments);
            }
            say!("{report}");
        } else {
            say!("{}", for_people(what, count, tally).trim_end());
            for (_, happened, moments) in moments.iter().filter(|(.., m)| m.events > 0) {
                let error = moments.median_seconds;
                let error = error.map_or_else(|| "-".to_owned(), |error| format!("{error:.2} s"));
                let MomentSummary {
                    events,
                    missed,
                    standing,
                    ..
                } = moments;
                say!(
                    "{events} {happened}, {missed} were not told, {standing} had a box before, median error {error}"
                );
            }
        }
    }

    fn judge(&self, evaluator: &Evaluator, index: usize, entry: &Picture) -> Result<Found> {
        let image = self.picture(&entry.path)?;
        let frame = Frame::rgb(image.width(), image.height(), &image)?;
        let mut found = Found::default();
        let judged = evaluator.picture(&frame, index)?;
        for (at, (example, Judged { result, counts })) in
            entry.examples.iter().zip(judged).enumerate()
        {
            found.tally.count(&example.kind, &counts);
            if self.failures.is_some() && !counts.flawless() {
                found.failures.push(Failure {
                    picture: index,
                    example: at,
                    result,
                });
            }
        }
        Ok(found)
    }

    fn picture(&self, path: &Path) -> Result<image::RgbImage> {
        let image = picture::read_stored(path)?;
        match self.disturb {
            Some(fault) => fault.picture(image),
            None => Ok(image),
        }
    }

    /// Draws up to [`FAILURES_OF_A_KIND`] failures of each kind, with the caption and what was
    /// expected.
    fn draw(&self, dir: &Path, pictures: &[Picture], mut failures: Vec<Failure>) -> Result<()> {
        failures.sort_by_key(|failure| (failure.picture, failure.example));
        let mut drawn: BTreeMap<&str, usize> = BTreeMap::new();
        for Failure {
            picture,
            example,
            result,
        } in failures
        {
            let Picture { path, examples } = &pictures[picture];
            let example = &examples[example];
            let count = drawn.entry(&example.kind).or_default();
            if *count == FAILURES_OF_A_KIND {
                continue;
            }
            *count += 1;
            let mut image = self.picture(path)?;
            let (width, height) = image.dimensions();
            let key = result.query.id().to_owned();
            let grounding = Grounding {
                revision: 0,
                width,
                height,
                queries: vec![result],
            };
            let drawing = Drawing::from(&grounding).with_legend(LegendLine {
                key,
                text: expectation(example),
                absent: false,
            });
            let style = Style {
                font: "Sans 8".into(),
                ..Style::default()
            };
            drawing
                .annotate_rgb(width, height, &mut image, &style)
                .map_err(|error| anyhow!("{}: cannot be drawn on: {error}", path.display()))?;
            let out = failure_path(dir, &example.kind, *count);
            output::write_png(&out, Author::Failures, (width, height), &image)?;
        }
        Ok(())
    }
}

const FAILURES_OF_A_KIND: usize = 4;

fn failure_path(dir: &Path, kind: &str, number: usize) -> PathBuf {
    dir.join(format!("{}-{number}.png", kind.replace('/', "_")))
}

/// Makes the directory of failures, and refuses it before any time is spent if a file would be lost.
fn prepare_failures(dir: &Path, pictures: &[Picture]) -> Result<()> {
    fs::create_dir_all(dir)
        .with_context(|| format!("--failures {}: cannot be created", dir.display()))?;
    let examples = pictures.iter().flat_map(|picture| &picture.examples);
    let kinds: BTreeSet<&str> = examples.map(|example| example.kind.as_str()).collect();
    for kind in kinds {
        for number in 1..=FAILURES_OF_A_KIND {
            output::ensure_png_replaceable(&failure_path(dir, kind, number), Author::Failures)?;
        }
    }
    Ok(())
}

/// The caption and what is right.
fn expectation(example: &Example) -> String {
    let caption = &example.caption;
    match (&example.answer, example.objects.len()) {
        (Some(answer), _) => format!("right: {answer}"),
        (None, 0) => format!("nothing is {caption}"),
        (None, _) => caption.clone(),
    }
}

fn for_people(what: &str, count: usize, tally: &Tally) -> String {
    let percent = |value: Option<f64>| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{:.1} %", 100.0 * value))
    };
    let summary = tally.summary();
    let mut lines = vec![
        format!(
            "{count} {what}, {} captions, {} phrases",
            summary.captions, summary.phrases
        ),
        format!(
            "phrase recall @1 {}, @5 {}, @10 {}",
            percent(summary.recall_1),
            percent(summary.recall_5),
            percent(summary.recall_10)
        ),
        format!(
            "reported at IoU 0.5 {}, 0.75 {}, 0.9 {}",
            percent(summary.reported_50),
            percent(summary.reported_75),
            percent(summary.reported_90)
        ),
        format!(
            "relation accuracy {}, two relations {}",
            percent(summary.relation_accuracy),
            percent(summary.relation2_accuracy)
        ),
        format!("absent with a box {}", percent(summary.absent_with_box)),
        format!("plural F1 {}", percent(summary.plural_f1)),
        format!("exact spans {}", percent(summary.exact_spans)),
        format!("answers {}", percent(summary.answer_accuracy)),
        format!("mask IoU {}", percent(summary.mask_iou)),
    ];
    for (kind, counts) in &tally.kinds {
        let Counts {
            captions,
            phrases,
            recall_1,
            first_phrase,
            absent_with_box,
            answered,
            exact_spans,
            ..
        } = counts;
        lines.push(format!(
            "  {kind}: {captions} captions, {phrases} phrases, recall @1 {}, first phrase {}, absent with a box {}, exact spans {}, answers {}",
            percent(recall_1.ratio()),
            percent(first_phrase.ratio()),
            percent(absent_with_box.ratio()),
            percent(exact_spans.ratio()),
            percent(answered.ratio())
        ));
    }
    lines.join("\n") + "\n"
}
