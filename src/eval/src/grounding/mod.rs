//! How well a model grounds a data set that `mdetr scenes dataset` or `mdetr scenes clips` wrote.
//!
//! | number | over | holds if |
//! |---|---|---|
//! | recall@k | phrases that refer to something | one of the k boxes that answer most to the phrase hits one of its objects |
//! | reported | phrases that refer to something | the detection that answers most to the phrase overlaps one of its objects by 0.5, 0.75, 0.9 at least |
//! | accuracy | captions of kind `relation`, and of kind `relation2` | the box that answers most to the first phrase hits one of its objects |
//! | answers | questions, if the model answers them | the answer is the true one |
//! | mask IoU | objects that are referred to, if the model draws masks | mean overlap with the mask of the detection that hits the object best, 0 if none does |
//! | exact spans | detections that hit an object that is referred to | their phrases are those that refer to the object, to the character |
//! | absent with a box | captions that refer to nothing | any box is above the score threshold |
//! | plural F1 | captions of kind `plural` | objects and the detections of the phrase, matched one to one |
//!
//! A box hits an object from an intersection over union of 0.5 on. Boxes are ranked by the maximum
//! over the phrase's tokens of their probability, not clipped, and all of them
//! take part.

mod clips;
mod dataset;
mod metrics;
mod moments;

use std::collections::{BTreeMap, BTreeSet};

use mdetr_grounding::{Answer, BBox, Detection, QueryResult, Span};
use serde::Serialize;

pub use clips::{Clip, ClipFrame, has_clips, read_clips};
pub use dataset::{DatasetError, Example, Object, Picture, read};
pub use metrics::{IOU_THRESHOLD, Matches, Mean, Share, hit_at, rank, tokens_of_spans};
pub use moments::{MomentSummary, Moments};

/// Reads annotations and drops them.
#[cfg(fuzzing)]
pub(crate) fn parse_annotations(bytes: &[u8], images: &std::path::Path) {
    drop(dataset::parse(bytes, images, None));
}

/// Reads clips and drops them.
#[cfg(fuzzing)]
pub(crate) fn parse_clips(bytes: &[u8], dir: &std::path::Path) {
    drop(clips::parse(bytes, dir));
}

/// Kinds of captions with a number of their own.
const RELATION: &str = "relation";
const RELATION2: &str = "relation2";
const PLURAL: &str = "plural";

/// Counts over captions of one kind, or of all.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Captions seen.
    pub captions: u64,
    /// Phrases that refer to something.
    pub phrases: u64,
    /// Recall of phrases at 1.
    pub recall_1: Share,
    /// Recall of phrases at 5.
    pub recall_5: Share,
    /// Recall of phrases at 10.
    pub recall_10: Share,
    /// Phrases whose best detection overlaps an object by 0.5.
    pub reported_50: Share,
    /// By 0.75.
    pub reported_75: Share,
    /// By 0.9.
    pub reported_90: Share,
    /// Recall at 1 of each caption's first phrase.
    pub first_phrase: Share,
    /// Captions that refer to nothing.
    pub absent: u64,
    /// Captions that refer to nothing and have a box all the same.
    pub absent_with_box: Share,
    /// Questions answered right.
    pub answered: Share,
    /// Detections of objects whose phrases are exactly those that refer to the object.
    pub exact_spans: Share,
    /// Captions that refer to something hidden, and whether a detection that is marked so is where it was last.
    pub hidden: Share,
    /// Captions that refer to nothing hidden and have a detection that is marked so all the same.
    pub hidden_alarms: Share,
    /// Overlap of the masks of objects that are referred to.
    #[serde(skip)]
    pub masks: Mean,
    /// Detections of plurals against their objects.
    #[serde(skip)]
    pub plural: Matches,
}

impl Counts {
    /// Whether nothing that was counted went wrong: of boxes, words and answers, not of masks.
    pub fn flawless(&self) -> bool {
        let all = |share: Share| share.hits == share.total;
        let plural = self.plural.false_positives + self.plural.false_negatives;
        all(self.recall_1)
            && all(self.answered)
            && all(self.exact_spans)
            && self.absent_with_box.hits == 0
            && plural == 0
    }

    fn add(&mut self, other: &Counts) {
        self.captions += other.captions;
        self.phrases += other.phrases;
        self.recall_1.add(other.recall_1);
        self.recall_5.add(other.recall_5);
        self.recall_10.add(other.recall_10);
        self.reported_50.add(other.reported_50);
        self.reported_75.add(other.reported_75);
        self.reported_90.add(other.reported_90);
        self.first_phrase.add(other.first_phrase);
        self.absent += other.absent;
        self.absent_with_box.add(other.absent_with_box);
        self.answered.add(other.answered);
        self.exact_spans.add(other.exact_spans);
        self.hidden.add(other.hidden);
        self.hidden_alarms.add(other.hidden_alarms);
        self.masks.add(other.masks);
        self.plural.add(other.plural);
    }
}

/// Counts by kind of caption; those of several pictures add up.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Tally {
    /// Counts of each kind.
    pub kinds: BTreeMap<String, Counts>,
}

impl Tally {
    /// Adds the counts of a caption of this kind.
    pub fn count(&mut self, kind: &str, counts: &Counts) {
        self.kinds.entry(kind.to_owned()).or_default().add(counts);
    }

    /// Adds the counts of other pictures.
    pub fn add(&mut self, other: &Tally) {
        for (kind, counts) in &other.kinds {
            self.kinds.entry(kind.clone()).or_default().add(counts);
        }
    }

    /// Counts of all kinds together.
    pub fn all(&self) -> Counts {
        let mut all = Counts::default();
        self.kinds.values().for_each(|counts| all.add(counts));
        all
    }

    /// The headline numbers.
    pub fn summary(&self) -> Summary {
        let all = self.all();
        let first_phrase = |kind| {
            let counts: Option<&Counts> = self.kinds.get(kind);
            counts.and_then(|counts| counts.first_phrase.ratio())
        };
        Summary {
            captions: all.captions,
            phrases: all.phrases,
            recall_1: all.recall_1.ratio(),
            recall_5: all.recall_5.ratio(),
            recall_10: all.recall_10.ratio(),
            reported_50: all.reported_50.ratio(),
            reported_75: all.reported_75.ratio(),
            reported_90: all.reported_90.ratio(),
            relation_accuracy: first_phrase(RELATION),
            relation2_accuracy: first_phrase(RELATION2),
            absent_with_box: all.absent_with_box.ratio(),
            answer_accuracy: all.answered.ratio(),
            exact_spans: all.exact_spans.ratio(),
            mask_iou: all.masks.value(),
            plural_f1: all.plural.f1(),
        }
    }
}

/// Headline numbers, 0 to 1; `None` where the data set has no case.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Captions seen.
    pub captions: u64,
    /// Phrases that refer to something.
    pub phrases: u64,
    /// Recall of phrases at 1.
    pub recall_1: Option<f64>,
    /// Recall of phrases at 5.
    pub recall_5: Option<f64>,
    /// Recall of phrases at 10.
    pub recall_10: Option<f64>,
    /// Share of phrases whose best detection overlaps one of their objects by 0.5 at least.
    pub reported_50: Option<f64>,
    /// By 0.75.
    pub reported_75: Option<f64>,
    /// By 0.9.
    pub reported_90: Option<f64>,
    /// Accuracy of referring expressions with one relation.
    pub relation_accuracy: Option<f64>,
    /// Accuracy of referring expressions with two relations.
    pub relation2_accuracy: Option<f64>,
    /// Share of captions that refer to nothing and have a box all the same.
    pub absent_with_box: Option<f64>,
    /// Share of questions answered right.
    pub answer_accuracy: Option<f64>,
    /// Share of the detections that hit an object whose phrases are exactly those that refer to it.
    pub exact_spans: Option<f64>,
    /// Mean intersection over union of the masks of objects that are referred to.
    pub mask_iou: Option<f64>,
    /// F1 of plurals.
    pub plural_f1: Option<f64>,
}

/// What a network says of every object query for one caption.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidates {
    /// Boxes in pixels of the picture, not clipped.
    pub boxes: Vec<BBox>,
    /// For each box the probabilities of the token slots, "no object" last.
    pub probabilities: Vec<Vec<f32>>,
    /// For each of the first slots the place of its token in the caption, if it has one.
    pub tokens: Vec<Option<Span>>,
}

/// What a model can do besides boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// It answers questions.
    pub answers: bool,
    /// It draws masks.
    pub masks: bool,
}

/// Counts of one caption, for which `result` was decoded from `candidates`.
pub fn judge(
    example: &Example,
    result: &QueryResult,
    candidates: &Candidates,
    abilities: Abilities,
) -> Counts {
    let mut counts = phrase_counts(example, candidates);
    let detections = &result.detections;
    if let (Some(answer), true) = (&example.answer, abilities.answers) {
        let right = |given: &Answer| given.text == *answer;
        counts
            .answered
            .count(result.answer.as_ref().is_some_and(right));
    }
    for exact in exact_spans(detections, &example.objects) {
        counts.exact_spans.count(exact);
    }
    if abilities.masks {
        for object in example.objects.iter().filter(|o| !o.hidden) {
            if let Some(overlap) = mask_overlap(object, detections) {
                counts.masks.count(overlap);
            }
        }
    }
    let marked = detections.iter().filter(|d| d.hidden_ms.is_some());
    let marked: Vec<BBox> = marked.map(|d| d.bbox).collect();
    let hidden = example.objects.iter().filter(|o| o.hidden);
    let hidden: Vec<BBox> = hidden.map(|o| o.bbox).collect();
    if hidden.is_empty() {
        counts.hidden_alarms.count(!marked.is_empty());
    } else {
        let hit = |bbox: &BBox| hidden.iter().any(|o| bbox.iou(*o) >= IOU_THRESHOLD);
        counts.hidden.count(marked.iter().any(hit));
    }
    if example.phrases.is_empty() {
        counts.absent += 1;
        counts.absent_with_box.count(!detections.is_empty());
    }
    for phrase in &example.phrases {
        let found = answering(detections, phrase);
        let tokens = tokens_of_spans(&candidates.tokens, phrase);
        let objects = objects_of(example, candidates, &tokens);
        let best = found.iter().max_by(|a, b| a.0.total_cmp(&b.0));
        let overlaps = |least: f32| {
            best.is_some_and(|(_, bbox)| objects.iter().any(|o| bbox.iou(*o) >= least))
        };
        counts.reported_50.count(overlaps(IOU_THRESHOLD));
        counts.reported_75.count(overlaps(0.75));
        counts.reported_90.count(overlaps(0.9));
        if example.kind == PLURAL {
            let boxes: Vec<BBox> = found.into_iter().map(|(_, bbox)| bbox).collect();
            counts.plural.add(Matches::new(&boxes, &objects));
        }
    }
    counts
}

/// Boxes of the detections that answer to words of a phrase, and how much.
fn answering(detections: &[Detection], phrase: &[Span]) -> Vec<(f32, BBox)> {
    let named = |span: Span| phrase.iter().any(|p| p.overlaps(span));
    let found = detections.iter().filter_map(|detection| {
        let answers = detection.phrases.iter().filter(|p| named(p.span));
        let most = answers.map(|p| p.score).max_by(f32::total_cmp)?;
        Some((most, detection.bbox))
    });
    found.collect()
}

/// The objects that share a token with `tokens`.
fn objects_of(example: &Example, candidates: &Candidates, tokens: &[usize]) -> Vec<BBox> {
    let shares = |spans: &[Span]| {
        tokens_of_spans(&candidates.tokens, spans)
            .iter()
            .any(|token| tokens.contains(token))
    };
    example
        .objects
        .iter()
        .filter(|object| shares(&object.spans))
        .map(|object| object.bbox)
        .collect()
}

/// For each detection that hits one of the objects, whether its phrases are exactly those that refer
/// to the object it overlaps most.
fn exact_spans(detections: &[Detection], objects: &[Object]) -> impl Iterator<Item = bool> {
    detections.iter().filter_map(|detection| {
        let hits = objects
            .iter()
            .map(|object| (detection.bbox.iou(object.bbox), object))
            .filter(|(overlap, _)| *overlap >= IOU_THRESHOLD);
        let (_, object) = hits.max_by(|a, b| a.0.total_cmp(&b.0))?;
        let found: BTreeSet<Span> = detection.phrases.iter().map(|phrase| phrase.span).collect();
        Some(found == object.spans.iter().copied().collect())
    })
}

/// Overlap of an object's mask with that of the detection that hits it best, 0 if none does; `None`
/// if the object's mask is not known.
fn mask_overlap(object: &Object, detections: &[Detection]) -> Option<f64> {
    let truth = object.mask.as_ref()?;
    let hits = detections
        .iter()
        .map(|detection| (detection.bbox.iou(object.bbox), detection))
        .filter(|(overlap, _)| *overlap >= IOU_THRESHOLD);
    let best = hits.max_by(|a, b| a.0.total_cmp(&b.0));
    let mask = best.and_then(|(_, detection)| detection.mask.as_ref());
    Some(mask.map_or(0.0, |mask| mask.iou(truth)))
}

fn phrase_counts(example: &Example, candidates: &Candidates) -> Counts {
    let mut counts = Counts {
        captions: 1,
        ..Counts::default()
    };
    for (index, phrase) in example.phrases.iter().enumerate() {
        let tokens = tokens_of_spans(&candidates.tokens, phrase);
        let ranked = rank(&candidates.probabilities, &tokens);
        let objects = objects_of(example, candidates, &tokens);
        let hit = |k| hit_at(&ranked, &candidates.boxes, &objects, k);
        counts.phrases += 1;
        counts.recall_1.count(hit(1));
        counts.recall_5.count(hit(5));
        counts.recall_10.count(hit(10));
        if index == 0 {
            counts.first_phrase.count(hit(1));
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use mdetr_grounding::{Phrase, Query};

    use super::*;

    /// "a cube left of a cone": the first box answers to "cone", the second to "cube".
    fn candidates(boxes: [BBox; 2]) -> Candidates {
        let span = |start, end| Some(Span { start, end });
        let row = |token: usize| {
            let mut row = vec![0.01f32; 9];
            row[token] = 0.92;
            row
        };
        Candidates {
            boxes: boxes.to_vec(),
            probabilities: vec![row(6), row(2)],
            tokens: vec![
                None,
                span(0, 1),
                span(2, 6),
                span(7, 11),
                span(12, 14),
                span(15, 16),
                span(17, 21),
                None,
            ],
        }
    }

    #[test]
    fn phrases_are_counted_by_hand() {
        let (left, right) = (
            BBox {
                x: 0.0,
                y: 0.0,
                width: 5.0,
                height: 10.0,
            },
            BBox {
                x: 5.0,
                y: 0.0,
                width: 5.0,
                height: 10.0,
            },
        );
        let (cube, cone) = (Span { start: 0, end: 6 }, Span { start: 15, end: 21 });
        let candidates = candidates([right, left]);
        let object = |bbox, span| Object {
            bbox,
            spans: vec![span],
            mask: None,
            hidden: false,
        };
        let example = |cube_at, cone_at| Example {
            caption: "a cube left of a cone".into(),
            kind: RELATION.into(),
            answer: None,
            phrases: vec![vec![cube], vec![cone]],
            objects: vec![object(cube_at, cube), object(cone_at, cone)],
        };
        let right_way = phrase_counts(&example(left, right), &candidates);
        assert_eq!(right_way.phrases, 2);
        assert_eq!(right_way.recall_1, Share { hits: 2, total: 2 });
        assert_eq!(right_way.first_phrase, Share { hits: 1, total: 1 });

        let wrong_way = phrase_counts(&example(right, left), &candidates);
        assert_eq!(wrong_way.recall_1, Share { hits: 0, total: 2 });
        assert_eq!(wrong_way.recall_5, Share { hits: 2, total: 2 });
        assert_eq!(wrong_way.first_phrase, Share { hits: 0, total: 1 });

        let mut tally = Tally::default();
        for counts in [right_way, wrong_way] {
            tally.add(&Tally {
                kinds: BTreeMap::from([(RELATION.to_owned(), counts)]),
            });
        }
        let mut absent = Counts {
            captions: 1,
            ..Counts::default()
        };
        absent.absent_with_box.count(false);
        tally.add(&Tally {
            kinds: BTreeMap::from([("absent".to_owned(), absent)]),
        });
        let summary = tally.summary();
        assert_eq!((summary.captions, summary.phrases), (3, 4));
        assert_eq!(summary.recall_1, Some(0.5));
        assert_eq!(summary.recall_5, Some(1.0));
        assert_eq!(summary.relation_accuracy, Some(0.5));
        assert_eq!(summary.absent_with_box, Some(0.0));
        assert_eq!(summary.plural_f1, None);
    }

    #[test]
    fn the_detection_that_answers_most_is_reported() {
        let cube = Span { start: 0, end: 6 };
        let detection = |right: f32, score| Detection {
            bbox: BBox::from_xyxy(0.0, 0.0, right, 10.0),
            score: 0.9,
            phrases: vec![Phrase {
                span: cube,
                text: String::new(),
                score,
            }],
            track: None,
            hidden_ms: None,
            identity: None,
            mask: None,
        };
        let example = Example {
            caption: "a cube left of a cone".into(),
            kind: PLURAL.into(),
            answer: None,
            phrases: vec![vec![cube]],
            objects: vec![Object {
                bbox: BBox::from_xyxy(0.0, 0.0, 10.0, 10.0),
                spans: vec![cube],
                mask: None,
                hidden: false,
            }],
        };
        let counts = |found: &[(f32, f32)]| {
            let result = QueryResult {
                query: std::sync::Arc::new(Query::parse("q", &example.caption).unwrap()),
                detections: found
                    .iter()
                    .map(|&(x, score)| detection(x, score))
                    .collect(),
                answer: None,
            };
            let whole = BBox::from_xyxy(0.0, 0.0, 10.0, 10.0);
            let abilities = Abilities {
                answers: false,
                masks: false,
            };
            let counts = judge(&example, &result, &candidates([whole; 2]), abilities);
            let [a, b, c] = [counts.reported_50, counts.reported_75, counts.reported_90];
            assert_eq!([a.total, b.total, c.total], [1; 3]);
            ([a.hits, b.hits, c.hits], counts.plural.true_positives)
        };
        assert_eq!(counts(&[(9.5, 0.9), (6.0, 0.8)]), ([1, 1, 1], 1));
        assert_eq!(counts(&[(9.5, 0.8), (8.0, 0.9)]), ([1, 1, 0], 1));
        assert_eq!(counts(&[(6.0, 0.9)]), ([1, 0, 0], 1));
        assert_eq!(counts(&[(4.0, 0.9)]), ([0, 0, 0], 0));
        assert_eq!(counts(&[]), ([0, 0, 0], 0));
    }

    #[test]
    fn spans_are_exact_to_the_character() {
        let bbox = |x| BBox {
            x,
            y: 0.0,
            width: 2.0,
            height: 1.0,
        };
        let span = |start, end| Span { start, end };
        let detection = |x, spans: &[Span]| Detection {
            bbox: bbox(x),
            score: 0.9,
            phrases: spans
                .iter()
                .map(|&span| Phrase {
                    span,
                    text: String::new(),
                    score: 0.9,
                })
                .collect(),
            track: None,
            hidden_ms: None,
            identity: None,
            mask: None,
        };
        let objects = [
            Object {
                bbox: bbox(0.0),
                spans: vec![span(0, 6), span(12, 20)],
                mask: None,
                hidden: false,
            },
            Object {
                bbox: bbox(4.0),
                spans: vec![span(0, 6)],
                mask: None,
                hidden: false,
            },
        ];
        let found = [
            detection(0.1, &[span(12, 20), span(0, 6)]),
            detection(0.0, &[span(0, 6)]),
            detection(4.0, &[span(0, 6)]),
            detection(4.0, &[span(2, 6)]),
            detection(9.0, &[span(0, 6)]),
        ];
        let exact: Vec<bool> = exact_spans(&found, &objects).collect();
        assert_eq!(exact, [true, false, true, false], "the last hits nothing");
    }

    #[test]
    fn the_best_hit_gives_the_mask() {
        let bbox = |x| BBox {
            x,
            y: 0.0,
            width: 2.0,
            height: 1.0,
        };
        let detection = |x, bits: [u8; 4]| Detection {
            bbox: bbox(x),
            score: 0.9,
            phrases: vec![],
            track: None,
            hidden_ms: None,
            identity: None,
            mask: Some(mdetr_grounding::Rle::encode(&bits, 4, 1)),
        };
        let mut object = Object {
            bbox: bbox(0.0),
            spans: vec![],
            mask: Some(mdetr_grounding::Rle::encode(&[1, 1, 0, 0], 4, 1)),
            hidden: false,
        };
        let near = detection(0.5, [0, 0, 1, 1]);
        let exact = detection(0.0, [1, 0, 0, 0]);
        let far = detection(2.0, [1, 1, 0, 0]);
        let found = [near, exact, far.clone()];
        assert_eq!(mask_overlap(&object, &found), Some(0.5));
        assert_eq!(mask_overlap(&object, &[far]), Some(0.0));
        object.mask = None;
        assert_eq!(mask_overlap(&object, &found), None);
    }
}
