//! Which sentences are told of a story.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::acts::{Act, Said};
use super::sentence::{StoryCaption, StoryPhrase};
use super::watch::Watch;
use crate::caption::{Answer, Description, Determiner, Relation, noun_phrase};

/// Draws before a kind of sentence counts as not on offer.
const TRIES: usize = 40;
/// Chances of a sentence that says nothing about time, that is a question, that nothing ever answers
/// to, and that joins two noun phrases.
const NOW: f64 = 0.12;
const ASKS: f64 = 0.18;
const ABSENT: f64 = 0.22;
const TWO: f64 = 0.12;
/// Chance that a sentence is to be needed: its words without what they say about time name objects
/// that do not answer to it.
const NEEDED: f64 = 0.7;
/// How often something is said to have gone behind something where one does, among acts that come to 174.
const HIDES: i32 = 300;
/// Chance that a noun phrase is narrowed down by a relation.
const RELATED: f64 = 0.15;

const SINGULARS: &[Determiner] = &[Determiner::The, Determiner::The, Determiner::A];
const PLURALS: &[Determiner] = &[
    Determiner::A,
    Determiner::All,
    Determiner::All,
    Determiner::Every,
    Determiner::ThePlural,
];

/// A random sentence about a story that was watched, if one is found.
pub fn tell(rng: &mut impl Rng, watch: &Watch) -> Option<StoryCaption> {
    let teller = Teller::new(rng, watch);
    match teller.rng.random_bool(ASKS) {
        true => teller.ask(),
        false => teller.state(),
    }
}

struct Teller<'a, R: Rng> {
    rng: &'a mut R,
    watch: &'a Watch,
    text: String,
    phrases: Vec<StoryPhrase>,
    known: Vec<bool>,
}

/// A noun phrase, and what it denotes at each instant.
struct Part {
    description: Description,
    act: Option<Act>,
    relation: Option<(Relation, usize)>,
    denoted: Vec<Option<Vec<usize>>>,
}

impl Part {
    fn anchor(&self) -> Option<usize> {
        let other = self.act.and_then(Act::anchor);
        other.or(self.relation.map(|(_, anchor)| anchor))
    }

    /// Most objects at an instant.
    fn most(&self) -> usize {
        self.denoted
            .iter()
            .flatten()
            .map(Vec::len)
            .max()
            .unwrap_or(0)
    }
}

impl<'a, R: Rng> Teller<'a, R> {
    fn new(rng: &'a mut R, watch: &'a Watch) -> Self {
        Teller {
            rng,
            watch,
            text: String::new(),
            phrases: Vec::new(),
            known: vec![true; watch.instants.len()],
        }
    }

    fn state(mut self) -> Option<StoryCaption> {
        let absent = self.rng.random_bool(ABSENT);
        let first = self.part(absent, true)?;
        let name = first.act.map_or("now", Act::name);
        let kind = if absent {
            format!("absent-{name}")
        } else {
            name.to_owned()
        };
        self.say(&first, None);
        if self.rng.random_bool(TWO)
            && let Some(second) = self.part(false, true)
        {
            self.text.push_str(" and ");
            self.say(&second, None);
        }
        Some(self.finish(kind, None))
    }

    fn ask(mut self) -> Option<StoryCaption> {
        let form = self.rng.random_range(0..3);
        let (part, kind, answers) = match form {
            0 => self.how_many()?,
            1 => self.is_there()?,
            _ => self.does_it()?,
        };
        self.text.push('?');
        let known = part.denoted.iter().map(|objects| objects.is_some());
        // Nothing is known of motion at the first instant, so a question has no answer there.
        let answers = answers.into_iter().zip(known).zip(0..);
        let answers = answers.map(|((answer, known), n)| answer.filter(|_| known && n > 0));
        let answers = answers.collect();
        Some(self.finish(format!("ask-{kind}"), Some(answers)))
    }

    /// "how many balls are moving"
    fn how_many(&mut self) -> Option<(Part, &'static str, Vec<Option<Answer>>)> {
        let act = *[Act::Moves, Act::Moves, Act::Stands, Act::Left, Act::Right].choose(self.rng)?;
        let none = self.rng.random_bool(0.15);
        let part = self.part_of(Some(act), none, false)?;
        self.text.push_str("how many ");
        self.noun(&part, None, Determiner::Bare);
        let does = match act {
            Act::Moves => "are moving",
            Act::Stands => "are standing still",
            Act::Left => "are moving to the left",
            _ => "are moving to the right",
        };
        self.text.push_str(&format!(" {does}"));
        let counts = part.denoted.iter();
        let counts = counts.map(|objects| Some(Answer::Count(objects.as_ref()?.len())));
        let counts = counts.collect();
        Some((part, act.name(), counts))
    }

    /// "is there a moving ball", "is a ball moving"
    fn is_there(&mut self) -> Option<(Part, &'static str, Vec<Option<Answer>>)> {
        let act = *[Act::Moves, Act::Moves, Act::Stands].choose(self.rng)?;
        let none = self.rng.random_bool(0.5);
        let part = self.part_of(Some(act), none, false)?;
        match self.rng.random_range(0..3) {
            0 => {
                self.text.push_str("is there ");
                self.say(&part, Some(Determiner::A));
            }
            1 => {
                self.text.push_str("is ");
                self.noun(&part, None, Determiner::A);
                let does = if act == Act::Moves {
                    " moving"
                } else {
                    " standing still"
                };
                self.text.push_str(does);
            }
            _ => {
                self.text.push_str("are there any ");
                self.say(&part, Some(Determiner::Bare));
            }
        }
        let answers = part.denoted.iter();
        let answers = answers.map(|objects| Some(Answer::Truth(!objects.as_ref()?.is_empty())));
        let answers = answers.collect();
        Some((part, act.name(), answers))
    }

    /// "is the red cube moving", "did the red cube stop"
    fn does_it(&mut self) -> Option<(Part, &'static str, Vec<Option<Answer>>)> {
        let act = *[
            Act::Moves,
            Act::Stands,
            Act::Stopped,
            Act::Stopped,
            Act::Started,
        ]
        .choose(self.rng)?;
        let yes = self.rng.random_bool(0.5);
        for _ in 0..TRIES {
            let Some((object, description)) = self.unique() else {
                continue;
            };
            let truth = (0..self.watch.instants.len()).map(|n| match self.watch.sees(object, n) {
                true => self.watch.holds(act, object, n),
                false => None,
            });
            let truth: Vec<Option<bool>> = truth.collect();
            if !truth.iter().skip(1).any(|&t| t == Some(yes)) {
                continue;
            }
            // What it asks about is grounded, whatever the answer is.
            let part = self.single(object, description);
            let (before, behind) = match act {
                Act::Moves => ("is ", " moving"),
                Act::Stands => ("is ", " standing still"),
                Act::Stopped if self.rng.random_bool(0.5) => ("did ", " stop"),
                Act::Stopped => ("has ", " stopped"),
                _ => ("did ", " start to move"),
            };
            self.text.push_str(before);
            self.noun(&part, None, Determiner::The);
            self.text.push_str(behind);
            let answers = truth.into_iter().map(|t| t.map(Answer::Truth)).collect();
            return Some((part, act.name(), answers));
        }
        None
    }

    /// A noun phrase of any kind.
    fn part(&mut self, absent: bool, related: bool) -> Option<Part> {
        let act = match self.rng.random_bool(NOW) {
            true => None,
            false => Some(self.any_act(absent)?),
        };
        self.part_of(act, absent, related)
    }

    fn any_act(&mut self, absent: bool) -> Option<Act> {
        let x = self.rng.random_range(0..self.watch.story.objects().len());
        let act = self.weighted_act(x)?;
        match absent || act.anchor().is_none() {
            true => Some(act),
            false => self.done(act),
        }
    }

    /// An act that an object did, like `act`, relative to any other object.
    fn done(&mut self, act: Act) -> Option<Act> {
        let count = self.watch.story.objects().len();
        let instants = 1..self.watch.instants.len();
        let acts = (0..count).map(|x| act.relative_to(x));
        let done = acts.filter(|&act| {
            instants.clone().any(|n| {
                let does =
                    |i: usize| act.anchor() != Some(i) && self.watch.does(act, i, n) == Some(true);
                (0..count).any(does)
            })
        });
        done.collect::<Vec<Act>>().choose(self.rng).copied()
    }

    fn weighted_act(&mut self, x: usize) -> Option<Act> {
        let acts = [
            (Act::Moves, 16),
            (Act::Stands, 10),
            (Act::Left, 12),
            (Act::Right, 12),
            (Act::Nearer, 6),
            (Act::Farther, 6),
            (Act::Towards(x), 14),
            (Act::AwayFrom(x), 9),
            (Act::Fastest, 5),
            (Act::Faster, 6),
            (Act::Slower, 6),
            (Act::Passed(x), 14),
            (Act::Stopped, 22),
            (Act::Started, 16),
            (Act::Appeared, 20),
            // Elsewhere hardly anything goes behind something.
            (
                Act::WentBehind(x),
                if self.watch.story.hides() { HIDES } else { 0 },
            ),
        ];
        acts.choose_weighted(self.rng, |act| act.1)
            .ok()
            .map(|act| act.0)
    }

    /// A noun phrase with this act that something answers to at an instant, or nothing ever.
    fn part_of(&mut self, act: Option<Act>, absent: bool, related: bool) -> Option<Part> {
        let needed = act.is_some() && self.rng.random_bool(NEEDED);
        // Those of which it is said are not seen.
        let needed = needed && (absent || !act.is_some_and(Act::hides));
        for _ in 0..TRIES {
            // Only its own words say which object an act is relative to.
            if let Some(x) = act.and_then(Act::anchor)
                && self.named(x).is_none()
            {
                return None;
            }
            let related = related && act.and_then(Act::anchor).is_none();
            let relation = match related && self.rng.random_bool(RELATED) {
                true => self.any_relation(),
                false => None,
            };
            let description = self.description(absent && act.is_none() && relation.is_none());
            let denoted: Vec<Option<Vec<usize>>> = (0..self.watch.instants.len())
                .map(|n| self.watch.denoted(&description, act, relation, n))
                .collect();
            let part = Part {
                description,
                act,
                relation,
                denoted,
            };
            if self.fits(&part, absent, needed) {
                return Some(part);
            }
        }
        None
    }

    fn fits(&self, part: &Part, absent: bool, needed: bool) -> bool {
        let later = part.denoted.iter().enumerate().skip(1);
        let known = later.filter_map(|(n, objects)| Some((n, objects.as_ref()?)));
        let known: Vec<(usize, &Vec<usize>)> = known.collect();
        if absent {
            // Where it is to be needed, objects that do not do it are there.
            let others = !needed || self.others(part, 0) > 0;
            return known.len() >= 2 && known.iter().all(|k| k.1.is_empty()) && others;
        }
        let answers = |&(n, objects): &(usize, &Vec<usize>)| {
            !objects.is_empty() && (!needed || self.others(part, n) > objects.len())
        };
        known.iter().any(answers)
    }

    /// How many objects are seen to which a noun phrase would apply without its act.
    fn others(&self, part: &Part, instant: usize) -> usize {
        let matching = part.description.denoted(self.watch.story.objects());
        let seen = matching.iter().filter(|&&i| self.watch.sees(i, instant));
        seen.filter(|&&i| part.anchor() != Some(i)).count()
    }

    /// A description of an object, or of nothing that there is.
    fn description(&mut self, missing: bool) -> Description {
        let objects = self.watch.story.objects();
        let object = objects.choose(self.rng).expect("a story has objects");
        let description = match self.rng.random_bool(0.12) && !missing {
            true => Description::default(),
            false => Description::random_of(self.rng, object),
        };
        match missing {
            true => description.changed(self.rng),
            false => description,
        }
    }

    /// An object and a description of it alone.
    fn unique(&mut self) -> Option<(usize, Description)> {
        let object = self.rng.random_range(0..self.watch.story.objects().len());
        Some((object, self.named(object)?))
    }

    fn named(&mut self, object: usize) -> Option<Description> {
        Description::unique_of(self.rng, self.watch.story.objects(), object)
    }

    /// A noun phrase for one object, wherever it is seen.
    fn single(&self, object: usize, description: Description) -> Part {
        let seen = |n: usize| self.watch.sees(object, n).then(|| vec![object]);
        let denoted = (0..self.watch.instants.len()).map(seen);
        Part {
            description,
            act: None,
            relation: None,
            denoted: denoted.map(Option::unwrap_or_default).map(Some).collect(),
        }
    }

    fn any_relation(&mut self) -> Option<(Relation, usize)> {
        let (anchor, _) = self.unique()?;
        Some((*Relation::ALL.choose(self.rng)?, anchor))
    }

    /// Says a noun phrase with all that belongs to it, grounded in what it denotes.
    fn say(&mut self, part: &Part, determiner: Option<Determiner>) {
        let determiner = determiner.unwrap_or_else(|| {
            let from = if part.most() > 1 { PLURALS } else { SINGULARS };
            let unique = part.act.is_some_and(Act::compares);
            if unique {
                Determiner::The
            } else {
                *from.choose(self.rng).expect("not empty")
            }
        });
        let plural = determiner.plural();
        let said = part.act.map(|act| match part.relation {
            // A clause behind would seem to belong to the anchor.
            Some(_) => act.adjective(self.rng).map_or_else(
                || Said::Behind(act.clause(self.rng, &part.description, plural)),
                Said::Before,
            ),
            None => act.said(self.rng, &part.description, plural),
        });
        let (before, behind) = match said {
            Some(Said::Before(adjective)) => (Some(adjective), None),
            Some(Said::Behind(clause)) => (None, Some(clause)),
            None => (None, None),
        };
        self.noun(part, before, determiner);
        if let Some(clause) = behind {
            self.text.push_str(&format!(" {clause}"));
        }
        if let Some((relation, _)) = part.relation {
            let words = relation.words(self.rng);
            self.text.push_str(&format!(" {words}"));
        }
        if let Some(anchor) = part.anchor() {
            self.say_anchor(anchor);
        }
    }

    fn say_anchor(&mut self, anchor: usize) {
        let description = self.named(anchor).expect("an anchor has a name");
        let part = self.single(anchor, description);
        self.text.push(' ');
        self.noun(&part, None, Determiner::The);
    }

    /// The words before an act behind the noun.
    fn noun(&mut self, part: &Part, adjective: Option<&str>, determiner: Determiner) {
        let start = self.text.chars().count() as u32;
        let words = noun_phrase(self.rng, &part.description, determiner, adjective);
        self.text.push_str(&words);
        let end = self.text.chars().count() as u32;
        for (known, objects) in self.known.iter_mut().zip(&part.denoted) {
            *known &= objects.is_some();
        }
        let objects = part.denoted.iter().map(|o| o.clone().unwrap_or_default());
        self.phrases.push(StoryPhrase {
            span: (start, end),
            objects: objects.collect(),
        });
    }

    fn finish(self, kind: String, answers: Option<Vec<Option<Answer>>>) -> StoryCaption {
        StoryCaption {
            text: self.text,
            kind,
            phrases: self.phrases,
            known: self.known,
            answers,
        }
    }
}
