//! Class-agnostic average precision, pycocotools' with `useCats` off.
//!
//! All boxes of a sample take part, at most the 100 best; the pre-training table of the paper's
//! repository prints `ap_50` as "AP". The algorithm is that of the crate hotcoco, which the tests
//! hold against pycocotools.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::annotations::{Annotations, ImageEntry};
use crate::ap::{AREAS, CLASS, ClassAgnostic, Detection, IOU_50, IOU_75, Object, Picture};
use crate::error::Error;
use crate::predictions::Predictions;
use crate::sample::{Sample, SampleId};
use crate::table::{Table, percent};

/// Numbers of boxes that recall is measured at; precision at the last.
const MAX_DETECTIONS: [usize; 3] = [1, 10, 100];
/// Pictures that are matched at a time.
const BATCH: usize = 64;

/// The objects of an annotation file.
#[derive(Debug, Clone)]
pub struct Truth {
    entries: Vec<Entry>,
    objects: HashMap<u64, Vec<Object>>,
}

#[derive(Debug, Clone)]
struct Entry {
    image: u64,
    sample: Sample,
}

impl Truth {
    /// Reads an annotation file. Crowds take part as pycocotools has it: boxes that match one
    /// count for nothing.
    ///
    /// # Errors
    /// The file is no annotation file.
    pub fn read(path: &Path) -> Result<Truth, Error> {
        let file = Annotations::read(path)?;
        let entry = |image: &ImageEntry| Entry {
            image: image.id,
            sample: image.sample(),
        };
        let mut objects: HashMap<u64, Vec<Object>> = HashMap::new();
        for annotation in &file.annotations {
            let [_, _, width, height] = annotation.bbox;
            objects
                .entry(annotation.image_id)
                .or_default()
                .push(Object {
                    image: annotation.image_id,
                    category: CLASS,
                    xywh: annotation.bbox,
                    area: annotation.area.unwrap_or(width * height),
                    crowd: annotation.iscrowd != 0,
                });
        }
        Ok(Truth {
            entries: file.images.iter().map(entry).collect(),
            objects,
        })
    }

    /// What a model is asked, in the order of the file.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.entries.iter().map(|e| &e.sample)
    }

    /// Leaves out the samples that `keep` refuses.
    pub fn retain(&mut self, keep: impl Fn(&SampleId) -> bool) {
        self.entries.retain(|e| keep(&e.sample.id));
    }
}

/// pycocotools' twelve numbers; `None` where there is no truth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Report {
    /// Samples.
    pub samples: usize,
    /// Average precision over IoU thresholds 0.5, 0.55, ..., 0.95.
    pub ap: Option<f64>,
    /// At an IoU of 0.5.
    pub ap_50: Option<f64>,
    /// At an IoU of 0.75.
    pub ap_75: Option<f64>,
    /// Of objects below 32 x 32 pixels.
    pub ap_small: Option<f64>,
    /// Of objects of 32 x 32 to 96 x 96 pixels.
    pub ap_medium: Option<f64>,
    /// Of objects above 96 x 96 pixels.
    pub ap_large: Option<f64>,
    /// Average recall of the best box.
    pub ar_1: Option<f64>,
    /// Of the best 10.
    pub ar_10: Option<f64>,
    /// Of the best 100.
    pub ar_100: Option<f64>,
    /// Of objects below 32 x 32 pixels.
    pub ar_small: Option<f64>,
    /// Of objects of 32 x 32 to 96 x 96 pixels.
    pub ar_medium: Option<f64>,
    /// Of objects above 96 x 96 pixels.
    pub ar_large: Option<f64>,
}

/// Scores predictions.
///
/// # Errors
/// A sample has no prediction, or a prediction lacks boxes or scores.
pub fn evaluate(truth: &Truth, predictions: &Predictions) -> Result<Report, Error> {
    let records = predictions.of(truth.samples())?;
    let mut evaluation = ClassAgnostic::new(&MAX_DETECTIONS)?;
    for (entries, records) in truth.entries.chunks(BATCH).zip(records.chunks(BATCH)) {
        let mut pictures = Vec::new();
        let mut objects = Vec::new();
        let mut detections = Vec::new();
        for (&Entry { image, .. }, record) in entries.iter().zip(records) {
            pictures.push(Picture {
                id: image,
                ..Picture::default()
            });
            objects.extend(truth.objects.get(&image).into_iter().flatten());
            for (b, &score) in record.boxes()?.iter().zip(record.scores()?) {
                detections.push(Detection {
                    image,
                    category: CLASS,
                    xywh: b.to_xywh(),
                    score,
                });
            }
        }
        evaluation.add(&pictures, &objects, &detections)?;
    }
    let curves = evaluation.finish();
    let last = MAX_DETECTIONS.len() - 1;
    let [all, small, medium, large] = AREAS;
    let ap = |threshold, area| curves.precision(threshold, area, last, |_| true).value();
    let ar = |area, max_detections| curves.recall(area, max_detections).value();
    Ok(Report {
        samples: truth.entries.len(),
        ap: ap(None, all),
        ap_50: ap(Some(IOU_50), all),
        ap_75: ap(Some(IOU_75), all),
        ap_small: ap(None, small),
        ap_medium: ap(None, medium),
        ap_large: ap(None, large),
        ar_1: ar(all, 0),
        ar_10: ar(all, 1),
        ar_100: ar(all, last),
        ar_small: ar(small, last),
        ar_medium: ar(medium, last),
        ar_large: ar(large, last),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["class-agnostic, %", "all", "small", "medium", "large"]);
        let mut row = |name: &str, values: [Option<f64>; 4]| {
            table.row([name.to_owned()].into_iter().chain(values.map(percent)));
        };
        row(
            "AP",
            [self.ap, self.ap_small, self.ap_medium, self.ap_large],
        );
        row("AP50", [self.ap_50, None, None, None]);
        row("AP75", [self.ap_75, None, None, None]);
        row("AR@1", [self.ar_1, None, None, None]);
        row("AR@10", [self.ar_10, None, None, None]);
        row(
            "AR@100",
            [self.ar_100, self.ar_small, self.ar_medium, self.ar_large],
        );
        write!(f, "{table}")
    }
}
