//! Sentences about a scene, with the words that refer to each object.
//!
//! A noun phrase denotes all objects that match its description. Relations are those of the
//! picture: left and right by the centres of the visible boxes, in front and behind by their
//! lower edges. A sentence is only made when no relation in it is a close call.

mod describe;
mod kinds;
mod questions;
mod relate;
mod words;

use std::str::FromStr;

use rand::Rng;

use crate::error::ScenesError;
use crate::scene::Scene;
use crate::truth::GroundTruth;

pub use describe::Description;
pub use questions::Answer;
pub use relate::Relation;

/// A sentence and what its words refer to.
#[derive(Clone, Debug, PartialEq)]
pub struct Caption {
    /// The sentence.
    pub text: String,
    /// What kind of sentence it is.
    pub kind: CaptionKind,
    /// Its noun phrases in order, those that refer to nothing included.
    pub phrases: Vec<GroundedPhrase>,
    /// The answer, if it is a question.
    pub answer: Option<Answer>,
}

/// A noun phrase of a caption and the objects it denotes.
#[derive(Clone, Debug, PartialEq)]
pub struct GroundedPhrase {
    /// Where it is in the caption: half-open ranges of Unicode code points, article included.
    pub spans: Vec<(u32, u32)>,
    /// Indices of the objects it denotes, ascending; empty if there are none.
    pub objects: Vec<usize>,
}

impl Caption {
    /// For each object that is denoted at all, ascending: its index and the spans of all phrases
    /// that denote it.
    pub fn spans_by_object(&self) -> Vec<(usize, Vec<(u32, u32)>)> {
        let mut by_object = std::collections::BTreeMap::<usize, Vec<(u32, u32)>>::new();
        for phrase in &self.phrases {
            for &object in &phrase.objects {
                by_object.entry(object).or_default().extend(&phrase.spans);
            }
        }
        by_object.into_iter().collect()
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// Kinds of captions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CaptionKind { $($(#[$doc])* $variant),+ }

        impl CaptionKind {
            /// All kinds.
            pub const ALL: &[CaptionKind] = &[$(CaptionKind::$variant),+];

            /// Its name, as in the data set's `dataset_name` after "tabletop-".
            pub fn name(self) -> &'static str {
                match self { $(CaptionKind::$variant => $name),+ }
            }
        }
    };
}

kinds! {
    /// One noun phrase: "the small red ball".
    Phrase = "phrase",
    /// One plural: "all shiny cubes".
    Plural = "plural",
    /// Two to four noun phrases: "a cube, the red ball and all cones".
    Phrases = "phrases",
    /// Every object: "all objects", or a list that leaves nothing out.
    Everything = "everything",
    /// One relation: "the ball left of the red cube".
    Relation = "relation",
    /// Two relations: "the ball behind the cube that is left of the red cone".
    Relation2 = "relation2",
    /// One or two noun phrases that nothing matches.
    Absent = "absent",
    /// A relation that nothing satisfies; its anchor is there.
    RelationAbsent = "relation-absent",
    /// Noun phrases that match something, and one that does not.
    Mixed = "mixed",
    /// "is there a red ball left of the cube?"
    Exist = "exist",
    /// "how many cones are there?"
    Count = "count",
    /// "are there more cubes than balls?"
    CompareNumber = "compare-number",
    /// "what color is the small ball?"
    QueryAttribute = "query-attribute",
    /// "is the ball the same color as the cube?"
    CompareAttribute = "compare-attribute",
}

impl CaptionKind {
    /// The kinds that are questions.
    pub const QUESTIONS: &[CaptionKind] = &[
        CaptionKind::Exist,
        CaptionKind::Count,
        CaptionKind::CompareNumber,
        CaptionKind::QueryAttribute,
        CaptionKind::CompareAttribute,
    ];

    /// Whether it is a question.
    pub fn is_question(self) -> bool {
        CaptionKind::QUESTIONS.contains(&self)
    }
}

impl FromStr for CaptionKind {
    type Err = ScenesError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = CaptionKind::ALL.iter().find(|k| k.name() == name);
        found.copied().ok_or_else(|| ScenesError::Kind {
            name: name.to_string(),
            expected: CaptionKind::ALL
                .iter()
                .map(|k| k.name())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }
}

/// How often each kind of caption is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix(Vec<(CaptionKind, u32)>);

impl Mix {
    /// The mix the bundled model is trained on: mostly captions that name several objects, since
    /// those teach localisation fastest, and enough that name what is not there.
    pub fn training() -> Mix {
        use CaptionKind::*;
        Mix(vec![
            (Phrase, 18),
            (Plural, 10),
            (Phrases, 16),
            (Everything, 8),
            (Relation, 18),
            (Relation2, 4),
            (Absent, 20),
            (RelationAbsent, 10),
            (Mixed, 10),
        ])
    }

    /// [`training`](Self::training) and as many questions, more of those that are learnt slowly.
    pub fn with_questions() -> Mix {
        use CaptionKind::*;
        let mut mix = Mix::training();
        mix.0.extend([
            (Exist, 14),
            (Count, 18),
            (CompareNumber, 20),
            (QueryAttribute, 25),
            (CompareAttribute, 34),
        ]);
        mix
    }

    /// These kinds, equally often.
    pub fn even(kinds: &[CaptionKind]) -> Mix {
        Mix(kinds.iter().map(|&k| (k, 1)).collect())
    }

    /// Draws a kind; [`CaptionKind::Phrase`] if the mix is empty.
    pub fn sample(&self, rng: &mut impl Rng) -> CaptionKind {
        let total: u32 = self.0.iter().map(|(_, weight)| weight).sum();
        let mut at = rng.random_range(0..total.max(1));
        for &(kind, weight) in &self.0 {
            if at < weight {
                return kind;
            }
            at -= weight;
        }
        CaptionKind::Phrase
    }
}

/// A random caption of this kind, or `None` if the scene does not offer one (a relation needs two
/// objects, say) or an object of it shows no pixel.
pub fn caption(
    rng: &mut impl Rng,
    scene: &Scene,
    truth: &GroundTruth,
    kind: CaptionKind,
) -> Option<Caption> {
    if scene.objects.is_empty() || !truth.all_visible() {
        return None;
    }
    kinds::Writer::new(rng, &scene.objects, truth).write(kind)
}

/// A random caption of this kind or, if the scene does not offer one, of a related one.
///
/// # Panics
/// If the scene has no objects or one of them shows no pixel.
pub fn caption_or_fallback(
    rng: &mut impl Rng,
    scene: &Scene,
    truth: &GroundTruth,
    kind: CaptionKind,
) -> Caption {
    use CaptionKind::*;
    let fallback = match kind {
        Relation2 => Relation,
        Relation | Plural => Phrases,
        RelationAbsent => Absent,
        CompareNumber | QueryAttribute | CompareAttribute => Count,
        _ => Phrase,
    };
    [kind, fallback, Phrase]
        .into_iter()
        .find_map(|kind| caption(rng, scene, truth, kind))
        .expect("any visible object can be named")
}
