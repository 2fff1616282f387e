//! A frame as conditions see it.

use std::time::Duration;

use jiff::Timestamp;
use mdetr_grounding::{Detection, Grounding, QueryResult, Rle};

use crate::document::{Anchor, Place, RuleSet};
use crate::geometry::{Point, Polygon, Rect};

/// A result that is older than this says nothing about now.
pub const OLDEST_RESULT: Duration = Duration::from_secs(2);

/// A time in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Time of the stream. It only grows; frames of the past are ignored.
    pub time: Duration,
    /// Wall clock time.
    pub utc: Timestamp,
}

/// What a frame shows.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// When the frame was taken.
    pub moment: Moment,
    /// Number of the frame in its stream.
    pub frame: u64,
    /// Presentation time in nanoseconds, if known.
    pub pts_ns: Option<u64>,
    /// How much older than the frame the result is.
    pub age: Duration,
    /// The result, in pixels of the frame.
    pub grounding: &'a Grounding,
}

/// A detection that can be used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// Where the result and the detection stand in the grounding.
    pub place: (usize, usize),
    pub detection: &'a Detection,
    /// Its box in parts of the picture's width and height.
    pub rect: Rect,
}

impl Observation<'_> {
    pub(crate) fn is_stale(&self) -> bool {
        self.age > OLDEST_RESULT || self.grounding.width == 0 || self.grounding.height == 0
    }

    /// Instant of the result in nanoseconds of the stream; below 0 if it is older than the stream.
    pub(crate) fn instant(&self) -> i128 {
        self.moment.time.as_nanos() as i128 - self.age.as_nanos() as i128
    }

    /// The result of a query, unless it is not known or too old.
    pub(crate) fn result(&self, query: &str) -> Option<(usize, &QueryResult)> {
        let mut results = self.grounding.queries.iter().enumerate();
        let found = results.find(|(_, result)| result.query.id() == query);
        found.filter(|_| !self.is_stale())
    }

    /// The objects of a query. Boxes that are not numbers are none.
    pub(crate) fn objects(&self, query: &str) -> Option<Vec<Seen<'_>>> {
        let (place, result) = self.result(query)?;
        let (width, height) = (
            f64::from(self.grounding.width),
            f64::from(self.grounding.height),
        );
        let seen = |(index, detection): (usize, &'_ Detection)| {
            let bbox = detection.bbox;
            let [x, y, w, h] = [bbox.x, bbox.y, bbox.width, bbox.height].map(f64::from);
            let rect = Rect {
                x0: x / width,
                y0: y / height,
                x1: (x + w) / width,
                y1: (y + h) / height,
            };
            let sound = [x, y, w, h].iter().all(|n| n.is_finite()) && w >= 0.0 && h >= 0.0;
            sound.then_some((index, rect))
        };
        let seen = result.detections.iter().enumerate().filter_map(seen);
        Some(
            seen.map(|(index, rect)| Seen {
                place: (place, index),
                detection: &result.detections[index],
                rect,
            })
            .collect(),
        )
    }

    /// A point in picture heights, so that ways in all directions can be compared.
    pub(crate) fn in_heights(&self, [x, y]: Point) -> Point {
        let aspect = f64::from(self.grounding.width) / f64::from(self.grounding.height.max(1));
        [x * aspect, y]
    }
}

impl Seen<'_> {
    /// The point of the box that stands for the object, inside the picture.
    pub fn point(&self, anchor: Anchor) -> Point {
        let [x, y] = self.rect.center();
        let y = if anchor == Anchor::Center {
            y
        } else {
            self.rect.y1
        };
        // What touches the edge of the picture is in a zone that reaches as far.
        [x, y].map(|part| part.clamp(1e-6, 1.0 - 1e-6))
    }
}

/// A [`Place`] with its polygon.
#[derive(Debug, Clone)]
pub(crate) struct Area {
    /// The zone's id and polygon; the whole picture without.
    pub zone: Option<(String, Polygon)>,
    pub anchor: Anchor,
    share: f64,
}

impl Area {
    pub fn new(place: &Place, rules: &RuleSet) -> Area {
        let zone = place.zone.as_ref().and_then(|id| {
            let zone = rules.zones.iter().find(|zone| zone.id == *id)?;
            let points = zone.points.iter().map(|point| point.map(f64::from));
            Some((id.clone(), Polygon::new(points.collect())))
        });
        Area {
            zone,
            anchor: place.anchor,
            share: place.share.map_or(1.0, f64::from),
        }
    }

    pub fn has(&self, seen: &Seen<'_>) -> bool {
        let Some((_, polygon)) = &self.zone else {
            return true;
        };
        match self.anchor {
            Anchor::BottomCenter | Anchor::Center => polygon.contains(seen.point(self.anchor)),
            Anchor::Any => polygon.touches(seen.rect),
            Anchor::All => polygon.covers(seen.rect),
            Anchor::Share => self.share_inside(polygon, seen) >= self.share - 1e-6,
        }
    }

    fn share_inside(&self, polygon: &Polygon, seen: &Seen<'_>) -> f64 {
        let mask = seen.detection.mask.as_ref();
        if let Some(share) = mask.and_then(|mask| share_of_mask(polygon, mask)) {
            return share;
        }
        match seen.rect.area() {
            area if area > 0.0 => polygon.area_in(seen.rect) / area,
            _ => f64::from(u8::from(polygon.contains(seen.rect.center()))),
        }
    }
}

/// Part of a mask's pixels whose centres are in a polygon; none of an empty mask.
fn share_of_mask(polygon: &Polygon, mask: &Rle) -> Option<f64> {
    let (width, height) = (u64::from(mask.width), u64::from(mask.height));
    let (mut start, mut inside, mut all) = (0u64, 0u64, 0u64);
    let mut column: Option<(u64, Vec<f64>)> = None;
    for (index, &count) in mask.counts.iter().enumerate() {
        let end = (start + u64::from(count)).min(width * height);
        // A run of ones, column by column.
        while index % 2 == 1 && start < end {
            let (x, top) = (start / height, start % height);
            let bottom = (top + end - start).min(height);
            let cuts = match &column {
                Some((at, cuts)) if *at == x => cuts,
                _ => {
                    let cuts = polygon.column((x as f64 + 0.5) / width as f64);
                    &column.insert((x, cuts)).1
                }
            };
            for pair in cuts.chunks_exact(2) {
                // The first pixel whose centre is not above the cut.
                let row =
                    |y: f64| ((y * height as f64 - 0.5).ceil().max(0.0) as u64).clamp(top, bottom);
                inside += row(pair[1]) - row(pair[0]);
            }
            all += bottom - top;
            start += bottom - top;
        }
        start = end;
    }
    (all > 0).then(|| inside as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_share_of_a_mask_is_that_of_its_pixels(
            points in prop::collection::vec([0.0..1.0, 0.0..1.0], 3..7),
            pixels in prop::collection::vec(prop::bool::ANY, 12 * 9),
        ) {
            let polygon = Polygon::new(points);
            let bytes: Vec<u8> = pixels.iter().map(|is| u8::from(*is)).collect();
            let mask = Rle::encode(&bytes, 12, 9);
            let centre = |i: usize| [((i % 12) as f64 + 0.5) / 12.0, ((i / 12) as f64 + 0.5) / 9.0];
            let set: Vec<usize> = (0..12 * 9).filter(|i| pixels[*i]).collect();
            let inside = set.iter().filter(|i| polygon.contains(centre(**i))).count();
            match share_of_mask(&polygon, &mask) {
                None => prop_assert!(set.is_empty()),
                Some(share) => prop_assert!((share - inside as f64 / set.len() as f64).abs() < 1e-9),
            }
        }
    }

    #[test]
    fn a_mask_that_says_more_than_its_size_is_cut() {
        let whole = Polygon::new(vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]);
        for (width, height) in [(0, 0), (2, 2), (0, 5)] {
            let mask = Rle {
                width,
                height,
                counts: vec![1, u32::MAX, 7, 9],
            };
            let share = share_of_mask(&whole, &mask);
            assert!(share.is_none() || share == Some(1.0), "{share:?}");
        }
    }
}
