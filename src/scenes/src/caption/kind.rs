//! Kinds of captions, and how often each is drawn.

use std::str::FromStr;

use rand::Rng;

use crate::error::ScenesError;

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
