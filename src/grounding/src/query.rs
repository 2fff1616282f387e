//! Sentences to ground: text, targets, standing sets.

mod entry;
mod error;
mod words;
mod written;

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::span::Span;
pub use entry::QueryEntry;
pub use error::QueryError;
use words::WordBounds;

/// Most code points of a query's text; a model's limit in tokens is usually lower.
pub const MAX_CHARS: usize = 4096;
/// Most code points of a query's id.
pub const MAX_ID_CHARS: usize = 128;

/// One sentence to ground.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "written::Written", try_from = "written::Written")]
pub struct Query {
    id: String,
    source: String,
    text: String,
    targets: Vec<Span>,
    word_bounds: WordBounds,
    score_threshold: Option<f32>,
    phrase_threshold: Option<f32>,
}

impl Query {
    /// Parses `source`, in which `[words]` mark targets.
    ///
    /// The brackets are removed and so is white space at both ends; the rest is the text that the
    /// model sees, unchanged. `[[` and `]]` stand for a bracket that is part of the text. A query
    /// may have several targets; they do not nest.
    ///
    /// ```
    /// let query = mdetr_grounding::Query::parse("q1", "[a person] without a helmet")?;
    /// assert_eq!(query.text(), "a person without a helmet");
    /// assert_eq!(query.targets(), [mdetr_grounding::Span { start: 0, end: 8 }]);
    /// # Ok::<(), mdetr_grounding::QueryError>(())
    /// ```
    ///
    /// # Errors
    /// The id is empty or over [`MAX_ID_CHARS`], the text is empty or over [`MAX_CHARS`] code
    /// points, has control characters, or its brackets do not pair, nest, or hold nothing.
    pub fn parse(id: impl Into<String>, source: &str) -> Result<Query, QueryError> {
        let id = checked_id(id.into())?;
        // Bounds the work on absurd inputs: each code point of text takes at most two of the source.
        let found = source.chars().count();
        if found > 2 * MAX_CHARS {
            return Err(QueryError::TooLong {
                id,
                excerpt: excerpt(source),
                max: MAX_CHARS,
                found,
            });
        }
        let mut text: Vec<char> = Vec::with_capacity(found);
        let targets = remove_brackets(&id, source, &mut text)?;
        let (text, targets) = trim(&text, targets);
        Query::new(id, source, text, targets)
    }

    /// The query that a configuration's table says.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and for thresholds that are not from 0 to 1.
    pub fn from_entry(entry: &QueryEntry) -> Result<Query, QueryError> {
        let mut query = Query::parse(entry.id.as_str(), &entry.text)?;
        if let Some(threshold) = entry.score_threshold {
            query = query.with_score_threshold(threshold)?;
        }
        if let Some(threshold) = entry.phrase_threshold {
            query = query.with_phrase_threshold(threshold)?;
        }
        Ok(query)
    }

    /// A query without targets whose text is `text` as it is, brackets and white space included.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), but for brackets.
    pub fn literal(id: impl Into<String>, text: &str) -> Result<Query, QueryError> {
        let characters: Vec<char> = text.chars().collect();
        Query::new(checked_id(id.into())?, text, &characters, Vec::new())
    }

    fn new(
        id: String,
        source: &str,
        text: &[char],
        targets: Vec<Span>,
    ) -> Result<Query, QueryError> {
        if text.iter().all(|c| c.is_whitespace()) {
            return Err(QueryError::Empty { id });
        }
        if text.len() > MAX_CHARS {
            let (excerpt, found) = (excerpt(source), text.len());
            return Err(QueryError::TooLong {
                id,
                excerpt,
                max: MAX_CHARS,
                found,
            });
        }
        if let Some(position) = text.iter().position(|c| c.is_control()) {
            let (excerpt, code) = (excerpt(source), text[position].into());
            return Err(QueryError::ControlCharacter {
                id,
                excerpt,
                position,
                code,
            });
        }
        let text: String = text.iter().collect();
        Ok(Query {
            id,
            source: source.to_owned(),
            word_bounds: WordBounds::new(&text),
            text,
            targets,
            score_threshold: None,
            phrase_threshold: None,
        })
    }

    /// Sets this query's own score threshold, 0 to 1.
    pub fn with_score_threshold(mut self, threshold: f32) -> Result<Query, QueryError> {
        self.score_threshold = Some(self.checked("score threshold", threshold)?);
        Ok(self)
    }

    /// Sets this query's own phrase threshold, 0 to 1.
    pub fn with_phrase_threshold(mut self, threshold: f32) -> Result<Query, QueryError> {
        self.phrase_threshold = Some(self.checked("phrase threshold", threshold)?);
        Ok(self)
    }

    fn checked(&self, name: &'static str, threshold: f32) -> Result<f32, QueryError> {
        if (0.0..=1.0).contains(&threshold) {
            Ok(threshold)
        } else {
            Err(QueryError::Threshold {
                id: self.id.clone(),
                name,
                found: threshold,
            })
        }
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The text as the model sees it: brackets removed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as it was given, brackets included.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The parts of [`text`](Self::text) that were in brackets, in order.
    pub fn targets(&self) -> &[Span] {
        &self.targets
    }

    /// The shortest span of whole words of the text that has all of `span`. Words are those of Unicode's
    /// standard annex 29; characters as a reader sees them are never divided.
    pub fn whole_words(&self, span: Span) -> Span {
        self.word_bounds.widen(span)
    }

    /// Whether the text is a question: it ends with a question mark.
    pub fn is_question(&self) -> bool {
        self.text.ends_with('?')
    }

    /// This query's own score threshold.
    pub fn score_threshold(&self) -> Option<f32> {
        self.score_threshold
    }

    /// This query's own phrase threshold.
    pub fn phrase_threshold(&self) -> Option<f32> {
        self.phrase_threshold
    }
}

fn checked_id(id: String) -> Result<String, QueryError> {
    let length = id.chars().count();
    if length == 0 || length > MAX_ID_CHARS || id.chars().any(char::is_control) {
        return Err(QueryError::Id {
            id: excerpt(&id),
            max: MAX_ID_CHARS,
        });
    }
    Ok(id)
}

/// How a text starts, for messages: its first 60 code points.
pub fn excerpt(text: &str) -> String {
    const CHARS: usize = 60;
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Appends `source` without its brackets to `text` and gives the spans that were in brackets.
fn remove_brackets(id: &str, source: &str, text: &mut Vec<char>) -> Result<Vec<Span>, QueryError> {
    let fault = |position, found| QueryError::Brackets {
        id: id.to_owned(),
        excerpt: excerpt(source),
        position,
        found,
    };
    let mut targets = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    let mut characters = source.chars().enumerate().peekable();
    while let Some((position, character)) = characters.next() {
        let doubled = matches!(character, '[' | ']')
            && characters.next_if(|(_, next)| *next == character).is_some();
        match character {
            _ if doubled => text.push(character),
            '[' if open.is_some() => return Err(fault(position, "'[' inside a target")),
            '[' => open = Some((position, text.len())),
            ']' => {
                let (at, start) = open
                    .take()
                    .ok_or_else(|| fault(position, "']' without '['"))?;
                if text[start..].iter().all(|c| c.is_whitespace()) {
                    let (id, excerpt) = (id.to_owned(), excerpt(source));
                    return Err(QueryError::EmptyTarget {
                        id,
                        excerpt,
                        position: at,
                    });
                }
                targets.push(shrunk(text, start, text.len()));
            }
            _ => text.push(character),
        }
    }
    match open {
        Some((position, _)) => Err(fault(position, "'[' without ']'")),
        None => Ok(targets),
    }
}

/// The range without white space at its ends.
fn shrunk(text: &[char], start: usize, end: usize) -> Span {
    let lead = text[start..end]
        .iter()
        .take_while(|c| c.is_whitespace())
        .count();
    let tail = text[start + lead..end]
        .iter()
        .rev()
        .take_while(|c| c.is_whitespace())
        .count();
    Span {
        start: (start + lead) as u32,
        end: (end - tail) as u32,
    }
}

/// The text without white space at its ends, and the spans in it.
fn trim(text: &[char], targets: Vec<Span>) -> (&[char], Vec<Span>) {
    let kept = shrunk(text, 0, text.len());
    let moved = |span: Span| Span {
        start: span.start - kept.start,
        end: span.end - kept.start,
    };
    (
        &text[kept.start as usize..kept.end.max(kept.start) as usize],
        targets.into_iter().map(moved).collect(),
    )
}

/// Standing queries: what a stream answers, in order, with a revision that rises with each change.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QuerySet {
    revision: u64,
    queries: Vec<Arc<Query>>,
}

impl QuerySet {
    /// A set of this revision.
    ///
    /// # Errors
    /// Two queries have the same id.
    pub fn new(revision: u64, queries: Vec<Query>) -> Result<QuerySet, QueryError> {
        let mut ids = HashSet::new();
        for query in &queries {
            if !ids.insert(query.id()) {
                return Err(QueryError::DuplicateId {
                    id: query.id().to_owned(),
                });
            }
        }
        Ok(QuerySet {
            revision,
            queries: queries.into_iter().map(Arc::new).collect(),
        })
    }

    /// Rises by one with each change; 0 before the first.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The queries in the order they were given; their ids are unique.
    pub fn queries(&self) -> &[Arc<Query>] {
        &self.queries
    }

    /// The query with this id.
    pub fn get(&self, id: &str) -> Option<&Arc<Query>> {
        self.queries.iter().find(|query| query.id() == id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(source: &str) -> Result<Query, QueryError> {
        Query::parse("q", source)
    }

    fn targets(source: &str) -> Vec<(u32, u32)> {
        parse(source)
            .unwrap()
            .targets()
            .iter()
            .map(|s| (s.start, s.end))
            .collect()
    }

    #[test]
    fn brackets_become_targets() {
        let query = parse("[a person] without a helmet").unwrap();
        assert_eq!(query.text(), "a person without a helmet");
        assert_eq!(query.source(), "[a person] without a helmet");
        assert_eq!(query.targets(), [Span { start: 0, end: 8 }]);
        assert_eq!(targets("a [cube] on [a ball]"), [(2, 6), (10, 16)]);
        assert_eq!(targets("no target"), []);
        assert_eq!(targets("[a][b]"), [(0, 1), (1, 2)]);
    }

    #[test]
    fn spans_count_code_points() {
        let query = parse("die größte [Tasse ☕] 左の [赤い玉]").unwrap();
        assert_eq!(query.text(), "die größte Tasse ☕ 左の 赤い玉");
        assert_eq!(
            query.targets(),
            [Span { start: 11, end: 18 }, Span { start: 22, end: 25 }]
        );
        assert_eq!(query.targets()[0].slice(query.text()), "Tasse ☕");
        assert_eq!(query.targets()[1].slice(query.text()), "赤い玉");
    }

    #[test]
    fn doubled_brackets_are_text() {
        let query = parse("a sign saying [[exit]]").unwrap();
        assert_eq!(query.text(), "a sign saying [exit]");
        assert!(query.targets().is_empty());
        let query = parse("[a key labelled [[A]]]").unwrap();
        assert_eq!(query.text(), "a key labelled [A]");
        assert_eq!(query.targets(), [Span { start: 0, end: 18 }]);
    }

    #[test]
    fn white_space_at_the_ends_is_dropped() {
        let query = parse(" \n[ a cube ] \t").unwrap();
        assert_eq!(query.text(), "a cube");
        assert_eq!(query.targets(), [Span { start: 0, end: 6 }]);
    }

    #[test]
    fn faults_are_named_with_their_place() {
        let place = |source: &str| match parse(source).unwrap_err() {
            QueryError::Brackets {
                position, found, ..
            } => (position, found),
            other => panic!("{source}: {other}"),
        };
        assert_eq!(place("[a person without"), (0, "'[' without ']'"));
        assert_eq!(place("a person] without"), (8, "']' without '['"));
        assert_eq!(place("[a [red] cube]"), (3, "'[' inside a target"));
        assert_eq!(place("größer [a]] b"), (7, "'[' without ']'"));
        for (source, at) in [("a [] b", 2), ("a [  ] b", 2)] {
            let error = parse(source).unwrap_err();
            assert!(
                matches!(error, QueryError::EmptyTarget { position, .. } if position == at),
                "{error}"
            );
        }
        for source in ["", "   ", "\n\t "] {
            assert_eq!(
                parse(source).unwrap_err(),
                QueryError::Empty { id: "q".into() }
            );
        }
    }

    #[test]
    fn control_characters_are_refused() {
        for (source, at, code) in [("a\0b", 1, 0), ("red\ncube", 3, 10), ("é\u{7f}x", 1, 0x7f)] {
            let error = parse(source).unwrap_err();
            assert!(
                matches!(&error, QueryError::ControlCharacter { position, code: c, .. }
                    if *position == at && *c == code),
                "{error}"
            );
        }
    }

    #[test]
    fn five_thousand_words_are_refused_with_both_numbers() {
        let error = parse(&"word ".repeat(5000)).unwrap_err().to_string();
        assert!(error.contains("4096") && error.contains("25000"), "{error}");
        assert!(
            error.len() < 400,
            "the message quotes the whole text: {error}"
        );
        assert!(parse(&"x".repeat(MAX_CHARS)).is_ok());
        assert!(parse(&"x".repeat(MAX_CHARS + 1)).is_err());
        assert!(parse(&"[[".repeat(MAX_CHARS)).is_ok());
    }

    #[test]
    fn ids_and_thresholds_are_checked() {
        for id in ["", "a\nb", &"x".repeat(MAX_ID_CHARS + 1)] {
            assert!(
                matches!(Query::parse(id, "a cube"), Err(QueryError::Id { .. })),
                "{id:?}"
            );
        }
        let query = parse("a cube").unwrap();
        for bad in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            assert!(query.clone().with_score_threshold(bad).is_err());
            assert!(query.clone().with_phrase_threshold(bad).is_err());
        }
        let query = query
            .with_score_threshold(0.5)
            .unwrap()
            .with_phrase_threshold(0.0)
            .unwrap();
        assert_eq!(
            (query.score_threshold(), query.phrase_threshold()),
            (Some(0.5), Some(0.0))
        );
    }

    #[test]
    fn ids_of_a_set_are_unique() {
        let query = |id| Query::parse(id, "a cube").unwrap();
        let error = QuerySet::new(1, vec![query("a"), query("b"), query("a")]).unwrap_err();
        assert_eq!(error, QueryError::DuplicateId { id: "a".into() });
        let set = QuerySet::new(1, vec![query("a"), query("b")]).unwrap();
        assert_eq!(set.get("b").unwrap().id(), "b");
        assert!(set.get("c").is_none());
    }

    #[test]
    fn spans_are_json_arrays() {
        let span = Span { start: 3, end: 9 };
        assert_eq!(serde_json::to_string(&span).unwrap(), "[3,9]");
        assert_eq!(serde_json::from_str::<Span>("[3,9]").unwrap(), span);
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(source in "\\PC{0,40}|[\\[\\] a\\u{e9}]{0,12}|.{0,12}") {
            if let Ok(query) = parse(&source) {
                let chars = query.text().chars().count() as u32;
                prop_assert!(chars > 0);
                prop_assert_eq!(query.text(), query.text().trim());
                for target in query.targets() {
                    prop_assert!(target.start < target.end && target.end <= chars);
                    prop_assert!(!target.slice(query.text()).trim().is_empty());
                }
            }
        }

        #[test]
        fn pieces_in_brackets_come_back(
            pieces in prop::collection::vec(("[a-z\\u{e9}\\u{4e00} ]{0,6}", "\\PC{1,6}"), 1..5)
        ) {
            let plain = |text: &str| text.replace('[', "[[").replace(']', "]]");
            let mut source = String::from("x");
            let mut expected = Vec::new();
            for (before, target) in &pieces {
                let target = format!("t{target}t");
                source.push_str(&format!("{before}[ {} ]", plain(&target)));
                expected.push(target);
            }
            let query = parse(&source).unwrap();
            let found: Vec<&str> =
                query.targets().iter().map(|span| span.slice(query.text())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
