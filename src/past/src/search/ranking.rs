//! The best hits, none of them close to a better one.

use super::types::Hit;

#[derive(Debug)]
pub(super) struct Ranking {
    /// Best first.
    hits: Vec<Hit>,
    limit: usize,
    /// In nanoseconds.
    apart: i64,
}

impl Ranking {
    pub(super) fn new(limit: usize, apart: i64) -> Ranking {
        Ranking {
            hits: Vec::new(),
            limit,
            apart,
        }
    }

    /// Takes a hit in if there is none better of its camera close to it, and gives it if it stays.
    pub(super) fn offer(&mut self, hit: Hit) -> Option<&Hit> {
        let apart = self.apart;
        let is_close = |other: &Hit| {
            let gap = other
                .time
                .saturating_sub(hit.until)
                .max(hit.time.saturating_sub(other.until));
            other.camera == hit.camera && gap < apart
        };
        // Of equals the earlier one, so that the order in which they come does not matter.
        let rank = |hit: &Hit| (-hit.score, hit.time);
        let better = |a: &Hit, b: &Hit| {
            let (a, b) = (rank(a), rank(b));
            a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).is_le()
        };
        if self
            .hits
            .iter()
            .any(|other| is_close(other) && better(other, &hit))
        {
            return None;
        }
        self.hits.retain(|other| !is_close(other));
        let place = self.hits.partition_point(|other| better(other, &hit));
        if place >= self.limit {
            return None;
        }
        self.hits.insert(place, hit);
        self.hits.truncate(self.limit);
        self.hits.get(place)
    }

    pub(super) fn into_hits(self) -> Vec<Hit> {
        self.hits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hit(camera: &str, time: i64, score: f32) -> Hit {
        Hit {
            camera: camera.to_owned(),
            time,
            until: time,
            size: (4, 3),
            score,
            detections: Vec::new(),
            frame: 0,
            has_picture: false,
        }
    }

    #[test]
    fn better_hits_take_the_place_of_those_close_to_them() {
        let mut ranking = Ranking::new(3, 10);
        assert!(ranking.offer(hit("a", 100, 0.5)).is_some());
        assert!(ranking.offer(hit("a", 105, 0.4)).is_none());
        assert!(ranking.offer(hit("b", 105, 0.4)).is_some());
        assert!(ranking.offer(hit("a", 95, 0.9)).is_some());
        assert!(ranking.offer(hit("a", 110, 0.7)).is_some());
        // A scene that stood still for long is close to what comes at its end.
        let still = Hit {
            until: 300,
            ..hit("a", 200, 0.8)
        };
        assert!(ranking.offer(still).is_some());
        assert!(ranking.offer(hit("a", 305, 0.75)).is_none());
        assert!(
            ranking.offer(hit("a", 400, 0.1)).is_none(),
            "three are better"
        );
        let found: Vec<_> = ranking.into_hits().iter().map(|hit| hit.time).collect();
        assert_eq!(found, [95, 200, 110]);
    }

    proptest! {
        #[test]
        fn hits_are_apart_and_the_best_is_among_them(
            offers in prop::collection::vec((0i64..60, 0u8..100), 1..40),
        ) {
            let mut ranking = Ranking::new(8, 10);
            for (time, score) in &offers {
                ranking.offer(hit("a", *time, f32::from(*score)));
            }
            let hits = ranking.into_hits();
            let best = offers.iter().map(|(_, score)| f32::from(*score)).fold(0.0, f32::max);
            prop_assert_eq!(hits[0].score, best);
            prop_assert!(hits.is_sorted_by(|a, b| a.score >= b.score));
            for (at, hit) in hits.iter().enumerate() {
                prop_assert!(hits[..at].iter().all(|other| (other.time - hit.time).abs() >= 10));
            }
        }
    }
}
