//! MDETR's evaluators: from a file of predictions and the official annotation files to the
//! numbers of the paper's tables. Pure functions: no model, no picture is read.
//!
//! | module | measures | truth |
//! |---|---|---|
//! | [`flickr`] | phrase grounding, any-box and merged-box recall@1, 5, 10 | Flickr30k Entities: XML, sentences, split lists |
//! | [`rec`] | referring expressions, accuracy@1, 5, 10; also CLEVR-Ref+ | MDETR's COCO-style JSON |
//! | [`phrasecut`] | M-IoU, cumulative IoU, precision of masks; of boxes | PhraseCut's `refer_{split}.json` |
//! | [`gqa`] | accuracy of answers, the file that EvalAI takes | GQA's questions and MDETR's answer vocabulary |
//! | [`clevr`] | accuracy of answers per family, one answer a line | CLEVR's questions |
//! | [`coco`] | class-agnostic average precision | MDETR's COCO-style JSON |
//! | [`lvis`] | "fixed AP", prompts of categories | LVIS v1 JSON |
//!
//! [`grounding`] measures a model on a data set that `mdetr scenes dataset` or `mdetr scenes clips` wrote. [`tracking`] is apart: it scores identities over time (MOTA, IDF1), of video and not of samples.
//!
//! Each has a `Truth` that reads the annotation files, lists the samples that a model is asked and
//! can be narrowed to some of them, and `evaluate(&truth, predictions)` that gives a report: serde
//! writes it as JSON, `Display` as an aligned table. Ratios are 0 to 1 in
//! JSON and percent in tables; a ratio of nothing is `null` and `-`.
//!
//! ```no_run
//! # fn main() -> Result<(), mdetr_eval::Error> {
//! use mdetr_eval::{Predictions, rec};
//!
//! let truth = rec::Truth::read("finetune_refcoco_val.json".as_ref(), rec::Task::RefCoco)?;
//! let predictions = Predictions::read("predictions.jsonl".as_ref())?;
//! print!("{}", rec::evaluate(&truth, &predictions)?);
//! # Ok(())
//! # }
//! ```
//!
//! # Predictions
//!
//! A file of JSON Lines, one object per sample, in any order. Boxes are `[x0, y0, x1, y1]` in
//! pixels of the original picture, not clipped; scores are 1 minus the probability of no object;
//! all object queries are listed, unless stated otherwise. Unknown fields are errors.
//!
//! | evaluator | `id` | other fields |
//! |---|---|---|
//! | [`flickr`] | `"IMAGE/SENTENCE"`, the sentence counted from 0 | `boxes`; `phrases`: one `{"scores": [one per box]}` per evaluated phrase, each the maximum over the phrase's tokens of the box's probability |
//! | [`rec`] | `id` of the image entry | `boxes`, `scores` |
//! | [`rec`] for CLEVR-Ref+ | `id` of the image entry | `boxes`, `refexp_scores`: score times sigmoid of `isfinal` |
//! | [`phrasecut`] | `task_id` | `mask`: the union of the kept queries, or `masks` with `scores`: one each; for the box variant `boxes`, with `scores` unless only kept ones are listed; `size` where there is no mask |
//! | [`gqa`] | question id | `answer`: `{"text": "yes"}`, or the most probable class of each head: `{"type": 0, "obj": 1, "attr": 17, "rel": 3, "global": 5, "cat": 2}`, or `{"class": 7}` of a head that is not split |
//! | [`clevr`] | `question_index` | `answer`: `{"text": "yes"}`, or `{"type": 0, "binary": 0.7, "attr": 3, "reg": 2}` with the probability of yes, and the most probable class of the other heads |
//! | [`coco`] | `id` of the image entry | `boxes`, `scores` |
//! | [`lvis`] | image id | `boxes`, `scores`, `categories`: a category id per box |
//!
//! ```json
//! {"id": 3, "boxes": [[12.5, 40.0, 90.25, 117.5]], "scores": [0.98]}
//! {"id": "1000092795/0", "boxes": [[12.5, 40.0, 90.25, 117.5]], "phrases": [{"scores": [0.7]}]}
//! {"id": "201307251", "answer": {"type": 1, "obj": 0, "attr": 17, "rel": 3, "global": 5, "cat": 2}}
//! ```
//!
//! `size` is `[width, height]` of the original picture. An id is a string or an integer. The first
//! of two lines with the same id counts. A byte order mark, blank lines and line ends of either kind
//! are no fault. A last line that was cut short is left out, and named ([`Predictions::cut`]), so that a
//! run that was interrupted goes on where it stopped: [`Writer::resume`]. Any other line that is no
//! prediction is an error that names it.

#[cfg(fuzzing)]
pub mod fuzzing;

mod ap;
mod error;
mod files;
mod geometry;
mod predictions;
mod raster;
mod ratio;
mod sample;
mod table;

pub mod annotations;
pub mod clevr;
pub mod coco;
pub mod flickr;
pub mod gqa;
pub mod grounding;
pub mod lvis;
pub mod phrasecut;
pub mod rec;
pub mod tracking;

pub use error::Error;
pub use geometry::Bbox;
pub use predictions::{
    Answer, Lines, PhraseScores, Prediction, Predictions, Record, Writer, read_lines,
};
pub use raster::{Canvas, fill_polygon};
pub use ratio::AtK;
pub use sample::{Sample, SampleId};
