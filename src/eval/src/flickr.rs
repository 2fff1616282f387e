//! Phrase grounding on Flickr30k Entities.
//!
//! Each phrase of a sentence whose entity has a box is a sample. The boxes are ranked by the
//! phrase's scores, descending. A phrase is hit at k if one of the first k has an IoU of 0.5 or
//! more with a box of its entity: with any of them ([`Boxes::Any`]) or with the box around all of
//! them ([`Boxes::Merged`]).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use roxmltree::Document;
use serde::Serialize;

use crate::annotations::Span;
use crate::error::Error;
use crate::files::{read_text, value_error};
use crate::geometry::Bbox;
use crate::predictions::Predictions;
use crate::ratio::{AtK, KS, ratio};
use crate::sample::{Sample, SampleId};
use crate::table::{Table, percent};

const THRESHOLD: f64 = 0.5;
/// Most bytes of an XML file, a file of sentences, a split list.
const MAX_BYTES: u64 = 16 << 20;
/// Name of the row over all phrases.
const ALL: &str = "all";

/// What counts as the box of a phrase whose entity has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boxes {
    /// Any of them.
    Any,
    /// The smallest box around all of them.
    Merged,
}

/// The phrases of a split.
#[derive(Debug, Clone)]
pub struct Truth {
    boxes: Boxes,
    sentences: Vec<Sentence>,
}

/// A sentence and its phrases.
#[derive(Debug, Clone, PartialEq)]
pub struct Sentence {
    /// The sentence without its markup, and its picture.
    pub sample: Sample,
    /// The evaluated phrases, in the sentence's order.
    pub phrases: Vec<Phrase>,
}

/// A phrase whose entity has a box.
#[derive(Debug, Clone, PartialEq)]
pub struct Phrase {
    /// Its code points in the sentence, half-open.
    pub span: Span,
    /// Id of its entity.
    pub entity: String,
    /// Its types, such as `people`.
    pub types: Vec<String>,
    /// Its boxes; one if merged.
    pub boxes: Vec<Bbox>,
}

impl Truth {
    /// Reads the pictures that `<root>/<split>.txt` lists: `<root>/Annotations/*.xml` and
    /// `<root>/Sentences/*.txt`.
    ///
    /// # Errors
    /// A file is missing or not in its format.
    pub fn read(root: &Path, split: &str, boxes: Boxes) -> Result<Truth, Error> {
        let mut truth = Truth {
            boxes,
            sentences: Vec::new(),
        };
        let list = read_text(&root.join(format!("{split}.txt")), MAX_BYTES)?;
        for image in list.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let entities = read_entities(&root.join(format!("Annotations/{image}.xml")))?;
            let path = root.join(format!("Sentences/{image}.txt"));
            let text = read_text(&path, MAX_BYTES)?;
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            for (index, line) in lines.enumerate() {
                let (text, tagged) = parse_sentence(&path, index, line)?;
                let mut phrases = Vec::new();
                for mut phrase in tagged {
                    let Some(found) = entities.get(&phrase.entity) else {
                        continue;
                    };
                    phrase.boxes = match boxes {
                        Boxes::Any => found.clone(),
                        Boxes::Merged => {
                            let merged = found.iter().copied().reduce(Bbox::hull);
                            merged.into_iter().collect()
                        }
                    };
                    phrases.push(phrase);
                }
                let sample = Sample {
                    id: SampleId::from(format!("{image}/{index}")),
                    image: format!("{image}.jpg"),
                    text,
                };
                truth.sentences.push(Sentence { sample, phrases });
            }
        }
        Ok(truth)
    }

    /// What a model is asked, in the order of the split list.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.sentences.iter().map(|s| &s.sample)
    }

    /// The sentences and their phrases.
    pub fn sentences(&self) -> &[Sentence] {
        &self.sentences
    }

    /// Leaves out the samples that `keep` refuses.
    pub fn retain(&mut self, keep: impl Fn(&SampleId) -> bool) {
        self.sentences.retain(|s| keep(&s.sample.id));
    }
}

/// The boxes of each entity that has one.
fn read_entities(path: &Path) -> Result<HashMap<String, Vec<Bbox>>, Error> {
    let text = read_text(path, MAX_BYTES)?;
    let document = Document::parse(&text).map_err(|error| Error::Format {
        path: path.to_owned(),
        place: "XML".to_owned(),
        message: error.to_string(),
    })?;
    let mut entities: HashMap<String, Vec<Bbox>> = HashMap::new();
    let objects = document
        .root_element()
        .children()
        .filter(|n| n.has_tag_name("object"));
    for (i, object) in objects.enumerate() {
        let Some(bounds) = object.children().find(|c| c.has_tag_name("bndbox")) else {
            continue;
        };
        let place = format!("object {i} (byte {})", object.range().start);
        let coordinate = |name: &str| {
            let node = bounds.children().find(|c| c.has_tag_name(name));
            let text = node.and_then(|node| node.text()).unwrap_or_default().trim();
            let value: Result<i32, _> = text.parse();
            value.map(f64::from).map_err(|_| {
                value_error(
                    path,
                    &place,
                    format!("bndbox/{name}"),
                    "an integer",
                    format!("{text:?}"),
                )
            })
        };
        let bbox = Bbox {
            x0: coordinate("xmin")?,
            y0: coordinate("ymin")?,
            x1: coordinate("xmax")?,
            y1: coordinate("ymax")?,
        };
        if bbox.x0 > bbox.x1 || bbox.y0 > bbox.y1 {
            let found = format!("{:?}", <[f64; 4]>::from(bbox));
            return Err(value_error(
                path,
                &place,
                "bndbox",
                "xmin <= xmax and ymin <= ymax",
                found,
            ));
        }
        let names = object.children().filter(|c| c.has_tag_name("name"));
        for name in names.filter_map(|name| name.text()) {
            entities
                .entry(name.trim().to_owned())
                .or_default()
                .push(bbox);
        }
    }
    Ok(entities)
}

/// A sentence without its markup `[/EN#entity/type/type words]`, and its phrases, without boxes.
fn parse_sentence(path: &Path, index: usize, line: &str) -> Result<(String, Vec<Phrase>), Error> {
    let error = |message: &str| Error::Format {
        path: path.to_owned(),
        place: format!("sentence {index}"),
        message: message.to_owned(),
    };
    let (mut text, mut length) = (String::new(), 0);
    let mut append = |part: &str| {
        text += part;
        let begin = length;
        length += part.chars().count();
        [begin, length]
    };
    let mut phrases = Vec::new();
    let mut rest = line.trim();
    while let Some((before, inner)) = rest.split_once("[/EN#") {
        let (inner, after) = inner
            .split_once(']')
            .ok_or_else(|| error("[/EN# without ]"))?;
        let (tag, words) = inner
            .split_once(char::is_whitespace)
            .ok_or_else(|| error("a phrase without words"))?;
        let mut parts = tag.split('/').map(str::to_owned);
        let entity = parts.next().filter(|id| !id.is_empty());
        append(before);
        phrases.push(Phrase {
            span: append(words.trim()),
            entity: entity.ok_or_else(|| error("a phrase without an entity"))?,
            types: parts.collect(),
            boxes: Vec::new(),
        });
        rest = after;
    }
    append(rest);
    Ok((text, phrases))
}

/// Recalls, over all phrases and per type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// `any-box` or `merged-box`.
    pub protocol: &'static str,
    /// Over all phrases, each counted once.
    pub all: Recall,
    /// Per type; a phrase of several types counts in each.
    pub types: BTreeMap<String, Recall>,
}

/// Recalls over some phrases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Recall {
    /// Phrases.
    pub phrases: u64,
    /// Recall at 1, 5 and 10.
    pub recall: AtK,
    /// Recall among all boxes.
    pub upper_bound: Option<f64>,
}

#[derive(Default)]
struct Counts {
    phrases: u64,
    hits: [u64; 3],
    any: u64,
}

impl Counts {
    fn add(&mut self, first_hit: Option<usize>) {
        self.phrases += 1;
        self.any += u64::from(first_hit.is_some());
        for (hits, k) in self.hits.iter_mut().zip(KS) {
            *hits += u64::from(first_hit.is_some_and(|rank| rank < k));
        }
    }

    fn recall(&self) -> Recall {
        Recall {
            phrases: self.phrases,
            recall: AtK::of(self.hits, self.phrases),
            upper_bound: ratio(self.any, self.phrases),
        }
    }
}

/// Scores predictions.
///
/// # Errors
/// A sentence has no prediction, or a prediction has not the phrases of its sentence.
pub fn evaluate(truth: &Truth, predictions: &Predictions) -> Result<Report, Error> {
    let mut all = Counts::default();
    let mut types: BTreeMap<&str, Counts> = BTreeMap::new();
    let records = predictions.of(truth.samples())?;
    for (Sentence { sample, phrases }, record) in truth.sentences.iter().zip(records) {
        let scored = record.prediction.phrases.as_deref().unwrap_or_default();
        if scored.len() != phrases.len() {
            let expected = format!(
                "one for each of {} phrases of {:?}",
                phrases.len(),
                sample.text
            );
            return Err(record.error("phrases", expected, scored.len()));
        }
        for (phrase, scores) in phrases.iter().zip(scored) {
            let boxes = record.boxes()?;
            let mut order: Vec<usize> = (0..boxes.len()).collect();
            order.sort_by(|&a, &b| scores.scores[b].total_cmp(&scores.scores[a]));
            let is_hit = |&i: &usize| phrase.boxes.iter().any(|b| b.iou(boxes[i]) >= THRESHOLD);
            let first_hit = order.iter().position(is_hit);
            all.add(first_hit);
            for name in &phrase.types {
                types.entry(name).or_default().add(first_hit);
            }
        }
    }
    Ok(Report {
        protocol: match truth.boxes {
            Boxes::Any => "any-box",
            Boxes::Merged => "merged-box",
        },
        all: all.recall(),
        types: types
            .into_iter()
            .map(|(name, counts)| (name.to_owned(), counts.recall()))
            .collect(),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = format!("{} recall, %", self.protocol);
        let mut table = Table::new([title.as_str(), "phrases", "@1", "@5", "@10", "upper bound"]);
        let types = self
            .types
            .iter()
            .map(|(name, recall)| (name.as_str(), recall));
        for (name, recall) in std::iter::once((ALL, &self.all)).chain(types) {
            let mut cells = vec![name.to_owned(), recall.phrases.to_string()];
            cells.extend(recall.recall.cells());
            cells.push(percent(recall.upper_bound));
            table.row(cells);
        }
        write!(f, "{table}")
    }
}
