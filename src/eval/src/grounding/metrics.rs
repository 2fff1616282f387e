//! Grounding metrics. Pure functions: no files, no model.

use mdetr_grounding::{BBox, Span};
use serde::Serialize;

/// A box hits an object from this intersection over union on.
pub const IOU_THRESHOLD: f32 = 0.5;

/// The tokens that cover the characters of `spans`, by MDETR's rule.
///
/// `tokens` are the spans of the tokens, trimmed of white space. The first token of a span is looked
/// for at its first character and up to two further on, the last one at its last character and up to
/// two before; a span without either has no tokens.
pub fn tokens_of_spans(tokens: &[Option<Span>], spans: &[Span]) -> Vec<usize> {
    let at = |position: u32| {
        tokens
            .iter()
            .position(|token| token.is_some_and(|t| (t.start..t.end).contains(&position)))
    };
    let mut found: Vec<usize> = spans
        .iter()
        .filter_map(|span| {
            let first = (0..3).find_map(|offset| at(span.start.checked_add(offset)?))?;
            let last = (1..=3).find_map(|offset| at(span.end.checked_sub(offset)?))?;
            Some(first..=last)
        })
        .flatten()
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Object queries by how much they answer to `tokens`: highest first, by the maximum over the tokens
/// of their probability. `probabilities` has a row for each object query.
pub fn rank(probabilities: &[Vec<f32>], tokens: &[usize]) -> Vec<usize> {
    let score = |row: &Vec<f32>| {
        tokens
            .iter()
            .filter_map(|&t| row.get(t))
            .copied()
            .fold(f32::NEG_INFINITY, f32::max)
    };
    let mut ranked: Vec<(usize, f32)> = probabilities.iter().map(score).enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked.into_iter().map(|(index, _)| index).collect()
}

/// Whether one of the first `k` of `boxes`, in the order of `ranked`, hits any of `objects`.
pub fn hit_at(ranked: &[usize], boxes: &[BBox], objects: &[BBox], k: usize) -> bool {
    ranked.iter().take(k).any(|&index| {
        objects
            .iter()
            .any(|object| boxes[index].iou(*object) >= IOU_THRESHOLD)
    })
}

/// Hits of a set of boxes on a set of objects, each used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Matches {
    /// Objects with a box.
    pub true_positives: u64,
    /// Boxes without an object.
    pub false_positives: u64,
    /// Objects without a box.
    pub false_negatives: u64,
}

impl Matches {
    /// Gives each of `found`, best first, the free object it overlaps most.
    pub fn new(found: &[BBox], objects: &[BBox]) -> Matches {
        let mut free: Vec<BBox> = objects.to_vec();
        for bbox in found {
            let best = free
                .iter()
                .map(|object| bbox.iou(*object))
                .enumerate()
                .filter(|(_, iou)| *iou >= IOU_THRESHOLD)
                .max_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((index, _)) = best {
                free.swap_remove(index);
            }
        }
        let hits = objects.len() - free.len();
        Matches {
            true_positives: hits as u64,
            false_positives: (found.len() - hits) as u64,
            false_negatives: free.len() as u64,
        }
    }

    /// Adds the counts of another set.
    pub fn add(&mut self, other: Matches) {
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
    }

    /// Harmonic mean of precision and recall; `None` if there were neither boxes nor objects.
    pub fn f1(self) -> Option<f64> {
        let both = 2 * self.true_positives + self.false_positives + self.false_negatives;
        (both > 0).then(|| 2.0 * self.true_positives as f64 / both as f64)
    }
}

/// The mean of a value from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Mean {
    /// Sum of the values.
    pub sum: f64,
    /// Number of values.
    pub total: u64,
}

impl Mean {
    /// Takes one value in.
    pub fn count(&mut self, value: f64) {
        self.sum += value;
        self.total += 1;
    }

    /// Adds the values of another mean.
    pub fn add(&mut self, other: Mean) {
        self.sum += other.sum;
        self.total += other.total;
    }

    /// The mean; `None` without values.
    pub fn value(self) -> Option<f64> {
        (self.total > 0).then(|| self.sum / self.total as f64)
    }
}

/// How often something held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Times it held.
    pub hits: u64,
    /// Times it could have.
    pub total: u64,
}

impl Share {
    /// Counts one case.
    pub fn count(&mut self, hit: bool) {
        self.hits += u64::from(hit);
        self.total += 1;
    }

    /// Adds the cases of another count.
    pub fn add(&mut self, other: Share) {
        self.hits += other.hits;
        self.total += other.total;
    }

    /// From 0 to 1; `None` without cases.
    pub fn ratio(self) -> Option<f64> {
        (self.total > 0).then(|| self.hits as f64 / self.total as f64)
    }
}

impl Serialize for Share {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.ratio().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bbox(x: f32, y: f32, width: f32, height: f32) -> BBox {
        BBox {
            x,
            y,
            width,
            height,
        }
    }

    fn span(start: u32, end: u32) -> Span {
        Span { start, end }
    }

    /// "a red  cube": `<s>`, a, red, (white space), cube, `</s>`.
    fn tokens() -> Vec<Option<Span>> {
        vec![
            None,
            Some(span(0, 1)),
            Some(span(2, 5)),
            None,
            Some(span(7, 11)),
            None,
        ]
    }

    #[test]
    fn tokens_under_spans() {
        assert_eq!(tokens_of_spans(&tokens(), &[span(2, 11)]), [2, 3, 4]);
        assert_eq!(tokens_of_spans(&tokens(), &[span(1, 6)]), [2]);
        assert_eq!(
            tokens_of_spans(&tokens(), &[span(5, 7)]),
            [0; 0],
            "only white space"
        );
        assert_eq!(
            tokens_of_spans(&tokens(), &[span(7, 11), span(0, 1)]),
            [1, 4]
        );
        assert_eq!(tokens_of_spans(&tokens(), &[span(0, 0)]), [0; 0]);
        assert_eq!(
            tokens_of_spans(&tokens(), &[span(u32::MAX, u32::MAX)]),
            [0; 0]
        );
    }

    #[test]
    fn the_query_with_the_most_probable_token_comes_first() {
        let rows = vec![
            vec![0.2, 0.3, 0.5],
            vec![0.9, 0.05, 0.05],
            vec![0.1, 0.6, 0.3],
        ];
        assert_eq!(rank(&rows, &[1, 2]), [2, 0, 1]);
        assert_eq!(rank(&rows, &[0]), [1, 0, 2]);
    }

    #[test]
    fn hits_need_half_of_the_union() {
        let object = [bbox(0.0, 0.0, 10.0, 10.0)];
        // Shifted by a third: 66.7 in common of 133.3, exactly half. By more: less.
        let boxes = [bbox(4.0, 0.0, 10.0, 10.0), bbox(0.0, 0.0, 10.0, 5.0)];
        assert!(!hit_at(&[0, 1], &boxes, &object, 1));
        assert!(hit_at(&[0, 1], &boxes, &object, 2));
        assert!(hit_at(&[1, 0], &boxes, &object, 1));
        assert!(!hit_at(&[1, 0], &boxes, &[], 2));
    }

    #[test]
    fn each_object_is_found_once() {
        let objects = [bbox(0.0, 0.0, 10.0, 10.0), bbox(20.0, 0.0, 10.0, 10.0)];
        let found = [
            bbox(0.0, 0.0, 10.0, 9.0),
            bbox(0.0, 0.0, 10.0, 10.0),
            bbox(50.0, 0.0, 9.0, 9.0),
        ];
        let matches = Matches::new(&found, &objects);
        let expected = Matches {
            true_positives: 1,
            false_positives: 2,
            false_negatives: 1,
        };
        assert_eq!(matches, expected);
        assert_eq!(matches.f1(), Some(2.0 / 5.0));
        assert_eq!(Matches::default().f1(), None);
        assert_eq!(Matches::new(&[], &objects).f1(), Some(0.0));
        let mut sum = matches;
        sum.add(Matches::new(&objects, &objects));
        assert_eq!(sum.f1(), Some(6.0 / 9.0));
    }

    #[test]
    fn shares() {
        let mut share = Share::default();
        assert_eq!(share.ratio(), None);
        for hit in [true, false, true, true] {
            share.count(hit);
        }
        assert_eq!(share.ratio(), Some(0.75));
        assert_eq!(serde_json::to_string(&share).unwrap(), "0.75");
    }
}
