//! A model against the captions of a data set.

use std::collections::{BTreeMap, BTreeSet};

use mdetr::{Encoded, Frame, Grounder, Past, RawOutputs};
use mdetr_eval::grounding::{
    Abilities, Candidates, Clip, ClipFrame, Counts, Example, Picture, judge,
};
use mdetr_grounding::{BBox, Query, QueryError, QueryResult};

/// What was found for one caption, and how good it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// What was found.
    pub result: QueryResult,
    /// Its counts.
    pub counts: Counts,
}

/// A data set's captions, encoded, with the model that answers them. Threads may share it.
#[derive(Debug)]
pub struct Evaluator<'a> {
    grounder: &'a Grounder,
    pictures: &'a [Picture],
    /// For each picture its captions, each once.
    captions: Vec<Encoded>,
}

impl<'a> Evaluator<'a> {
    /// Encodes every caption of `pictures`, the captions of each as one set of queries. The standing
    /// queries of `grounder` are left alone.
    ///
    /// # Errors
    /// A caption is too long for the model, or the engine fails.
    pub fn new(
        grounder: &'a Grounder,
        pictures: &'a [Picture],
    ) -> Result<Evaluator<'a>, mdetr::Error> {
        let asked = |picture: &Picture| {
            let captions = picture.examples.iter().map(|e| e.caption.as_str());
            queries(captions.collect())
        };
        let sets = pictures.iter().map(asked).collect::<Result<_, _>>()?;
        Ok(Evaluator {
            grounder,
            pictures,
            captions: grounder.encode_each(sets)?,
        })
    }

    /// Grounds the captions of a picture and counts, caption by caption. `frame` is the picture,
    /// decoded, `index` its place among all.
    ///
    /// # Errors
    /// The engine fails.
    ///
    /// # Panics
    /// There is no such picture.
    pub fn picture(&self, frame: &Frame, index: usize) -> Result<Vec<Judged>, mdetr::Error> {
        let asked = &self.captions[index];
        let found = self.grounder.ground_encoded(frame, asked)?;
        let examples = self.pictures[index].examples.iter();
        Ok(examples
            .map(|example| judged(self.grounder, frame, &found, example))
            .collect())
    }
}

/// A clip's captions, encoded, and what the model remembers of its frames.
#[derive(Debug)]
pub struct Watching<'a> {
    grounder: &'a Grounder,
    captions: Encoded,
    past: Past,
}

impl<'a> Watching<'a> {
    /// Encodes every caption of `clip`, of which nothing was seen yet.
    ///
    /// # Errors
    /// A caption is too long for the model, or the engine fails.
    pub fn new(grounder: &'a Grounder, clip: &Clip) -> Result<Watching<'a>, mdetr::Error> {
        let captions: BTreeSet<&str> = clip.captions.iter().map(String::as_str).collect();
        Ok(Watching {
            grounder,
            captions: grounder.encode(queries(captions)?)?,
            past: Past::new(),
        })
    }

    /// What was seen up to now is not remembered.
    pub fn forget(&self) {
        self.past.forget();
    }

    /// Grounds the clip's captions in its next frame, and counts those of which the truth is certain there.
    /// Gives the captions that have a box, too, and whether one of the boxes is of something hidden.
    ///
    /// # Errors
    /// The engine fails.
    pub fn next(
        &self,
        frame: &Frame,
        at: &ClipFrame,
    ) -> Result<(Vec<Judged>, BTreeMap<String, bool>), mdetr::Error> {
        let found = self
            .grounder
            .ground_encoded_in(&self.past, at.time, frame, &self.captions)?;
        let examples = at.examples.iter();
        let judged = examples.map(|(_, example)| judged(self.grounder, frame, &found, example));
        let with_box = found
            .iter()
            .filter(|(result, _)| !result.detections.is_empty());
        let with_box = with_box.map(|(result, _)| {
            let hidden = result.detections.iter().any(|d| d.hidden_ms.is_some());
            (result.query.text().to_owned(), hidden)
        });
        Ok((judged.collect(), with_box.collect()))
    }
}

/// Captions, each once, as queries.
fn queries(captions: BTreeSet<&str>) -> Result<Vec<Query>, QueryError> {
    let numbered = captions.into_iter().enumerate();
    numbered
        .map(|(at, caption)| Query::literal(format!("caption {at}"), caption))
        .collect()
}

fn judged(
    grounder: &Grounder,
    frame: &Frame,
    found: &[(QueryResult, RawOutputs)],
    example: &Example,
) -> Judged {
    let manifest = grounder.manifest();
    let abilities = Abilities {
        answers: manifest.answers.is_some(),
        masks: manifest.segments(),
    };
    let (result, outputs) = found
        .iter()
        .find(|(result, _)| result.query.text() == example.caption)
        .expect("every caption was asked");
    Judged {
        result: result.clone(),
        counts: judge(example, result, &candidates(frame, outputs), abilities),
    }
}

/// What the network says, in pixels of the frame.
fn candidates(frame: &Frame, outputs: &RawOutputs) -> Candidates {
    let (width, height) = (frame.width() as f32, frame.height() as f32);
    let boxes = outputs
        .boxes
        .iter()
        .map(|&[cx, cy, w, h]| BBox::from_cxcywh(cx * width, cy * height, w * width, h * height));
    Candidates {
        boxes: boxes.collect(),
        probabilities: outputs.probabilities(),
        tokens: outputs.tokens.clone(),
    }
}
