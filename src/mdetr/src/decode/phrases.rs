//! Which words of its query a box answers to.

use mdetr_grounding::{Phrase, Span};

use super::outputs::RawOutputs;

/// What a box answers to.
pub(super) struct Named {
    /// Whole words, in the order of the text, none of them in two phrases.
    pub phrases: Vec<Phrase>,
    /// The tokens above the threshold, neighbours as one: parts of `phrases`.
    pub parts: Vec<Span>,
}

struct Token {
    span: Option<Span>,
    probability: f32,
    /// Whether it is above the threshold.
    named: bool,
}

impl Named {
    /// From the probabilities of an object query's slots.
    ///
    /// A word is named if one of its tokens is above the threshold. Neighbouring words that are named
    /// make a phrase. White space may join words, but is no phrase by itself.
    ///
    /// The tokens of a phrase share its probability: of a dozen none is above a tenth. So the threshold
    /// is at most a quarter of what the most probable slot has.
    pub fn new(outputs: &RawOutputs, probabilities: &[f32], threshold: f32) -> Named {
        const SHARE: f32 = 0.25;
        let slots = &probabilities[..probabilities.len().saturating_sub(1)];
        let most = slots.iter().copied().fold(0.0, f32::max);
        let threshold = threshold.min(SHARE * most);
        let token = |(&span, &probability): (&Option<Span>, &f32)| Token {
            span,
            probability,
            named: span.is_some() && probability > threshold,
        };
        let tokens: Vec<Token> = outputs
            .tokens
            .iter()
            .zip(probabilities)
            .map(token)
            .collect();

        let named: Vec<bool> = tokens.iter().map(|token| token.named).collect();
        let parts: Vec<Span> = runs(&tokens, &named).filter_map(extent).collect();
        let query = &outputs.query;
        let words: Vec<Span> = parts.iter().map(|&part| query.whole_words(part)).collect();
        let of_words = |token: &Token| {
            let shared = |span: Span| words.iter().any(|word| word.overlaps(span));
            token.named || token.span.is_some_and(shared)
        };
        let named: Vec<bool> = tokens.iter().map(of_words).collect();

        let mut phrases: Vec<Phrase> = Vec::new();
        for run in runs(&tokens, &named) {
            let Some(span) = extent(run).map(|span| query.whole_words(span)) else {
                continue;
            };
            let above = run.iter().filter(|token| token.named);
            let score: f32 = above.map(|token| token.probability).sum();
            let phrase = |span: Span, score: f32| Phrase {
                text: span.slice(outputs.query.text()).to_owned(),
                span,
                score: score.min(1.0),
            };
            // A word that something else than its tokens divides.
            match phrases.last_mut() {
                Some(last) if span.start < last.span.end => {
                    let end = last.span.end.max(span.end);
                    *last = phrase(Span { end, ..last.span }, last.score + score);
                }
                _ => phrases.push(phrase(span, score)),
            }
        }
        Named { phrases, parts }
    }
}

/// Maximal runs of neighbouring tokens that are `named`.
fn runs<'a>(tokens: &'a [Token], named: &[bool]) -> impl Iterator<Item = &'a [Token]> {
    let mut rest = tokens;
    named.chunk_by(|a, b| a == b).filter_map(move |chunk| {
        let (run, later) = rest.split_at(chunk.len());
        rest = later;
        chunk[0].then_some(run)
    })
}

/// From the first token that shows to the last.
fn extent(run: &[Token]) -> Option<Span> {
    let shown = || {
        let spans = run.iter().filter_map(|token| token.span);
        spans.filter(|span| span.start < span.end)
    };
    Some(Span {
        start: shown().next()?.start,
        end: shown().next_back()?.end,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use mdetr_grounding::Query;

    /// Tokens `<s>`, `pieces` one after the other without the white space at their ends, `</s>`.
    fn outputs(text: &str, pieces: &[&str]) -> RawOutputs {
        let mut tokens = vec![None];
        let mut position = 0;
        for piece in pieces {
            let length = |text: &str| text.chars().count() as u32;
            let start = position + length(piece) - length(piece.trim_start());
            position += length(piece);
            let end = start + length(piece.trim());
            tokens.push(Some(Span { start, end }));
        }
        tokens.push(None);
        RawOutputs {
            query: Arc::new(Query::parse("q", text).unwrap()),
            slots: tokens.len() + 1,
            logits: vec![],
            boxes: vec![],
            lost_age: vec![],
            tokens,
            answers: BTreeMap::new(),
        }
    }

    /// Texts of the phrases where the tokens of `pieces` at `above` have the same probability and the
    /// others a hundredth of it.
    fn texts(pieces: &[&str], above: &[usize]) -> Vec<String> {
        let outputs = outputs(&pieces.concat(), pieces);
        let probabilities = spread(pieces.len(), above);
        let found = Named::new(&outputs, &probabilities, 0.1).phrases;
        found.into_iter().map(|phrase| phrase.text).collect()
    }

    fn spread(pieces: usize, above: &[usize]) -> Vec<f32> {
        let mut probabilities = vec![0.001; pieces + 3];
        for &token in above {
            probabilities[token + 1] = 0.9 / above.len() as f32;
        }
        probabilities
    }

    #[test]
    fn a_phrase_is_whole_words_where_tokens_are_parts_of_them() {
        let pieces = ["a", " red", " cu", "be", ",", " ple", "ase"];
        assert_eq!(texts(&pieces, &[5]), ["please"]);
        assert_eq!(texts(&pieces, &[0, 1, 2]), ["a red cube"]);
        assert_eq!(texts(&pieces, &[0, 3]), ["a", "cube"]);
        assert_eq!(texts(&pieces, &[3, 4]), ["cube,"]);
        assert_eq!(texts(&["p", "l", "ease"], &[0, 2]), ["please"]);
    }

    #[test]
    fn neighbouring_words_of_which_parts_are_named_are_one_phrase() {
        let pieces = ["a", " re", "d", " cu", "be"];
        assert_eq!(texts(&pieces, &[1, 3]), ["red cube"]);
        assert_eq!(texts(&pieces, &[0, 4]), ["a", "cube"]);
    }

    #[test]
    fn a_letter_keeps_its_accent() {
        assert_eq!(texts(&["un ", "cafe", "\u{301}"], &[1]), ["cafe\u{301}"]);
        assert_eq!(texts(&["赤", "い", "玉"], &[0, 1]), ["赤い"]);
    }

    #[test]
    fn the_score_is_that_of_the_tokens_above_the_threshold() {
        let pieces = ["a", " re", "d"];
        let named = Named::new(&outputs("a red", &pieces), &spread(3, &[1]), 0.1);
        assert_eq!(named.phrases[0].text, "red");
        assert_eq!(named.phrases[0].score, 0.9);
        assert_eq!(named.parts, [Span { start: 2, end: 4 }]);
    }

    proptest! {
        #[test]
        fn phrases_are_whole_words_apart_and_have_all_that_is_named(
            pieces in prop::collection::vec("(\\PC|[a-c]|\u{301}|[ก-ฯ]|ำ|[あ-お]| ){1,4}", 1..12),
            values in prop::collection::vec(0.0f32..1.0, 15),
            threshold in 0.0f32..1.0,
        ) {
            let text = pieces.concat();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            prop_assume!(text.trim() == text && !text.contains(['[', ']']) && !text.is_empty());
            let outputs = outputs(&text, &pieces);
            let probabilities = &values[..pieces.len() + 3];
            let Named { phrases, parts } = Named::new(&outputs, probabilities, threshold);
            for phrase in &phrases {
                prop_assert_eq!(outputs.query.whole_words(phrase.span), phrase.span);
                prop_assert_eq!(phrase.span.slice(&text), &phrase.text);
                prop_assert!(parts.iter().any(|part| part.overlaps(phrase.span)));
            }
            prop_assert!(phrases.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start));
            for part in parts {
                let has = |phrase: &Phrase| phrase.span.start <= part.start && part.end <= phrase.span.end;
                prop_assert_eq!(phrases.iter().filter(|phrase| has(phrase)).count(), 1);
            }
        }
    }
}
