//! Texts as a model was trained on them.

use mdetr_grounding::Span;

use crate::bundle::Case;

/// A text as the tokenizer takes it, and what of the text that was typed its code points come of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Normalised {
    text: String,
    /// For each code point of `text` the typed one; none if the texts are equal.
    origins: Option<Vec<u32>>,
}

impl Normalised {
    pub(crate) fn new(typed: &str, case: Case) -> Normalised {
        let text = match case {
            Case::Preserved => typed.to_owned(),
            Case::Lower => typed.to_lowercase(),
        };
        // A final sigma is another one than elsewhere, but one code point as well: all others become
        // lower case by themselves.
        let lowered = |(at, character): (u32, char)| character.to_lowercase().map(move |_| at);
        let origins = (text != typed).then(|| (0..).zip(typed.chars()).flat_map(lowered).collect());
        Normalised { text, origins }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The code points of the typed text that those under `span` come of.
    pub(crate) fn typed(&self, span: Span) -> Span {
        let Some(origins) = &self.origins else {
            return span;
        };
        let length = origins.last().map_or(0, |last| last + 1);
        let origin = |position: u32| origins.get(position as usize).copied();
        let start = origin(span.start).unwrap_or(length);
        let end = match span.end.checked_sub(1) {
            Some(last) if span.start < span.end => origin(last).map_or(length, |last| last + 1),
            _ => start,
        };
        Span { start, end }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lower(text: &str) -> Normalised {
        Normalised::new(text, Case::Lower)
    }

    /// The typed words under the first `part` of the lower-case text.
    fn typed<'a>(text: &'a str, part: &str) -> &'a str {
        let normalised = lower(text);
        let byte = normalised.text().find(part).unwrap();
        let start = normalised.text()[..byte].chars().count() as u32;
        let end = start + part.chars().count() as u32;
        normalised.typed(Span { start, end }).slice(text)
    }

    #[test]
    fn spans_are_those_of_the_typed_text() {
        assert_eq!(typed("A RED CYLINDER", "red"), "RED");
        // U+0130 becomes two code points.
        assert_eq!(lower("İKİ TOP").text(), "i\u{307}ki\u{307} top");
        assert_eq!(typed("İKİ TOP", "top"), "TOP");
        assert_eq!(typed("İKİ TOP", "i\u{307}ki\u{307}"), "İKİ");
        assert_eq!(typed("İKİ TOP", "i"), "İ");
        assert_eq!(typed("İKİ TOP", "\u{307}k"), "İK");
        // The capital sharp s becomes one, a pair of S stays a pair.
        assert_eq!(
            typed("GROẞE STRASSE, große", "große strasse"),
            "GROẞE STRASSE"
        );
        assert_eq!(
            typed("GROẞE STRASSE, große", "strasse, große"),
            "STRASSE, große"
        );
        // A sigma at the end of a word is another one than inside.
        assert_eq!(lower("ΣΦΑΙΡΑΣ ΚΥΒΟΣ").text(), "σφαιρας κυβος");
        assert_eq!(typed("ΣΦΑΙΡΑΣ ΚΥΒΟΣ", "κυβος"), "ΚΥΒΟΣ");
    }

    #[test]
    fn spans_of_nothing_keep_their_place() {
        let normalised = lower("İ A");
        assert_eq!(normalised.text().chars().count(), 4);
        for (at, expected) in [(0, 0), (2, 1), (3, 2), (4, 3), (9, 3)] {
            let span = normalised.typed(Span { start: at, end: at });
            assert_eq!((span.start, span.end), (expected, expected), "{at}");
        }
    }

    #[test]
    fn a_text_may_stay_as_it_is() {
        let text = "A RED İ";
        let kept = Normalised::new(text, Case::Preserved);
        assert_eq!(kept.text(), text);
        let span = Span { start: 2, end: 7 };
        assert_eq!((kept.typed(span), kept.origins), (span, None));
        assert_eq!(lower("a red ball").origins, None);
    }

    proptest! {
        #[test]
        fn every_code_point_comes_of_that_which_becomes_it(text in "(\\PC|[A-Z]|İ|Σ|ẞ| ){0,20}") {
            let normalised = lower(&text);
            let lowered: Vec<char> = normalised.text().chars().collect();
            let whole = Span { start: 0, end: lowered.len() as u32 };
            let typed_length = text.chars().count() as u32;
            prop_assert_eq!(normalised.typed(whole), Span { start: 0, end: typed_length });
            for (position, character) in (0..).zip(lowered) {
                let span = normalised.typed(Span { start: position, end: position + 1 });
                prop_assert_eq!(span.end, span.start + 1);
                let found = span.slice(&text).to_lowercase();
                let sigma = |c: char| if c == 'ς' { 'σ' } else { c };
                prop_assert!(found.chars().any(|c| sigma(c) == sigma(character)));
            }
        }
    }
}
