//! Standing queries as the element takes them.

use gst::prelude::*;
use mdetr_grounding::query::QueryEntry;
use mdetr_grounding::{Grounding, Query};

/// The value of the element's property `queries`.
pub(super) fn to_array(entries: &[QueryEntry]) -> gst::Array {
    let structure = |entry: &QueryEntry| {
        let mut query = gst::Structure::builder("query")
            .field("id", entry.id.as_str())
            .field("text", entry.text.as_str());
        if let Some(threshold) = entry.score_threshold {
            query = query.field("score-threshold", threshold);
        }
        if let Some(threshold) = entry.phrase_threshold {
            query = query.field("phrase-threshold", threshold);
        }
        query.build().to_send_value()
    };
    gst::Array::from_values(entries.iter().map(structure))
}

/// Whether these are the queries that were answered.
pub(super) fn are_answered(entries: &[QueryEntry], grounding: &Grounding) -> bool {
    let same = |(entry, query): (&QueryEntry, &Query)| {
        entry.id == query.id()
            && entry.text == query.source()
            && entry.score_threshold == query.score_threshold()
            && entry.phrase_threshold == query.phrase_threshold()
    };
    let answered = grounding.queries.iter().map(|result| &*result.query);
    entries.len() == grounding.queries.len() && entries.iter().zip(answered).all(same)
}
