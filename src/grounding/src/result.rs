//! What was found in a frame.

use std::sync::Arc;

use serde::Serialize;

use crate::bbox::BBox;
use crate::query::Query;
use crate::rle::Rle;
use crate::span::Span;

/// The part of a query's text that a detection answers to: whole words, also where a tokenizer knows
/// parts of words only.
///
/// Words are those of Unicode's standard annex 29. It divides what is written without spaces (Chinese,
/// Japanese, Thai, Lao, Khmer, Burmese) into single characters as a reader sees them, never between a
/// letter and its accent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phrase {
    /// The words.
    pub text: String,
    /// Where they stand in the query's text.
    pub span: Span,
    /// Sum of the probabilities of their tokens above the phrase threshold, at most 1.
    pub score: f32,
}

/// One object found.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Where, in pixels of the frame, inside the frame.
    pub bbox: BBox,
    /// 1 - p(no object); of a query in a caption of several, see `mdetr::Packing`.
    pub score: f32,
    /// The words it answers to, in the order of the text.
    pub phrases: Vec<Phrase>,
    /// Identity over time, if a tracker gave one.
    pub track: Option<u64>,
    /// Its pixels in the frame, if the model draws masks.
    pub mask: Option<Rle>,
}

impl Detection {
    /// Whether one of its phrases has all of these words.
    pub fn answers_to(&self, words: Span) -> bool {
        let has =
            |phrase: &Phrase| phrase.span.start <= words.start && words.end <= phrase.span.end;
        self.phrases.iter().any(has)
    }
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The words.
    pub text: String,
    /// Probability, 0 to 1.
    pub score: f32,
}

/// What was found for one query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    /// The query.
    pub query: Arc<Query>,
    /// Objects, highest score first.
    pub detections: Vec<Detection>,
    /// The answer, if the query is a question and the model answers questions.
    pub answer: Option<Answer>,
}

impl QueryResult {
    /// Whether anything was found.
    pub fn present(&self) -> bool {
        !self.detections.is_empty()
    }
}

/// What was found in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Grounding {
    /// Revision of the standing queries that were answered.
    pub revision: u64,
    /// Width of the frame in pixels.
    pub width: u32,
    /// Height of the frame in pixels.
    pub height: u32,
    /// One result for each query, in their order.
    pub queries: Vec<QueryResult>,
}
