//! CLEVR, CoGenT and CLEVR-Humans: questions about rendered scenes.
//!
//! The head of types chooses the head that answers: 0 yes or no (yes if its probability is *above*
//! 0.5), 1 an attribute ([`ATTRIBUTES`]), 2 a count.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::files::{read_json, value_error};
use crate::predictions::{Predictions, Record};
use crate::ratio::ratio;
use crate::sample::{Sample, SampleId};
use crate::table::{Table, percent};

/// Classes of the head of attributes.
pub const ATTRIBUTES: [&str; 15] = [
    "small", "large", "gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow", "cube",
    "sphere", "cylinder", "rubber", "metal",
];
/// Classes of the head of counts.
const COUNTS: usize = 20;

/// Questions and, where known, their answers.
#[derive(Debug, Clone)]
pub struct Truth {
    /// By index.
    questions: BTreeMap<u64, Question>,
}

#[derive(Debug, Clone)]
struct Question {
    sample: Sample,
    answer: Option<String>,
    family: Option<&'static str>,
}

#[derive(Deserialize)]
struct File {
    questions: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    question_index: Option<u64>,
    #[serde(default)]
    question: String,
    #[serde(default)]
    image_filename: String,
    #[serde(default)]
    answer: Option<String>,
    #[serde(default)]
    program: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(alias = "type")]
    function: String,
}

impl Truth {
    /// Reads a file such as `CLEVR_val_questions.json`. A question without an index has its
    /// position.
    ///
    /// # Errors
    /// The file cannot be read, or gives an index twice.
    pub fn read(path: &Path) -> Result<Truth, Error> {
        let file: File = read_json(path)?;
        let mut seen = HashSet::new();
        let mut questions = BTreeMap::new();
        for (i, entry) in file.questions.into_iter().enumerate() {
            let index = entry.question_index.unwrap_or(i as u64);
            if !seen.insert(index) {
                let place = format!("questions[{i}]");
                return Err(value_error(
                    path,
                    place,
                    "question_index",
                    "another index",
                    index,
                ));
            }
            let family = entry.program.last().and_then(|node| family(&node.function));
            let question = Question {
                sample: Sample {
                    id: SampleId::from(index),
                    image: entry.image_filename,
                    text: entry.question,
                },
                answer: entry.answer,
                family,
            };
            questions.insert(index, question);
        }
        Ok(Truth { questions })
    }

    /// What a model is asked, by index.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.questions.values().map(|question| &question.sample)
    }

    /// Leaves out the samples that `keep` refuses.
    pub fn retain(&mut self, keep: impl Fn(&SampleId) -> bool) {
        self.questions
            .retain(|_, question| keep(&question.sample.id));
    }
}

/// The family of questions whose program ends with `function`.
fn family(function: &str) -> Option<&'static str> {
    match function {
        "count" => Some("count"),
        "exist" => Some("exist"),
        "equal_integer" | "less_than" | "greater_than" => Some("compare number"),
        _ if function.starts_with("query_") => Some("query attribute"),
        _ if function.starts_with("equal_") => Some("compare attribute"),
        _ => None,
    }
}

/// Accuracies over the questions whose answer is known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Over all questions.
    pub overall: Accuracy,
    /// Per family, where programs are known.
    pub families: BTreeMap<String, Accuracy>,
}

/// Accuracy over some questions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accuracy {
    /// Questions.
    pub questions: u64,
    /// Share answered with the right words.
    pub accuracy: Option<f64>,
}

/// Scores predictions.
///
/// # Errors
/// A question has no prediction, or a prediction has no answer.
pub fn evaluate(truth: &Truth, predictions: &Predictions) -> Result<Report, Error> {
    let mut overall = (0, 0);
    let mut families: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let records = predictions.of(truth.samples())?;
    for (question, record) in truth.questions.values().zip(records) {
        let Some(expected) = &question.answer else {
            continue;
        };
        let right = u64::from(answer(record)? == *expected);
        let family = question
            .family
            .map(|family| families.entry(family).or_default());
        for (total, hits) in family.into_iter().chain([&mut overall]) {
            *total += 1;
            *hits += right;
        }
    }
    let accuracy = |(questions, right)| Accuracy {
        questions,
        accuracy: ratio(right, questions),
    };
    let families = families.into_iter();
    Ok(Report {
        overall: accuracy(overall),
        families: families
            .map(|(name, counts)| (name.to_owned(), accuracy(counts)))
            .collect(),
    })
}

/// The answers, one a line, sorted by index of the question.
///
/// # Errors
/// A question has no prediction, or a prediction has no answer.
pub fn answers(truth: &Truth, predictions: &Predictions) -> Result<String, Error> {
    let mut lines = String::new();
    for record in predictions.of(truth.samples())? {
        lines += &answer(record)?;
        lines.push('\n');
    }
    Ok(lines)
}

/// The answer in words: as given, or by the heads.
fn answer(record: &Record) -> Result<String, Error> {
    let answer = record.prediction.answer.as_ref();
    let answer = answer.ok_or_else(|| record.error("answer", "an answer", "nothing"))?;
    if let Some(text) = &answer.text {
        return Ok(text.clone());
    }
    let class = |field: &str, class: Option<usize>, classes: usize| {
        class.filter(|&class| class < classes).ok_or_else(|| {
            let found = class.map_or("nothing".to_owned(), |class| class.to_string());
            let expected = format!("a class of 0 to {}", classes - 1);
            record.error(format!("answer.{field}"), expected, found)
        })
    };
    match class("type", answer.kind, 3)? {
        0 => {
            let yes = answer.binary;
            let yes =
                yes.ok_or_else(|| record.error("answer.binary", "a probability", "nothing"))?;
            Ok(if yes > 0.5 { "yes" } else { "no" }.to_owned())
        }
        1 => Ok(ATTRIBUTES[class("attr", answer.attr, ATTRIBUTES.len())?].to_owned()),
        _ => Ok(class("reg", answer.reg, COUNTS)?.to_string()),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["CLEVR", "questions", "accuracy, %"]);
        let families = self.families.iter().map(|(name, a)| (name.as_str(), a));
        for (name, accuracy) in std::iter::once(("overall", &self.overall)).chain(families) {
            let questions = accuracy.questions.to_string();
            table.row([name.to_owned(), questions, percent(accuracy.accuracy)]);
        }
        write!(f, "{table}")
    }
}
