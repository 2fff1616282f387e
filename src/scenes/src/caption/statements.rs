//! Captions that are no questions.

use rand::Rng;
use rand::seq::SliceRandom;

use super::describe::Description;
use super::words::{Determiner, one_of};
use super::writer::{Noun, TRIES, Writer};

/// Chance that a relation is chosen to be needed: its target's words alone name several objects.
const NEEDED: f64 = 0.7;
/// Greatest number of phrases in a list that names everything.
const MAX_LIST: usize = 6;

const PLURALS: &[Determiner] = &[
    Determiner::All,
    Determiner::All,
    Determiner::All,
    Determiner::AllThe,
    Determiner::ThePlural,
    Determiner::ThePlural,
    Determiner::Bare,
    Determiner::Every,
];

const ABSENT: &[Determiner] = &[
    Determiner::A,
    Determiner::A,
    Determiner::A,
    Determiner::The,
    Determiner::The,
    Determiner::All,
    Determiner::Every,
];

const EVERYTHING: &[&str] = &[
    "all objects",
    "all things",
    "all the objects",
    "every object",
    "all the things",
    "everything",
];

impl<R: Rng> Writer<'_, R> {
    pub(super) fn phrase(&mut self) -> Option<()> {
        let noun = self.present(false)?;
        self.say(&noun);
        Some(())
    }

    pub(super) fn plural(&mut self) -> Option<()> {
        for _ in 0..TRIES {
            let description = self.some_description();
            let objects = description.denoted(self.objects);
            // "all cubes" may turn out to be one.
            if objects.len() < 2 && self.rng.random_bool(0.95) {
                continue;
            }
            let determiner = match objects.len() {
                1 => self.determiner(&[Determiner::All, Determiner::Every]),
                _ => self.determiner(PLURALS),
            };
            self.say(&Noun {
                description,
                determiner,
                objects,
            });
            return Some(());
        }
        None
    }

    /// Two to four phrases that, half of the time, leave no object out.
    pub(super) fn several(&mut self) -> Option<()> {
        let all = self.rng.random_bool(0.5);
        for _ in 0..TRIES {
            let count = self.rng.random_range(2..=4);
            let nouns = self.distinct(count, all)?;
            if nouns.len() >= 2 {
                self.say_list(&nouns);
                return Some(());
            }
        }
        None
    }

    pub(super) fn everything(&mut self) -> Option<()> {
        if self.rng.random_bool(0.4) {
            self.say_everything();
            return Some(());
        }
        for _ in 0..TRIES {
            let nouns = self.partition();
            if nouns.len() <= MAX_LIST {
                self.say_list(&nouns);
                return Some(());
            }
        }
        self.say_everything();
        Some(())
    }

    pub(super) fn relation(&mut self) -> Option<()> {
        let needed = self.rng.random_bool(NEEDED);
        self.one_relation(needed)
            .or_else(|| self.one_relation(false))
    }

    fn one_relation(&mut self, needed: bool) -> Option<()> {
        for _ in 0..TRIES {
            let Some((anchor, anchor_noun)) = self.unique_anchor() else {
                continue;
            };
            let relation = self.any_relation();
            let target = self.some_description();
            let Some(referents) = self.referents(relation, &target, anchor) else {
                continue;
            };
            let rivals = target
                .denoted(self.objects)
                .into_iter()
                .filter(|&i| i != anchor);
            let fits = match needed {
                true => referents.len() == 1 && rivals.count() >= 2,
                false => !referents.is_empty(),
            };
            if fits {
                let noun = self.target_noun(target, referents, needed);
                self.say(&noun);
                self.say_relation(&noun, relation);
                self.say(&anchor_noun);
                return Some(());
            }
        }
        None
    }

    pub(super) fn relation2(&mut self) -> Option<()> {
        for _ in 0..2 * TRIES {
            let Some((far, far_noun)) = self.unique_anchor() else {
                continue;
            };
            let (first, second) = (self.any_relation(), self.any_relation());
            let near_description = self.some_description();
            // The second relation must belong to the nearer anchor: alone, its words are not enough.
            if near_description.denoted(self.objects).len() < 2 {
                continue;
            }
            let near = match self.referents(second, &near_description, far) {
                Some(near) if near.len() == 1 => near[0],
                _ => continue,
            };
            let target = self.some_description();
            if target.matches(&self.objects[far]) {
                continue;
            }
            let referents = match self.referents(first, &target, near) {
                Some(referents) if !referents.is_empty() => referents,
                _ => continue,
            };
            let noun = self.target_noun(target, referents, false);
            let near_noun = Noun {
                description: near_description,
                determiner: Determiner::The,
                objects: vec![near],
            };
            self.say(&noun);
            self.say_relation(&noun, first);
            self.say(&near_noun);
            self.say_relation(&near_noun, second);
            self.say(&far_noun);
            return Some(());
        }
        None
    }

    pub(super) fn absent(&mut self) -> Option<()> {
        let count = if self.rng.random_bool(0.7) { 1 } else { 2 };
        let mut nouns: Vec<Noun> = Vec::new();
        while nouns.len() < count {
            let noun = self.missing()?;
            if nouns.iter().all(|n| n.description != noun.description) {
                nouns.push(noun);
            }
        }
        self.say_list(&nouns);
        Some(())
    }

    pub(super) fn relation_absent(&mut self) -> Option<()> {
        let present = self.rng.random_bool(0.7);
        for _ in 0..TRIES {
            let Some((anchor, anchor_noun)) = self.unique_anchor() else {
                continue;
            };
            let relation = self.any_relation();
            let target = if present {
                self.some_description()
            } else {
                self.missing()?.description
            };
            let candidates = target
                .denoted(self.objects)
                .into_iter()
                .filter(|&i| i != anchor);
            if (candidates.count() > 0) != present
                || self.referents(relation, &target, anchor) != Some(Vec::new())
            {
                continue;
            }
            let determiner = self.determiner(ABSENT);
            let noun = Noun {
                description: target,
                determiner,
                objects: Vec::new(),
            };
            self.say(&noun);
            self.say_relation(&noun, relation);
            self.say(&anchor_noun);
            return Some(());
        }
        None
    }

    pub(super) fn mixed(&mut self) -> Option<()> {
        let count = self.rng.random_range(1..=3);
        let mut nouns = self.distinct(count, false)?;
        let missing = self.missing()?;
        let at = self.rng.random_range(0..=nouns.len());
        nouns.insert(at, missing);
        self.say_list(&nouns);
        Some(())
    }

    /// A noun phrase that denotes something.
    fn present(&mut self, plurals: bool) -> Option<Noun> {
        let i = self.rng.random_range(0..self.objects.len());
        let description = match self.rng.random_bool(0.45) {
            true => Description::unique_of(self.rng, self.objects, i),
            false => None,
        }
        .unwrap_or_else(|| Description::random_of(self.rng, &self.objects[i]));
        Some(self.noun(description, plurals))
    }

    /// Puts a fitting determiner before a description of present objects.
    fn noun(&mut self, description: Description, plurals: bool) -> Noun {
        let objects = description.denoted(self.objects);
        let determiner = match objects.len() {
            1 => self.determiner(&[Determiner::The, Determiner::The, Determiner::A]),
            _ if plurals && self.rng.random_bool(0.6) => self.determiner(PLURALS),
            _ => self.determiner(&[
                Determiner::A,
                Determiner::A,
                Determiner::A,
                Determiner::Every,
            ]),
        };
        Noun {
            description,
            determiner,
            objects,
        }
    }

    /// Up to `count` noun phrases that say different things. With `all`, phrases are aimed at
    /// objects not yet named, for as long as there are any.
    fn distinct(&mut self, count: usize, all: bool) -> Option<Vec<Noun>> {
        let mut nouns: Vec<Noun> = Vec::new();
        for _ in 0..TRIES {
            if nouns.len() == count {
                break;
            }
            let noun = self.present(true)?;
            let new = |i: &usize| nouns.iter().all(|n| !n.objects.contains(i));
            let named: usize = nouns.iter().map(|n| n.objects.len()).sum();
            let wanted = !all || noun.objects.iter().all(new) || named >= self.objects.len();
            if wanted && nouns.iter().all(|n| n.description != noun.description) {
                nouns.push(noun);
            }
        }
        Some(nouns)
    }

    /// Noun phrases for groups of objects alike in one attribute, no object left out.
    fn partition(&mut self) -> Vec<Noun> {
        let attribute = self.rng.random_range(0..4);
        let mut order: Vec<usize> = (0..self.objects.len()).collect();
        order.shuffle(self.rng);
        let mut nouns: Vec<Noun> = Vec::new();
        for i in order {
            if nouns.iter().any(|n| n.objects.contains(&i)) {
                continue;
            }
            let object = &self.objects[i];
            let mut description = Description::default();
            match attribute {
                0 => description.size = Some(object.size),
                1 => description.colour = Some(object.colour),
                2 => description.material = Some(object.material),
                _ => description.shape = Some(object.shape),
            }
            let alone = description.denoted(self.objects).len() == 1;
            if alone && self.rng.random_bool(0.5) {
                description =
                    Description::unique_of(self.rng, self.objects, i).unwrap_or(description);
            }
            nouns.push(self.noun(description, true));
        }
        nouns
    }

    /// A noun phrase that denotes nothing: usually an object of the scene with one attribute
    /// changed.
    fn missing(&mut self) -> Option<Noun> {
        let near_miss = self.rng.random_bool(0.65);
        for _ in 0..TRIES {
            let description = if near_miss {
                self.some_description().changed(self.rng)
            } else {
                Description::random(self.rng)
            };
            if description.denoted(self.objects).is_empty() {
                let determiner = self.determiner(ABSENT);
                return Some(Noun {
                    description,
                    determiner,
                    objects: Vec::new(),
                });
            }
        }
        None
    }

    fn target_noun(&mut self, description: Description, objects: Vec<usize>, unique: bool) -> Noun {
        let determiner = match objects.len() {
            1 if unique => Determiner::The,
            1 => self.determiner(&[Determiner::The, Determiner::The, Determiner::A]),
            _ => self.determiner(&[
                Determiner::A,
                Determiner::All,
                Determiner::All,
                Determiner::Every,
                Determiner::ThePlural,
            ]),
        };
        Noun {
            description,
            determiner,
            objects,
        }
    }

    fn say_everything(&mut self) {
        let words = one_of(self.rng, EVERYTHING);
        self.say_phrase(words, (0..self.objects.len()).collect());
    }

    fn say_list(&mut self, nouns: &[Noun]) {
        for (i, noun) in nouns.iter().enumerate() {
            if i > 0 {
                let last = i + 1 == nouns.len();
                self.text.push_str(if last { " and " } else { ", " });
            }
            self.say(noun);
        }
    }
}
