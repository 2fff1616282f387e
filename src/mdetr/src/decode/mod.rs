//! From the network's outputs to boxes, phrases, masks and answers.

pub(crate) mod answers;
pub(crate) mod masks;
mod outputs;
pub(crate) mod packed;
mod phrases;

use mdetr_grounding::{BBox, Detection, Span};

pub use outputs::RawOutputs;
use phrases::Named;

/// What counts as a detection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decoding {
    /// A score must be above it.
    pub score_threshold: f32,
    /// A token's probability must be above it.
    pub phrase_threshold: f32,
    /// Boxes that overlap by more than it are on the same object.
    pub overlap_threshold: f32,
    /// Most detections of a query.
    pub max_detections: usize,
}

impl Decoding {
    /// Detections of one query, highest score first, in pixels of a frame of `width` x `height`,
    /// each with the index of its object query.
    ///
    /// With targets, only detections that name a token of one; without, also those no word of which is
    /// above the threshold.
    pub(crate) fn decode(
        self,
        outputs: &RawOutputs,
        width: u32,
        height: u32,
    ) -> Vec<(usize, Detection)> {
        let (width, height) = (width as f32, height as f32);
        let targets = outputs.query.targets();
        let mut detections: Vec<(usize, Detection)> = outputs
            .probabilities()
            .iter()
            .zip(&outputs.boxes)
            .enumerate()
            .filter_map(|(index, (probabilities, &[cx, cy, w, h]))| {
                let score = 1.0 - probabilities.last()?;
                let finite = [cx, cy, w, h].iter().all(|v| v.is_finite());
                if !(score > self.score_threshold && finite) {
                    return None;
                }
                let Named { phrases, parts } =
                    Named::new(outputs, probabilities, self.phrase_threshold);
                let meant = |target: &Span| parts.iter().any(|part| part.overlaps(*target));
                let wanted = targets.is_empty() || targets.iter().any(meant);
                let bbox = BBox::from_cxcywh(cx * width, cy * height, w * width, h * height)
                    .clamp(width, height);
                let detection = Detection {
                    bbox,
                    score,
                    phrases,
                    track: None,
                    hidden_ms: outputs.hidden_ms(index),
                    identity: None,
                    mask: None,
                };
                wanted.then_some((index, detection))
            })
            .collect();
        detections.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
        let mut detections = self.without_seconds(detections);
        detections.truncate(self.max_detections);
        detections
    }

    /// Without second detections of an object that answer to no words which the first does not answer
    /// to. Those with the greatest scores come first.
    pub(crate) fn without_seconds(
        self,
        detections: Vec<(usize, Detection)>,
    ) -> Vec<(usize, Detection)> {
        let mut kept: Vec<(usize, Detection)> = Vec::with_capacity(detections.len());
        for (index, detection) in detections {
            let second = kept.iter().any(|(_, first)| {
                first.bbox.iou(detection.bbox) > self.overlap_threshold
                    && detection
                        .phrases
                        .iter()
                        .all(|phrase| first.answers_to(phrase.span))
            });
            if !second {
                kept.push((index, detection));
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::collections::BTreeMap;
    use std::sync::Arc;

    use mdetr_grounding::Query;

    use super::*;

    const SLOTS: usize = 6;

    /// Outputs for "a red cube" with tokens `<s>`, a, red, cube, `</s>`; each row gives the
    /// probabilities of the six slots.
    fn outputs(source: &str, rows: &[([f32; SLOTS], [f32; 4])]) -> RawOutputs {
        let span = |start, end| Some(Span { start, end });
        RawOutputs {
            query: Arc::new(Query::parse("q", source).unwrap()),
            slots: SLOTS,
            logits: rows.iter().flat_map(|(p, _)| p.map(f32::ln)).collect(),
            boxes: rows.iter().map(|(_, b)| *b).collect(),
            lost_age: Vec::new(),
            tokens: vec![None, span(0, 1), span(2, 5), span(6, 10), None],
            answers: BTreeMap::new(),
        }
    }

    fn decode(decoding: Decoding, outputs: &RawOutputs, width: u32, height: u32) -> Vec<Detection> {
        let found = decoding.decode(outputs, width, height);
        found.into_iter().map(|(_, detection)| detection).collect()
    }

    const DECODING: Decoding = Decoding {
        score_threshold: 0.7,
        phrase_threshold: 0.1,
        overlap_threshold: 1.0,
        max_detections: 100,
    };
    const CENTRE: [f32; 4] = [0.5, 0.5, 0.5, 0.5];

    #[test]
    fn adjacent_words_are_one_phrase() {
        let row = [0.02, 0.05, 0.4, 0.45, 0.03, 0.05];
        let found = decode(DECODING, &outputs("a red cube", &[(row, CENTRE)]), 200, 100);
        assert_eq!(found.len(), 1);
        assert!((found[0].score - 0.95).abs() < 1e-5);
        assert_eq!(
            found[0].bbox,
            BBox {
                x: 50.0,
                y: 25.0,
                width: 100.0,
                height: 50.0
            }
        );
        let [phrase] = &found[0].phrases[..] else {
            panic!("{:?}", found[0].phrases)
        };
        assert_eq!(
            (phrase.text.as_str(), phrase.span),
            ("red cube", Span { start: 2, end: 10 })
        );
        assert!((phrase.score - 0.85).abs() < 1e-5);
    }

    #[test]
    fn words_apart_are_two_phrases_and_special_tokens_none() {
        let row = [0.2, 0.2, 0.05, 0.2, 0.3, 0.05];
        let found = decode(DECODING, &outputs("a red cube", &[(row, CENTRE)]), 10, 10);
        let texts: Vec<&str> = found[0].phrases.iter().map(|p| p.text.as_str()).collect();
        assert_eq!(texts, ["a", "cube"]);
    }

    #[test]
    fn words_that_share_their_probability_are_a_phrase() {
        let phrases = |row| {
            let found = decode(DECODING, &outputs("a red cube", &[(row, CENTRE)]), 10, 10);
            let phrases = found[0].phrases.iter();
            phrases.map(|p| p.text.clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            phrases([0.33, 0.09, 0.095, 0.09, 0.345, 0.05]),
            ["a red cube"]
        );
        let noise = [0.86, 0.03, 0.03, 0.03, 0.0, 0.05];
        assert_eq!(phrases(noise), [""; 0]);
    }

    #[test]
    fn white_space_joins_words_but_is_no_phrase() {
        let row = [0.0, 0.3, 0.3, 0.3, 0.0, 0.1];
        let space = |at| Some(Span { start: at, end: at });
        let phrases_with = |tokens: [Option<Span>; 5], row| {
            let outputs = RawOutputs {
                tokens: tokens.to_vec(),
                ..outputs("a red cube", &[(row, CENTRE)])
            };
            let found = decode(DECODING, &outputs, 10, 10).remove(0);
            found
                .phrases
                .into_iter()
                .map(|p| p.text)
                .collect::<Vec<_>>()
        };
        let (a, red) = (
            Some(Span { start: 0, end: 1 }),
            Some(Span { start: 2, end: 5 }),
        );
        assert_eq!(phrases_with([None, a, space(2), red, None], row), ["a red"]);
        assert_eq!(
            phrases_with([None, space(0), red, space(6), None], row),
            ["red"]
        );
        let row = [0.0, 0.05, 0.8, 0.05, 0.0, 0.1];
        assert_eq!(phrases_with([None, a, space(2), red, None], row), [""; 0]);
    }

    #[test]
    fn targets_keep_only_their_words() {
        let cube = ([0.01, 0.01, 0.01, 0.92, 0.01, 0.04], CENTRE);
        let red = ([0.01, 0.01, 0.9, 0.01, 0.01, 0.06], CENTRE);
        let wordless = ([0.8, 0.05, 0.02, 0.05, 0.06, 0.02], CENTRE);
        let rows = [cube, red, wordless];
        let found = decode(DECODING, &outputs("a red [cube]", &rows), 10, 10);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].phrases[0].text, "cube");
        let found = decode(DECODING, &outputs("a red cube", &rows), 10, 10);
        assert_eq!(found.len(), 3);
        assert!(
            found[0].phrases.is_empty(),
            "the wordless one has the highest score"
        );
        assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
    }

    #[test]
    fn detections_know_their_object_query() {
        let row = |none: f32| ([0.0, 0.0, 1.0 - none, 0.0, 0.0, none], CENTRE);
        let rows = [row(0.2), row(0.9), row(0.1)];
        let found = DECODING.decode(&outputs("a red cube", &rows), 10, 10);
        let indices: Vec<usize> = found.iter().map(|(index, _)| *index).collect();
        assert_eq!(indices, [2, 0]);
    }

    #[test]
    fn what_is_not_seen_any_more_is_marked() {
        let row = |none: f32| ([0.0, 0.0, 1.0 - none, 0.0, 0.0, none], CENTRE);
        let outputs = RawOutputs {
            lost_age: vec![1.5, 0.25],
            ..outputs("a red cube", &[row(0.2), row(0.25), row(0.1)])
        };
        let found = decode(DECODING, &outputs, 10, 10);
        let hidden: Vec<Option<f32>> = found.iter().map(|d| d.hidden_ms).collect();
        assert_eq!(hidden, [Some(250.0), None, Some(1500.0)]);
    }

    #[test]
    fn thresholds_are_strict_and_the_count_is_capped() {
        let row = |none: f32| ([0.0, 0.0, 1.0 - none, 0.0, 0.0, none], CENTRE);
        let rows = [row(0.2), row(0.5), row(0.1)];
        let with = |score_threshold, max_detections| {
            let decoding = Decoding {
                score_threshold,
                max_detections,
                ..DECODING
            };
            let found = decode(decoding, &outputs("a red cube", &rows), 10, 10);
            found
                .iter()
                .map(|d| (d.score * 10.0).round() as i32)
                .collect::<Vec<_>>()
        };
        assert_eq!(with(0.5, 100), [9, 8]);
        assert_eq!(with(0.4, 100), [9, 8, 5]);
        assert_eq!(with(0.4, 1), [9]);
        assert_eq!(with(1.0, 100), [0; 0]);
    }

    #[test]
    fn a_second_box_on_an_object_is_dropped_unless_it_answers_to_other_words() {
        let decoding = Decoding {
            overlap_threshold: 0.5,
            ..DECODING
        };
        let red = [0.0, 0.0, 0.9, 0.0, 0.0, 0.1];
        let near = [0.55, 0.5, 0.5, 0.5];
        let scores = |rows: &[([f32; SLOTS], [f32; 4])]| {
            let found = decode(decoding, &outputs("a red cube", rows), 100, 100);
            let scores = found.iter().map(|d| (d.score * 100.0).round() as i32);
            scores.collect::<Vec<_>>()
        };
        let again = [0.0, 0.0, 0.85, 0.0, 0.0, 0.15];
        assert_eq!(scores(&[(again, near), (red, CENTRE)]), [90]);
        let cube = [0.0, 0.0, 0.0, 0.85, 0.0, 0.15];
        assert_eq!(scores(&[(cube, near), (red, CENTRE)]), [90, 85]);
        let red_cube = [0.0, 0.0, 0.5, 0.45, 0.0, 0.05];
        assert_eq!(scores(&[(cube, near), (red_cube, CENTRE)]), [95]);
        let wordless = [0.8, 0.05, 0.02, 0.0, 0.0, 0.13];
        assert_eq!(scores(&[(wordless, near), (red, CENTRE)]), [90]);
        // They share a third.
        assert_eq!(
            scores(&[(again, [0.75, 0.5, 0.5, 0.5]), (red, CENTRE)]),
            [90, 85]
        );
    }

    #[test]
    fn an_overlap_of_1_keeps_equal_boxes() {
        let row = [0.0, 0.0, 0.9, 0.0, 0.0, 0.1];
        let twice = outputs("a red cube", &[(row, CENTRE), (row, CENTRE)]);
        assert_eq!(decode(DECODING, &twice, 639, 479).len(), 2);
    }

    #[test]
    fn broken_numbers_are_no_detections() {
        let row = [0.0, 0.0, 0.95, 0.0, 0.0, 0.05];
        let mut broken = outputs(
            "a red cube",
            &[(row, [f32::NAN, 0.5, 0.5, 0.5]), (row, CENTRE)],
        );
        broken.logits[SLOTS] = f32::NAN;
        assert!(decode(DECODING, &broken, 10, 10).is_empty());
    }

    fn any_box() -> impl Strategy<Value = BBox> {
        (
            -50.0f32..150.0,
            -50.0f32..150.0,
            0.0f32..100.0,
            0.0f32..100.0,
        )
            .prop_map(|(x, y, width, height)| BBox {
                x,
                y,
                width,
                height,
            })
    }

    proptest! {
        #[test]
        fn corners_and_centres_agree(bbox in any_box()) {
            let [x0, y0, x1, y1] = bbox.to_xyxy();
            let (cx, cy) = ((x0 + x1) / 2.0, (y0 + y1) / 2.0);
            let again = BBox::from_cxcywh(cx, cy, bbox.width, bbox.height);
            prop_assert!((again.x - bbox.x).abs() < 1e-3 && (again.y - bbox.y).abs() < 1e-3);
            let again = BBox::from_xyxy(x0, y0, x1, y1);
            prop_assert!((again.width - bbox.width).abs() < 1e-3);
            prop_assert!((again.height - bbox.height).abs() < 1e-3);
        }

        #[test]
        fn iou_is_symmetric_and_a_ratio(a in any_box(), b in any_box()) {
            prop_assert_eq!(a.iou(b), b.iou(a));
            prop_assert!((0.0..=1.0001).contains(&a.iou(b)));
            if a.area() > 1.0 {
                prop_assert!((a.iou(a) - 1.0).abs() < 1e-3);
            }
        }

        #[test]
        fn clamped_boxes_lie_in_the_frame(bbox in any_box(), w in 1.0f32..100.0, h in 1.0f32..100.0) {
            let [x0, y0, x1, y1] = bbox.clamp(w, h).to_xyxy();
            prop_assert!(x0 >= 0.0 && y0 >= 0.0 && x0 <= x1 && y0 <= y1);
            prop_assert!(x1 <= w * 1.00001 && y1 <= h * 1.00001);
        }

        #[test]
        fn decoding_keeps_its_promises(
            rows in prop::collection::vec((prop::array::uniform6(0.001f32..1.0), prop::array::uniform4(-1.0f32..2.0)), 0..12),
            score_threshold in 0.0f32..1.0,
            phrase_threshold in 0.0f32..1.0,
            overlap_threshold in 0.0f32..=1.0,
            max_detections in 0usize..12,
            target in any::<bool>(),
        ) {
            let source = if target { "a [red] cube" } else { "a red cube" };
            let outputs = outputs(source, &rows);
            let decoding =
                Decoding { score_threshold, phrase_threshold, overlap_threshold, max_detections };
            let found = decode(decoding, &outputs, 64, 48);
            let most = |row: &Vec<f32>| row[..SLOTS - 1].iter().copied().fold(0.0, f32::max);
            let probabilities = outputs.probabilities();
            let least = probabilities.iter().map(most).fold(1.0, f32::min);
            let threshold = phrase_threshold.min(0.25 * least);
            prop_assert!(found.len() <= max_detections);
            prop_assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
            for (i, second) in found.iter().enumerate() {
                for first in &found[..i] {
                    let new = second.phrases.iter().any(|p| !first.answers_to(p.span));
                    prop_assert!(new || first.bbox.iou(second.bbox) <= overlap_threshold);
                }
            }
            for detection in &found {
                prop_assert!(detection.score > score_threshold);
                let [x0, y0, x1, y1] = detection.bbox.to_xyxy();
                prop_assert!(x0 >= 0.0 && y0 >= 0.0 && x1 <= 64.001 && y1 <= 48.001);
                for phrase in &detection.phrases {
                    prop_assert_eq!(phrase.span.slice("a red cube"), &phrase.text);
                    prop_assert!(phrase.score > threshold && phrase.score <= 1.0);
                }
                if target {
                    let red = Span { start: 2, end: 5 };
                    prop_assert!(detection.phrases.iter().any(|p| p.span.overlaps(red)));
                }
            }
        }
    }
}
