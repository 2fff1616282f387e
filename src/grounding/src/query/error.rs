//! What is wrong with a query.

/// Why a query was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Empty, over-long, or with control characters.
    #[error("query id {id:?}: expected 1 to {max} characters without control characters")]
    Id {
        /// The id, shortened.
        id: String,
        /// Most characters allowed.
        max: usize,
    },
    /// Two queries of a set have the same id.
    #[error("query id {id:?}: given twice; give each query an id of its own")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// Nothing but white space and brackets.
    #[error("query {id:?}: the text is empty; say what to look for, such as \"a red cube\"")]
    Empty {
        /// The query's id.
        id: String,
    },
    /// More characters than any sentence has.
    #[error(
        "query {id:?} ({excerpt:?}): {found} characters, expected at most {max}; shorten it or make several queries of it"
    )]
    TooLong {
        /// The query's id.
        id: String,
        /// How the text starts.
        excerpt: String,
        /// Most characters allowed.
        max: usize,
        /// Characters found.
        found: usize,
    },
    /// More tokens than the model takes.
    #[error(
        "query {id:?} ({excerpt:?}): {found} tokens, the model takes at most {max}; shorten it or make several queries of it"
    )]
    TooManyTokens {
        /// The query's id.
        id: String,
        /// How the text starts.
        excerpt: String,
        /// Most tokens allowed, `<s>` and `</s>` included.
        max: usize,
        /// Tokens found, `<s>` and `</s>` included.
        found: usize,
    },
    /// A control character: a line feed, a tab, a NUL.
    #[error(
        "query {id:?} ({excerpt:?}): control character U+{code:04X} at character {position}; write the query on one line without it"
    )]
    ControlCharacter {
        /// The query's id.
        id: String,
        /// How the text starts.
        excerpt: String,
        /// Index in code points, from 0.
        position: usize,
        /// Its code point.
        code: u32,
    },
    /// `[` without `]`, `]` without `[`, or brackets in brackets.
    #[error(
        "query {id:?} ({excerpt:?}): {found} at character {position}; write a target as [words], and a bracket that is part of the text twice: [[ or ]]"
    )]
    Brackets {
        /// The query's id.
        id: String,
        /// How the text starts.
        excerpt: String,
        /// Index in code points, from 0.
        position: usize,
        /// What is wrong there.
        found: &'static str,
    },
    /// `[]`, or only white space in brackets.
    #[error(
        "query {id:?} ({excerpt:?}): empty target at character {position}; put the words to report between the brackets"
    )]
    EmptyTarget {
        /// The query's id.
        id: String,
        /// How the text starts.
        excerpt: String,
        /// Index in code points, from 0.
        position: usize,
    },
    /// A threshold is not a probability.
    #[error("query {id:?}: {name}: expected 0 to 1, found {found}")]
    Threshold {
        /// The query's id.
        id: String,
        /// Which threshold.
        name: &'static str,
        /// What was given.
        found: f32,
    },
    /// The tokenizer cannot encode the text.
    #[error("query {id:?} ({excerpt:?}): the tokenizer refuses it: {message}")]
    Tokenizer {
        /// The query's id.
        id: String,
        /// How the text starts.
        excerpt: String,
        /// What the tokenizer library said.
        message: String,
    },
}
