//! Average precision as pycocotools and lvis-api define it, by the crate hotcoco.

use std::sync::Arc;

use hotcoco::detection::{AccumulatedEval, EvalMode};
use hotcoco::params::{IouType, Params};
use hotcoco::{Annotation, COCO, COCOeval, Category, Dataset, Image, StreamingEval};

use crate::error::Error;

/// Place of each range of areas among pycocotools' defaults: all; below 32 x 32 pixels; up to
/// 96 x 96; above.
pub(crate) const AREAS: [usize; 4] = [0, 1, 2, 3];
/// Places of the IoU thresholds 0.5 and 0.75 among 0.5, 0.55, ..., 0.95.
pub(crate) const IOU_50: usize = 0;
pub(crate) const IOU_75: usize = 5;

/// The only category of an evaluation that tells no categories apart.
pub(crate) const CLASS: u64 = 1;

/// An object of the truth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object {
    pub(crate) image: u64,
    pub(crate) category: u64,
    pub(crate) xywh: [f64; 4],
    pub(crate) area: f64,
    pub(crate) crowd: bool,
}

/// A box that a model found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Detection {
    pub(crate) image: u64,
    pub(crate) category: u64,
    pub(crate) xywh: [f64; 4],
    pub(crate) score: f64,
}

/// A picture and, for LVIS, the categories that are known to be absent, and those of which not all
/// objects are annotated.
#[derive(Debug, Clone, Default)]
pub(crate) struct Picture {
    pub(crate) id: u64,
    pub(crate) absent: Vec<u64>,
    pub(crate) not_exhaustive: Vec<u64>,
}

fn failed(error: hotcoco::Error) -> Error {
    Error::AveragePrecision {
        message: error.to_string(),
    }
}

fn image(picture: &Picture) -> Image {
    Image {
        id: picture.id,
        neg_category_ids: picture.absent.clone(),
        not_exhaustive_category_ids: picture.not_exhaustive.clone(),
        ..Image::default()
    }
}

fn annotations(objects: &[Object]) -> Vec<Annotation> {
    let annotation = |(i, object): (usize, &Object)| Annotation {
        id: i as u64 + 1,
        image_id: object.image,
        category_id: object.category,
        bbox: Some(object.xywh),
        area: Some(object.area),
        iscrowd: object.crowd,
        ..Annotation::default()
    };
    objects.iter().enumerate().map(annotation).collect()
}

fn results(detections: &[Detection]) -> Vec<Annotation> {
    let result = |detection: &Detection| Annotation {
        image_id: detection.image,
        category_id: detection.category,
        bbox: Some(detection.xywh),
        score: Some(detection.score),
        ..Annotation::default()
    };
    detections.iter().map(result).collect()
}

/// Evaluation of objects and detections that are all of [`CLASS`], fed some pictures at a time.
pub(crate) struct ClassAgnostic(StreamingEval);

impl ClassAgnostic {
    pub(crate) fn new(max_detections: &[usize]) -> Result<ClassAgnostic, Error> {
        let mut params = Params::new(IouType::Bbox);
        params.max_dets = max_detections.to_vec();
        let category = Category {
            id: CLASS,
            name: "object".to_owned(),
            ..Category::default()
        };
        let eval = StreamingEval::new(params, EvalMode::Coco, vec![category]).map_err(failed)?;
        Ok(ClassAgnostic(eval))
    }

    pub(crate) fn add(
        &mut self,
        pictures: &[Picture],
        objects: &[Object],
        detections: &[Detection],
    ) -> Result<(), Error> {
        let images = pictures.iter().map(image).collect();
        let added = self
            .0
            .update(images, annotations(objects), results(detections));
        added.map_err(failed)
    }

    pub(crate) fn finish(self) -> Curves {
        let mut eval = self.0.finalize();
        eval.accumulate();
        Curves(eval)
    }
}

/// LVIS's federated evaluation of some categories, with all detections of a picture.
pub(crate) fn federated(
    categories: &[u64],
    pictures: &[Picture],
    objects: &[Object],
    detections: &[Detection],
) -> Result<Curves, Error> {
    let category = |&id: &u64| Category {
        id,
        name: id.to_string(),
        ..Category::default()
    };
    let truth = Arc::new(COCO::from_dataset(Dataset {
        images: pictures.iter().map(image).collect(),
        annotations: annotations(objects),
        categories: categories.iter().map(category).collect(),
        ..Dataset::default()
    }));
    let found = truth.load_res_anns(results(detections)).map_err(failed)?;
    let found = found.cap_detections_per_image(None);
    let mut eval = COCOeval::new_lvis(truth, found, IouType::Bbox);
    eval.params.max_dets = vec![detections.len().max(1)];
    eval.evaluate().map_err(failed)?;
    eval.accumulate();
    Ok(Curves(eval))
}

/// Precision and recall per threshold, category, range of areas and number of detections.
pub(crate) struct Curves(COCOeval);

impl Curves {
    fn accumulated(&self) -> Option<&AccumulatedEval> {
        self.0.accumulated()
    }

    /// The precisions at all levels of recall of one IoU threshold, or of all, for all categories
    /// in `of`.
    pub(crate) fn precision(
        &self,
        threshold: Option<usize>,
        area: usize,
        max_detections: usize,
        of: impl Fn(u64) -> bool,
    ) -> Mean {
        let Some(curves) = self.accumulated() else {
            return Mean::default();
        };
        let shape = &curves.shape;
        let mut mean = Mean::default();
        for t in (0..shape.t).filter(|&t| threshold.is_none_or(|wanted| wanted == t)) {
            for k in (0..shape.k).filter(|&k| curves.cat_ids.get(k).is_none_or(|&id| of(id))) {
                for r in 0..shape.r {
                    mean.add(curves.precision[shape.precision_idx(t, r, k, area, max_detections)]);
                }
            }
        }
        mean
    }

    /// The highest recalls of all IoU thresholds.
    pub(crate) fn recall(&self, area: usize, max_detections: usize) -> Mean {
        let mut mean = Mean::default();
        if let Some(curves) = self.accumulated() {
            let shape = &curves.shape;
            for t in 0..shape.t {
                for k in 0..shape.k {
                    mean.add(curves.recall[shape.recall_idx(t, k, area, max_detections)]);
                }
            }
        }
        mean
    }
}

/// A mean in the making.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    /// Adds a value; -1 stands for no truth, and is left out.
    fn add(&mut self, value: f64) {
        if value > -1.0 {
            self.sum += value;
            self.count += 1;
        }
    }

    pub(crate) fn merge(&mut self, other: Mean) {
        self.sum += other.sum;
        self.count += other.count;
    }

    pub(crate) fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}
