//! From the logits of the answer heads to words.

use std::collections::BTreeMap;

use mdetr_grounding::Answer;

use super::outputs::softmax;
use crate::bundle::answers::{ATTRIBUTE, AnswerKind, Answers, BINARY, COUNT, TYPE};

/// Logits of each answer head, by the name of the fusion graph's output.
pub(crate) type AnswerLogits = BTreeMap<&'static str, Vec<f32>>;

/// GQA's heads in the order of its answer types, which is not that of the answer queries.
const GQA_TYPES: [&str; 5] = [
    "answer_obj",
    "answer_attr",
    "answer_rel",
    "answer_global",
    "answer_cat",
];

/// The values of CLEVR's attribute head.
const CLEVR_ATTRIBUTES: [&str; 15] = [
    "small", "large", "gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow", "cube",
    "sphere", "cylinder", "rubber", "metal",
];

/// An answer that the vocabulary has no words for.
const UNKNOWN: &str = "unknown";

/// How a bundle's answer heads are read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answering {
    kind: AnswerKind,
    /// Words by head and class.
    words: BTreeMap<String, Vec<String>>,
}

impl Answering {
    /// `words`: GQA's answers by head and class, from the bundle's `answers.json`.
    pub(crate) fn new(answers: &Answers, words: BTreeMap<String, Vec<String>>) -> Answering {
        let mut words = words;
        if answers.kind == AnswerKind::Clevr {
            let standard = || CLEVR_ATTRIBUTES.map(str::to_owned).to_vec();
            let attributes = answers.attributes.clone().unwrap_or_else(standard);
            words.insert(ATTRIBUTE.to_owned(), attributes);
        }
        Answering {
            kind: answers.kind,
            words,
        }
    }

    /// The answer and its confidence: P(type) x P(answer of that type). `None` if a head's logits
    /// are missing or not finite.
    pub(crate) fn decode(&self, logits: &AnswerLogits) -> Option<Answer> {
        let (kind, certainty) = likeliest(logits.get(TYPE)?)?;
        let (text, probability) = match self.kind {
            AnswerKind::Gqa => self.class(GQA_TYPES.get(kind)?, logits)?,
            AnswerKind::Clevr => match kind {
                0 => {
                    let logit = *logits.get(BINARY)?.first()?;
                    let yes = 1.0 / (1.0 + (-logit).exp());
                    let (text, probability) = if yes > 0.5 {
                        ("yes", yes)
                    } else {
                        ("no", 1.0 - yes)
                    };
                    (text.to_owned(), probability)
                }
                1 => self.class(ATTRIBUTE, logits)?,
                _ => {
                    let (count, probability) = likeliest(logits.get(COUNT)?)?;
                    (count.to_string(), probability)
                }
            },
        };
        let score = certainty * probability;
        score.is_finite().then_some(Answer { text, score })
    }

    fn class(&self, head: &str, logits: &AnswerLogits) -> Option<(String, f32)> {
        let (class, probability) = likeliest(logits.get(head)?)?;
        let word = self.words.get(head).and_then(|words| words.get(class));
        Some((word.map_or(UNKNOWN, String::as_str).to_owned(), probability))
    }
}

/// The class with the highest logit and its probability; the first of equals.
fn likeliest(logits: &[f32]) -> Option<(usize, f32)> {
    let probabilities = softmax(logits);
    let mut best = None;
    for (class, &probability) in probabilities.iter().enumerate() {
        if best.is_none_or(|(_, most)| probability > most) {
            best = Some((class, probability));
        }
    }
    best.filter(|(_, probability)| probability.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answering(kind: AnswerKind, attributes: Option<&[&str]>) -> Answering {
        let attributes = attributes.map(|a| a.iter().map(|&s| s.to_owned()).collect());
        Answering::new(&Answers { kind, attributes }, BTreeMap::new())
    }

    /// Logits whose softmax is `probabilities`.
    fn logits(probabilities: &[f32]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln()).collect()
    }

    fn clevr(kinds: [f32; 3]) -> AnswerLogits {
        let mut count = vec![0.01; 20];
        count[3] = 0.81;
        let mut attribute = vec![0.02; 15];
        attribute[9] = 0.72;
        AnswerLogits::from([
            ("answer_type", logits(&kinds)),
            ("answer_binary", vec![(0.2f32 / 0.8).ln()]),
            ("answer_reg", logits(&count)),
            ("answer_attr", logits(&attribute)),
        ])
    }

    #[test]
    fn clevr_answers_with_the_head_of_the_likeliest_type() {
        let answering = answering(AnswerKind::Clevr, None);
        for (kinds, text, score) in [
            ([0.9, 0.05, 0.05], "no", 0.9 * 0.8),
            ([0.1, 0.8, 0.1], "yellow", 0.8 * 0.72),
            ([0.2, 0.2, 0.6], "3", 0.6 * 0.81),
        ] {
            let answer = answering.decode(&clevr(kinds)).unwrap();
            assert_eq!(answer.text, text);
            assert!((answer.score - score).abs() < 1e-4, "{answer:?}");
        }
    }

    #[test]
    fn yes_needs_more_than_one_half() {
        let answering = answering(AnswerKind::Clevr, None);
        let with = |logit| {
            let mut logits = clevr([0.98, 0.01, 0.01]);
            logits.insert("answer_binary", vec![logit]);
            answering.decode(&logits).unwrap()
        };
        assert_eq!(with(0.0).text, "no");
        assert_eq!(with(0.1).text, "yes");
        assert!((with(-2.0).score - 0.98 * 0.880_797).abs() < 1e-4);
    }

    #[test]
    fn a_bundle_may_name_its_own_attributes() {
        let answering = answering(AnswerKind::Clevr, Some(&["cone", "matte"]));
        let mut logits = clevr([0.0, 1.0, 0.0]);
        logits.insert("answer_attr", vec![0.0, 3.0]);
        assert_eq!(answering.decode(&logits).unwrap().text, "matte");
        logits.insert("answer_attr", vec![0.0, 3.0, 9.0]);
        assert_eq!(answering.decode(&logits).unwrap().text, "unknown");
    }

    #[test]
    fn gqa_types_have_their_own_order() {
        let words = BTreeMap::from(
            ["obj", "attr", "rel", "global", "cat"]
                .map(|head| (format!("answer_{head}"), vec![format!("a {head}")])),
        );
        let answers = Answers {
            kind: AnswerKind::Gqa,
            attributes: None,
        };
        let answering = Answering::new(&answers, words);
        for (kind, text) in ["a obj", "a attr", "a rel", "a global", "a cat"]
            .iter()
            .enumerate()
        {
            let mut kinds = vec![0.0; 5];
            kinds[kind] = 5.0;
            let mut logits = AnswerLogits::from([("answer_type", kinds)]);
            for head in GQA_TYPES {
                logits.insert(head, vec![4.0, 0.0]);
            }
            let answer = answering.decode(&logits).unwrap();
            assert_eq!(answer.text, *text);
            let expected = 5f32.exp() / (5f32.exp() + 4.0) * 4f32.exp() / (4f32.exp() + 1.0);
            assert!((answer.score - expected).abs() < 1e-5);
            for head in GQA_TYPES {
                logits.insert(head, vec![0.0, 4.0]);
            }
            assert_eq!(answering.decode(&logits).unwrap().text, "unknown");
        }
    }

    #[test]
    fn broken_numbers_are_no_answer() {
        let answering = answering(AnswerKind::Clevr, None);
        assert_eq!(answering.decode(&AnswerLogits::new()), None);
        let mut logits = clevr([0.9, 0.05, 0.05]);
        logits.insert("answer_binary", vec![f32::NAN]);
        assert_eq!(answering.decode(&logits), None);
        logits.insert("answer_type", vec![f32::NAN; 3]);
        assert_eq!(answering.decode(&logits), None);
        logits.insert("answer_type", vec![]);
        assert_eq!(answering.decode(&logits), None);
    }
}
