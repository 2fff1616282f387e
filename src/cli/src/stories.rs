//! What becomes of captions that tell what happened in a clip.

use std::collections::BTreeSet;

use mdetr_eval::grounding::{Clip, ClipFrame, Moments};

/// Kinds of captions that tell what happened.
const EVENTS: [&str; 3] = ["stopped", "started", "appeared"];

/// Such captions of a clip, frame by frame.
#[derive(Debug)]
pub struct Stories {
    times: Vec<f64>,
    captions: Vec<Story>,
}

#[derive(Debug)]
struct Story {
    /// Of the caption, among those of the clip.
    number: usize,
    text: String,
    /// At each frame whether it is certain that something answers to it, or that nothing does.
    truth: Vec<Option<bool>>,
    /// At each frame whether it has a box.
    told: Vec<bool>,
}

impl Stories {
    /// Of which no frame was seen yet.
    pub fn new(clip: &Clip) -> Stories {
        let examples = clip.frames.iter().flat_map(|frame| &frame.examples);
        let events = examples.filter(|(_, example)| EVENTS.contains(&example.kind.as_str()));
        let numbers: BTreeSet<usize> = events.map(|(number, _)| *number).collect();
        let story = |number| Story {
            number,
            text: clip.captions[number].clone(),
            truth: Vec::new(),
            told: Vec::new(),
        };
        Stories {
            times: Vec::new(),
            captions: numbers.into_iter().map(story).collect(),
        }
    }

    /// The next frame, and the captions that have a box in it.
    pub fn push(&mut self, at: &ClipFrame, with_box: &BTreeSet<String>) {
        self.times.push(at.time.as_secs_f64());
        for story in &mut self.captions {
            let mut examples = at.examples.iter();
            let example = examples.find(|(number, _)| *number == story.number);
            let answers = example.map(|(_, example)| !example.phrases.is_empty());
            story.truth.push(answers);
            story.told.push(with_box.contains(&story.text));
        }
    }

    /// Counts what happened in the whole clip.
    pub fn count(&self, moments: &mut Moments) {
        for story in &self.captions {
            moments.count(&self.times, &story.truth, &story.told);
        }
    }
}
