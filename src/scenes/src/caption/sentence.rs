//! Sentences, and what their words refer to.

use std::collections::BTreeMap;
use std::fmt;

use super::kind::CaptionKind;

/// A sentence and what its words refer to.
#[derive(Clone, Debug, PartialEq)]
pub struct Caption {
    /// The sentence.
    pub text: String,
    /// What kind of sentence it is.
    pub kind: CaptionKind,
    /// Its noun phrases in order, those that refer to nothing included.
    pub phrases: Vec<GroundedPhrase>,
    /// The answer, if it is a question.
    pub answer: Option<Answer>,
}

/// A noun phrase of a caption and the objects it denotes.
#[derive(Clone, Debug, PartialEq)]
pub struct GroundedPhrase {
    /// Where it is in the caption: half-open ranges of Unicode code points, article included.
    pub spans: Vec<(u32, u32)>,
    /// Indices of the objects it denotes, ascending; empty if there are none.
    pub objects: Vec<usize>,
}

impl Caption {
    /// For each object that is denoted at all, ascending: its index and the spans of all phrases
    /// that denote it.
    pub fn spans_by_object(&self) -> Vec<(usize, Vec<(u32, u32)>)> {
        let mut by_object = BTreeMap::<usize, Vec<(u32, u32)>>::new();
        for phrase in &self.phrases {
            for &object in &phrase.objects {
                by_object.entry(object).or_default().extend(&phrase.spans);
            }
        }
        by_object.into_iter().collect()
    }
}

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Yes or no.
    Truth(bool),
    /// How many.
    Count(usize),
    /// An attribute's value: the first of its synonyms.
    Attribute(&'static str),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Answer::Truth(true) => f.write_str("yes"),
            Answer::Truth(false) => f.write_str("no"),
            Answer::Count(count) => write!(f, "{count}"),
            Answer::Attribute(word) => f.write_str(word),
        }
    }
}
