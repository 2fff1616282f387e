//! Runs a model on what an evaluator asks, into a file of predictions that can be resumed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mdetr::{Encoded, Frame, Grounder, GrounderOptions, Query, QueryResult, RawOutputs, Rle, Span};
use mdetr_eval::grounding::tokens_of_spans;
use mdetr_eval::{Answer, Bbox, PhraseScores, Prediction, Sample, SampleId, Writer};
use rayon::prelude::*;

use crate::{model, picture, progress, warning};

/// Samples whose texts are encoded together, so that the text encoder is loaded once for them.
const BATCH: usize = 512;

/// Where the model and the pictures are.
#[derive(Debug, clap::Args)]
pub struct AskArgs {
    /// Directory of the pictures: ask the model what has no prediction yet, and append its answers
    /// to the file of predictions.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Name or directory of the model [default: $MDETR_MODEL, else the bundled model].
    #[arg(long, value_name = "MODEL", requires = "images")]
    model: Option<PathBuf>,
}

/// What a prediction says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wanted {
    /// Boxes and scores.
    Boxes,
    /// Boxes, and their scores for each phrase.
    Phrases,
    /// Boxes, scores, and the union of the masks scored above this threshold.
    Masks(f32),
    /// The most probable class of each answer head.
    Answers,
}

/// A sample, and the phrases whose boxes are ranked.
pub struct Asked {
    pub sample: Sample,
    pub phrases: Vec<Span>,
}

impl From<&Sample> for Asked {
    fn from(sample: &Sample) -> Asked {
        Asked {
            sample: sample.clone(),
            phrases: Vec::new(),
        }
    }
}

impl AskArgs {
    /// What is asked of the model, if pictures were given.
    pub fn asking(&self, wanted: Wanted) -> Option<Asking<'_>> {
        Some(Asking {
            images: self.images.as_deref()?,
            model: self.model.as_deref(),
            wanted,
        })
    }
}

/// A model that is asked about pictures.
pub struct Asking<'a> {
    images: &'a Path,
    model: Option<&'a Path>,
    wanted: Wanted,
}

impl Asking<'_> {
    /// Appends predictions for the samples that have none.
    ///
    /// # Errors
    /// The model, a picture or the file cannot be used, or the model does not say what is wanted.
    pub fn predict(&self, predictions: &Path, samples: impl Iterator<Item = Asked>) -> Result<()> {
        let mut writer = resume(predictions)?;
        let left: Vec<Asked> = samples.filter(|a| !writer.has(&a.sample.id)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let grounder = self.grounder()?;
        let progress = progress::bar(left.len(), "samples");
        for batch in left.chunks(BATCH) {
            let groups: Vec<&[Asked]> = batch
                .chunk_by(|a, b| a.sample.image == b.sample.image)
                .collect();
            let sets = groups.iter().map(|group| {
                let queries = group.iter().enumerate();
                let queries = queries.map(|(i, asked)| {
                    Query::literal(i.to_string(), &asked.sample.text)
                        .with_context(|| format!("sample {}", asked.sample.id.as_str()))
                });
                queries.collect()
            });
            let encoded = grounder.encode_each(sets.collect::<Result<_>>()?)?;
            let asked: Vec<(&[Asked], Encoded)> = groups.into_iter().zip(encoded).collect();
            for asked in asked.chunks(2 * rayon::current_num_threads()) {
                let answered: Vec<Result<Vec<Prediction>>> = asked
                    .par_iter()
                    .map(|(group, encoded)| self.answer(&grounder, group, encoded))
                    .collect();
                for predictions in answered {
                    for prediction in predictions? {
                        writer.write(&prediction)?;
                        progress.inc(1);
                    }
                }
            }
        }
        progress.finish_and_clear();
        Ok(())
    }

    /// As [`predict`](Self::predict) for LVIS: each picture is asked for every prompt, a category's
    /// id and its text.
    pub fn predict_categories(
        &self,
        predictions: &Path,
        pictures: impl Iterator<Item = (SampleId, String)>,
        prompts: &[(u64, String)],
    ) -> Result<()> {
        let mut writer = resume(predictions)?;
        let left: Vec<_> = pictures.filter(|(id, _)| !writer.has(id)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let grounder = self.grounder()?;
        let queries = prompts.iter().map(|(category, prompt)| {
            Query::literal(category.to_string(), prompt)
                .with_context(|| format!("category {category}"))
        });
        let encoded = grounder.encode(queries.collect::<Result<_>>()?)?;
        let progress = progress::bar(left.len(), "pictures");
        for batch in left.chunks(rayon::current_num_threads()) {
            let answered: Vec<Result<Prediction>> = batch
                .par_iter()
                .map(|(id, file)| {
                    let image = picture::read_stored(&self.images.join(file))?;
                    let frame = Frame::rgb(image.width(), image.height(), &image)?;
                    let mut prediction = Prediction::new(id.as_str());
                    let (mut boxes, mut scores, mut categories) = (vec![], vec![], vec![]);
                    let outputs = grounder.outputs(&frame, &encoded)?;
                    for (outputs, (category, _)) in outputs.iter().zip(prompts) {
                        boxes.extend(boxes_of(outputs, &frame));
                        scores.extend(scores_of(outputs));
                        categories.resize(boxes.len(), *category);
                    }
                    prediction.boxes = Some(boxes);
                    prediction.scores = Some(scores);
                    prediction.categories = Some(categories);
                    Ok(prediction)
                })
                .collect();
            for prediction in answered {
                writer.write(&prediction?)?;
                progress.inc(1);
            }
        }
        progress.finish_and_clear();
        Ok(())
    }

    fn grounder(&self) -> Result<Grounder> {
        let options = GrounderOptions {
            score_threshold: match self.wanted {
                Wanted::Masks(threshold) => Some(threshold),
                _ => None,
            },
            max_detections: usize::MAX,
            ..GrounderOptions::default()
        };
        let grounder = model::load(self.model, options)?;
        let manifest = grounder.manifest();
        let missing = match self.wanted {
            Wanted::Masks(_) if !manifest.segments() => "segmentation",
            Wanted::Answers if manifest.answers.is_none() => "questions",
            _ => return Ok(grounder),
        };
        bail!(
            "model {}: its tasks are {:?}; expected \"{missing}\" among them: take a model that has it",
            manifest.name,
            manifest.tasks
        )
    }

    /// Predictions for samples about one picture.
    fn answer(
        &self,
        grounder: &Grounder,
        group: &[Asked],
        encoded: &Encoded,
    ) -> Result<Vec<Prediction>> {
        let image = picture::read_stored(&self.images.join(&group[0].sample.image))?;
        let frame = Frame::rgb(image.width(), image.height(), &image)?;
        let found: Vec<(Option<QueryResult>, RawOutputs)> = match self.wanted {
            Wanted::Masks(_) => grounder
                .ground_encoded(&frame, encoded)?
                .into_iter()
                .map(|(result, outputs)| (Some(result), outputs))
                .collect(),
            _ => grounder
                .outputs(&frame, encoded)?
                .into_iter()
                .map(|outputs| (None, outputs))
                .collect(),
        };
        let predictions = group.iter().zip(found).map(|(asked, (result, outputs))| {
            let mut prediction = Prediction::new(asked.sample.id.as_str());
            prediction.size = Some([frame.width(), frame.height()]);
            if self.wanted == Wanted::Answers {
                prediction.answer = Some(classes(&outputs));
                return prediction;
            }
            prediction.boxes = Some(boxes_of(&outputs, &frame));
            match self.wanted {
                Wanted::Phrases => prediction.phrases = Some(phrases(&outputs, &asked.phrases)),
                _ => prediction.scores = Some(scores_of(&outputs)),
            }
            prediction.mask = result.map(|result| {
                let masks = result.detections.iter().filter_map(|d| d.mask.as_ref());
                union(masks, frame.width(), frame.height()).compressed()
            });
            prediction
        });
        Ok(predictions.collect())
    }
}

/// Opens a file of predictions to go on with it.
fn resume(predictions: &Path) -> Result<Writer> {
    let writer = Writer::resume(predictions)?;
    warning::of_cut(predictions, writer.cut());
    Ok(writer)
}

/// Boxes of every object query in pixels, not clipped.
fn boxes_of(outputs: &RawOutputs, frame: &Frame) -> Vec<Bbox> {
    let (width, height) = (f64::from(frame.width()), f64::from(frame.height()));
    let corners = |b: &[f32; 4]| {
        let [cx, cy, w, h] = b.map(f64::from);
        Bbox {
            x0: (cx - w / 2.0) * width,
            y0: (cy - h / 2.0) * height,
            x1: (cx + w / 2.0) * width,
            y1: (cy + h / 2.0) * height,
        }
    };
    outputs.boxes.iter().map(corners).collect()
}

/// 1 - p(no object) of every object query.
fn scores_of(outputs: &RawOutputs) -> Vec<f64> {
    let none = |row: &Vec<f32>| f64::from(row.last().copied().unwrap_or(1.0));
    let rows = outputs.probabilities();
    rows.iter().map(|row| 1.0 - none(row)).collect()
}

/// For each phrase and object query, the highest probability among the phrase's tokens.
fn phrases(outputs: &RawOutputs, spans: &[Span]) -> Vec<PhraseScores> {
    let rows = outputs.probabilities();
    let scores = |span: &Span| {
        let inside = tokens_of_spans(&outputs.tokens, &[*span]);
        let best = |row: &Vec<f32>| inside.iter().map(|&t| row[t]).fold(0.0, f32::max);
        PhraseScores {
            scores: rows.iter().map(|row| f64::from(best(row))).collect(),
        }
    };
    spans.iter().map(scores).collect()
}

fn union<'a>(masks: impl Iterator<Item = &'a Rle>, width: u32, height: u32) -> Rle {
    let mut pixels = vec![0; width as usize * height as usize];
    for mask in masks {
        for (pixel, value) in pixels.iter_mut().zip(mask.decode()) {
            *pixel |= value;
        }
    }
    Rle::encode(&pixels, width, height)
}

fn classes(outputs: &RawOutputs) -> Answer {
    let class = |head: &str| {
        let logits = outputs.answers.get(head)?.iter().enumerate();
        let best = logits.reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        Some(best.0)
    };
    let yes = |logit: f32| 1.0 / (1.0 + (-f64::from(logit)).exp());
    let binary = outputs.answers.get("answer_binary");
    Answer {
        kind: class("answer_type"),
        obj: class("answer_obj"),
        attr: class("answer_attr"),
        rel: class("answer_rel"),
        global: class("answer_global"),
        cat: class("answer_cat"),
        reg: class("answer_reg"),
        binary: binary.and_then(|logits| logits.first()).map(|&l| yes(l)),
        ..Answer::default()
    }
}
