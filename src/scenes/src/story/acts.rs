//! What objects do, and how it is said.

use rand::Rng;

use crate::caption::{Description, one_of};
use crate::object::Shape;

/// What an object does, or has just done.
///
/// Of "a ball that rolls" something is known only after it was watched for a while; see
/// [`Watch::holds`](super::Watch::holds).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// It moves: on the table, whatever the camera does.
    Moves,
    /// It stands still.
    Stands,
    /// It moves to the left, as the camera sees it, or askew to the left.
    Left,
    /// It moves to the right.
    Right,
    /// It moves towards the camera.
    Nearer,
    /// It moves away from the camera.
    Farther,
    /// It moves towards an object that stands still.
    Towards(usize),
    /// It moves away from an object that stands still.
    AwayFrom(usize),
    /// It moves faster than the others of which the same is said.
    Fastest,
    /// Of the two that move it is the faster one.
    Faster,
    /// Of the two that move it is the slower one.
    Slower,
    /// It went past an object that stands still, near it, a few seconds ago at most.
    Passed(usize),
    /// It went behind an object that stands still a few seconds ago at most, and is hidden there now: the only act of
    /// what is not seen.
    WentBehind(usize),
    /// It moved and stands still since a few seconds.
    Stopped,
    /// It stood still and moves since a few seconds.
    Started,
    /// It is there since a few seconds.
    Appeared,
}

/// How an act is said of one object: before the noun, or behind it.
pub(super) enum Said {
    Before(&'static str),
    Behind(String),
}

impl Act {
    /// Its name, for counts by kind.
    pub fn name(self) -> &'static str {
        match self {
            Act::Moves => "moves",
            Act::Stands => "stands",
            Act::Left => "left",
            Act::Right => "right",
            Act::Nearer => "nearer",
            Act::Farther => "farther",
            Act::Towards(_) => "towards",
            Act::AwayFrom(_) => "away-from",
            Act::Fastest => "fastest",
            Act::Faster => "faster",
            Act::Slower => "slower",
            Act::Passed(_) => "passed",
            Act::WentBehind(_) => "went-behind",
            Act::Stopped => "stopped",
            Act::Started => "started",
            Act::Appeared => "appeared",
        }
    }

    /// The object it is relative to.
    pub fn anchor(self) -> Option<usize> {
        match self {
            Act::Towards(x) | Act::AwayFrom(x) | Act::Passed(x) | Act::WentBehind(x) => Some(x),
            _ => None,
        }
    }

    /// The same relative to another object, if it is relative to one.
    pub(super) fn relative_to(self, object: usize) -> Act {
        match self {
            Act::Towards(_) => Act::Towards(object),
            Act::AwayFrom(_) => Act::AwayFrom(object),
            Act::Passed(_) => Act::Passed(object),
            Act::WentBehind(_) => Act::WentBehind(object),
            other => other,
        }
    }

    /// Whether it is said of what is hidden.
    pub(super) fn hides(self) -> bool {
        matches!(self, Act::WentBehind(_))
    }

    /// Whether it is true of one object at a time, by comparison with others.
    pub(super) fn compares(self) -> bool {
        matches!(self, Act::Fastest | Act::Faster | Act::Slower)
    }

    /// An adjective for it, if there is one.
    pub(super) fn adjective(self, rng: &mut impl Rng) -> Option<&'static str> {
        Some(match self {
            Act::Moves => "moving",
            Act::Stands => one_of(rng, &["still", "stationary", "standing"]),
            Act::Fastest => "fastest",
            Act::Faster => "faster",
            Act::Slower => "slower",
            Act::Appeared => "new",
            _ => return None,
        })
    }

    /// A participle or a clause, of one object or of several.
    pub(super) fn clause(self, rng: &mut impl Rng, of: &Description, plural: bool) -> String {
        // Only balls roll.
        let verb = match of.shape {
            Some(Shape::Sphere) => one_of(rng, &["roll", "roll", "move"]),
            Some(_) => one_of(rng, &["slide", "move", "move"]),
            None => "move",
        };
        let s = if plural { "" } else { "s" };
        let (is, has, was) = match plural {
            true => ("are", "have", "were"),
            false => ("is", "has", "was"),
        };
        let stem = verb.strip_suffix('e').unwrap_or(verb);
        let forms = match rng.random_range(0..4) {
            0 | 1 => format!("{stem}ing"),
            2 => format!("that {verb}{s}"),
            _ => format!("that {is} {stem}ing"),
        };
        let (to_left, to_right) = (
            one_of(rng, &["left", "to the left"]),
            one_of(rng, &["right", "to the right"]),
        );
        let towards = one_of(rng, &["towards", "toward"]);
        let just = one_of(rng, &["", "just "]);
        match self {
            Act::Moves => forms,
            Act::Stands => match rng.random_range(0..4) {
                0 => "standing still".to_owned(),
                1 => format!("that stand{s} still"),
                2 => format!("that {is} not moving"),
                _ => match plural {
                    true => "that do not move".to_owned(),
                    false => "that does not move".to_owned(),
                },
            },
            Act::Left => format!("{forms} {to_left}"),
            Act::Right => format!("{forms} {to_right}"),
            Act::Nearer => match rng.random_range(0..3) {
                0 => format!("that come{s} closer"),
                1 => "coming closer".to_owned(),
                _ => format!("{forms} {towards} the camera"),
            },
            Act::Farther => format!("{forms} away from the camera"),
            Act::Towards(_) => match rng.random_range(0..4) {
                0 => "heading for".to_owned(),
                _ => format!("{forms} {towards}"),
            },
            Act::AwayFrom(_) => format!("{forms} away from"),
            Act::Fastest => match rng.random_range(0..2) {
                0 => format!("that {verb}{s} fastest"),
                _ => format!("{stem}ing fastest"),
            },
            Act::Faster | Act::Slower => format!("{forms} {}", self.name()),
            Act::Passed(_) => match rng.random_range(0..4) {
                0 => format!("that {has} {just}passed"),
                1 => format!("that {just}went past"),
                _ => format!("that {just}passed"),
            },
            Act::WentBehind(_) => match rng.random_range(0..6) {
                0 => format!("that {has} {just}gone behind"),
                1 => "hidden behind".to_owned(),
                2 => format!("that {is} hidden behind"),
                3 => format!("that {just}disappeared behind"),
                _ => format!("that {just}went behind"),
            },
            Act::Stopped => match rng.random_range(0..3) {
                0 => format!("that {has} {just}stopped"),
                _ => format!("that {just}stopped"),
            },
            Act::Started => match rng.random_range(0..3) {
                0 => format!("that {has} {just}started to {verb}"),
                1 => format!("that {just}started {stem}ing"),
                _ => format!("that {just}started to {verb}"),
            },
            Act::Appeared => match rng.random_range(0..3) {
                0 => format!("that {was} {just}put down"),
                1 => format!("that {has} {just}appeared"),
                _ => format!("that {just}appeared"),
            },
        }
    }

    /// Before or behind the noun.
    pub(super) fn said(self, rng: &mut impl Rng, of: &Description, plural: bool) -> Said {
        let before = rng.random_bool(0.45);
        match self.adjective(rng).filter(|_| before) {
            Some(adjective) => Said::Before(adjective),
            None => Said::Behind(self.clause(rng, of, plural)),
        }
    }
}
