//! Identities of what other detectors found. Their boxes stay as they are: who follows them is another element, and may be
//! asked by others.

use std::time::Duration;

use mdetr_gst::analytics::Object;
use mdetr_gst::regions;
use mdetr_track::{TrackIds, TrackOptions, Tracking};

/// The tracks of other detectors' objects, whose types are followed each by itself.
#[derive(Default)]
pub struct Others(Option<Tracking>);

impl Others {
    /// Takes in the objects of a frame of `size` pixels; gives those a track, by their numbers, that have none yet and
    /// were seen often enough. Once there were objects, a frame without any is one that shows none.
    pub fn follow(
        &mut self,
        objects: &[Object],
        size: (u32, u32),
        now: Duration,
        options: &TrackOptions,
        ids: &TrackIds,
    ) -> Vec<(u32, u64)> {
        let free: Vec<&Object> = objects.iter().filter(|o| o.track.is_none()).collect();
        if free.is_empty() && self.0.is_none() {
            return Vec::new();
        }
        let new = || Tracking::with_ids(options.clone(), ids.clone());
        let tracking = self.0.get_or_insert_with(new);
        tracking.set_options(options.clone());
        let grounding = regions::grounding_of(free.iter().map(|o| (*o).into()), size.0, size.1);
        tracking.update(now, &grounding);
        let Some(mut followed) = tracking.at(now) else {
            return Vec::new();
        };
        let mut tracks = Vec::new();
        for object in free {
            let one = regions::grounding_of([object.into()], size.0, size.1);
            let Some(result) = one.queries.first() else {
                continue;
            };
            let mut queries = followed.queries.iter_mut();
            let Some(same) = queries.find(|q| q.query.id() == result.query.id()) else {
                continue;
            };
            let bbox = result.detections[0].bbox;
            if let Some(at) = same.detections.iter().position(|d| d.bbox == bbox)
                && let Some(track) = same.detections.swap_remove(at).track
            {
                tracks.push((object.id, track));
            }
        }
        tracks
    }

    /// Forgets all objects.
    pub fn reset(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(id: u32, label: &str, x: u32, track: Option<u64>) -> Object {
        Object {
            id,
            label: label.into(),
            score: 0.9,
            rect: (x, 20, 30, 40),
            track,
        }
    }

    #[test]
    fn objects_keep_their_tracks_while_they_move() {
        let (mut others, ids) = (Others::default(), TrackIds::default());
        let options = TrackOptions {
            min_hits: 1,
            ..TrackOptions::default()
        };
        let mut follow = |frame: u64, objects: &[Object]| {
            let now = Duration::from_millis(40 * frame);
            others.follow(objects, (160, 120), now, &options, &ids)
        };
        assert!(follow(0, &[]).is_empty());
        let first = follow(1, &[object(0, "dog", 10, None), object(5, "cat", 10, None)]);
        assert_eq!(first.len(), 2);
        assert_ne!(first[0].1, first[1].1);
        let second = follow(2, &[object(3, "cat", 14, None), object(4, "dog", 13, None)]);
        assert_eq!(second, [(3, first[1].1), (4, first[0].1)]);
        assert!(follow(3, &[object(0, "dog", 16, Some(77))]).is_empty());
    }

    #[test]
    fn a_box_beyond_the_frame_is_followed_as_far_as_it_is_inside() {
        let mut others = Others::default();
        let options = TrackOptions {
            min_hits: 1,
            ..TrackOptions::default()
        };
        let objects = [object(7, "dog", 150, None)];
        let tracks = others.follow(
            &objects,
            (160, 120),
            Duration::ZERO,
            &options,
            &TrackIds::default(),
        );
        assert_eq!(tracks.len(), 1);
    }
}
