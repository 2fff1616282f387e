//! `mdetr eval`: how well a model grounds a data set, or how good a file of predictions is.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use mdetr::eval::{self, Counts, Evaluator, Tally};
use mdetr::{Frame, Grounder, GrounderOptions};
use rayon::prelude::*;

use crate::score::ScoreCommand;
use crate::{model, picture, progress};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct EvalArgs {
    #[command(subcommand)]
    score: Option<ScoreCommand>,
    /// A directory that `mdetr scenes dataset` wrote.
    #[arg(required = true)]
    dataset: Option<PathBuf>,
    /// Directory of the model [default: $MDETR_MODEL, else the bundled model].
    #[arg(long, value_name = "BUNDLE")]
    model: Option<PathBuf>,
    /// Only the first N pictures.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Write one JSON object to standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

impl EvalArgs {
    /// # Errors
    /// The model, the data set, or predictions and annotations cannot be used.
    pub fn run(self) -> Result<ExitCode> {
        if let Some(score) = self.score {
            return score.run();
        }
        let dataset = self.dataset.context("a data set is required")?;
        let dir = model::directory(self.model.as_deref());
        let grounder = Grounder::load(dir, GrounderOptions::default())?;
        let pictures = eval::read(&dataset, self.limit)?;
        let evaluator = Evaluator::new(&grounder, &pictures)?;
        let progress = progress::bar(pictures.len(), "pictures");
        let tally = pictures
            .par_iter()
            .map(|entry| {
                let image = picture::read(&entry.path)?;
                let frame = Frame::rgb(image.width(), image.height(), &image)?;
                let tally = evaluator
                    .picture(&frame, &entry.examples)
                    .with_context(|| entry.path.display().to_string())?;
                progress.inc(1);
                Ok(tally)
            })
            .try_reduce(Tally::default, |mut sum, tally| {
                sum.add(&tally);
                Ok::<_, anyhow::Error>(sum)
            })?;
        progress.finish_and_clear();
        if self.json {
            let summary = tally.summary();
            let report = serde_json::json!({
                "pictures": pictures.len(),
                "summary": summary,
                "kinds": tally.kinds,
            });
            println!("{report}");
        } else {
            print!("{}", for_people(pictures.len(), &tally));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn for_people(pictures: usize, tally: &Tally) -> String {
    let percent = |value: Option<f64>| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{:.1} %", 100.0 * value))
    };
    let summary = tally.summary();
    let mut lines = vec![
        format!(
            "{pictures} pictures, {} captions, {} phrases",
            summary.captions, summary.phrases
        ),
        format!(
            "phrase recall @1 {}, @5 {}, @10 {}",
            percent(summary.recall_1),
            percent(summary.recall_5),
            percent(summary.recall_10)
        ),
        format!("relation accuracy {}", percent(summary.relation_accuracy)),
        format!("absent with a box {}", percent(summary.absent_with_box)),
        format!("plural F1 {}", percent(summary.plural_f1)),
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
            ..
        } = counts;
        lines.push(format!(
            "  {kind}: {captions} captions, {phrases} phrases, recall @1 {}, first phrase {}, absent with a box {}, answers {}",
            percent(recall_1.ratio()),
            percent(first_phrase.ratio()),
            percent(absent_with_box.ratio()),
            percent(answered.ratio())
        ));
    }
    lines.join("\n") + "\n"
}
