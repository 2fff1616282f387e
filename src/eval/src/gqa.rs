//! GQA: questions about pictures.
//!
//! The head of types chooses the head that answers: 0 object, 1 attribute, 2 relation, 3 global,
//! 4 category. (The order of the answer *queries* in the network is another.) The vocabulary of
//! each head comes with MDETR's annotations, as `gqa_answer2id_by_type.json`, or, for a network
//! whose heads are not split, `gqa_answer2id.json`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::files::{parse, read_json, value_error};
use crate::predictions::{Answer, Predictions, Record};
use crate::ratio::ratio;
use crate::sample::{Sample, SampleId};
use crate::table::{Table, percent};

/// Names of the classes of the head of types.
pub const TYPES: [&str; 5] = ["obj", "attr", "rel", "global", "cat"];
/// What an answer is called that is not in the vocabulary.
const UNKNOWN: &str = "unknown";

/// The answers that the heads choose among.
#[derive(Debug, Clone, PartialEq)]
pub enum Vocabulary {
    /// A head for each of [`TYPES`].
    Split(Box<[Head; 5]>),
    /// One head.
    Single(Head),
}

/// Answers of a head, by class.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    answers: Vec<Option<String>>,
    classes: HashMap<String, usize>,
}

/// Most classes of a head.
const MAX_CLASSES: usize = 1 << 20;

impl Vocabulary {
    /// Reads `gqa_answer2id_by_type.json` or `gqa_answer2id.json`.
    ///
    /// # Errors
    /// The file cannot be read, lacks a head, or gives a class to two answers.
    pub fn read(path: &Path) -> Result<Vocabulary, Error> {
        let file: serde_json::Value = read_json(path)?;
        let is_split = file
            .as_object()
            .is_some_and(|map| map.values().any(|v| v.is_object()));
        if !is_split {
            let answers = parse(path, file)?;
            return Ok(Vocabulary::Single(Head::new(path, "", answers)?));
        }
        let mut maps: BTreeMap<String, BTreeMap<String, usize>> = parse(path, file)?;
        let mut heads = Vec::new();
        for name in TYPES {
            let key = format!("answer_{name}");
            let map = maps.remove(&key);
            let map = map.ok_or_else(|| {
                value_error(path, "head", &key, "answers with their classes", "nothing")
            })?;
            heads.push(Head::new(path, &key, map)?);
        }
        let heads = <[Head; 5]>::try_from(heads).expect("one for each type");
        Ok(Vocabulary::Split(Box::new(heads)))
    }
}

impl Head {
    fn new(path: &Path, key: &str, map: BTreeMap<String, usize>) -> Result<Head, Error> {
        let error = |answer: &str, expected: &str, class: usize| {
            value_error(
                path,
                format!("head {key:?}"),
                format!("{answer:?}"),
                expected,
                class,
            )
        };
        let mut answers = Vec::new();
        for (answer, &class) in &map {
            if class >= MAX_CLASSES {
                return Err(error(answer, "a class below 1048576", class));
            }
            if class >= answers.len() {
                answers.resize(class + 1, None);
            }
            if answers[class].replace(answer.clone()).is_some() {
                return Err(error(answer, "a class of its own", class));
            }
        }
        Ok(Head {
            answers,
            classes: map.into_iter().collect(),
        })
    }

    fn answer(&self, record: &Record, field: &str, class: Option<usize>) -> Result<&str, Error> {
        let field = format!("answer.{field}");
        let class = class.ok_or_else(|| record.error(&field, "a class", "nothing"))?;
        let answer = self.answers.get(class).and_then(Option::as_deref);
        answer.ok_or_else(|| record.error(&field, "a class of the vocabulary", class))
    }

    fn class(&self, answer: &str) -> Option<usize> {
        let class = self
            .classes
            .get(answer)
            .or_else(|| self.classes.get(UNKNOWN));
        class.copied()
    }
}

/// Questions, their answers where known, and the vocabulary.
#[derive(Debug, Clone)]
pub struct Truth {
    /// By id, as text.
    questions: BTreeMap<String, Question>,
    vocabulary: Vocabulary,
}

#[derive(Debug, Clone)]
struct Question {
    sample: Sample,
    answer: Option<String>,
    /// Place among [`TYPES`].
    kind: Option<usize>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    question: String,
    #[serde(default, rename = "imageId")]
    image_id: String,
    #[serde(default)]
    answer: Option<String>,
    #[serde(default)]
    types: Types,
}

#[derive(Default, Deserialize)]
struct Types {
    #[serde(default)]
    semantic: Option<String>,
}

impl Truth {
    /// Reads a file such as `testdev_balanced_questions.json`, and the vocabulary.
    ///
    /// # Errors
    /// A file cannot be read or is not in its format.
    pub fn read(questions: &Path, vocabulary: &Path) -> Result<Truth, Error> {
        let mut truth = Truth {
            questions: BTreeMap::new(),
            vocabulary: Vocabulary::read(vocabulary)?,
        };
        for (id, entry) in read_json::<BTreeMap<String, Entry>>(questions)? {
            let semantic = entry.types.semantic.as_deref();
            let kind = semantic.map(|semantic| {
                let kind = TYPES.iter().position(|&name| name == semantic);
                kind.ok_or_else(|| {
                    let place = format!("question {id:?}");
                    let expected = format!("one of {TYPES:?}");
                    let found = format!("{semantic:?}");
                    value_error(questions, place, "types.semantic", expected, found)
                })
            });
            let question = Question {
                sample: Sample {
                    id: SampleId::from(&id),
                    image: format!("{}.jpg", entry.image_id),
                    text: entry.question,
                },
                answer: entry.answer,
                kind: kind.transpose()?,
            };
            truth.questions.insert(id, question);
        }
        Ok(truth)
    }

    /// What a model is asked, sorted by id as text.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.questions.values().map(|question| &question.sample)
    }

    /// Leaves out the samples that `keep` refuses.
    pub fn retain(&mut self, keep: impl Fn(&SampleId) -> bool) {
        self.questions
            .retain(|_, question| keep(&question.sample.id));
    }
}

/// Accuracies over the questions whose answer is known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Questions whose answer is known.
    pub questions: u64,
    /// Share of questions answered with the right words.
    pub accuracy: Option<f64>,
    /// The same, by the question's type.
    pub types: BTreeMap<String, Accuracy>,
    /// Share of questions of the right type, where all predictions name their class.
    pub type_accuracy: Option<f64>,
    /// `accuracy_answer_total` of training: share of questions of the right type and, in its head,
    /// of the right class, where an answer outside the vocabulary is the class of "unknown".
    pub accuracy_answer_total: Option<f64>,
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
/// A question has no prediction, or a prediction lacks an answer of the vocabulary.
pub fn evaluate(truth: &Truth, predictions: &Predictions) -> Result<Report, Error> {
    let (mut questions, mut right) = (0, 0);
    let mut types: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut training: Option<Vec<Training>> = Some(Vec::new());
    let records = predictions.of(truth.samples())?;
    for (question, record) in truth.questions.values().zip(records) {
        let Some(expected) = &question.answer else {
            continue;
        };
        let is_right = answer(truth, record)? == *expected;
        questions += 1;
        right += u64::from(is_right);
        if let Some(kind) = question.kind {
            let (total, right) = types.entry(TYPES[kind]).or_default();
            *total += 1;
            *right += u64::from(is_right);
        }
        training = training
            .zip(in_training(truth, question, record))
            .map(|(mut all, one)| {
                all.push(one);
                all
            });
    }
    let share = |of: fn(&Training) -> bool| {
        let training = training.as_ref()?;
        ratio(training.iter().filter(|t| of(t)).count() as u64, questions)
    };
    let types = types.into_iter().map(|(name, (questions, right))| {
        let accuracy = ratio(right, questions);
        (
            name.to_owned(),
            Accuracy {
                questions,
                accuracy,
            },
        )
    });
    Ok(Report {
        questions,
        accuracy: ratio(right, questions),
        types: types.collect(),
        type_accuracy: share(|t| t.kind),
        accuracy_answer_total: share(|t| t.kind && t.class),
    })
}

/// `accuracy_answer_total` as training prints it: the mean over batches of the share in each, so
/// that a smaller last batch weighs as much as the others. Batches are in the order of the
/// predictions.
///
/// `None` if a prediction lacks its classes.
pub fn accuracy_of_batches(
    truth: &Truth,
    predictions: &Predictions,
    batch_size: usize,
) -> Option<f64> {
    let mut right = Vec::new();
    for record in predictions.records() {
        if let Some(question) = truth.questions.get(record.prediction.id.as_str()) {
            let training = in_training(truth, question, record)?;
            right.push(training.kind && training.class);
        }
    }
    let batches = right.chunks(batch_size.max(1));
    let n = batches.len();
    let shares = batches
        .map(|batch| batch.iter().filter(|&&right| right).count() as f64 / batch.len() as f64);
    (n > 0).then(|| shares.sum::<f64>() / n as f64)
}

struct Training {
    kind: bool,
    class: bool,
}

/// Whether type and class are right; `None` where either is not known.
fn in_training(truth: &Truth, question: &Question, record: &Record) -> Option<Training> {
    let answer = record.prediction.answer.as_ref()?;
    let expected = question.answer.as_deref()?;
    match &truth.vocabulary {
        Vocabulary::Split(heads) => {
            let kind = question.kind?;
            let class = class_of(answer, kind)?;
            Some(Training {
                kind: answer.kind? == kind,
                class: heads[kind].class(expected) == Some(class),
            })
        }
        Vocabulary::Single(head) => Some(Training {
            kind: true,
            class: head.class(expected) == Some(answer.class?),
        }),
    }
}

fn class_of(answer: &Answer, kind: usize) -> Option<usize> {
    let classes = [
        answer.obj,
        answer.attr,
        answer.rel,
        answer.global,
        answer.cat,
    ];
    classes.get(kind).copied().flatten()
}

/// The answer in words: as given, or by the heads.
fn answer<'a>(truth: &'a Truth, record: &'a Record) -> Result<&'a str, Error> {
    let answer = record.prediction.answer.as_ref();
    let answer = answer.ok_or_else(|| record.error("answer", "an answer", "nothing"))?;
    if let Some(text) = &answer.text {
        return Ok(text);
    }
    match &truth.vocabulary {
        Vocabulary::Single(head) => head.answer(record, "class", answer.class),
        Vocabulary::Split(heads) => {
            let kind = answer
                .kind
                .filter(|&kind| kind < TYPES.len())
                .ok_or_else(|| {
                    let found = answer
                        .kind
                        .map_or("nothing".to_owned(), |kind| kind.to_string());
                    record.error("answer.type", "a class of 0 to 4", found)
                })?;
            heads[kind].answer(record, TYPES[kind], class_of(answer, kind))
        }
    }
}

/// A line of the file that EvalAI takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Submission {
    /// Id of the question.
    #[serde(rename = "questionId")]
    pub question_id: String,
    /// The answer in words.
    pub prediction: String,
}

/// The answers to submit, in the order of the predictions; serde makes the file's JSON of them.
///
/// # Errors
/// A prediction lacks an answer of the vocabulary.
pub fn submission(truth: &Truth, predictions: &Predictions) -> Result<Vec<Submission>, Error> {
    let records = predictions.records().iter();
    records
        .map(|record| {
            Ok(Submission {
                question_id: record.prediction.id.as_str().to_owned(),
                prediction: answer(truth, record)?.to_owned(),
            })
        })
        .collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["GQA", "questions", "accuracy, %"]);
        let mut row = |name: &str, value| {
            table.row([name.to_owned(), self.questions.to_string(), percent(value)]);
        };
        row("all", self.accuracy);
        row("type", self.type_accuracy);
        row("accuracy_answer_total", self.accuracy_answer_total);
        for (name, accuracy) in &self.types {
            let questions = accuracy.questions.to_string();
            table.row([name.clone(), questions, percent(accuracy.accuracy)]);
        }
        write!(f, "{table}")
    }
}
