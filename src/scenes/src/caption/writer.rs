//! What sentences are put together from.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::describe::Description;
use super::kind::CaptionKind;
use super::relate::Relation;
use super::sentence::{Answer, Caption, GroundedPhrase};
use super::words::{Determiner, noun_phrase};
use crate::object::Object;
use crate::truth::GroundTruth;

/// Draws before a kind of caption counts as not on offer.
pub(super) const TRIES: usize = 60;
/// Chance that a caption begins with a capital, and that one that is no question ends with a period.
const CAPITAL: f64 = 0.05;
const PERIOD: f64 = 0.1;
/// Chance that a relation after a singular is joined with "that is".
const THAT_IS: f64 = 0.2;
/// A noun phrase: what it says, how it begins, what it denotes.
#[derive(Clone)]
pub(super) struct Noun {
    pub description: Description,
    pub determiner: Determiner,
    pub objects: Vec<usize>,
}

pub(super) struct Writer<'a, R: Rng> {
    pub rng: &'a mut R,
    pub objects: &'a [Object],
    truth: &'a GroundTruth,
    pub text: String,
    phrases: Vec<GroundedPhrase>,
    pub answer: Option<Answer>,
}

impl<'a, R: Rng> Writer<'a, R> {
    pub fn new(rng: &'a mut R, objects: &'a [Object], truth: &'a GroundTruth) -> Self {
        Writer {
            rng,
            objects,
            truth,
            text: String::new(),
            phrases: Vec::new(),
            answer: None,
        }
    }

    /// Ends the sentence.
    pub fn finish(mut self, kind: CaptionKind) -> Caption {
        if self.rng.random_bool(CAPITAL) {
            self.text[..1].make_ascii_uppercase();
        }
        if kind.is_question() {
            self.text.push('?');
        } else if self.rng.random_bool(PERIOD) {
            self.text.push('.');
        }
        Caption {
            text: self.text,
            kind,
            phrases: self.phrases,
            answer: self.answer,
        }
    }

    /// A random description of a random object.
    pub(super) fn some_description(&mut self) -> Description {
        let object = self.objects.choose(self.rng).expect("a scene has objects");
        Description::random_of(self.rng, object)
    }

    /// An object that can be named without a relation, and its name.
    pub(super) fn unique_anchor(&mut self) -> Option<(usize, Noun)> {
        let anchor = self.rng.random_range(0..self.objects.len());
        let description = Description::unique_of(self.rng, self.objects, anchor)?;
        let noun = Noun {
            description,
            determiner: Determiner::The,
            objects: vec![anchor],
        };
        Some((anchor, noun))
    }

    pub(super) fn referents(
        &self,
        r: Relation,
        target: &Description,
        anchor: usize,
    ) -> Option<Vec<usize>> {
        r.referents(self.objects, self.truth, target, anchor)
    }

    pub(super) fn any_relation(&mut self) -> Relation {
        *Relation::ALL.choose(self.rng).expect("there are relations")
    }

    pub(super) fn determiner(&mut self, from: &[Determiner]) -> Determiner {
        *from
            .choose(self.rng)
            .expect("a list of determiners is not empty")
    }

    pub(super) fn say(&mut self, noun: &Noun) {
        let words = noun_phrase(self.rng, &noun.description, noun.determiner, None);
        self.say_phrase(&words, noun.objects.clone());
    }

    pub(super) fn say_phrase(&mut self, words: &str, objects: Vec<usize>) {
        let start = self.text.chars().count() as u32;
        self.text.push_str(words);
        let end = self.text.chars().count() as u32;
        self.phrases.push(GroundedPhrase {
            spans: vec![(start, end)],
            objects,
        });
    }

    /// Says a relation of the noun phrase before it.
    pub(super) fn say_relation(&mut self, noun: &Noun, relation: Relation) {
        let that_is = self.rng.random_bool(THAT_IS) && !noun.determiner.plural();
        let that_is = if that_is { "that is " } else { "" };
        let words = relation.words(self.rng);
        self.text.push_str(&format!(" {that_is}{words} "));
    }
}
