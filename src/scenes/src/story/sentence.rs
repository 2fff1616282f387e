//! Sentences about a story, and what their words refer to at each instant.

use crate::caption::Answer;

/// A sentence about a story.
#[derive(Clone, Debug, PartialEq)]
pub struct StoryCaption {
    /// The sentence.
    pub text: String,
    /// What kind of sentence it is: the name of an [`Act`](super::Act), "now" if it says nothing
    /// about time, "absent-" and one of those if nothing ever answers to it, "ask-" and one if it is
    /// a question.
    pub kind: String,
    /// Its noun phrases, in order.
    pub phrases: Vec<StoryPhrase>,
    /// For each instant whether it is certain what they denote.
    pub known: Vec<bool>,
    /// The answers at each instant if it is a question, where they are certain.
    pub answers: Option<Vec<Option<Answer>>>,
}

/// A noun phrase and what it denotes at each instant.
#[derive(Clone, Debug, PartialEq)]
pub struct StoryPhrase {
    /// Where it is in the text: half-open, in Unicode code points, article included.
    pub span: (u32, u32),
    /// For each instant indices of objects, ascending; empty where nothing answers or it is not
    /// certain.
    pub objects: Vec<Vec<usize>>,
}
