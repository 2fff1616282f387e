//! Places in a text.

use serde::{Deserialize, Serialize};

/// A half-open range of Unicode code points of a query's text. In JSON `[start, end]`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(from = "[u32; 2]", into = "[u32; 2]")]
pub struct Span {
    /// First code point.
    pub start: u32,
    /// One past the last code point.
    pub end: u32,
}

impl Span {
    /// Whether the two have a code point in common.
    pub fn overlaps(self, other: Span) -> bool {
        self.start.max(other.start) < self.end.min(other.end)
    }

    /// The part of `text` under the span; shorter if the text is.
    pub fn slice(self, text: &str) -> &str {
        let byte = |position: u32| {
            text.char_indices()
                .nth(position as usize)
                .map_or(text.len(), |(byte, _)| byte)
        };
        let start = byte(self.start);
        &text[start..byte(self.end).max(start)]
    }
}

impl From<[u32; 2]> for Span {
    fn from([start, end]: [u32; 2]) -> Span {
        Span { start, end }
    }
}

impl From<Span> for [u32; 2] {
    fn from(span: Span) -> [u32; 2] {
        [span.start, span.end]
    }
}
