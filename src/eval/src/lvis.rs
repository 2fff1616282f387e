//! LVIS v1, few-shot: "fixed AP".
//!
//! Every category of every picture is a prompt ([`prompt`]), and every box of its answer a
//! detection of that category. The 10,000 best detections *of each category* over the whole data
//! set take part, with no limit per picture. The rest is LVIS's federated protocol: detections of a
//! category in a picture where it is neither annotated nor known to be absent are left out, and
//! those that match nothing are ignored where not all of its objects are annotated. The algorithm
//! is that of the crate hotcoco, which the tests hold against lvis-api.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::annotations::check_xywh;
use crate::ap::{AREAS, Curves, Detection, IOU_50, IOU_75, Mean, Object, Picture, federated};
use crate::error::Error;
use crate::files::{read_json, value_error};
use crate::predictions::Record;
use crate::sample::SampleId;
use crate::table::{Table, percent};

/// Detections of a category that take part.
const MAX_PER_CATEGORY: usize = 10_000;
/// Categories that are evaluated at a time, which bounds memory.
const BATCH: usize = 32;

/// The prompt for a category: its name without what is between the first `(` and the last `)`,
/// with spaces for underscores, and each two spaces replaced by one, once. A space at the end
/// stays: `bow_(weapon)` is prompted as `bow `.
pub fn prompt(name: &str) -> String {
    let name = match (name.find('('), name.rfind(')')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}{}", &name[..open], &name[close + 1..])
        }
        _ => name.to_owned(),
    };
    name.replace('_', " ").replace("  ", " ")
}

/// How often a category occurs in the training pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Frequency {
    /// In 1 to 10.
    #[serde(rename = "r")]
    Rare,
    /// In 11 to 100.
    #[serde(rename = "c")]
    Common,
    /// In more.
    #[serde(rename = "f")]
    Frequent,
}

/// A category.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Category {
    /// Its id.
    pub id: u64,
    /// Its name, such as `bow_(weapon)`.
    pub name: String,
    /// How often it occurs.
    pub frequency: Frequency,
}

/// The objects of a split.
#[derive(Debug, Clone)]
pub struct Truth {
    pictures: Vec<Picture>,
    /// Files of the pictures.
    files: HashMap<u64, String>,
    /// By category.
    objects: HashMap<u64, Vec<Object>>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct File {
    images: Vec<ImageEntry>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct ImageEntry {
    id: u64,
    /// Ends in the directory and name of the file, such as `val2017/000000397133.jpg`.
    #[serde(default)]
    coco_url: String,
    neg_category_ids: Vec<u64>,
    not_exhaustive_category_ids: Vec<u64>,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    area: f64,
}

impl Truth {
    /// Reads a file such as `lvis_v1_minival.json`.
    ///
    /// # Errors
    /// The file cannot be read; an id is given twice or is of nothing; a box is none.
    pub fn read(path: &Path) -> Result<Truth, Error> {
        let mut file: File = read_json(path)?;
        file.categories.sort_by_key(|category| category.id);
        let twice = |place: String, id: u64| value_error(path, place, "id", "another id", id);
        let mut categories = HashSet::new();
        for category in &file.categories {
            if !categories.insert(category.id) {
                return Err(twice("categories".to_owned(), category.id));
            }
        }
        let mut images = HashSet::new();
        for (i, image) in file.images.iter().enumerate() {
            if !images.insert(image.id) {
                return Err(twice(format!("images[{i}]"), image.id));
            }
        }
        let mut objects: HashMap<u64, Vec<Object>> = HashMap::new();
        for (i, annotation) in file.annotations.into_iter().enumerate() {
            let place = format!("annotations[{i}]");
            let Annotation {
                image_id,
                category_id,
                bbox,
                area,
            } = annotation;
            if !images.contains(&image_id) {
                let expected = "the id of one of images";
                return Err(value_error(path, place, "image_id", expected, image_id));
            }
            if !categories.contains(&category_id) {
                let expected = "the id of one of categories";
                return Err(value_error(
                    path,
                    place,
                    "category_id",
                    expected,
                    category_id,
                ));
            }
            check_xywh(path, &place, "bbox", bbox)?;
            objects.entry(category_id).or_default().push(Object {
                image: image_id,
                category: category_id,
                xywh: bbox,
                area,
                crowd: false,
            });
        }
        let path_of = |url: &str| {
            let mut parts = url.rsplitn(3, '/');
            let (name, directory) = (parts.next(), parts.next());
            let parts: Vec<&str> = directory.into_iter().chain(name).collect();
            parts.join("/")
        };
        let files = file
            .images
            .iter()
            .map(|image| (image.id, path_of(&image.coco_url)));
        let files = files.collect();
        let pictures = file.images.into_iter().map(|image| Picture {
            id: image.id,
            absent: image.neg_category_ids,
            not_exhaustive: image.not_exhaustive_category_ids,
        });
        Ok(Truth {
            pictures: pictures.collect(),
            files,
            objects,
            categories: file.categories,
        })
    }

    /// Id and file of each picture, in the order of the file; each is asked for all categories.
    pub fn pictures(&self) -> impl Iterator<Item = (SampleId, &str)> {
        let file = |id: u64| self.files.get(&id).map_or("", String::as_str);
        let pictures = self.pictures.iter();
        pictures.map(move |picture| (SampleId::from(picture.id), file(picture.id)))
    }

    /// Leaves out the pictures that `keep` refuses.
    pub fn retain(&mut self, keep: impl Fn(&SampleId) -> bool) {
        self.pictures
            .retain(|picture| keep(&SampleId::from(picture.id)));
        let kept: HashSet<u64> = self.pictures.iter().map(|picture| picture.id).collect();
        for objects in self.objects.values_mut() {
            objects.retain(|object| kept.contains(&object.image));
        }
    }

    /// The categories, by id.
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }
}

/// Average precisions; `None` where there is no truth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Report {
    /// Pictures.
    pub pictures: usize,
    /// Pictures without a prediction, counted as without a detection.
    pub missing: usize,
    /// Categories with fewer detections than take part: a model that was cut at a score or a
    /// number of boxes is not measured to the full.
    pub short_categories: usize,
    /// Over IoU thresholds 0.5, 0.55, ..., 0.95.
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
    /// Of rare categories.
    pub ap_rare: Option<f64>,
    /// Of common categories.
    pub ap_common: Option<f64>,
    /// Of frequent categories.
    pub ap_frequent: Option<f64>,
}

/// The best detections of a category, in the order they came.
#[derive(Default)]
struct Best(Vec<Detection>);

impl Best {
    fn push(&mut self, detection: Detection) {
        self.0.push(detection);
        if self.0.len() >= 2 * MAX_PER_CATEGORY {
            self.cut();
        }
    }

    /// Sorts by score, descending, the earlier of equal ones first, and keeps what takes part.
    fn cut(&mut self) {
        self.0.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.0.truncate(MAX_PER_CATEGORY);
    }
}

/// Scores predictions, one record per picture, which are not held in memory:
/// [`read_lines`](crate::read_lines). The first of two for the same picture counts.
///
/// # Errors
/// A record cannot be read, is of no picture of the truth, lacks boxes, scores or categories, or
/// names a category that there is not.
pub fn evaluate(
    truth: &Truth,
    records: impl IntoIterator<Item = Result<Record, Error>>,
) -> Result<Report, Error> {
    let mut pictures: HashMap<SampleId, u64> = HashMap::new();
    for picture in &truth.pictures {
        pictures.insert(SampleId::from(picture.id), picture.id);
    }
    let mut best: HashMap<u64, Best> = HashMap::new();
    for category in &truth.categories {
        best.insert(category.id, Best::default());
    }
    let mut seen = HashSet::new();
    for record in records {
        let record = record?;
        let Some(&image) = pictures.get(&record.prediction.id) else {
            return Err(record.error("id", "the id of a picture of the truth", "another"));
        };
        if seen.insert(image) {
            collect(&mut best, image, &record)?;
        }
    }
    let mut means = Means::default();
    let mut short_categories = 0;
    for categories in truth.categories.chunks(BATCH) {
        let mut detections = Vec::new();
        for category in categories {
            let mut best = best.remove(&category.id).unwrap_or_default();
            best.cut();
            short_categories += usize::from(best.0.len() < MAX_PER_CATEGORY);
            detections.extend(best.0);
        }
        means.add(
            &evaluate_categories(truth, categories, detections)?,
            categories,
        );
    }
    Ok(Report {
        pictures: truth.pictures.len(),
        missing: truth.pictures.len() - seen.len(),
        short_categories,
        ap: means.all.value(),
        ap_50: means.iou_50.value(),
        ap_75: means.iou_75.value(),
        ap_small: means.areas[0].value(),
        ap_medium: means.areas[1].value(),
        ap_large: means.areas[2].value(),
        ap_rare: means.frequencies[0].value(),
        ap_common: means.frequencies[1].value(),
        ap_frequent: means.frequencies[2].value(),
    })
}

fn collect(best: &mut HashMap<u64, Best>, image: u64, record: &Record) -> Result<(), Error> {
    let categories = record.prediction.categories.as_deref();
    let categories = categories
        .ok_or_else(|| record.error("categories", "a list of category ids", "nothing"))?;
    let (boxes, scores) = (record.boxes()?, record.scores()?);
    for (i, ((b, &score), &category)) in boxes.iter().zip(scores).zip(categories).enumerate() {
        let best = best.get_mut(&category).ok_or_else(|| {
            let expected = "the id of a category of the truth";
            record.error(format!("categories[{i}]"), expected, category)
        })?;
        best.push(Detection {
            image,
            category,
            xywh: b.to_xywh(),
            score,
        });
    }
    Ok(())
}

/// Evaluates a few categories, on the pictures that say anything about them.
fn evaluate_categories(
    truth: &Truth,
    categories: &[Category],
    mut detections: Vec<Detection>,
) -> Result<Curves, Error> {
    let ids: Vec<u64> = categories.iter().map(|category| category.id).collect();
    let objects = ids.iter().filter_map(|id| truth.objects.get(id)).flatten();
    let objects: Vec<Object> = objects.copied().collect();
    let annotated: HashSet<u64> = objects.iter().map(|object| object.image).collect();
    let among =
        |list: &[u64]| -> Vec<u64> { list.iter().copied().filter(|id| ids.contains(id)).collect() };
    let pictures = truth.pictures.iter().map(|picture| Picture {
        id: picture.id,
        absent: among(&picture.absent),
        not_exhaustive: among(&picture.not_exhaustive),
    });
    let pictures: Vec<Picture> = pictures
        .filter(|picture| !picture.absent.is_empty() || annotated.contains(&picture.id))
        .collect();
    let known: HashSet<u64> = pictures.iter().map(|picture| picture.id).collect();
    detections.retain(|detection| known.contains(&detection.image));
    federated(&ids, &pictures, &objects, &detections)
}

#[derive(Default)]
struct Means {
    all: Mean,
    iou_50: Mean,
    iou_75: Mean,
    areas: [Mean; 3],
    frequencies: [Mean; 3],
}

impl Means {
    fn add(&mut self, curves: &Curves, categories: &[Category]) {
        let [all, small, medium, large] = AREAS;
        let everything = |_| true;
        self.all.merge(curves.precision(None, all, 0, everything));
        self.iou_50
            .merge(curves.precision(Some(IOU_50), all, 0, everything));
        self.iou_75
            .merge(curves.precision(Some(IOU_75), all, 0, everything));
        for (mean, area) in self.areas.iter_mut().zip([small, medium, large]) {
            mean.merge(curves.precision(None, area, 0, everything));
        }
        let frequencies = [Frequency::Rare, Frequency::Common, Frequency::Frequent];
        for (mean, frequency) in self.frequencies.iter_mut().zip(frequencies) {
            let is = |id| {
                categories
                    .iter()
                    .any(|c| c.id == id && c.frequency == frequency)
            };
            mean.merge(curves.precision(None, all, 0, is));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            "AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf",
        ];
        let values = [
            self.ap,
            self.ap_50,
            self.ap_75,
            self.ap_small,
            self.ap_medium,
            self.ap_large,
            self.ap_rare,
            self.ap_common,
            self.ap_frequent,
        ];
        let mut table = Table::new(["LVIS fixed AP, %"].into_iter().chain(names));
        let row = ["boxes".to_owned()];
        table.row(row.into_iter().chain(values.map(percent)));
        write!(f, "{table}")?;
        writeln!(
            f,
            "{} pictures, {} without a prediction; {} categories with fewer than {MAX_PER_CATEGORY} detections",
            self.pictures, self.missing, self.short_categories
        )
    }
}
