//! What the network gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use mdetr_grounding::{Query, Span};

/// What the network gave for one query, before decoding. For a query in a caption of several it is what
/// a caption of its own would have given, by the rule of [`Packing`](crate::Packing).
#[derive(Debug, Clone, PartialEq)]
pub struct RawOutputs {
    /// The query.
    pub query: Arc<Query>,
    /// Columns of `logits`: token slots and, last, "no object".
    pub slots: usize,
    /// `[object queries, slots]`, row-major; those of what is not seen any more, if the model has some, are the last.
    pub logits: Vec<f32>,
    /// For each object query cx, cy, w, h relative to the frame.
    pub boxes: Vec<[f32; 4]>,
    /// Seconds since each of the last object queries' objects was seen.
    pub lost_age: Vec<f32>,
    /// For each token, and so for each of the first slots, its span in the query's text without
    /// white space, so an empty one for white space; `None` for special tokens and those of other
    /// queries.
    pub tokens: Vec<Option<Span>>,
    /// Logits of the heads that answer questions, by the name of the fusion graph's output; empty
    /// if the model has none, or the caption is one of several queries.
    pub answers: BTreeMap<&'static str, Vec<f32>>,
}

impl RawOutputs {
    /// Milliseconds since the object of an object query was seen, if it is one of what is not seen any more.
    pub(crate) fn hidden_ms(&self, query: usize) -> Option<f32> {
        let seen = self.boxes.len() - self.lost_age.len();
        let age = self.lost_age.get(query.checked_sub(seen)?)?;
        Some(1000.0 * age)
    }

    /// Softmax of each row of `logits`: one row of `slots` probabilities for each object query.
    pub fn probabilities(&self) -> Vec<Vec<f32>> {
        self.logits.chunks_exact(self.slots).map(softmax).collect()
    }
}

pub(crate) fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut values: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f32 = values.iter().sum();
    values.iter_mut().for_each(|value| *value /= sum);
    values
}
