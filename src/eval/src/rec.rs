//! Referring expressions: RefCOCO, RefCOCO+, RefCOCOg and CLEVR-Ref+.
//!
//! One expression is one sample with one box. The boxes are ranked by score, descending, and boxes
//! of equal score by their coordinates, descending. A sample is hit at k if the overlap of one of
//! the first k boxes with the true one is 0.5 or more. The official accuracy takes the *generalised*
//! IoU for the overlap; the accuracy by plain IoU, which other work reports, stands beside it.
//! Which words a box answers to does not matter.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::annotations::Annotations;
use crate::error::Error;
use crate::files::value_error;
use crate::geometry::Bbox;
use crate::predictions::{Predictions, Record};
use crate::ratio::{AtK, KS};
use crate::sample::{Sample, SampleId};
use crate::table::Table;

const THRESHOLD: f64 = 0.5;

/// Which data set the expressions are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// RefCOCO and its kin: each entry has one object; boxes are ranked by `scores`.
    RefCoco,
    /// CLEVR-Ref+: entries that have not exactly one object are left out; boxes are ranked by
    /// `refexp_scores`.
    ClevrRef,
}

/// Expressions and what they refer to.
#[derive(Debug, Clone)]
pub struct Truth {
    task: Task,
    expressions: Vec<Expression>,
    left_out: usize,
}

#[derive(Debug, Clone)]
struct Expression {
    sample: Sample,
    dataset: String,
    target: Bbox,
}

impl Truth {
    /// Reads a file such as `finetune_refcoco_val.json`.
    ///
    /// # Errors
    /// The file is no annotation file, or an entry of [`Task::RefCoco`] has not one object.
    pub fn read(path: &Path, task: Task) -> Result<Truth, Error> {
        let file = Annotations::read(path)?;
        let mut objects: HashMap<u64, Vec<Bbox>> = HashMap::new();
        for annotation in &file.annotations {
            let target = Bbox::from_xywh(annotation.bbox);
            objects.entry(annotation.image_id).or_default().push(target);
        }
        let mut truth = Truth {
            task,
            expressions: Vec::new(),
            left_out: 0,
        };
        for (i, image) in file.images.iter().enumerate() {
            let objects = objects.get(&image.id).map_or(&[][..], Vec::as_slice);
            match objects {
                [target] => truth.expressions.push(Expression {
                    sample: image.sample(),
                    dataset: image.dataset_name.clone().unwrap_or("unnamed".to_owned()),
                    target: *target,
                }),
                _ if task == Task::ClevrRef => truth.left_out += 1,
                _ => {
                    let place = format!("images[{i}] (id {})", image.id);
                    let found = objects.len();
                    return Err(value_error(path, place, "annotations", "exactly 1", found));
                }
            }
        }
        Ok(truth)
    }

    /// What a model is asked, in the order of the file.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.expressions.iter().map(|e| &e.sample)
    }

    /// Leaves out the samples that `keep` refuses.
    pub fn retain(&mut self, keep: impl Fn(&SampleId) -> bool) {
        self.expressions.retain(|e| keep(&e.sample.id));
    }
}

/// Accuracies, per data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// By name of the data set.
    pub datasets: BTreeMap<String, Accuracy>,
    /// Entries without exactly one object.
    pub left_out: usize,
}

/// Accuracies on one data set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accuracy {
    /// Expressions.
    pub samples: u64,
    /// The official rule: generalised IoU of 0.5 or more.
    pub official_giou: AtK,
    /// Plain IoU of 0.5 or more.
    pub plain_iou: AtK,
}

#[derive(Default)]
struct Counts {
    samples: u64,
    giou: [u64; 3],
    iou: [u64; 3],
}

/// Scores predictions.
///
/// # Errors
/// A sample has no prediction, or a prediction lacks boxes or scores.
pub fn evaluate(truth: &Truth, predictions: &Predictions) -> Result<Report, Error> {
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    let records = predictions.of(truth.samples())?;
    for (expression, record) in truth.expressions.iter().zip(records) {
        let boxes = ranked(truth.task, record)?;
        let counts = counts.entry(&expression.dataset).or_default();
        counts.samples += 1;
        count_hits(&mut counts.giou, &boxes, |b| b.giou(expression.target));
        count_hits(&mut counts.iou, &boxes, |b| b.iou(expression.target));
    }
    let datasets = counts.into_iter().map(|(name, counts)| {
        let accuracy = Accuracy {
            samples: counts.samples,
            official_giou: AtK::of(counts.giou, counts.samples),
            plain_iou: AtK::of(counts.iou, counts.samples),
        };
        (name.to_owned(), accuracy)
    });
    Ok(Report {
        datasets: datasets.collect(),
        left_out: truth.left_out,
    })
}

fn ranked(task: Task, record: &Record) -> Result<Vec<Bbox>, Error> {
    let scores = match task {
        Task::RefCoco => record.scores()?,
        Task::ClevrRef => {
            let scores = record.prediction.refexp_scores.as_deref();
            scores.ok_or_else(|| record.error("refexp_scores", "a list of numbers", "nothing"))?
        }
    };
    let mut ranked: Vec<(f64, Bbox)> = scores
        .iter()
        .copied()
        .zip(record.boxes()?.iter().copied())
        .collect();
    ranked.sort_by(|a, b| b.partial_cmp(a).expect("scores and boxes are finite"));
    Ok(ranked.into_iter().map(|(_, b)| b).collect())
}

fn count_hits(hits: &mut [u64; 3], boxes: &[Bbox], overlap: impl Fn(&Bbox) -> f64) {
    let first = boxes.iter().position(|b| overlap(b) >= THRESHOLD);
    for (hits, k) in hits.iter_mut().zip(KS) {
        *hits += u64::from(first.is_some_and(|first| first < k));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["accuracy, %", "rule", "samples", "@1", "@5", "@10"]);
        for (name, accuracy) in &self.datasets {
            let rules = [
                ("GIoU >= 0.5 (official)", accuracy.official_giou),
                ("IoU >= 0.5", accuracy.plain_iou),
            ];
            for (rule, at) in rules {
                let samples = accuracy.samples.to_string();
                let cells = [name.clone(), rule.to_owned(), samples];
                table.row(cells.into_iter().chain(at.cells()));
            }
        }
        write!(f, "{table}")
    }
}
