//! `mdetr eval flickr|rec|...`: the paper's tables, of a model or of a file of predictions.

use std::collections::HashSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use mdetr::Span;
use mdetr_eval::rec::{self, Task};
use mdetr_eval::{
    Predictions, SampleId, clevr, coco, flickr, gqa, lvis, phrasecut, read_lines, tracking,
};
use serde::Serialize;

use crate::output::say;
use crate::predict::{AskArgs, Asked, Asking, Wanted};
use crate::{output, warning};

#[derive(Debug, Subcommand)]
pub enum ScoreCommand {
    /// Phrase grounding on Flickr30k Entities: recall@1, 5, 10.
    Flickr {
        #[command(flatten)]
        scored: Scored,
        #[command(flatten)]
        model: AskArgs,
        /// Directory with Annotations/, Sentences/ and the split lists.
        #[arg(long, value_name = "DIR")]
        entities: PathBuf,
        /// Split to score: DIR/SPLIT.txt.
        #[arg(long, default_value = "test")]
        split: String,
        /// What a phrase with several boxes is hit by.
        #[arg(long, value_enum, default_value_t = Boxes::Any)]
        boxes: Boxes,
    },
    /// Referring expressions (RefCOCO, RefCOCO+, RefCOCOg): accuracy@1, 5, 10.
    Rec {
        #[command(flatten)]
        scored: Scored,
        #[command(flatten)]
        model: AskArgs,
        /// Annotation file, such as finetune_refcoco_val.json.
        #[arg(long, value_name = "FILE.json")]
        annotations: PathBuf,
    },
    /// CLEVR-Ref+: accuracy@1, 5, 10 of expressions with exactly one object.
    ClevrRef {
        #[command(flatten)]
        scored: Scored,
        /// Annotation file.
        #[arg(long, value_name = "FILE.json")]
        annotations: PathBuf,
    },
    /// PhraseCut: mean and cumulative IoU, precision.
    Phrasecut {
        #[command(flatten)]
        scored: Scored,
        #[command(flatten)]
        model: AskArgs,
        /// Tasks, such as refer_test.json.
        #[arg(long, value_name = "FILE.json")]
        refer: PathBuf,
        /// Sizes of the pictures: image_data_split.json [default: as the predictions say].
        #[arg(long, value_name = "FILE.json")]
        sizes: Option<PathBuf>,
        /// Boxes and masks with scores are kept above this.
        #[arg(long, default_value_t = 0.7)]
        score_threshold: f64,
        /// Score boxes too, by the official rule.
        #[arg(long)]
        boxes: bool,
    },
    /// GQA: accuracy of answers.
    Gqa {
        #[command(flatten)]
        scored: Scored,
        #[command(flatten)]
        model: AskArgs,
        /// Questions, such as testdev_balanced_questions.json.
        #[arg(long, value_name = "FILE.json")]
        questions: PathBuf,
        /// gqa_answer2id_by_type.json or gqa_answer2id.json, of MDETR's annotations.
        #[arg(long, value_name = "FILE.json")]
        vocabulary: PathBuf,
        /// Also write the answers as EvalAI takes them, to a file that is not there yet.
        #[arg(long, value_name = "FILE.json")]
        submission: Option<PathBuf>,
    },
    /// CLEVR, CoGenT, CLEVR-Humans: accuracy of answers.
    Clevr {
        #[command(flatten)]
        scored: Scored,
        #[command(flatten)]
        model: AskArgs,
        /// Questions, such as CLEVR_val_questions.json.
        #[arg(long, value_name = "FILE.json")]
        questions: PathBuf,
        /// Also write the answers, one a line, by question, to a file that is not there yet.
        #[arg(long, value_name = "FILE.txt")]
        answers: Option<PathBuf>,
    },
    /// Class-agnostic COCO average precision.
    Coco {
        #[command(flatten)]
        scored: Scored,
        #[command(flatten)]
        model: AskArgs,
        /// Annotation file.
        #[arg(long, value_name = "FILE.json")]
        annotations: PathBuf,
    },
    /// Identities over time: MOTA, IDF1 and switches, of what mdetrtrack and mdetr2json wrote.
    Tracking {
        /// What was to be seen: written by `mdetr scenes video --truth`.
        #[arg(long, value_name = "FILE.jsonl")]
        truth: PathBuf,
        /// What was found: lines of mdetr2json behind mdetrtrack.
        #[arg(long, value_name = "FILE.jsonl")]
        found: PathBuf,
        /// Write one JSON object to standard output, and nothing else.
        #[arg(long)]
        json: bool,
    },
    /// LVIS: "fixed AP".
    Lvis {
        #[command(flatten)]
        scored: Scored,
        #[command(flatten)]
        model: AskArgs,
        /// Annotation file, such as lvis_v1_minival.json.
        #[arg(long, value_name = "FILE.json")]
        annotations: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Boxes {
    /// Any of its boxes.
    Any,
    /// The box around all of its boxes.
    Merged,
}

impl From<Boxes> for flickr::Boxes {
    fn from(boxes: Boxes) -> flickr::Boxes {
        match boxes {
            Boxes::Any => flickr::Boxes::Any,
            Boxes::Merged => flickr::Boxes::Merged,
        }
    }
}

#[derive(Debug, Args)]
pub struct Scored {
    /// File of predictions, as the documentation of mdetr-eval describes it. With --images it is
    /// written, and a run that was interrupted goes on where it stopped; a last line that was cut short
    /// is left out, with a warning.
    #[arg(long, value_name = "FILE.jsonl")]
    predictions: PathBuf,
    /// Score only the samples that have a prediction.
    #[arg(long)]
    partial: bool,
    /// Write one JSON object to standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

impl Scored {
    fn read(&self) -> Result<Predictions> {
        let predictions = Predictions::read(&self.predictions)?;
        warning::of_cut(&self.predictions, predictions.cut());
        if predictions.duplicates() > 0 {
            warning::print(&format!(
                "{}: {} samples have more than one prediction; the first counts",
                self.predictions.display(),
                predictions.duplicates()
            ));
        }
        Ok(predictions)
    }
}

fn print(report: &(impl Serialize + Display), json: bool) -> Result<ExitCode> {
    if json {
        say!("{}", serde_json::to_string(report)?);
    } else {
        say!("{}", report.to_string().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// What an evaluator scores predictions against.
trait Truth {
    /// What a model is asked.
    fn asked(&self) -> impl Iterator<Item = Asked>;

    /// Leaves out the samples that `keep` refuses.
    fn retain(&mut self, keep: impl Fn(&SampleId) -> bool);
}

macro_rules! truths_of_samples {
    ($($evaluator:ident),+) => {$(
        impl Truth for $evaluator::Truth {
            fn asked(&self) -> impl Iterator<Item = Asked> {
                self.samples().map(Asked::from)
            }

            fn retain(&mut self, keep: impl Fn(&SampleId) -> bool) {
                self.retain(keep);
            }
        }
    )+};
}

truths_of_samples!(clevr, coco, gqa, phrasecut, rec);

impl Truth for flickr::Truth {
    fn asked(&self) -> impl Iterator<Item = Asked> {
        self.sentences().iter().map(|sentence| Asked {
            sample: sentence.sample.clone(),
            phrases: sentence.phrases.iter().map(|p| span(p.span)).collect(),
        })
    }

    fn retain(&mut self, keep: impl Fn(&SampleId) -> bool) {
        self.retain(keep);
    }
}

impl Scored {
    /// Asks the model what has no prediction, if there is one that is asked, and scores what is to be.
    fn score<T: Truth, R: Serialize + Display>(
        &self,
        asking: Option<Asking>,
        mut truth: T,
        evaluate: impl FnOnce(&T, &Predictions) -> Result<R>,
    ) -> Result<ExitCode> {
        if let Some(asking) = asking {
            asking.predict(&self.predictions, truth.asked())?;
        }
        let predictions = self.read()?;
        truth.retain(|id| !self.partial || predictions.get(id).is_some());
        print(&evaluate(&truth, &predictions)?, self.json)
    }
}

impl ScoreCommand {
    /// # Errors
    /// A file cannot be read or written, or predictions and annotations do not fit together.
    pub fn run(self) -> Result<ExitCode> {
        match self {
            Self::Flickr {
                scored,
                model,
                entities,
                split,
                boxes,
            } => {
                let truth = flickr::Truth::read(&entities, &split, boxes.into())?;
                scored.score(
                    model.asking(Wanted::Phrases),
                    truth,
                    |truth, predictions| Ok(flickr::evaluate(truth, predictions)?),
                )
            }
            Self::Rec {
                scored,
                model,
                annotations,
            } => {
                let truth = rec::Truth::read(&annotations, Task::RefCoco)?;
                scored.score(model.asking(Wanted::Boxes), truth, |truth, predictions| {
                    Ok(rec::evaluate(truth, predictions)?)
                })
            }
            Self::ClevrRef {
                scored,
                annotations,
            } => {
                let truth = rec::Truth::read(&annotations, Task::ClevrRef)?;
                scored.score(None, truth, |truth, predictions| {
                    Ok(rec::evaluate(truth, predictions)?)
                })
            }
            Self::Phrasecut {
                scored,
                model,
                refer,
                sizes,
                score_threshold,
                boxes,
            } => {
                let truth = phrasecut::Truth::read(&refer, sizes.as_deref())?;
                let asking = model.asking(Wanted::Masks(score_threshold as f32));
                scored.score(asking, truth, |truth, predictions| {
                    let options = phrasecut::Options {
                        score_threshold,
                        boxes,
                    };
                    let report = phrasecut::evaluate(truth, predictions, options)?;
                    if report.missing > 0 {
                        let (missing, tasks) = (report.missing, report.tasks);
                        warning::print(&format!("{missing} of {tasks} tasks have no prediction"));
                    }
                    Ok(report)
                })
            }
            Self::Gqa {
                scored,
                model,
                questions,
                vocabulary,
                submission,
            } => {
                let truth = gqa::Truth::read(&questions, &vocabulary)?;
                scored.score(
                    model.asking(Wanted::Answers),
                    truth,
                    |truth, predictions| {
                        if let Some(path) = submission {
                            let answers = gqa::submission(truth, predictions)?;
                            output::write_new(&path, &serde_json::to_vec(&answers)?)?;
                        }
                        Ok(gqa::evaluate(truth, predictions)?)
                    },
                )
            }
            Self::Clevr {
                scored,
                model,
                questions,
                answers,
            } => {
                let truth = clevr::Truth::read(&questions)?;
                scored.score(
                    model.asking(Wanted::Answers),
                    truth,
                    |truth, predictions| {
                        if let Some(path) = answers {
                            output::write_new(
                                &path,
                                clevr::answers(truth, predictions)?.as_bytes(),
                            )?;
                        }
                        Ok(clevr::evaluate(truth, predictions)?)
                    },
                )
            }
            Self::Coco {
                scored,
                model,
                annotations,
            } => {
                let truth = coco::Truth::read(&annotations)?;
                scored.score(model.asking(Wanted::Boxes), truth, |truth, predictions| {
                    Ok(coco::evaluate(truth, predictions)?)
                })
            }
            Self::Tracking { truth, found, json } => {
                let expected = tracking::Tracks::read_truth(&truth)?;
                warning::of_cut(&truth, expected.cut);
                let tracks = tracking::Tracks::read_found(&found)?;
                warning::of_cut(&found, tracks.cut);
                print(&tracking::evaluate(&expected, &tracks), json)
            }
            Self::Lvis {
                scored,
                model,
                annotations,
            } => score_lvis(&scored, &model, &annotations),
        }
    }
}

/// Reads the predictions line by line: those of LVIS are too many to hold.
fn score_lvis(scored: &Scored, model: &AskArgs, annotations: &Path) -> Result<ExitCode> {
    let mut truth = lvis::Truth::read(annotations)?;
    if let Some(asking) = model.asking(Wanted::Boxes) {
        let pictures = truth.pictures().map(|(id, file)| (id, file.to_owned()));
        let categories = truth.categories().iter();
        let prompts: Vec<(u64, String)> =
            categories.map(|c| (c.id, lvis::prompt(&c.name))).collect();
        asking.predict_categories(&scored.predictions, pictures, &prompts)?;
    }
    if scored.partial {
        let mut found = HashSet::new();
        for record in read_lines(&scored.predictions)? {
            found.insert(record?.prediction.id);
        }
        truth.retain(|id| found.contains(id));
    }
    let mut records = read_lines(&scored.predictions)?;
    let report = lvis::evaluate(&truth, records.by_ref())?;
    warning::of_cut(&scored.predictions, records.cut());
    print(&report, scored.json)
}

fn span([start, end]: [usize; 2]) -> Span {
    let point = |value| u32::try_from(value).unwrap_or(u32::MAX);
    Span {
        start: point(start),
        end: point(end),
    }
}
