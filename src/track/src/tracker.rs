//! The objects of one query over time.

use std::time::Duration;

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

use crate::motion::Motion;
use crate::options::{TrackIds, TrackOptions};
use mdetr_grounding::{BBox, Detection, Identity};

/// Weight of an overlap of 1 where overlaps are compared as whole numbers.
const WHOLE: f32 = 1e6;
/// Part of a new score that a track's score takes over.
const SCORE_GAIN: f32 = 0.5;
/// Likeness below which a detection is another object than a track's, wherever it is.
const OTHER: f32 = 0.35;
/// Likeness from which on it may be the same away from where it should be.
const KNOWN: f32 = 0.8;
/// What a likeness of 1 is worth beside an overlap of 1.
const LIKENESS: f32 = 0.5;
/// How far from where it should be an object that is known again is looked for, in longer sides.
const NEAR: f32 = 1.0;
/// How much further for each second since it was seen.
const NEAR_PER_SECOND: f32 = 4.0;

/// An object that was seen at least once.
#[derive(Debug, Clone)]
struct Track {
    /// Given when it is confirmed.
    id: Option<u64>,
    motion: Motion,
    /// Of `motion`.
    at: Duration,
    /// The last time it was seen.
    seen: Duration,
    hits: u32,
    /// Smoothed.
    score: f32,
    /// What was seen last.
    detection: Detection,
}

impl Track {
    fn new(detection: &Detection, time: Duration) -> Track {
        Track {
            id: None,
            motion: Motion::new(detection.bbox),
            at: time,
            seen: time,
            hits: 0,
            score: detection.score,
            detection: detection.clone(),
        }
    }

    fn motion_at(&self, time: Duration) -> Motion {
        self.motion
            .after(time.saturating_sub(self.at).as_secs_f64())
    }

    fn see(&mut self, detection: &Detection, time: Duration) {
        self.motion = self.motion_at(time).measure(detection.bbox);
        self.at = time;
        self.seen = time;
        self.score += SCORE_GAIN * (detection.score - self.score);
        self.detection = detection.clone();
    }

    /// The object at `time`: as it was seen then, later where it should be. It does not move on for
    /// longer than `max_age`.
    fn detection_at(&self, time: Duration, max_age: Duration) -> Detection {
        let mut detection = Detection {
            score: self.score,
            track: self.id,
            ..self.detection.clone()
        };
        if self.seen != time {
            let moved = self.motion_at(time.min(self.at + max_age)).bbox();
            let [dx, dy] = displacement(detection.bbox, moved);
            detection.bbox = moved;
            detection.mask = detection.mask.map(|mask| mask.shifted(dx, dy));
        }
        detection
    }
}

/// How far the centre has moved, in whole pixels.
fn displacement(from: BBox, to: BBox) -> [i32; 2] {
    let [x0, y0, x1, y1] = from.to_xyxy();
    let [u0, v0, u1, v1] = to.to_xyxy();
    [u0 + u1 - x0 - x1, v0 + v1 - y0 - y1].map(|twice| (twice / 2.0).round() as i32)
}

/// The tracks of one query.
#[derive(Debug, Clone, Default)]
pub(super) struct Tracker {
    tracks: Vec<Track>,
    /// Time of the last update.
    time: Duration,
    /// Detections of the last update that cannot be tracked, such as boxes without area.
    untracked: Vec<Detection>,
}

impl Tracker {
    /// Takes in what was seen at `time`, which never falls. Each new object takes one of `ids`.
    pub fn update(
        &mut self,
        time: Duration,
        detections: &[Detection],
        options: &TrackOptions,
        ids: &TrackIds,
    ) {
        self.time = time;
        self.tracks
            .retain(|track| time.saturating_sub(track.seen) <= options.max_age);
        let (seen, untracked): (Vec<&Detection>, Vec<&Detection>) =
            detections.iter().partition(|found| trackable(found.bbox));
        self.untracked = untracked.into_iter().cloned().collect();
        let (sure, unsure): (Vec<&Detection>, Vec<&Detection>) = seen
            .into_iter()
            .partition(|found| found.score >= options.high_threshold);

        let predicted: Vec<Predicted> = self
            .tracks
            .iter()
            .map(|track| Predicted::new(track, time))
            .collect();
        let mut free: Vec<usize> = (0..self.tracks.len()).collect();
        let mut new = Vec::new();
        for (detections, begins) in [(sure, true), (unsure, false)] {
            let tracks: Vec<&Predicted> = free.iter().map(|&track| &predicted[track]).collect();
            let pairs = assign(&tracks, &detections, options.iou_threshold);
            for (detection, pair) in detections.iter().zip(&pairs) {
                match pair {
                    Some(at) => self.tracks[free[*at]].see(detection, time),
                    None if begins => new.push(Track::new(detection, time)),
                    None => (),
                }
            }
            let taken: Vec<usize> = pairs.into_iter().flatten().collect();
            free = (0..free.len())
                .filter(|at| !taken.contains(at))
                .map(|at| free[at])
                .collect();
        }
        self.tracks.extend(new);
        // A track that was not confirmed yet is given up where it is missed.
        self.tracks
            .retain(|track| track.id.is_some() || track.seen == time);
        for track in &mut self.tracks {
            if track.seen == time {
                track.hits = track.hits.saturating_add(1);
                if track.id.is_none() && track.hits >= options.min_hits {
                    track.id = Some(ids.next());
                }
            }
        }
    }

    /// What is there at `time`, highest score first: at the time of the last update the detections
    /// as they were, later where they should be by then; objects that were missed for a while too.
    pub fn at(&self, time: Duration, options: &TrackOptions) -> Vec<Detection> {
        let tracked = self
            .tracks
            .iter()
            .filter(|track| {
                track.seen == self.time || time.saturating_sub(track.seen) <= options.coast
            })
            .map(|track| track.detection_at(time, options.max_age));
        let mut found: Vec<Detection> = tracked.chain(self.untracked.iter().cloned()).collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found
    }

    /// Goes on in frames of another size: widths and heights.
    pub fn resize(&mut self, from: (u32, u32), to: (u32, u32)) {
        if from == to {
            return;
        }
        let scale = |new: u32, old: u32| f64::from(new.max(1)) / f64::from(old.max(1));
        let (x, y) = (scale(to.0, from.0), scale(to.1, from.1));
        for Track {
            motion, detection, ..
        } in &mut self.tracks
        {
            *motion = motion.scaled(x, y);
            let [x0, y0, x1, y1] = detection.bbox.to_xyxy();
            let (x, y) = (x as f32, y as f32);
            detection.bbox = BBox::from_xyxy(x0 * x, y0 * y, x1 * x, y1 * y);
            let mask = detection.mask.take();
            detection.mask = mask.map(|mask| mask.resized(to.0, to.1));
        }
    }
}

fn trackable(bbox: BBox) -> bool {
    let finite = [bbox.x, bbox.y, bbox.width, bbox.height]
        .iter()
        .all(|value| value.is_finite());
    finite && bbox.width > 0.0 && bbox.height > 0.0
}

/// What is expected of a track at a time.
struct Predicted {
    bbox: BBox,
    identity: Option<Identity>,
    /// How far from there it may be, if it is known again, in pixels.
    reach: f32,
}

impl Predicted {
    fn new(track: &Track, time: Duration) -> Predicted {
        let bbox = track.motion_at(time).bbox();
        let unseen = time.saturating_sub(track.seen).as_secs_f32();
        Predicted {
            reach: bbox.width.max(bbox.height) * (NEAR + NEAR_PER_SECOND * unseen),
            identity: track.detection.identity.clone(),
            bbox,
        }
    }

    /// How well a detection continues the track, above 0 if it may: by overlap alone, and by likeness too where a model
    /// says what objects look like.
    fn affinity(&self, detection: &Detection, threshold: f32) -> f32 {
        let overlap = self.bbox.iou(detection.bbox);
        let identities = self.identity.as_ref().zip(detection.identity.as_ref());
        match identities.and_then(|(known, seen)| known.likeness(seen)) {
            None if overlap >= threshold => overlap,
            Some(likeness) if overlap >= threshold && likeness >= OTHER => {
                overlap + LIKENESS * likeness
            }
            Some(likeness) if likeness >= KNOWN && self.reaches(detection.bbox) => {
                LIKENESS * likeness
            }
            _ => 0.0,
        }
    }

    fn reaches(&self, bbox: BBox) -> bool {
        let centre = |b: BBox| (b.x + b.width / 2.0, b.y + b.height / 2.0);
        let ((x, y), (u, v)) = (centre(self.bbox), centre(bbox));
        (x - u).hypot(y - v) <= self.reach
    }
}

/// For each detection the track that it continues, each once, such that the sum of affinities is greatest.
fn assign(tracks: &[&Predicted], detections: &[&Detection], threshold: f32) -> Vec<Option<usize>> {
    if tracks.is_empty() || detections.is_empty() {
        return vec![None; detections.len()];
    }
    // As many columns as rows at least; those without a track are worth nothing.
    let columns = tracks.len().max(detections.len());
    let weights = Matrix::from_fn(detections.len(), columns, |(row, column)| {
        let track = tracks.get(column);
        let affinity = track.map_or(0.0, |track| track.affinity(detections[row], threshold));
        (affinity * WHOLE) as i64
    });
    let (_, chosen) = kuhn_munkres(&weights);
    chosen
        .into_iter()
        .enumerate()
        .map(|(row, column)| (weights[(row, column)] > 0).then_some(column))
        .collect()
}

#[cfg(test)]
mod tests {
    use mdetr_grounding::rle::Rle;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A box of 4 x 4 pixels, all of them in its mask, in a frame of 40 x 20.
    fn seen(x: u32) -> Detection {
        let mut mask = vec![0; 800];
        for row in 8..12 {
            mask[row * 40 + x as usize..][..4].fill(1);
        }
        Detection {
            score: 0.9,
            phrases: Vec::new(),
            track: None,
            hidden_ms: None,
            identity: None,
            mask: Some(Rle::encode(&mask, 40, 20)),
            bbox: BBox {
                x: x as f32,
                y: 8.0,
                width: 4.0,
                height: 4.0,
            },
        }
    }

    /// A tracker that saw a box move right by 2 pixels a second, until it was at 18 after 9 s.
    fn followed(options: &TrackOptions) -> Tracker {
        let (mut tracker, ids) = (Tracker::default(), TrackIds::default());
        for step in 0..10 {
            tracker.update(step * SECOND, &[seen(2 * step)], options, &ids);
        }
        tracker
    }

    fn options() -> TrackOptions {
        TrackOptions {
            coast: 5 * SECOND,
            max_age: 8 * SECOND,
            ..TrackOptions::default()
        }
    }

    #[test]
    fn a_mask_goes_with_its_box() {
        let options = options();
        let tracker = followed(&options);
        assert_eq!(tracker.at(9 * SECOND, &options)[0].mask, seen(18).mask);
        let carried = &tracker.at(11 * SECOND, &options)[0];
        assert!((carried.bbox.x - 22.0).abs() < 0.3, "{carried:?}");
        assert_eq!(carried.mask, seen(22).mask);
    }

    #[test]
    fn presence_has_hysteresis() {
        let options = TrackOptions {
            high_threshold: 0.8,
            ..options()
        };
        let scored = |score| Detection { score, ..seen(10) };
        let (mut tracker, ids) = (Tracker::default(), TrackIds::default());
        let mut found = Vec::new();
        for (step, score) in [0.7, 0.9, 0.9, 0.6, 0.7, 0.6].into_iter().enumerate() {
            let time = step as u32 * SECOND;
            tracker.update(time, &[scored(score)], &options, &ids);
            let now = tracker.at(time, &options);
            found.push(now.iter().map(|one| one.track).collect::<Vec<_>>());
        }
        let known = vec![Some(1)];
        assert_eq!(found[..2], [vec![], vec![None]]);
        assert_eq!(
            found[2..],
            [known.clone(), known.clone(), known.clone(), known]
        );
    }

    fn like(x: u32, vector: [f32; 2]) -> Detection {
        Detection {
            identity: Some(Identity::new(&vector, 1)),
            ..seen(x)
        }
    }

    /// Tracks of those that were seen at the last of these seconds, by where they are.
    fn tracks(seconds: &[Vec<Detection>]) -> Vec<(u32, Option<u64>)> {
        let (mut tracker, ids) = (Tracker::default(), TrackIds::default());
        let options = TrackOptions {
            coast: Duration::ZERO,
            ..options()
        };
        let mut time = Duration::ZERO;
        for found in seconds {
            time += SECOND;
            tracker.update(time, found, &options, &ids);
        }
        let found = tracker.at(time, &options).into_iter();
        let mut found: Vec<_> = found.map(|d| (d.bbox.x as u32, d.track)).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn objects_that_look_different_do_not_swap() {
        let (red, blue) = ([1.0, 0.0], [0.0, 1.0]);
        let before = vec![like(10, red), like(14, blue)];
        let swapped = vec![like(10, blue), like(14, red)];
        let seconds = [before.clone(), before, swapped];
        assert_eq!(tracks(&seconds), [(10, Some(2)), (14, Some(1))]);
        let plain = seconds.map(|found| {
            let plain = |d| Detection {
                hidden_ms: None,
                identity: None,
                ..d
            };
            found.into_iter().map(plain).collect()
        });
        assert_eq!(tracks(&plain), [(10, Some(1)), (14, Some(2))]);
    }

    #[test]
    fn an_object_is_known_again_away_from_where_it_should_be_but_not_anywhere() {
        let red = [1.0, 0.0];
        let at = |x| vec![like(x, red)];
        assert_eq!(tracks(&[at(4), at(4), at(12)]), [(12, Some(1))]);
        assert_eq!(tracks(&[at(4), at(4), vec![], at(16)]), [(16, Some(1))]);
        assert_eq!(tracks(&[at(0), at(0), at(32)]), [(32, None)]);
        // Another that comes to the same place.
        let other = vec![like(4, [0.0, 1.0])];
        assert_eq!(tracks(&[at(4), at(4), other]), [(4, None)]);
        // Vectors of another model say nothing.
        let foreign = vec![Detection {
            identity: Some(Identity::new(&[0.0, 1.0], 2)),
            ..seen(4)
        }];
        assert_eq!(tracks(&[at(4), at(4), foreign]), [(4, Some(1))]);
    }

    #[test]
    fn a_missed_object_follows_a_change_of_the_frames_size() {
        let options = options();
        let mut tracker = followed(&options);
        tracker.resize((40, 20), (80, 20));
        tracker.update(10 * SECOND, &[], &options, &TrackIds::default());
        let missed = &tracker.at(10 * SECOND, &options)[0];
        assert!((missed.bbox.x - 40.0).abs() < 0.6, "{missed:?}");
        let expected = seen(20).mask.map(|mask| mask.resized(80, 20));
        assert_eq!(missed.mask, expected);
    }
}
