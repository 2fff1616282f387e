//! A query in a result that is written as JSON.

use serde::{Deserialize, Serialize};

use super::{Query, QueryError};

#[derive(Serialize, Deserialize)]
pub(super) struct Written {
    id: String,
    source: String,
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    score_threshold: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    phrase_threshold: Option<f32>,
}

impl From<Query> for Written {
    fn from(query: Query) -> Written {
        Written {
            id: query.id,
            source: query.source,
            text: query.text,
            score_threshold: query.score_threshold,
            phrase_threshold: query.phrase_threshold,
        }
    }
}

impl TryFrom<Written> for Query {
    type Error = QueryError;

    fn try_from(written: Written) -> Result<Query, QueryError> {
        let Written {
            id, source, text, ..
        } = written;
        // The text of a literal query is not what its source would be parsed to.
        let parsed = Query::parse(id.as_str(), &source).ok();
        let mut query = match parsed.filter(|query| query.text == text) {
            Some(query) => query,
            None => Query::literal(id, &text)?,
        };
        if let Some(threshold) = written.score_threshold {
            query = query.with_score_threshold(threshold)?;
        }
        if let Some(threshold) = written.phrase_threshold {
            query = query.with_phrase_threshold(threshold)?;
        }
        Ok(query)
    }
}
