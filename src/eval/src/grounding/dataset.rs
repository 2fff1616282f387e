//! Data sets in MDETR's COCO-style format, as `mdetr scenes dataset` writes them: `annotations.json`
//! beside a directory `images`.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use mdetr_grounding::query::excerpt;
use mdetr_grounding::{BBox, CompressedRle, Rle, Span};
use serde::Deserialize;

/// Largest file that is read: 1 GiB.
const MAX_BYTES: u64 = 1 << 30;
const ANNOTATIONS: &str = "annotations.json";
const IMAGES: &str = "images";
/// What `dataset_name` starts with; the rest is the kind of caption.
const NAME_PREFIX: &str = "tabletop-";

/// Why a data set cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}; give a directory that `mdetr scenes dataset` or `mdetr scenes clips` wrote", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any data set.
    #[error("{}: {found} bytes, expected at most {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Most bytes allowed.
        limit: u64,
        /// Bytes found.
        found: u64,
    },
    /// The file is not in this format.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
}

/// A caption of a picture, and what its words refer to.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The text.
    pub caption: String,
    /// Kind of caption, such as `relation`.
    pub kind: String,
    /// The answer, if it is a question.
    pub answer: Option<String>,
    /// The phrases that refer to something, each with its spans in the caption.
    pub phrases: Vec<Vec<Span>>,
    /// The objects that are referred to.
    pub objects: Vec<Object>,
}

/// An object that a caption refers to.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Where it is, in pixels.
    pub bbox: BBox,
    /// The words that refer to it.
    pub spans: Vec<Span>,
    /// Its visible pixels, if the data set has them.
    pub mask: Option<Rle>,
    /// Whether it is hidden: the box is one that it had last.
    pub hidden: bool,
}

/// A picture and its captions.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The image file.
    pub path: PathBuf,
    /// Its captions.
    pub examples: Vec<Example>,
}

#[derive(Deserialize)]
struct Annotations {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
    caption: String,
    dataset_name: String,
    tokens_positive_eval: Vec<Vec<Span>>,
    answer: Option<String>,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    bbox: [f32; 4],
    tokens_positive: Vec<Span>,
    segmentation: Option<CompressedRle>,
}

/// Reads the data set in `dir`: its pictures in the order of the file, at most `limit` of them.
pub fn read(dir: &Path, limit: Option<usize>) -> Result<Vec<Picture>, DatasetError> {
    let path = dir.join(ANNOTATIONS);
    let json = read_bounded(&path)?;
    parse(&json, &dir.join(IMAGES), limit).map_err(|message| DatasetError::Format { path, message })
}

/// The content of a file that is not too large.
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, DatasetError> {
    let fault = |source| DatasetError::Read {
        path: path.into(),
        source,
    };
    let found = std::fs::metadata(path).map_err(fault)?.len();
    if found > MAX_BYTES {
        return Err(DatasetError::TooLarge {
            path: path.into(),
            limit: MAX_BYTES,
            found,
        });
    }
    std::fs::read(path).map_err(fault)
}

pub(super) fn parse(
    json: &[u8],
    images: &Path,
    limit: Option<usize>,
) -> Result<Vec<Picture>, String> {
    let file: Annotations = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let mut objects: HashMap<u64, Vec<Object>> = HashMap::new();
    for (index, annotation) in file.annotations.into_iter().enumerate() {
        let [x, y, width, height] = annotation.bbox;
        let bbox = BBox {
            x,
            y,
            width,
            height,
        };
        let mask = |code: CompressedRle| {
            let [height, width] = code.size;
            Rle::from_coco_string(&code.counts, width, height).ok_or_else(|| {
                format!(
                    "annotations[{index}].segmentation: expected run lengths of {height} x {width} \
                     pixels, found {:?}",
                    excerpt(&code.counts)
                )
            })
        };
        objects
            .entry(annotation.image_id)
            .or_default()
            .push(Object {
                bbox,
                spans: annotation.tokens_positive,
                mask: annotation.segmentation.map(mask).transpose()?,
                hidden: false,
            });
    }
    let mut pictures: Vec<Picture> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    for image in file.images {
        let plain = Path::new(&image.file_name)
            .file_name()
            .is_some_and(|n| *n == *image.file_name);
        if !plain {
            return Err(format!(
                "images[].file_name: expected a plain file name, found {:?}",
                image.file_name
            ));
        }
        let at = match index.get(&image.file_name) {
            Some(&at) => at,
            None if limit.is_some_and(|limit| pictures.len() >= limit) => continue,
            None => {
                pictures.push(Picture {
                    path: images.join(&image.file_name),
                    examples: vec![],
                });
                index.insert(image.file_name, pictures.len() - 1);
                pictures.len() - 1
            }
        };
        let name = image.dataset_name;
        pictures[at].examples.push(Example {
            caption: image.caption,
            kind: name.strip_prefix(NAME_PREFIX).unwrap_or(&name).to_owned(),
            answer: image.answer,
            phrases: image.tokens_positive_eval,
            objects: objects.remove(&image.id).unwrap_or_default(),
        });
    }
    Ok(pictures)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{
        "info": {}, "categories": [],
        "images": [
            {"id": 1, "file_name": "000000.png", "caption": "a red cube", "dataset_name": "tabletop-phrase",
             "original_img_id": 0, "width": 8, "height": 8, "tokens_positive_eval": [[[0, 10]]]},
            {"id": 2, "file_name": "000000.png", "caption": "a cone", "dataset_name": "tabletop-absent",
             "tokens_positive_eval": []},
            {"id": 3, "file_name": "000001.png", "caption": "a cone", "dataset_name": "flickr",
             "answer": "yes", "tokens_positive_eval": []}
        ],
        "annotations": [{"id": 1, "image_id": 1, "bbox": [1, 2, 3, 4.5],
             "tokens_positive": [[0, 10]], "segmentation": {"size": [1, 2], "counts": "11"}}]
    }"#;

    #[test]
    fn captions_are_grouped_by_picture() {
        let pictures = parse(JSON.as_bytes(), Path::new("images"), None).unwrap();
        assert_eq!(pictures.len(), 2);
        assert_eq!(pictures[0].path, Path::new("images/000000.png"));
        let span = Span { start: 0, end: 10 };
        let bbox = BBox {
            x: 1.0,
            y: 2.0,
            width: 3.0,
            height: 4.5,
        };
        let expected = Example {
            caption: "a red cube".into(),
            kind: "phrase".into(),
            answer: None,
            phrases: vec![vec![span]],
            objects: vec![Object {
                bbox,
                spans: vec![span],
                mask: Some(Rle::encode(&[0, 1], 2, 1)),
                hidden: false,
            }],
        };
        assert_eq!(pictures[0].examples[0], expected);
        assert_eq!(pictures[0].examples[1].kind, "absent");
        assert_eq!(pictures[1].examples[0].kind, "flickr");
        assert_eq!(pictures[1].examples[0].answer.as_deref(), Some("yes"));
        let first = parse(JSON.as_bytes(), Path::new("images"), Some(1)).unwrap();
        assert_eq!(first, pictures[..1]);
    }

    #[test]
    fn what_is_no_data_set_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            read(dir.path(), None),
            Err(DatasetError::Read { .. })
        ));
        std::fs::write(dir.path().join(ANNOTATIONS), "[]").unwrap();
        assert!(matches!(
            read(dir.path(), None),
            Err(DatasetError::Format { .. })
        ));
        let escape = JSON.replace("000001.png", "../../etc/passwd");
        let message = parse(escape.as_bytes(), Path::new("images"), None).unwrap_err();
        assert!(message.contains("plain file name"), "{message}");
        let broken = JSON.replace("\"11\"", "\"99\"");
        let message = parse(broken.as_bytes(), Path::new("images"), None).unwrap_err();
        assert!(message.contains("annotations[0].segmentation"), "{message}");
    }
}
