//! What becomes of captions that tell what happened in a clip.

use std::collections::BTreeMap;

use mdetr_eval::grounding::{Clip, ClipFrame, Moments};

/// Kinds of captions that tell what happened.
const EVENTS: [&str; 4] = ["stopped", "started", "appeared", HIDDEN];
/// Of what is hidden then: what hides it has a box all the time.
const HIDDEN: &str = "went-behind";

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
    /// Whether it is of what is hidden.
    hidden: bool,
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
        let numbers = events.map(|(number, example)| (*number, example.kind == HIDDEN));
        let numbers: BTreeMap<usize, bool> = numbers.collect();
        let story = |(number, hidden): (usize, bool)| Story {
            number,
            hidden,
            text: clip.captions[number].clone(),
            truth: Vec::new(),
            told: Vec::new(),
        };
        Stories {
            times: Vec::new(),
            captions: numbers.into_iter().map(story).collect(),
        }
    }

    /// The next frame, the captions that have a box in it, and whether one of the boxes is of something hidden.
    pub fn push(&mut self, at: &ClipFrame, with_box: &BTreeMap<String, bool>) {
        self.times.push(at.time.as_secs_f64());
        for story in &mut self.captions {
            let mut examples = at.examples.iter();
            let example = examples.find(|(number, _)| *number == story.number);
            let answers = example.map(|(_, example)| match story.hidden {
                true => example.objects.iter().any(|object| object.hidden),
                false => !example.phrases.is_empty(),
            });
            let told = with_box.get(&story.text);
            story.truth.push(answers);
            story
                .told
                .push(told.is_some_and(|&of_hidden| of_hidden || !story.hidden));
        }
    }

    /// Counts what happened in the whole clip, and apart what was hidden.
    pub fn count(&self, moments: &mut Moments, hidden: &mut Moments) {
        for story in &self.captions {
            let counts = if story.hidden {
                &mut *hidden
            } else {
                &mut *moments
            };
            counts.count(&self.times, &story.truth, &story.told);
        }
    }
}
