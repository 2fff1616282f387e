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

use crate::predict::{Asked, ModelArgs, Wanted};
use crate::{output, warning};

#[derive(Debug, Subcommand)]
pub enum ScoreCommand {
    /// Phrase grounding on Flickr30k Entities: recall@1, 5, 10.
    Flickr {
        #[command(flatten)]
        scored: Scored,
        #[command(flatten)]
        model: ModelArgs,
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
        model: ModelArgs,
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
        model: ModelArgs,
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
        model: ModelArgs,
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
        model: ModelArgs,
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
        model: ModelArgs,
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
        model: ModelArgs,
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

    /// Whether a sample is scored.
    fn takes<'a>(&self, predictions: &'a Predictions) -> impl Fn(&SampleId) -> bool + use<'a> {
        let partial = self.partial;
        move |id| !partial || predictions.get(id).is_some()
    }

    fn print(&self, report: &(impl Serialize + Display)) -> Result<ExitCode> {
        print(report, self.json)
    }
}

fn print(report: &(impl Serialize + Display), json: bool) -> Result<ExitCode> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        print!("{report}");
    }
    Ok(ExitCode::SUCCESS)
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
                let boxes = match boxes {
                    Boxes::Any => flickr::Boxes::Any,
                    Boxes::Merged => flickr::Boxes::Merged,
                };
                let mut truth = flickr::Truth::read(&entities, &split, boxes)?;
                let asked = truth.sentences().iter().map(|sentence| Asked {
                    sample: sentence.sample.clone(),
                    phrases: sentence.phrases.iter().map(|p| span(p.span)).collect(),
                });
                model.predict(&scored.predictions, asked, Wanted::Phrases, None)?;
                let predictions = scored.read()?;
                truth.retain(scored.takes(&predictions));
                scored.print(&flickr::evaluate(&truth, &predictions)?)
            }
            Self::Rec {
                scored,
                model,
                annotations,
            } => expressions(&scored, Some(&model), &annotations, Task::RefCoco),
            Self::ClevrRef {
                scored,
                annotations,
            } => expressions(&scored, None, &annotations, Task::ClevrRef),
            Self::Phrasecut {
                scored,
                model,
                refer,
                sizes,
                score_threshold,
                boxes,
            } => {
                let mut truth = phrasecut::Truth::read(&refer, sizes.as_deref())?;
                let asked = truth.samples().map(Asked::from);
                let threshold = Some(score_threshold as f32);
                model.predict(&scored.predictions, asked, Wanted::Masks, threshold)?;
                let predictions = scored.read()?;
                truth.retain(scored.takes(&predictions));
                let options = phrasecut::Options {
                    score_threshold,
                    boxes,
                };
                let report = phrasecut::evaluate(&truth, &predictions, options)?;
                if report.missing > 0 {
                    let (missing, tasks) = (report.missing, report.tasks);
                    warning::print(&format!("{missing} of {tasks} tasks have no prediction"));
                }
                scored.print(&report)
            }
            Self::Gqa {
                scored,
                model,
                questions,
                vocabulary,
                submission,
            } => {
                let mut truth = gqa::Truth::read(&questions, &vocabulary)?;
                let asked = truth.samples().map(Asked::from);
                model.predict(&scored.predictions, asked, Wanted::Answers, None)?;
                let predictions = scored.read()?;
                truth.retain(scored.takes(&predictions));
                if let Some(path) = submission {
                    let answers = gqa::submission(&truth, &predictions)?;
                    output::write_new(&path, &serde_json::to_vec(&answers)?)?;
                }
                scored.print(&gqa::evaluate(&truth, &predictions)?)
            }
            Self::Tracking { truth, found, json } => {
                let expected = tracking::Tracks::read_truth(&truth)?;
                warning::of_cut(&truth, expected.cut);
                let tracks = tracking::Tracks::read_found(&found)?;
                warning::of_cut(&found, tracks.cut);
                print(&tracking::evaluate(&expected, &tracks), json)
            }
            Self::Clevr {
                scored,
                model,
                questions,
                answers,
            } => {
                let mut truth = clevr::Truth::read(&questions)?;
                let asked = truth.samples().map(Asked::from);
                model.predict(&scored.predictions, asked, Wanted::Answers, None)?;
                let predictions = scored.read()?;
                truth.retain(scored.takes(&predictions));
                if let Some(path) = answers {
                    output::write_new(&path, clevr::answers(&truth, &predictions)?.as_bytes())?;
                }
                scored.print(&clevr::evaluate(&truth, &predictions)?)
            }
            Self::Coco {
                scored,
                model,
                annotations,
            } => {
                let mut truth = coco::Truth::read(&annotations)?;
                let asked = truth.samples().map(Asked::from);
                model.predict(&scored.predictions, asked, Wanted::Boxes, None)?;
                let predictions = scored.read()?;
                truth.retain(scored.takes(&predictions));
                scored.print(&coco::evaluate(&truth, &predictions)?)
            }
            Self::Lvis {
                scored,
                model,
                annotations,
            } => {
                let mut truth = lvis::Truth::read(&annotations)?;
                let pictures = truth.pictures().map(|(id, file)| (id, file.to_owned()));
                let categories = truth.categories().iter();
                let prompts: Vec<(u64, String)> =
                    categories.map(|c| (c.id, lvis::prompt(&c.name))).collect();
                model.predict_categories(&scored.predictions, pictures, &prompts)?;
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
                scored.print(&report)
            }
        }
    }
}

fn expressions(
    scored: &Scored,
    model: Option<&ModelArgs>,
    annotations: &Path,
    task: Task,
) -> Result<ExitCode> {
    let mut truth = rec::Truth::read(annotations, task)?;
    if let Some(model) = model {
        let asked = truth.samples().map(Asked::from);
        model.predict(&scored.predictions, asked, Wanted::Boxes, None)?;
    }
    let predictions = scored.read()?;
    truth.retain(scored.takes(&predictions));
    scored.print(&rec::evaluate(&truth, &predictions)?)
}

fn span([start, end]: [usize; 2]) -> Span {
    let point = |value| u32::try_from(value).unwrap_or(u32::MAX);
    Span {
        start: point(start),
        end: point(end),
    }
}
