//! Each query's part of what the network says about a caption of several queries.

use mdetr_grounding::Span;

use super::outputs::softmax;
use crate::pack::Member;

/// The tokens of a caption that are a query's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    /// For each token of the caption its place in the query's text; `None` for those of others.
    pub tokens: Vec<Option<Span>>,
    /// The tokens of each noun phrase; all of the query's if it has no such phrase. None is empty.
    phrases: Vec<Vec<usize>>,
}

impl Words {
    /// `None` if the query has no token that shows.
    pub(crate) fn new(caption: &[Option<Span>], member: &Member) -> Option<Words> {
        let Span { start, end } = member.span;
        let tokens: Vec<Option<Span>> = caption
            .iter()
            .map(|token| {
                let token = token.filter(|token| (start..end).contains(&token.start))?;
                Some(Span {
                    start: token.start - start,
                    end: token.end.min(end) - start,
                })
            })
            .collect();
        let under = |span: Span| -> Vec<usize> {
            let moved = Span {
                start: span.start - start,
                end: span.end - start,
            };
            let indices = tokens.iter().enumerate();
            let inside = |token: Span| token.overlaps(moved);
            indices
                .filter_map(|(index, token)| token.is_some_and(inside).then_some(index))
                .collect()
        };
        let mut phrases: Vec<Vec<usize>> = member.phrases.iter().map(|&span| under(span)).collect();
        phrases.retain(|phrase| !phrase.is_empty());
        if phrases.is_empty() {
            phrases.push(under(member.span));
        }
        let shows = phrases.iter().all(|phrase| !phrase.is_empty());
        shows.then_some(Words { tokens, phrases })
    }

    /// The same words with other places of tokens.
    pub(crate) fn placed(mut self, place: impl Fn(Span) -> Span) -> Words {
        let tokens = self.tokens.iter_mut().flatten();
        tokens.for_each(|token| *token = place(*token));
        self
    }

    fn own(&self) -> impl Iterator<Item = usize> {
        let tokens = self.tokens.iter().enumerate();
        tokens.filter_map(|(index, token)| token.map(|_| index))
    }

    /// Logarithm of the geometric mean of the probabilities, up to a constant of the row; of the noun
    /// phrase that has most.
    fn weight(&self, row: &[f32]) -> f32 {
        let mean = |phrase: &Vec<usize>| {
            phrase.iter().map(|&token| row[token]).sum::<f32>() / phrase.len() as f32
        };
        self.phrases
            .iter()
            .map(mean)
            .fold(f32::NEG_INFINITY, f32::max)
    }
}

/// For each of several queries, logits `[object queries, slots]` as of a caption of its own, from those
/// of the caption of all: softmax gives the probabilities that [`Packing`](crate::Packing) defines, those
/// of its tokens in the proportions they have. Slots of others have no probability.
pub(crate) fn split(logits: &[f32], slots: usize, queries: &[&Words]) -> Vec<Vec<f32>> {
    let mut split = vec![Vec::with_capacity(logits.len()); queries.len()];
    for row in logits.chunks_exact(slots) {
        let something = 1.0 - softmax(row)[slots - 1];
        let weights: Vec<f32> = queries.iter().map(|words| words.weight(row)).collect();
        let most = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for ((words, weight), logits) in queries.iter().zip(weights).zip(&mut split) {
            let ratio = (weight - most).exp();
            let score = something * 2.0 * ratio / (1.0 + ratio);
            let own: Vec<usize> = words.own().collect();
            let theirs: Vec<f32> = own.iter().map(|&token| row[token]).collect();
            let first = logits.len();
            logits.resize(first + slots, f32::NEG_INFINITY);
            for (token, part) in own.into_iter().zip(softmax(&theirs)) {
                logits[first + token] = (part * score).ln();
            }
            logits[first + slots - 1] = (1.0 - score).ln();
        }
    }
    split
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `<s>` a dog . a cat . `</s>`, and the two queries.
    fn dog_and_cat() -> (Vec<Option<Span>>, [Member; 2]) {
        let span = |start, end| Span { start, end };
        let member = |query, span| Member {
            query,
            span,
            phrases: vec![span],
        };
        let words = [(0, 1), (2, 5), (5, 6), (7, 8), (9, 12), (12, 13)];
        let words = words.map(|(start, end)| Some(span(start, end)));
        let tokens = [&[None], &words[..], &[None]].concat();
        (tokens, [member(0, span(0, 5)), member(1, span(7, 12))])
    }

    fn probabilities(tokens: [f32; 9]) -> [Vec<f32>; 2] {
        let (caption, members) = dog_and_cat();
        let words = members.map(|member| Words::new(&caption, &member).unwrap());
        let logits = tokens.map(f32::ln);
        let split = split(&logits, 9, &[&words[0], &words[1]]);
        [softmax(&split[0]), softmax(&split[1])]
    }

    fn near(a: f32, b: f32) -> bool {
        (a - b).abs() < 1e-5
    }

    #[test]
    fn tokens_go_back_to_their_texts() {
        let (caption, members) = dog_and_cat();
        let words = Words::new(&caption, &members[1]).unwrap();
        let (article, cat) = (Span { start: 0, end: 1 }, Span { start: 2, end: 5 });
        let none = None;
        let expected = [none, none, none, none, Some(article), Some(cat), none, none];
        assert_eq!(words.tokens, expected);
    }

    #[test]
    fn an_object_of_one_query_is_not_the_others() {
        let [dog, cat] = probabilities([0.01, 0.4, 0.5, 0.02, 1e-4, 1e-4, 0.0, 0.0, 0.0698]);
        let score = 1.0 - 0.0698;
        assert!(near(1.0 - dog[8], score), "{dog:?}");
        assert!(near(dog[1], 0.4 / 0.9 * score) && near(dog[2], 0.5 / 0.9 * score));
        assert_eq!((dog[0], dog[3], dog[4], dog[5]), (0.0, 0.0, 0.0, 0.0));
        assert!(cat[8] > 0.99, "{cat:?}");
    }

    #[test]
    fn an_object_of_both_queries_is_both_queries() {
        let [dog, cat] = probabilities([0.0, 0.24, 0.24, 0.0, 0.24, 0.24, 0.0, 0.0, 0.04]);
        assert!(near(dog[8], 0.04) && near(cat[8], 0.04), "{dog:?} {cat:?}");
    }

    /// A dog with certainty and a cat with probability q: q / 4 on the cat's tokens, the rest on the dog's.
    #[test]
    fn a_doubtful_second_query_has_the_score_of_its_doubt() {
        for q in [0.1f32, 0.5, 0.8] {
            let cat = q / 4.0;
            let dog = cat + (1.0 - q) / 2.0;
            let [_, cat] = probabilities([0.0, dog, dog, 0.0, cat, cat, 0.0, 0.0, 0.0]);
            assert!(near(1.0 - cat[8], q), "{q}: {cat:?}");
        }
    }

    #[test]
    fn all_words_must_be_meant() {
        let row = [0.0, 0.2, 0.3, 0.0, 0.4, 0.001, 0.0, 0.0, 0.099];
        let [dog, cat] = probabilities(row);
        assert!(1.0 - dog[8] > 0.9 && 1.0 - cat[8] < 0.2, "{dog:?} {cat:?}");
    }

    #[test]
    fn the_best_noun_phrase_counts() {
        let (caption, [dog, _]) = dog_and_cat();
        let span = |start, end| Span { start, end };
        let both = Member {
            query: 0,
            span: span(0, 13),
            phrases: vec![span(0, 5), span(7, 12)],
        };
        let words = [&both, &dog].map(|member| Words::new(&caption, member).unwrap());
        let row = [0.0f32, 0.001, 0.001, 0.0, 0.5, 0.4, 0.0, 0.0, 0.098].map(f32::ln);
        let split = split(&row, 9, &[&words[0], &words[1]]);
        let scores: Vec<f32> = split
            .iter()
            .map(|logits| 1.0 - softmax(logits)[8])
            .collect();
        assert!(scores[0] > 0.9 && scores[1] < 0.05, "{scores:?}");
    }

    #[test]
    fn broken_numbers_stay_broken() {
        let [dog, cat] = probabilities([f32::NAN; 9]);
        assert!(dog[8].is_nan() && cat[8].is_nan());
        let [dog, _] = probabilities([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert!(dog[8].is_nan() || dog[8] == 1.0, "{dog:?}");
    }

    proptest! {
        #[test]
        fn shares_are_probabilities_and_the_first_has_all(
            row in prop::collection::vec(-12.0f32..12.0, 9),
        ) {
            let (caption, members) = dog_and_cat();
            let words = members.map(|member| Words::new(&caption, &member).unwrap());
            let something = 1.0 - softmax(&row)[8];
            let split = split(&row, 9, &[&words[0], &words[1]]);
            let mut scores = Vec::new();
            for logits in &split {
                let probabilities = softmax(logits);
                prop_assert!(near(probabilities.iter().sum(), 1.0));
                prop_assert!(probabilities.iter().all(|p| (0.0..=1.0).contains(p)));
                scores.push(1.0 - probabilities[8]);
            }
            prop_assert!(near(scores[0].max(scores[1]), something));
            prop_assert!(scores.iter().all(|score| *score <= something + 1e-5));
        }
    }
}
