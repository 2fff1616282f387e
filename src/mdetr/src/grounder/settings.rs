//! What may change while frames are answered.

use crate::pack::Packing;

/// What decides which of the network's boxes are reported. May be changed between frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Least score of a detection, 0 to 1, of queries without their own.
    pub score_threshold: f32,
    /// Least probability of a token that a box answers to, 0 to 1, of queries without their own.
    pub phrase_threshold: f32,
    /// Overlap, as intersection over union from 0 to 1, above which a second box on an object is dropped if
    /// it answers to no other words.
    pub overlap_threshold: f32,
    /// Most detections reported for one query.
    pub max_detections: usize,
    /// Draw masks, if the model can.
    pub masks: bool,
    /// Which queries are fused as one caption, from the next that are set or encoded on.
    pub packing: Packing,
}

impl Settings {
    /// These settings with thresholds clamped to 0 to 1; NaN becomes what `old` has.
    pub(super) fn sound(self, old: &Settings) -> Settings {
        let sound = |new: f32, old: f32| {
            if new.is_nan() {
                old
            } else {
                new.clamp(0.0, 1.0)
            }
        };
        Settings {
            score_threshold: sound(self.score_threshold, old.score_threshold),
            phrase_threshold: sound(self.phrase_threshold, old.phrase_threshold),
            overlap_threshold: sound(self.overlap_threshold, old.overlap_threshold),
            ..self
        }
    }
}
