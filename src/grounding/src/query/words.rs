//! Where words begin and end.

use std::collections::HashSet;

use unicode_segmentation::UnicodeSegmentation;

use crate::span::Span;

/// The places where a phrase of a text may begin or end: between two words.
///
/// Words are those of Unicode's standard annex 29 without a dictionary. So what is written without
/// spaces in Chinese, Japanese, Thai, Lao, Khmer or Burmese has a place between any two characters as
/// a reader sees them (extended grapheme clusters), but not inside a row of Katakana. No place divides
/// such a character, whatever the script: a letter keeps its accents, an emoji its skin tone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WordBounds(
    /// In code points, ascending, from 0 to the length of the text.
    Vec<u32>,
);

impl WordBounds {
    pub(super) fn new(text: &str) -> WordBounds {
        // The two rules differ on some scripts: Thai's vowel sign am is no word, but part of a cluster.
        let words: HashSet<usize> = text.split_word_bound_indices().map(|(at, _)| at).collect();
        let clusters: HashSet<usize> = text.grapheme_indices(true).map(|(at, _)| at).collect();
        let mut length = 0;
        let mut bounds = Vec::with_capacity(words.len() + 1);
        for (position, (byte, _)) in (0..).zip(text.char_indices()) {
            if words.contains(&byte) && clusters.contains(&byte) {
                bounds.push(position);
            }
            length = position + 1;
        }
        bounds.push(length);
        WordBounds(bounds)
    }

    /// The shortest span of whole words that has all of `span`.
    pub(super) fn widen(&self, span: Span) -> Span {
        let first = self.0.partition_point(|&bound| bound <= span.start);
        let last = self.0.partition_point(|&bound| bound < span.end);
        Span {
            start: self.0[..first].last().copied().unwrap_or(span.start),
            end: self.0.get(last).copied().unwrap_or(span.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The phrase that `part`, the first such part of `text`, becomes.
    fn widened<'a>(text: &'a str, part: &str) -> &'a str {
        let byte = text.find(part).unwrap();
        let start = text[..byte].chars().count() as u32;
        let end = start + part.chars().count() as u32;
        WordBounds::new(text).widen(Span { start, end }).slice(text)
    }

    #[test]
    fn parts_of_words_become_whole_words() {
        for (text, part, expected) in [
            ("a red cube, please", "ple", "please"),
            ("a green ball", "a g", "a green"),
            ("a green ball", "een b", "green ball"),
            ("a red cube", "red", "red"),
            ("a man's hat", "s", "man's"),
            ("the 3.5 mm plug", ".", "3.5"),
            ("a right-handed glove", "hand", "handed"),
            ("größter Würfel", "ür", "Würfel"),
            ("мяч справа от куба", "прав", "справа"),
            ("כדור אדום", "דו", "כדור"),
            ("كرة حمراء", "را", "حمراء"),
            ("빨간 공", "간", "빨간"),
            ("लाल गेंद", "ें", "गेंद"),
        ] {
            assert_eq!(widened(text, part), expected, "{part} of {text}");
        }
    }

    #[test]
    fn letters_keep_their_accents() {
        let decomposed = "un cafe\u{301} noir";
        assert_eq!(widened(decomposed, "cafe"), "cafe\u{301}");
        assert_eq!(widened(decomposed, "\u{301}"), "cafe\u{301}");
        assert_eq!(widened("x \u{301}y", "\u{301}"), " \u{301}");
        assert_eq!(widened("👍🏽 two", "🏽"), "👍🏽");
        assert_eq!(widened("👩‍🚀🚀", "\u{200d}"), "👩‍🚀");
        assert_eq!(widened("🇩🇪🇫🇷", "🇪"), "🇩🇪");
    }

    #[test]
    fn without_spaces_a_phrase_ends_between_any_two_characters() {
        assert_eq!(widened("红色的球", "色"), "色");
        assert_eq!(widened("左の赤い玉", "赤い"), "赤い");
        assert_eq!(widened("赤いボール", "ー"), "ボール");
        // Two clusters: so nu with a tone and am.
        assert_eq!(widened("สน้ำ", "น"), "น้ำ");
        assert_eq!(widened("สน้ำ", "ำ"), "น้ำ");
        assert_eq!(widened("สน้ำ", "ส"), "ส");
    }

    proptest! {
        #[test]
        fn phrases_are_whole_words_and_clusters(
            text in "(\\PC|[a-c ]|\u{301}|\u{200d}|[ก-ฯ]|ำ|[あ-お]|[ア-オ]|🇩|🏽|👍){1,24}",
            ends in (0usize..24, 0usize..24),
        ) {
            let length = text.chars().count();
            let (a, b) = (ends.0 % (length + 1), ends.1 % (length + 1));
            let span = Span { start: a.min(b) as u32, end: a.max(b) as u32 };
            let bounds = WordBounds::new(&text);
            let wide = bounds.widen(span);
            prop_assert!(wide.start <= span.start && span.end <= wide.end);
            prop_assert!(wide.end as usize <= length);
            prop_assert_eq!(bounds.widen(wide), wide);
            let cut = |position: u32| text.char_indices().nth(position as usize).map_or(text.len(), |(byte, _)| byte);
            let between = |byte: usize, pieces: Vec<usize>| byte == text.len() || pieces.contains(&byte);
            for byte in [cut(wide.start), cut(wide.end)] {
                prop_assert!(between(byte, text.split_word_bound_indices().map(|(at, _)| at).collect()));
                prop_assert!(between(byte, text.grapheme_indices(true).map(|(at, _)| at).collect()));
            }
        }
    }
}
