//! What was found in a frame.
//!
//! In JSON these types have the fields that they have in Rust, nothing rounded; [`report`](crate::report) is what people
//! and other programs read.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bbox::BBox;
use crate::identity::Identity;
use crate::query::Query;
use crate::rle::Rle;
use crate::span::Span;

/// The part of a query's text that a detection answers to: whole words, also where a tokenizer knows
/// parts of words only.
///
/// Words are those of Unicode's standard annex 29. It divides what is written without spaces (Chinese,
/// Japanese, Thai, Lao, Khmer, Burmese) into single characters as a reader sees them, never between a
/// letter and its accent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phrase {
    /// The words.
    pub text: String,
    /// Where they stand in the query's text.
    pub span: Span,
    /// Sum of the probabilities of their tokens above the phrase threshold, at most 1.
    pub score: f32,
}

/// One object found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Where, in pixels of the frame, inside the frame.
    pub bbox: BBox,
    /// 1 - p(no object); of a query in a caption of several, see `mdetr::Packing`.
    pub score: f32,
    /// The words it answers to, in the order of the text.
    pub phrases: Vec<Phrase>,
    /// Identity over time, if a tracker gave one.
    pub track: Option<u64>,
    /// If it is hidden now, milliseconds since it was seen: the box is where it was last, moved with the camera.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_ms: Option<f32>,
    /// What it looks like to a model that tells objects from each other; left out in JSON.
    #[serde(skip)]
    pub identity: Option<Identity>,
    /// Its pixels in the frame, if the model draws masks.
    pub mask: Option<Rle>,
}

impl Detection {
    /// Whether one of its phrases has all of these words.
    pub fn answers_to(&self, words: Span) -> bool {
        let has =
            |phrase: &Phrase| phrase.span.start <= words.start && words.end <= phrase.span.end;
        self.phrases.iter().any(has)
    }

    /// Makes the box the smallest around the mask, if there is one and their intersection over union is at
    /// least this. Where they are further apart, one of them is wrong, and the box stays.
    pub fn tighten(&mut self, least: f32) {
        let around = self.mask.as_ref().and_then(Rle::bounds);
        if let Some(bounds) = around.filter(|bounds| bounds.iou(self.bbox) >= least) {
            self.bbox = bounds;
        }
    }
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The words.
    pub text: String,
    /// Probability, 0 to 1.
    pub score: f32,
}

/// What was found for one query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryResult {
    /// The query.
    #[serde(with = "shared")]
    pub query: Arc<Query>,
    /// Objects, highest score first.
    pub detections: Vec<Detection>,
    /// The answer, if the query is a question and the model answers questions.
    pub answer: Option<Answer>,
}

/// Queries are written as if they were not shared.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::query::Query;

    pub fn serialize<S: Serializer>(query: &Arc<Query>, serializer: S) -> Result<S::Ok, S::Error> {
        Query::serialize(query, serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Query>, D::Error> {
        Query::deserialize(deserializer).map(Arc::new)
    }
}

impl QueryResult {
    /// Whether anything was found.
    pub fn present(&self) -> bool {
        !self.detections.is_empty()
    }
}

/// What was found in one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grounding {
    /// Revision of the standing queries that were answered.
    pub revision: u64,
    /// Width of the frame in pixels.
    pub width: u32,
    /// Height of the frame in pixels.
    pub height: u32,
    /// One result for each query, in their order.
    pub queries: Vec<QueryResult>,
}

impl Grounding {
    /// The same in pixels of a frame of this size, to which the frame was scaled.
    pub fn scaled(&self, width: u32, height: u32) -> Grounding {
        let mut scaled = self.clone();
        (scaled.width, scaled.height) = (width, height);
        let x = width as f32 / self.width as f32;
        let y = height as f32 / self.height as f32;
        if (x, y) == (1.0, 1.0) {
            return scaled;
        }
        for detection in scaled.queries.iter_mut().flat_map(|q| &mut q.detections) {
            detection.bbox = detection.bbox.scaled(x, y);
            let mask = detection.mask.take();
            detection.mask = mask.map(|mask| mask.resized(width, height));
        }
        scaled
    }
}

/// A result with what the frame says that carries it, as it is written for other libraries:
/// `{"grounding":{...},"age_ns":0,"element":"mdetr0"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Carried<'a> {
    /// What was found.
    pub grounding: Cow<'a, Grounding>,
    /// Nanoseconds from the frame that was grounded to the one that carries the result.
    pub age_ns: u64,
    /// Name of the element that grounded it.
    pub element: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_and_masks_are_scaled_with_the_frame() {
        let detection = Detection {
            bbox: BBox::from_xyxy(1.0, 1.0, 3.0, 2.0),
            score: 0.5,
            phrases: vec![],
            track: None,
            hidden_ms: None,
            identity: None,
            mask: Some(Rle::encode(&[0, 1, 1, 0, 1, 0, 0, 0], 4, 2)),
        };
        let grounding = Grounding {
            revision: 7,
            width: 4,
            height: 2,
            queries: vec![QueryResult {
                query: Arc::new(Query::parse("q1", "a cone").expect("a query")),
                detections: vec![detection],
                answer: None,
            }],
        };
        assert_eq!(grounding.scaled(4, 2), grounding);
        let scaled = grounding.scaled(8, 6);
        assert_eq!((scaled.width, scaled.height, scaled.revision), (8, 6, 7));
        let detection = &scaled.queries[0].detections[0];
        assert_eq!(detection.bbox, BBox::from_xyxy(2.0, 3.0, 6.0, 6.0));
        let mask = detection.mask.as_ref().expect("kept");
        assert_eq!((mask.width, mask.height, mask.area()), (8, 6, 18));
    }

    #[test]
    fn json_has_all_of_it() {
        let detection = Detection {
            bbox: BBox {
                x: 0.1,
                y: 1.0 / 3.0,
                width: 17.000_002,
                height: 3e-7,
            },
            score: 0.123_456_79,
            phrases: vec![Phrase {
                text: "a cone".to_owned(),
                span: Span { start: 0, end: 6 },
                score: 0.9,
            }],
            track: Some(u64::MAX),
            hidden_ms: None,
            identity: None,
            mask: Some(Rle::encode(&[0, 1, 1, 0, 1, 0], 3, 2)),
        };
        let query = |source: &str| Query::parse("q1", source).expect("a query");
        let queries = [
            query("  [a cone] beside [[a]] cube")
                .with_score_threshold(0.3)
                .expect("a threshold"),
            Query::literal("odd", "[a label").expect("a label"),
            query("how many?")
                .with_phrase_threshold(1.0)
                .expect("a threshold"),
        ];
        let grounding = Grounding {
            revision: 7,
            width: 3,
            height: 2,
            queries: queries
                .into_iter()
                .map(|query| QueryResult {
                    query: Arc::new(query),
                    detections: vec![detection.clone()],
                    answer: Some(Answer {
                        text: "2".to_owned(),
                        score: 0.75,
                    }),
                })
                .collect(),
        };
        let json = serde_json::to_string(&grounding).expect("JSON");
        let read: Grounding = serde_json::from_str(&json).expect("the same");
        assert_eq!(read, grounding);
    }

    #[test]
    fn boxes_are_tightened_to_masks_that_they_fit() {
        let mut mask = [0; 100];
        for y in 2..8 {
            mask[10 * y + 3..10 * y + 7].fill(1);
        }
        let around = BBox::from_xyxy(3.0, 2.0, 7.0, 8.0);
        let loose = BBox::from_xyxy(2.0, 2.0, 7.0, 9.0);
        let found = |bbox, mask, least| {
            let mut detection = Detection {
                bbox,
                score: 0.9,
                phrases: Vec::new(),
                track: None,
                hidden_ms: None,
                identity: None,
                mask,
            };
            detection.tighten(least);
            detection.bbox
        };
        let drawn = Some(Rle::encode(&mask, 10, 10));
        assert_eq!(found(loose, drawn.clone(), 0.5), around);
        assert_eq!(found(loose, drawn.clone(), 0.9), loose);
        let apart = BBox::from_xyxy(0.0, 0.0, 4.0, 4.0);
        assert_eq!(found(apart, drawn, 0.5), apart);
        assert_eq!(found(loose, None, 0.0), loose);
        let empty = Some(Rle::encode(&[0; 100], 10, 10));
        assert_eq!(found(loose, empty, 0.0), loose);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let query = r#"{"id":"q1","source":"[a","text":"","score_threshold":2.0}"#;
        for query in [query, r#"{"id":"","source":"a","text":"a"}"#] {
            assert!(serde_json::from_str::<Query>(query).is_err(), "{query}");
        }
        let mask = r#"{"size":[2,2],"counts":"9"}"#;
        assert!(serde_json::from_str::<Rle>(mask).is_err());
    }
}
