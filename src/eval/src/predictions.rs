//! Files of predictions: JSON Lines that can be resumed.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mdetr_grounding::rle::{CompressedRle, Rle};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::files::{MAX_COORDINATE, is_size, value_error};
use crate::geometry::Bbox;
use crate::sample::{Sample, SampleId};
use mdetr_grounding::lines::JsonLines;

/// Longest line: 64 MiB, above 1203 LVIS categories with 100 boxes each.
const MAX_LINE: u64 = 64 << 20;

/// What a model says about one sample. Which fields an evaluator needs: see the crate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prediction {
    /// The sample.
    pub id: SampleId,
    /// Width and height of the original picture in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<[u32; 2]>,
    /// Boxes in pixels of the original picture, not clipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<Vec<Bbox>>,
    /// Per box, 1 minus the probability of no object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<Vec<f64>>,
    /// Per box, the score times sigmoid of `isfinal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refexp_scores: Option<Vec<f64>>,
    /// Per box, the category that the prompt named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categories: Option<Vec<u64>>,
    /// Per evaluated phrase, scores of the boxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phrases: Option<Vec<PhraseScores>>,
    /// Union of the masks of the kept boxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<CompressedRle>,
    /// A mask per box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masks: Option<Vec<CompressedRle>>,
    /// The answer to a question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// How much each box answers to a phrase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhraseScores {
    /// One per box: the maximum over the phrase's tokens of the box's probability.
    pub scores: Vec<f64>,
}

/// An answer, as text or as the most probable class of each head.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The answer in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Class of the head of types.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<usize>,
    /// GQA: class of the head of objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obj: Option<usize>,
    /// GQA and CLEVR: class of the head of attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attr: Option<usize>,
    /// GQA: class of the head of relations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rel: Option<usize>,
    /// GQA: class of the head of questions about the whole picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global: Option<usize>,
    /// GQA: class of the head of categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cat: Option<usize>,
    /// GQA, heads not split: class of the only head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<usize>,
    /// CLEVR: probability of yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<f64>,
    /// CLEVR: class of the head of counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reg: Option<usize>,
}

impl Prediction {
    /// A prediction that says nothing yet.
    pub fn new(id: impl Into<SampleId>) -> Prediction {
        Prediction {
            id: id.into(),
            size: None,
            boxes: None,
            scores: None,
            refexp_scores: None,
            categories: None,
            phrases: None,
            mask: None,
            masks: None,
            answer: None,
        }
    }
}

/// A prediction and where it stands.
#[derive(Debug, Clone)]
pub struct Record {
    /// The prediction.
    pub prediction: Prediction,
    path: Arc<Path>,
    line: usize,
}

impl Record {
    fn new(prediction: Prediction, path: Arc<Path>, line: usize) -> Result<Record, Error> {
        let record = Record {
            prediction,
            path,
            line,
        };
        record.check()?;
        Ok(record)
    }

    pub(crate) fn error(
        &self,
        field: impl fmt::Display,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Error {
        let id = self.prediction.id.as_str();
        let place = format!("line {} (id {id:?})", self.line);
        value_error(&self.path, place, field, expected, found)
    }

    fn check(&self) -> Result<(), Error> {
        let p = &self.prediction;
        if let Some([w, h]) = p.size.filter(|&[w, h]| !is_size(w, h)) {
            return Err(self.error("size", "sides of 1 to 16384 pixels", format!("[{w}, {h}]")));
        }
        for (i, b) in p.boxes.iter().flatten().enumerate() {
            let near = |v: &f64| v.abs() <= MAX_COORDINATE;
            if !<[f64; 4]>::from(*b).iter().all(near) || b.x0 > b.x1 || b.y0 > b.y1 {
                let expected = "[x0, y0, x1, y1] with x0 <= x1 and y0 <= y1, of at most 10000000";
                let found = format!("{:?}", <[f64; 4]>::from(*b));
                return Err(self.error(format!("boxes[{i}]"), expected, found));
            }
        }
        let lists = [("scores", &p.scores), ("refexp_scores", &p.refexp_scores)];
        for (field, list) in lists {
            if let Some(list) = list {
                self.check_scores(field, list)?;
                self.per_box(field, list.len(), p.masks.as_ref().map(Vec::len))?;
            }
        }
        for (i, phrase) in p.phrases.iter().flatten().enumerate() {
            let field = format!("phrases[{i}].scores");
            self.check_scores(&field, &phrase.scores)?;
            self.per_box(&field, phrase.scores.len(), None)?;
        }
        if let Some(categories) = &p.categories {
            self.per_box("categories", categories.len(), None)?;
        }
        if let Some(masks) = &p.masks {
            self.per_box("masks", masks.len(), None)?;
        }
        Ok(())
    }

    fn check_scores(&self, field: &str, scores: &[f64]) -> Result<(), Error> {
        match scores.iter().position(|score| !score.is_finite()) {
            Some(i) => Err(self.error(format!("{field}[{i}]"), "a finite number", scores[i])),
            None => Ok(()),
        }
    }

    fn per_box(&self, field: &str, found: usize, others: Option<usize>) -> Result<(), Error> {
        match self.prediction.boxes.as_ref().map(Vec::len).or(others) {
            Some(expected) if expected != found => {
                Err(self.error(field, format!("{expected} values, one per box"), found))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn boxes(&self) -> Result<&[Bbox], Error> {
        let boxes = self.prediction.boxes.as_deref();
        boxes.ok_or_else(|| self.error("boxes", "a list of boxes", "nothing"))
    }

    pub(crate) fn scores(&self) -> Result<&[f64], Error> {
        let scores = self.prediction.scores.as_deref();
        scores.ok_or_else(|| self.error("scores", "a list of numbers", "nothing"))
    }

    /// A mask of the picture's size, decoded from its run lengths but not laid out.
    pub(crate) fn rle(&self, field: &str, mask: &CompressedRle) -> Result<Rle, Error> {
        let [height, width] = mask.size;
        if !is_size(width, height) {
            let found = format!("{:?}", mask.size);
            return Err(self.error(format!("{field}.size"), "sides of 1 to 16384 pixels", found));
        }
        if let Some([w, h]) = self.prediction.size.filter(|&[w, h]| [h, w] != mask.size) {
            let found = format!("{:?}", mask.size);
            return Err(self.error(format!("{field}.size"), format!("[{h}, {w}]"), found));
        }
        let rle = Rle::from_coco_string(&mask.counts, width, height);
        rle.ok_or_else(|| {
            let expected = format!("run lengths that fill {width} x {height} pixels");
            self.error(format!("{field}.counts"), expected, "others")
        })
    }
}

/// The lines of a file of predictions; what [`read_lines`] gives.
#[derive(Debug)]
pub struct Lines {
    lines: JsonLines<BufReader<File>>,
    path: Arc<Path>,
    done: bool,
}

/// Reads a file of predictions line by line, each checked in itself.
///
/// # Errors
/// The file cannot be opened; then, per line, it cannot be read, or is no prediction. A last line
/// that does not end in a line feed and is no whole JSON is left out: [`Lines::cut`].
pub fn read_lines(path: &Path) -> Result<Lines, Error> {
    let file = File::open(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(Lines::new(file, path))
}

impl Lines {
    fn new(file: File, path: &Path) -> Lines {
        Lines {
            lines: JsonLines::new(BufReader::new(file), MAX_LINE),
            path: path.into(),
            done: false,
        }
    }

    /// Number of the last line if it was cut short; known behind the last prediction.
    pub fn cut(&self) -> Option<usize> {
        self.lines.cut()
    }

    fn advance(&mut self) -> Result<Option<Record>, Error> {
        let line = self.lines.next_line().map_err(|source| Error::Read {
            path: self.path.to_path_buf(),
            source,
        })?;
        match line {
            None => Ok(None),
            Some(Ok(prediction)) => {
                Record::new(prediction, self.path.clone(), self.lines.line()).map(Some)
            }
            Some(Err(damage)) => Err(Error::Format {
                path: self.path.to_path_buf(),
                place: damage.at(),
                message: format!(
                    "{}; remove this line, and a run that is repeated writes it anew",
                    damage.message
                ),
            }),
        }
    }
}

impl Iterator for Lines {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Result<Record, Error>> {
        if self.done {
            return None;
        }
        let next = self.advance().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Predictions by sample.
#[derive(Debug, Clone)]
pub struct Predictions {
    path: PathBuf,
    records: Vec<Record>,
    index: HashMap<SampleId, usize>,
    duplicates: usize,
    cut: Option<usize>,
}

impl Predictions {
    /// Reads a whole file.
    ///
    /// # Errors
    /// The file cannot be read, or one of its lines is no prediction.
    pub fn read(path: &Path) -> Result<Predictions, Error> {
        let mut lines = read_lines(path)?;
        let mut predictions = Predictions::collect(path, lines.by_ref())?;
        predictions.cut = lines.cut();
        Ok(predictions)
    }

    /// Of predictions at hand; errors name the file `path`, where they stand or would.
    ///
    /// # Errors
    /// A prediction contradicts itself.
    pub fn new(
        path: &Path,
        predictions: impl IntoIterator<Item = Prediction>,
    ) -> Result<Predictions, Error> {
        let shared: Arc<Path> = path.into();
        let records = predictions
            .into_iter()
            .enumerate()
            .map(|(i, prediction)| Record::new(prediction, shared.clone(), i + 1));
        Predictions::collect(path, records)
    }

    fn collect(
        path: &Path,
        records: impl Iterator<Item = Result<Record, Error>>,
    ) -> Result<Predictions, Error> {
        let mut predictions = Predictions {
            path: path.to_owned(),
            records: Vec::new(),
            index: HashMap::new(),
            duplicates: 0,
            cut: None,
        };
        for record in records {
            let record = record?;
            let id = record.prediction.id.clone();
            if predictions.index.contains_key(&id) {
                predictions.duplicates += 1;
                continue;
            }
            predictions.index.insert(id, predictions.records.len());
            predictions.records.push(record);
        }
        Ok(predictions)
    }

    /// The first prediction for a sample.
    pub fn get(&self, id: &SampleId) -> Option<&Record> {
        self.index.get(id).map(|&i| &self.records[i])
    }

    /// One record per sample, in the order of the file.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Lines that were left out because an earlier one has the same id.
    pub fn duplicates(&self) -> usize {
        self.duplicates
    }

    /// Number of the file's last line if it was cut short and left out.
    pub fn cut(&self) -> Option<usize> {
        self.cut
    }

    /// The record of each sample, which all must have.
    pub(crate) fn of<'a, 'b>(
        &'a self,
        samples: impl Iterator<Item = &'b Sample>,
    ) -> Result<Vec<&'a Record>, Error> {
        let ids: Vec<&SampleId> = samples.map(|sample| &sample.id).collect();
        let missing: Vec<&&SampleId> = ids
            .iter()
            .filter(|id| !self.index.contains_key(**id))
            .collect();
        match missing.first() {
            Some(first) => Err(Error::Missing {
                path: self.path.clone(),
                count: missing.len(),
                total: ids.len(),
                first: first.as_str().to_owned(),
            }),
            None => Ok(ids.iter().filter_map(|id| self.get(id)).collect()),
        }
    }
}

/// Appends predictions to a file, and knows which samples it holds.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
    done: HashSet<SampleId>,
    cut: Option<usize>,
}

impl Writer {
    /// Opens a file to go on with, or makes it. A last line that was cut short is removed.
    ///
    /// # Errors
    /// The file cannot be read or written, one of its lines is no prediction, or it has no whole line and
    /// its beginning is not that of one; then it stays as it is.
    pub fn resume(path: &Path) -> Result<Writer, Error> {
        let write = |source| Error::Write {
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(write)?;
        let mut lines = Lines::new(file.try_clone().map_err(write)?, path);
        let mut done = HashSet::new();
        for record in lines.by_ref() {
            done.insert(record?.prediction.id);
        }
        let (whole, closed) = lines.lines.whole();
        if let Some(line) = lines.cut() {
            file.seek(SeekFrom::Start(whole)).map_err(write)?;
            let mut rest = Vec::new();
            Read::by_ref(&mut file)
                .take(LINE_BEGIN.len() as u64)
                .read_to_end(&mut rest)
                .map_err(write)?;
            if done.is_empty() && !begins_line(&rest) {
                let message = "no prediction, and nothing that one begins with; the file is left as it \
                               is: name another";
                return Err(Error::Format {
                    path: path.to_owned(),
                    place: format!("line {line}"),
                    message: message.to_owned(),
                });
            }
        }
        file.set_len(whole).map_err(write)?;
        file.seek(SeekFrom::End(0)).map_err(write)?;
        if !closed {
            file.write_all(b"\n").map_err(write)?;
        }
        Ok(Writer {
            file,
            path: path.to_owned(),
            done,
            cut: lines.cut(),
        })
    }

    /// Number of the line that was removed because it was cut short.
    pub fn cut(&self) -> Option<usize> {
        self.cut
    }

    /// Whether the file has a prediction for this sample.
    pub fn has(&self, id: &SampleId) -> bool {
        self.done.contains(id)
    }

    /// Samples that the file has.
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// Whether the file has none.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Appends a line, handed to the system as a whole.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, prediction: &Prediction) -> Result<(), Error> {
        let write = |source| Error::Write {
            path: self.path.clone(),
            source,
        };
        let mut line = serde_json::to_vec(prediction).map_err(|error| write(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(write)?;
        self.done.insert(prediction.id.clone());
        Ok(())
    }
}

/// What a line of [`Writer::write`] begins with, without white space.
const LINE_BEGIN: &[u8] = b"{\"id\":";

/// Whether these first bytes of a line that was cut short may be those of a prediction, or the zeros
/// that a loss of power leaves.
fn begins_line(bytes: &[u8]) -> bool {
    let dense = bytes.iter().filter(|byte| !byte.is_ascii_whitespace());
    dense
        .zip(LINE_BEGIN)
        .all(|(&found, &expected)| found == expected || found == 0)
}
