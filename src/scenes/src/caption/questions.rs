//! CLEVR's families of questions.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::describe::Description;
use super::relate::Relation;
use super::sentence::Answer;
use super::words::{Determiner, one_of};
use super::writer::{Noun, TRIES, Writer};
use crate::object::Object;

/// Chance that a question is about what stands in a relation to something.
const RELATED: f64 = 0.4;
/// Chance that a question counts everything, described or not.
const OBJECTS: f64 = 0.1;

/// What a question can ask of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Size,
    Colour,
    Material,
    Shape,
}

impl Attribute {
    const ALL: [Attribute; 4] = [
        Attribute::Size,
        Attribute::Colour,
        Attribute::Material,
        Attribute::Shape,
    ];

    fn value(self, object: &Object) -> &'static str {
        match self {
            Attribute::Size => object.size.word(),
            Attribute::Colour => object.colour.word(),
            Attribute::Material => object.material.word(),
            Attribute::Shape => object.shape.word(),
        }
    }

    fn stated(self, description: &Description) -> bool {
        match self {
            Attribute::Size => description.size.is_some(),
            Attribute::Colour => description.colour.is_some(),
            Attribute::Material => description.material.is_some(),
            Attribute::Shape => description.shape.is_some(),
        }
    }

    fn words(self) -> &'static [&'static str] {
        match self {
            Attribute::Size => &["size"],
            Attribute::Colour => &["color", "color", "colour"],
            Attribute::Material => &["material"],
            Attribute::Shape => &["shape"],
        }
    }
}

/// What a question is about, and how a relation narrows it down.
struct Subject {
    description: Description,
    relation: Option<(Relation, Noun)>,
    objects: Vec<usize>,
}

impl<R: Rng> Writer<'_, R> {
    pub(super) fn exist(&mut self) -> Option<()> {
        let wanted = self.rng.random_bool(0.5);
        let subject = self.subject(|subject| subject.objects.is_empty() != wanted)?;
        let any = self.rng.random_bool(0.4);
        let (words, determiner) = match any {
            true => ("are there any ", Determiner::Bare),
            false => ("is there ", Determiner::A),
        };
        self.text.push_str(words);
        self.say_subject(&subject, determiner);
        self.answer = Some(Answer::Truth(wanted));
        Some(())
    }

    pub(super) fn count(&mut self) -> Option<()> {
        let nothing = self.rng.random_bool(0.15);
        let subject = self.subject(|subject| subject.objects.is_empty() == nothing)?;
        self.text.push_str("how many ");
        match &subject.relation {
            None => {
                self.say_subject(&subject, Determiner::Bare);
                self.text.push_str(" are there");
            }
            Some(_) => {
                let noun = self.subject_noun(&subject, Determiner::Bare);
                self.say(&noun);
                self.text.push_str(" are");
                self.say_where(&subject, &noun);
            }
        }
        self.answer = Some(Answer::Count(subject.objects.len()));
        Some(())
    }

    pub(super) fn compare_number(&mut self) -> Option<()> {
        let wanted = self.rng.random_bool(0.5);
        let form = self.rng.random_range(0..3);
        for _ in 0..TRIES {
            let (a, b) = (self.countable(), self.countable());
            if a == b {
                continue;
            }
            let noun = |description: Description, objects: &[Object]| Noun {
                description,
                determiner: Determiner::Bare,
                objects: description.denoted(objects),
            };
            let (a, b) = (noun(a, self.objects), noun(b, self.objects));
            let (first, second) = (a.objects.len(), b.objects.len());
            let (before, between, holds) = match form {
                0 => ("are there more ", " than ", first > second),
                1 => ("are there fewer ", " than ", first < second),
                _ => ("are there as many ", " as ", first == second),
            };
            if holds != wanted {
                continue;
            }
            self.text.push_str(before);
            self.say(&a);
            self.text.push_str(between);
            self.say(&b);
            self.answer = Some(Answer::Truth(wanted));
            return Some(());
        }
        None
    }

    pub(super) fn query_attribute(&mut self) -> Option<()> {
        let attribute = self.any_attribute();
        let subject = self.subject(|subject| {
            subject.objects.len() == 1 && !attribute.stated(&subject.description)
        })?;
        let asked = one_of(self.rng, attribute.words());
        let made_of = attribute == Attribute::Material && self.rng.random_bool(0.5);
        self.text.push_str(&match made_of {
            true => "what is ".to_owned(),
            false => format!("what {asked} is "),
        });
        self.say_subject(&subject, Determiner::The);
        if made_of {
            self.text.push_str(" made of");
        }
        let value = attribute.value(&self.objects[subject.objects[0]]);
        self.answer = Some(Answer::Attribute(value));
        Some(())
    }

    pub(super) fn compare_attribute(&mut self) -> Option<()> {
        let (wanted, attribute) = (self.rng.random_bool(0.5), self.any_attribute());
        for _ in 0..TRIES {
            let (Some(a), Some(b)) = (self.without(attribute), self.without(attribute)) else {
                continue;
            };
            let value = |noun: &Noun| attribute.value(&self.objects[noun.objects[0]]);
            if a.objects == b.objects || (value(&a) == value(&b)) != wanted {
                continue;
            }
            let asked = one_of(self.rng, attribute.words());
            if self.rng.random_bool(0.5) {
                let of = match attribute {
                    Attribute::Material => "made of the same material as".to_owned(),
                    _ => format!("the same {asked} as"),
                };
                self.text.push_str("is ");
                self.say(&a);
                self.text.push_str(&format!(" {of} "));
                self.say(&b);
            } else {
                self.text.push_str("do ");
                self.say(&a);
                self.text.push_str(" and ");
                self.say(&b);
                self.text.push_str(&format!(" have the same {asked}"));
            }
            self.answer = Some(Answer::Truth(wanted));
            return Some(());
        }
        None
    }

    fn any_attribute(&mut self) -> Attribute {
        *Attribute::ALL.choose(self.rng).expect("there are four")
    }

    /// Something to ask about that `fits`, if one is found.
    fn subject(&mut self, fits: impl Fn(&Subject) -> bool) -> Option<Subject> {
        for _ in 0..2 * TRIES {
            let related = self.rng.random_bool(RELATED);
            let subject = match related {
                true => self.related(),
                false => {
                    let description = self.countable();
                    Some(Subject {
                        description,
                        relation: None,
                        objects: description.denoted(self.objects),
                    })
                }
            };
            if let Some(subject) = subject.filter(&fits) {
                return Some(subject);
            }
        }
        None
    }

    fn related(&mut self) -> Option<Subject> {
        let (anchor, noun) = self.unique_anchor()?;
        let relation = self.any_relation();
        let description = self.countable();
        let objects = self.referents(relation, &description, anchor)?;
        Some(Subject {
            description,
            relation: Some((relation, noun)),
            objects,
        })
    }

    /// What could be counted: usually something that is there, sometimes anything at all.
    fn countable(&mut self) -> Description {
        if self.rng.random_bool(OBJECTS) {
            return Description::default();
        }
        let description = self.some_description();
        match self.rng.random_bool(0.25) {
            true => description.changed(self.rng),
            false => description,
        }
    }

    /// A name for one object that does not state an attribute.
    fn without(&mut self, attribute: Attribute) -> Option<Noun> {
        let (_, noun) = self.unique_anchor()?;
        (!attribute.stated(&noun.description)).then_some(noun)
    }

    fn subject_noun(&self, subject: &Subject, determiner: Determiner) -> Noun {
        Noun {
            description: subject.description,
            determiner,
            objects: subject.objects.clone(),
        }
    }

    fn say_subject(&mut self, subject: &Subject, determiner: Determiner) {
        let noun = self.subject_noun(subject, determiner);
        self.say(&noun);
        self.say_where(subject, &noun);
    }

    fn say_where(&mut self, subject: &Subject, noun: &Noun) {
        if let Some((relation, anchor)) = &subject.relation {
            self.say_relation(noun, *relation);
            self.say(anchor);
        }
    }
}
