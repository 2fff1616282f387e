//! What an event rests on.

use std::collections::{BTreeMap, BTreeSet};

use mdetr_grounding::Span;

use crate::document::Direction;
use crate::event::EventPhrase;
use crate::scene::Seen;

/// Most objects, words and zones of an event.
const MOST: usize = 256;

/// The objects that make a condition hold in one frame, or over the life of an event.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    /// Boxes in pixels, by where the detections stand in the grounding.
    boxes: BTreeMap<(usize, usize), [f32; 4]>,
    pub score: f32,
    pub tracks: BTreeSet<u64>,
    pub phrases: BTreeMap<(Span, String), f32>,
    pub zones: BTreeSet<String>,
    pub line: Option<String>,
    pub direction: Option<Direction>,
    pub count: Option<u64>,
    /// Whether more objects make a better view than a higher score.
    pub by_count: bool,
    pub answer: Option<String>,
}

impl Evidence {
    /// Adds an object, once.
    pub fn add(&mut self, seen: &Seen<'_>) {
        if self.boxes.len() >= MOST {
            return;
        }
        let detection = seen.detection;
        let bbox = detection.bbox;
        self.boxes
            .insert(seen.place, [bbox.x, bbox.y, bbox.width, bbox.height]);
        self.score = self.score.max(probability(detection.score));
        self.tracks.extend(detection.track);
        for phrase in &detection.phrases {
            let key = (phrase.span, phrase.text.clone());
            let score = self.phrases.entry(key).or_default();
            *score = score.max(probability(phrase.score));
        }
    }

    /// Adds what another condition rests on.
    pub fn join(&mut self, other: Evidence) {
        self.boxes.extend(other.boxes);
        self.count = self.count.max(other.count);
        self.by_count |= other.by_count;
        self.answer = self.answer.take().or(other.answer);
        self.line = self.line.take().or(other.line);
        self.direction = self.direction.or(other.direction);
        self.score = self.score.max(other.score);
        self.tracks.extend(other.tracks);
        self.zones.extend(other.zones);
        for (key, score) in other.phrases {
            let best = self.phrases.entry(key).or_default();
            *best = best.max(score);
        }
    }

    /// Boxes of the objects, each once: x, y, width, height in pixels.
    pub fn boxes(&self) -> Vec<[f32; 4]> {
        self.boxes.values().copied().collect()
    }

    /// Number of objects.
    pub fn objects(&self) -> usize {
        self.boxes.len()
    }

    /// The words in the order of the text.
    pub fn phrases(&self) -> Vec<EventPhrase> {
        let phrases = self.phrases.iter().take(MOST);
        phrases
            .map(|((span, text), score)| EventPhrase {
                text: text.clone(),
                span: *span,
                score: *score,
            })
            .collect()
    }

    /// Takes in what a later frame showed of the same event; the newest answer counts.
    pub fn grow(&mut self, frame: &Evidence) {
        let room = MOST.saturating_sub(self.tracks.len());
        let new: Vec<u64> = frame
            .tracks
            .difference(&self.tracks)
            .copied()
            .take(room)
            .collect();
        self.tracks.extend(new);
        self.zones.extend(frame.zones.iter().cloned());
        for (key, score) in &frame.phrases {
            if self.phrases.len() < MOST || self.phrases.contains_key(key) {
                let best = self.phrases.entry(key.clone()).or_default();
                *best = best.max(*score);
            }
        }
        self.score = self.score.max(frame.score);
        self.count = self.count.max(frame.count);
        if frame.answer.is_some() {
            self.answer.clone_from(&frame.answer);
        }
        if frame.line.is_some() {
            self.line.clone_from(&frame.line);
            self.direction = frame.direction;
        }
    }
}

fn probability(score: f32) -> f32 {
    // Also of what is no number.
    if score > 0.0 { score.min(1.0) } else { 0.0 }
}
