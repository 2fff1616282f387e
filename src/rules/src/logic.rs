//! Whether a condition holds in a frame: true, false, or not known.

use crate::document::{Bounds, Condition, RuleSet};
use crate::evidence::Evidence;
use crate::leaf::{Objects, Times};
use crate::number::number_in;
use crate::scene::{Area, Observation};

/// A condition, with what it remembers of earlier results.
#[derive(Debug)]
pub(crate) enum Node {
    /// About one frame.
    Frame(Frame),
    /// About tracked objects.
    Objects(Objects),
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
}

/// A condition about one frame.
#[derive(Debug)]
pub(crate) struct Frame {
    query: String,
    area: Area,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Present,
    Absent,
    Count(Bounds),
    Answer(String),
}

impl Node {
    pub fn new(condition: &Condition, rules: &RuleSet, times: Times) -> Node {
        let several =
            |of: &[Condition]| of.iter().map(|one| Node::new(one, rules, times)).collect();
        let frame = |query: &str, test| {
            let place = condition.place().cloned().unwrap_or_default();
            Node::Frame(Frame {
                query: query.to_owned(),
                area: Area::new(&place, rules),
                test,
            })
        };
        match condition {
            Condition::Present { query, .. } => frame(query, Test::Present),
            Condition::Absent { query, .. } => frame(query, Test::Absent),
            Condition::Count { query, bounds, .. } => frame(query, Test::Count(*bounds)),
            Condition::Answer { query, equals } => frame(query, Test::Answer(plain(equals))),
            Condition::All { of } => Node::All(several(of)),
            Condition::Any { of } => Node::Any(several(of)),
            Condition::Not { of } => Node::Not(Box::new(Node::new(of, rules, times))),
            _ => Objects::new(condition, rules, times).map_or(Node::Any(Vec::new()), Node::Objects),
        }
    }

    /// Whether it holds by a new result, and the objects that make it so.
    pub fn observe(&mut self, frame: &Observation<'_>, evidence: &mut Evidence) -> Option<bool> {
        match self {
            Node::Frame(node) => node.observe(frame, evidence),
            Node::Objects(objects) => objects.observe(frame).holds(evidence),
            Node::All(of) => join(of, frame, evidence, false),
            Node::Any(of) => join(of, frame, evidence, true),
            // What does not hold is shown by nothing.
            Node::Not(of) => of
                .observe(frame, &mut Evidence::default())
                .map(|holds| !holds),
        }
    }

    /// Forgets what it remembers.
    pub fn forget(&mut self) {
        self.each(&mut Objects::forget);
    }

    /// Forgets what was not decided yet.
    pub fn pause(&mut self) {
        self.each(&mut Objects::pause);
    }

    /// Whether a condition in it needs tracks that the last result did not have.
    pub fn lacks_tracks(&self) -> bool {
        match self {
            Node::Frame(_) => false,
            Node::Objects(objects) => objects.lacks_tracks,
            Node::All(of) | Node::Any(of) => of.iter().any(Node::lacks_tracks),
            Node::Not(of) => of.lacks_tracks(),
        }
    }

    fn each(&mut self, change: &mut impl FnMut(&mut Objects)) {
        match self {
            Node::Frame(_) => {}
            Node::Objects(objects) => change(objects),
            Node::All(of) | Node::Any(of) => of.iter_mut().for_each(|node| node.each(change)),
            Node::Not(of) => of.each(change),
        }
    }
}

/// Kleene's logic: one that is `decides` decides; else one that is not known leaves it open.
fn join(
    of: &mut [Node],
    frame: &Observation<'_>,
    evidence: &mut Evidence,
    decides: bool,
) -> Option<bool> {
    let mut holds = Some(!decides);
    // All of them are asked, as they remember what they saw.
    for node in of {
        let mut part = Evidence::default();
        let value = node.observe(frame, &mut part);
        if value == Some(true) {
            evidence.join(part);
        }
        holds = match (holds, value) {
            (Some(decided), _) if decided == decides => holds,
            (_, Some(value)) if value == decides => value.into(),
            (_, None) => None,
            _ => holds,
        };
    }
    holds
}

fn plain(answer: &str) -> String {
    answer.trim().to_lowercase()
}

impl Frame {
    fn observe(&self, frame: &Observation<'_>, evidence: &mut Evidence) -> Option<bool> {
        let (_, result) = frame.result(&self.query)?;
        let objects = frame.objects(&self.query)?;
        let objects: Vec<_> = objects.iter().filter(|seen| self.area.has(seen)).collect();
        let answer = result.answer.as_ref();
        let mut found = Evidence::default();
        let holds = match &self.test {
            Test::Present => !objects.is_empty(),
            Test::Absent => objects.is_empty(),
            Test::Count(bounds) => {
                let counted = match answer.filter(|_| self.area.zone.is_none()) {
                    Some(answer) => {
                        found.answer = Some(answer.text.clone());
                        number_in(&answer.text)?
                    }
                    None => objects.len() as f64,
                };
                found.count = Some(counted.max(0.0) as u64);
                found.by_count = true;
                bounds.allow(counted)
            }
            Test::Answer(expected) => {
                let answer = answer?;
                found.answer = Some(answer.text.clone());
                found.score = if answer.score > 0.0 {
                    answer.score.min(1.0)
                } else {
                    0.0
                };
                plain(&answer.text) == *expected
            }
        };
        if holds {
            objects.iter().for_each(|seen| found.add(seen));
            if matches!(self.test, Test::Present) {
                found.count = Some(objects.len() as u64);
            }
            found
                .zones
                .extend(self.area.zone.iter().map(|(id, _)| id.clone()));
            evidence.join(found);
        }
        Some(holds)
    }
}

impl Bounds {
    /// Whether a number is inside.
    pub fn allow(&self, number: f64) -> bool {
        self.over.is_none_or(|over| number > over)
            && self.under.is_none_or(|under| number < under)
            && self
                .equals
                .is_none_or(|equals| (number - equals).abs() < 1e-9)
    }
}
