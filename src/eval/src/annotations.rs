//! MDETR's COCO-style annotation files: an image entry per caption, and its objects.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;
use crate::files::{MAX_COORDINATE, is_size, read_json, value_error};
use crate::sample::{Sample, SampleId};

/// A half-open range of code points of a caption.
pub type Span = [usize; 2];

/// An annotation file.
#[derive(Debug, Clone)]
pub struct Annotations {
    /// The file.
    pub path: PathBuf,
    /// One per caption, in the order of the file.
    pub images: Vec<ImageEntry>,
    /// The objects, in the order of the file.
    pub annotations: Vec<Annotation>,
    /// Ids of the categories; often only 1, the object.
    pub categories: Vec<u64>,
}

/// A picture with a caption; a picture with several captions has several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ImageEntry {
    /// Id of the entry.
    pub id: u64,
    /// Width of the picture in pixels.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
    /// File of the picture.
    #[serde(default)]
    pub file_name: String,
    /// The text.
    #[serde(default)]
    pub caption: Option<String>,
    /// The data set that the caption is of, such as `refcoco+`.
    #[serde(default)]
    pub dataset_name: Option<String>,
    /// Id of the picture in the original data set.
    #[serde(default, alias = "original_img_id")]
    pub original_id: Option<serde_json::Value>,
    /// Flickr30k: index of the sentence.
    #[serde(default)]
    pub sentence_id: Option<serde_json::Value>,
    /// Flickr30k: spans of each phrase that is evaluated.
    #[serde(default)]
    pub tokens_positive_eval: Option<Vec<Vec<Span>>>,
    /// Spans of words that refer to something.
    #[serde(default)]
    pub tokens_negative: Option<Vec<Span>>,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Annotation {
    /// Id of the object.
    pub id: u64,
    /// The entry that it belongs to.
    pub image_id: u64,
    /// `[x, y, width, height]` in pixels.
    pub bbox: [f64; 4],
    /// Area in pixels, of the mask where there is one.
    #[serde(default)]
    pub area: Option<f64>,
    /// 1 for a crowd.
    #[serde(default)]
    pub iscrowd: u8,
    /// Category.
    #[serde(default)]
    pub category_id: u64,
    /// Spans of the words that refer to it.
    #[serde(default)]
    pub tokens_positive: Option<Vec<Span>>,
}

#[derive(Deserialize)]
struct File {
    images: Vec<ImageEntry>,
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
}

impl ImageEntry {
    pub(crate) fn sample(&self) -> Sample {
        Sample {
            id: SampleId::from(self.id),
            image: self.file_name.clone(),
            text: self.caption.clone().unwrap_or_default(),
        }
    }
}

impl Annotations {
    /// Reads a file such as `finetune_refcoco_val.json`.
    ///
    /// # Errors
    /// The file cannot be read; an id is given twice, an object belongs to no entry, a size or box
    /// is none.
    pub fn read(path: &Path) -> Result<Annotations, Error> {
        let file: File = read_json(path)?;
        let mut entries = HashMap::new();
        for (i, image) in file.images.iter().enumerate() {
            let place = format!("images[{i}] (id {})", image.id);
            if !is_size(image.width, image.height) {
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
            if let Some(first) = entries.insert(image.id, i) {
                let expected = format!("an id other than that of images[{first}]");
                return Err(value_error(path, place, "id", expected, image.id));
            }
            let eval = image.tokens_positive_eval.iter().flatten().flatten();
            check_spans(
                path,
                &place,
                eval.chain(image.tokens_negative.iter().flatten()),
            )?;
        }
        for (i, annotation) in file.annotations.iter().enumerate() {
            let place = format!("annotations[{i}] (id {})", annotation.id);
            if !entries.contains_key(&annotation.image_id) {
                let expected = "the id of one of images";
                let found = annotation.image_id;
                return Err(value_error(path, place, "image_id", expected, found));
            }
            check_xywh(path, &place, "bbox", annotation.bbox)?;
            check_spans(path, &place, annotation.tokens_positive.iter().flatten())?;
        }
        Ok(Annotations {
            path: path.to_owned(),
            images: file.images,
            annotations: file.annotations,
            categories: file.categories.into_iter().map(|c| c.id).collect(),
        })
    }
}

fn check_spans<'a>(
    path: &Path,
    place: &str,
    spans: impl Iterator<Item = &'a Span>,
) -> Result<(), Error> {
    for span in spans {
        if span[0] > span[1] {
            let found = format!("{span:?}");
            return Err(value_error(path, place, "span", "[begin, end]", found));
        }
    }
    Ok(())
}

/// An error unless a box has no negative side and no coordinate that is absurd.
pub(crate) fn check_xywh(
    path: &Path,
    place: &str,
    field: &str,
    bbox: [f64; 4],
) -> Result<(), Error> {
    let near = |v: &f64| v.abs() <= MAX_COORDINATE;
    if bbox.iter().all(near) && bbox[2] >= 0.0 && bbox[3] >= 0.0 {
        return Ok(());
    }
    let found = format!("{bbox:?}");
    let expected = "[x, y, width, height] with sides of 0 or more, of at most 10000000";
    Err(value_error(path, place, field, expected, found))
}
