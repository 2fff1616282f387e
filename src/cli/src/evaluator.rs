//! A model against the captions of a data set.

use std::collections::BTreeSet;

use mdetr::{Encoded, Frame, Grounder, RawOutputs};
use mdetr_eval::grounding::{Abilities, Candidates, Counts, Example, Picture, judge};
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
        let queries = |picture: &Picture| -> Result<Vec<Query>, QueryError> {
            let captions: BTreeSet<&str> = picture
                .examples
                .iter()
                .map(|e| e.caption.as_str())
                .collect();
            let numbered = captions.into_iter().enumerate();
            numbered
                .map(|(at, caption)| Query::literal(format!("caption {at}"), caption))
                .collect()
        };
        let sets = pictures.iter().map(queries).collect::<Result<_, _>>()?;
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
        let manifest = self.grounder.manifest();
        let abilities = Abilities {
            answers: manifest.answers.is_some(),
            masks: manifest.segments(),
        };
        let judged = |example: &Example| {
            let (result, outputs) = found
                .iter()
                .find(|(result, _)| result.query.text() == example.caption)
                .expect("every caption was asked");
            Judged {
                result: result.clone(),
                counts: judge(example, result, &candidates(frame, outputs), abilities),
            }
        };
        Ok(self.pictures[index].examples.iter().map(judged).collect())
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
