//! A query as configurations have it.

use serde::{Deserialize, Serialize};

/// A `[[query]]` table of a configuration.
///
/// ```toml
/// [[query]]
/// id = "helmet"
/// text = "[a person] without a helmet"
/// score_threshold = 0.7
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryEntry {
    /// Its id.
    pub id: String,
    /// The sentence, targets in brackets.
    pub text: String,
    /// Its own score threshold, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_threshold: Option<f32>,
    /// Its own phrase threshold, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phrase_threshold: Option<f32>,
}
