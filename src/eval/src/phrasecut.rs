//! PhraseCut: masks of everything that a phrase refers to.
//!
//! The true mask is the union of a task's polygons, vertices truncated to integers, filled and
//! outlined ([`fill_polygon`]); polygons of fewer than 2 points are skipped. Per task, I and U are
//! pixels of the intersection and the union, and IoU = I / U, 0 where I = 0. M-IoU is the mean over
//! tasks, cumulative IoU the sum of I over the sum of U, precision the share of tasks whose IoU is
//! *above* a threshold. A task without a prediction counts as one with an empty mask.
//!
//! The official box variant compares unions of boxes on a pixel grid, with quirks that change the
//! numbers and are kept: see [`Options::boxes`].

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::annotations::check_xywh;
use crate::error::Error;
use crate::files::{MAX_PIXELS, is_size, read_json, value_error};
use crate::geometry::Bbox;
use crate::predictions::{Predictions, Record};
use crate::raster::{Canvas, fill_polygon};
use crate::sample::{Sample, SampleId};
use crate::table::{Table, percent};

/// IoU thresholds of the precisions.
const THRESHOLDS: [f64; 5] = [0.5, 0.6, 0.7, 0.8, 0.9];

/// Longest side of a picture whose size is not known.
const MAX_UNKNOWN_SIDE: f64 = 4096.0;

/// How predictions are scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Of predictions with `scores`, the boxes and masks scored *above* this are kept.
    pub score_threshold: f64,
    /// Also score boxes, by the official rule: a box `[x, y, w, h]` paints rows `int(y)` to
    /// `int(y + h - 1)` and columns `int(x)` to `int(x + w - 1)`, the last one excluded, so that
    /// 5 x 5 pixels paint 16; on a canvas of `int(max(x + w - 1) + 1)` by
    /// `int(max(y + h - 1) + 1)` pixels over predicted and true boxes; with Python's slices, so
    /// that a negative index counts from the far side and the box mostly paints nothing.
    pub boxes: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            score_threshold: 0.7,
            boxes: false,
        }
    }
}

/// The tasks of a split.
#[derive(Debug, Clone)]
pub struct Truth {
    path: PathBuf,
    tasks: Vec<Task>,
    sizes: HashMap<u64, [u32; 2]>,
}

#[derive(Debug, Clone)]
struct Task {
    sample: Sample,
    image_id: u64,
    polygons: Vec<Vec<Vec<[f64; 2]>>>,
    instance_boxes: Vec<[f64; 4]>,
}

#[derive(Deserialize)]
struct Entry {
    task_id: SampleId,
    image_id: u64,
    #[serde(default)]
    phrase: String,
    /// Per instance and polygon, its vertices.
    #[serde(rename = "Polygons")]
    polygons: Vec<Vec<Vec<[f64; 2]>>>,
    /// `[x, y, width, height]` per instance.
    #[serde(default)]
    instance_boxes: Vec<[f64; 4]>,
}

#[derive(Deserialize)]
struct ImageData {
    image_id: u64,
    width: u32,
    height: u32,
}

impl Truth {
    /// Reads `refer_{split}.json` and, for the sizes of pictures, `image_data_split.json`. Without
    /// the latter, the size is that of the prediction, and of a task without one, the smallest that
    /// holds its polygons, of at most 4096 pixels a side.
    ///
    /// # Errors
    /// A file cannot be read or is not in its format.
    pub fn read(refer: &Path, image_data: Option<&Path>) -> Result<Truth, Error> {
        let mut tasks = Vec::new();
        for entry in read_json::<Vec<Entry>>(refer)? {
            let place = format!("task {:?}", entry.task_id.as_str());
            for &bbox in &entry.instance_boxes {
                check_xywh(refer, &place, "instance_boxes", bbox)?;
            }
            tasks.push(Task {
                sample: Sample {
                    id: entry.task_id,
                    image: format!("{}.jpg", entry.image_id),
                    text: entry.phrase,
                },
                image_id: entry.image_id,
                polygons: entry.polygons,
                instance_boxes: entry.instance_boxes,
            });
        }
        let mut sizes = HashMap::new();
        if let Some(path) = image_data {
            let images: Vec<ImageData> = read_json(path)?;
            for image in images {
                if !is_size(image.width, image.height) {
                    let place = format!("image {}", image.image_id);
                    let found = format!("{} x {}", image.width, image.height);
                    let expected = "sides of 1 to 16384 pixels";
                    return Err(value_error(
                        path,
                        place,
                        "width and height",
                        expected,
                        found,
                    ));
                }
                sizes.insert(image.image_id, [image.width, image.height]);
            }
        }
        Ok(Truth {
            path: refer.to_owned(),
            tasks,
            sizes,
        })
    }

    /// What a model is asked, in the order of the file.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.tasks.iter().map(|t| &t.sample)
    }

    /// Leaves out the samples that `keep` refuses.
    pub fn retain(&mut self, keep: impl Fn(&SampleId) -> bool) {
        self.tasks.retain(|t| keep(&t.sample.id));
    }
}

/// Numbers over all tasks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Tasks of the split.
    pub tasks: usize,
    /// Tasks without a prediction, counted as empty.
    pub missing: usize,
    /// Of masks.
    pub masks: Figures,
    /// Of boxes, if asked for.
    pub boxes: Option<Figures>,
}

/// Overlap of predicted and true regions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Mean over tasks of the IoU.
    pub mean_iou: Option<f64>,
    /// Sum of intersections over sum of unions.
    pub cumulative_iou: Option<f64>,
    /// Shares of tasks with an IoU above 0.5, 0.6, 0.7, 0.8 and 0.9.
    pub precision: [Option<f64>; 5],
}

/// Pixels in both of two regions, and in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Overlap {
    intersection: u64,
    union: u64,
}

impl Overlap {
    fn of(a: &[u8], b: &[u8]) -> Overlap {
        let count = |combine: fn(u8, u8) -> u8| {
            let pairs = a.iter().zip(b);
            pairs.map(|(&a, &b)| u64::from(combine(a, b))).sum()
        };
        Overlap {
            intersection: count(|a, b| a & b),
            union: count(|a, b| a | b),
        }
    }

    fn iou(self) -> f64 {
        match self.intersection {
            0 => 0.0,
            intersection => intersection as f64 / self.union as f64,
        }
    }
}

impl Figures {
    fn of(overlaps: &[Overlap]) -> Figures {
        let n = overlaps.len() as f64;
        let mean = |sum: f64| (n > 0.0).then(|| sum / n);
        let union: u64 = overlaps.iter().map(|o| o.union).sum();
        let intersection: u64 = overlaps.iter().map(|o| o.intersection).sum();
        Figures {
            mean_iou: mean(overlaps.iter().map(|o| o.iou()).sum()),
            cumulative_iou: (union > 0).then(|| intersection as f64 / union as f64),
            precision: THRESHOLDS
                .map(|t| mean(overlaps.iter().filter(|o| o.iou() > t).count() as f64)),
        }
    }
}

/// Scores predictions.
///
/// # Errors
/// A prediction lacks what is scored, or has a mask of another size than the picture.
pub fn evaluate(
    truth: &Truth,
    predictions: &Predictions,
    options: Options,
) -> Result<Report, Error> {
    let mut masks = Vec::new();
    let mut boxes = Vec::new();
    let mut missing = 0;
    for task in &truth.tasks {
        let record = predictions.get(&task.sample.id);
        missing += usize::from(record.is_none());
        masks.push(mask_overlap(truth, task, record, options.score_threshold)?);
        if options.boxes {
            boxes.push(box_overlap(truth, task, record, options.score_threshold)?);
        }
    }
    Ok(Report {
        tasks: truth.tasks.len(),
        missing,
        masks: Figures::of(&masks),
        boxes: options.boxes.then(|| Figures::of(&boxes)),
    })
}

fn kept<'a, T>(record: &Record, items: &'a [T], threshold: f64) -> Vec<&'a T> {
    match &record.prediction.scores {
        Some(scores) => {
            let scored = items.iter().zip(scores);
            scored
                .filter(|&(_, &s)| s > threshold)
                .map(|(item, _)| item)
                .collect()
        }
        None => items.iter().collect(),
    }
}

fn mask_overlap(
    truth: &Truth,
    task: &Task,
    record: Option<&Record>,
    threshold: f64,
) -> Result<Overlap, Error> {
    let known = truth.sizes.get(&task.image_id).copied();
    let predicted = match record {
        Some(record) => predicted_mask(record, known, threshold)?,
        None => {
            let [width, height] = known.unwrap_or_else(|| smallest_size(task));
            Canvas::new(width, height)
        }
    };
    let mut canvas = Canvas::new(predicted.width, predicted.height);
    for polygon in task.polygons.iter().flatten().filter(|p| p.len() >= 2) {
        fill_polygon(&mut canvas, polygon);
    }
    Ok(Overlap::of(&canvas.pixels, &predicted.pixels))
}

/// The union of the kept masks, of size `known` if it is.
fn predicted_mask(
    record: &Record,
    known: Option<[u32; 2]>,
    threshold: f64,
) -> Result<Canvas, Error> {
    let prediction = &record.prediction;
    let masks = match (&prediction.mask, &prediction.masks) {
        (Some(mask), _) => vec![mask],
        (None, Some(masks)) => kept(record, masks, threshold),
        (None, None) => return Err(record.error("mask", "a mask or masks", "nothing")),
    };
    let first = masks.first().map(|mask| [mask.size[1], mask.size[0]]);
    let Some([width, height]) = known.or(prediction.size).or(first) else {
        return Err(record.error("size", "[width, height]", "nothing"));
    };
    if !is_size(width, height) {
        let found = format!("[{width}, {height}]");
        return Err(record.error("size", "sides of 1 to 16384 pixels", found));
    }
    let mut canvas = Canvas::new(width, height);
    for mask in masks {
        let rle = record.rle("mask", mask)?;
        if [rle.width, rle.height] != [width, height] {
            let expected = format!("[{height}, {width}]");
            return Err(record.error("mask.size", expected, format!("{:?}", mask.size)));
        }
        for (pixel, value) in canvas.pixels.iter_mut().zip(rle.decode()) {
            *pixel |= value;
        }
    }
    Ok(canvas)
}

fn smallest_size(task: &Task) -> [u32; 2] {
    let vertices = task.polygons.iter().flatten().flatten();
    let far = vertices.fold([0.0, 0.0], |far: [f64; 2], v| {
        [far[0].max(v[0]), far[1].max(v[1])]
    });
    let [width, height] = far.map(|v| (v + 1.0).min(MAX_UNKNOWN_SIDE) as u32);
    [width.max(1), height.max(1)]
}

fn box_overlap(
    truth: &Truth,
    task: &Task,
    record: Option<&Record>,
    threshold: f64,
) -> Result<Overlap, Error> {
    let predicted: Vec<[f64; 4]> = match record {
        Some(record) => kept(record, record.boxes()?, threshold)
            .into_iter()
            .map(|b: &Bbox| b.to_xywh())
            .collect(),
        None => Vec::new(),
    };
    let both = || predicted.iter().chain(&task.instance_boxes);
    let side = |axis: usize| {
        let far = both().map(|b| b[axis] + b[axis + 2] - 1.0);
        far.fold(-1.0, f64::max) + 1.0
    };
    let [width, height] = [side(0), side(1)].map(f64::trunc);
    if width * height > MAX_PIXELS as f64 || width.max(height) > f64::from(u32::MAX) {
        let found = format!("{width} x {height}");
        let expected = format!("boxes within {MAX_PIXELS} pixels");
        return Err(match record {
            Some(record) => record.error("boxes", expected, found),
            None => {
                let place = format!("task {:?}", task.sample.id.as_str());
                value_error(&truth.path, place, "instance_boxes", expected, found)
            }
        });
    }
    let paint = |boxes: &[[f64; 4]]| {
        let mut canvas = Canvas::new(width as u32, height as u32);
        for &[x, y, w, h] in boxes {
            let rows = python_slice(y as i64, (y + h - 1.0) as i64, height as i64);
            let columns = python_slice(x as i64, (x + w - 1.0) as i64, width as i64);
            for row in rows {
                canvas.pixels[row * width as usize..][columns.clone()].fill(1);
            }
        }
        canvas
    };
    let (predicted, actual) = (paint(&predicted), paint(&task.instance_boxes));
    Ok(Overlap::of(&predicted.pixels, &actual.pixels))
}

/// The indices that Python's `[start:stop]` takes of `length` items.
fn python_slice(start: i64, stop: i64, length: i64) -> std::ops::Range<usize> {
    let index = |i: i64| {
        let i = if i < 0 { i.saturating_add(length) } else { i };
        i.clamp(0, length) as usize
    };
    let (start, stop) = (index(start), index(stop));
    start..stop.max(start)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut header = vec!["PhraseCut, %".to_owned(), "M-IoU".into(), "cum-IoU".into()];
        header.extend(THRESHOLDS.map(|t| format!("P@{t}")));
        let mut table = Table::new(header);
        let rows = [("masks", Some(&self.masks)), ("boxes", self.boxes.as_ref())];
        for (name, figures) in rows {
            let Some(figures) = figures else { continue };
            let mut cells = vec![name.to_owned()];
            cells.extend([figures.mean_iou, figures.cumulative_iou].map(percent));
            cells.extend(figures.precision.map(percent));
            table.row(cells);
        }
        write!(f, "{table}")?;
        writeln!(
            f,
            "{} tasks, {} without a prediction",
            self.tasks, self.missing
        )
    }
}
