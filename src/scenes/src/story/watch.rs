//! What somebody who watches a story at some instants can know.

use super::acts::Act;
use super::plot::Story;
use crate::caption::{CLEAR_MARGIN, Description, Relation};
use crate::render::{Rendering, coverage, render};
use crate::scene::View;
use crate::truth::GroundTruth;
use crate::vector::vec3;

/// An object that shows fewer pixels, of a picture of 320 x 240, or a smaller part of itself is not
/// seen.
const SEEN_PIXELS: f32 = 20.0;
const SEEN_PART: f32 = 0.1;
/// Speeds above and below which an object moves and stands still, world units per second.
const MOVING: f32 = 0.2;
const STILL: f32 = 0.03;
/// Seconds that what an object does now has lasted at least.
const NOW: f64 = 0.3;
/// Seconds after which something was done, and after which it was not "just" done any more; between
/// the two nobody can say.
const JUST: (f64, f64) = (2.5, 3.5);
/// Seconds of standing or moving, and world units, that are seen before a change of it counts.
const BEFORE: f64 = 0.3;
const BEFORE_LENGTH: f32 = 0.2;
/// Cosines of directions above which something moves that way, and below which it does not.
const ASIDE: (f32, f32) = (0.6, 0.3);
const TOWARDS: (f32, f32) = (0.87, 0.6);
/// World units within which something passes an object, and beyond which it does not; and how far it
/// comes before and after.
const PASSING: (f32, f32) = (1.7, 2.6);
const PASSED_LENGTH: f32 = 0.3;
/// The parts of a hidden object from which on another hides it, and up to which it does not.
const HIDING: (f32, f32) = (0.7, 0.2);
/// The part of an object that shows from which on nobody would say that it went behind something, or that it was hidden
/// when it was taken away.
const IN_SIGHT: f32 = 0.6;
/// Seconds before it is hidden in which an object went behind something, and world units that it came.
const GOING: f64 = 0.6;
const GOING_LENGTH: f32 = 0.15;
/// Seconds before an object was hidden of which every box that it had counts as its last.
const LAST: f64 = 1.0;
/// How many times as fast as the others the fastest is.
const FASTER: f32 = 1.35;
/// Seconds between the moments of a motion that are looked at.
const STEP: f64 = 0.04;

/// A story at one instant, as seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Instant {
    /// Seconds since the story began.
    pub seconds: f64,
    /// The picture; its ids are those of the objects that are there.
    pub rendering: Rendering,
    /// What is visible of every object of the story.
    pub truth: GroundTruth,
    /// Of every object of the story, which part of it shows, 0 to 1.
    pub parts: Vec<f32>,
    /// Of every object of the story which part of it every one hides, 0 to 1.
    hidden: Vec<Vec<f32>>,
}

/// A story, watched at some instants in order.
///
/// All that is said of an instant follows from what those up to it show: at the first one nothing moves,
/// and what happened before it never did.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    /// What is watched.
    pub story: Story,
    /// When, and what is seen.
    pub instants: Vec<Instant>,
}

impl Watch {
    /// Watches `story` at `seconds`, which rise, in pictures of this size; `noise` seeds the
    /// sensor's.
    pub fn new(story: Story, seconds: &[f64], width: u32, height: u32, noise: u64) -> Watch {
        let instants = seconds.iter().zip(0u64..).map(|(&seconds, n)| {
            let (scene, there) = story.at(seconds);
            let mut rendering = render(&scene, width, height, noise ^ n);
            let shown = coverage(&scene, width, height);
            // Numbered as in the story, so that an object keeps its id.
            for id in rendering.ids.iter_mut().filter(|id| **id != 0) {
                *id = there[usize::from(*id) - 1] as u8 + 1;
            }
            let count = story.objects().len();
            let truth = GroundTruth::from_ids(&rendering.ids, width, height, count);
            let mut parts = vec![0.0; count];
            let mut hidden = vec![vec![0.0; count]; count];
            for (&i, shown) in there.iter().zip(shown) {
                let alone = shown.iter().sum::<u32>().max(1);
                for (&other, pixels) in there.iter().zip(shown) {
                    hidden[i][other] = pixels as f32 / alone as f32;
                }
                parts[i] = std::mem::take(&mut hidden[i][i]);
            }
            Instant {
                seconds,
                rendering,
                truth,
                parts,
                hidden,
            }
        });
        Watch {
            instants: instants.collect(),
            story,
        }
    }

    /// Whether enough of an object shows.
    pub fn sees(&self, object: usize, instant: usize) -> bool {
        let at = &self.instants[instant];
        let pixels = (at.truth.width * at.truth.height) as f32 / (320.0 * 240.0) * SEEN_PIXELS;
        at.truth.objects[object].area as f32 >= pixels && at.parts[object] >= SEEN_PART
    }

    /// The boxes x, y, width, height in pixels that an object which is not seen had in the second before, moved as the camera
    /// moved since; none if it was not seen yet, or is.
    pub fn last_boxes(&self, object: usize, instant: usize) -> Vec<[f32; 4]> {
        let Some(last) = (0..=instant).rev().find(|&n| self.sees(object, n)) else {
            return Vec::new();
        };
        if last == instant {
            return Vec::new();
        }
        let now = View::new(&self.story.camera(self.instants[instant].seconds));
        let since = self.instants[last].seconds - LAST;
        let shown = |n: &usize| self.instants[*n].seconds >= since && self.sees(object, *n);
        let moved = |n: usize| {
            let Instant { seconds, truth, .. } = &self.instants[n];
            let [x, y] = self.story.position(object, *seconds);
            let middle = vec3(x, y, self.story.objects()[object].radius);
            let (u, v) = View::new(&self.story.camera(*seconds)).project(middle);
            let (nu, nv) = now.project(middle);
            let [x, y, width, height] = truth.objects[object].bbox.map(|side| side as f32);
            let pixels = truth.width as f32;
            [x + (nu - u) * pixels, y + (nv - v) * pixels, width, height]
        };
        (0..=last).filter(shown).map(moved).collect()
    }

    /// The objects that `description` matches, of which `act` is true and which stand in `relation`
    /// to an object; `None` if that is not certain. Objects that are not seen are none of them.
    pub fn denoted(
        &self,
        description: &Description,
        act: Option<Act>,
        relation: Option<(Relation, usize)>,
        instant: usize,
    ) -> Option<Vec<usize>> {
        let mut certain = true;
        let mut found = Vec::new();
        let anchors = [relation.map(|r| r.1), act.and_then(Act::anchor)];
        for i in description.denoted(self.story.objects()) {
            let hides = act.is_some_and(Act::hides);
            if anchors.contains(&Some(i)) || !(hides || self.sees(i, instant)) {
                continue;
            }
            let related = match relation {
                Some((relation, anchor)) => self.relates(relation, i, anchor, instant),
                None => Some(true),
            };
            let does = match act {
                Some(act) if act.compares() => self.holds(Act::Moves, i, instant),
                Some(act) => self.holds(act, i, instant),
                None => Some(true),
            };
            match (related, does) {
                (Some(false), _) | (_, Some(false)) => {}
                (Some(true), Some(true)) => found.push(i),
                _ => certain = false,
            }
        }
        match act.filter(|act| act.compares()) {
            _ if !certain => None,
            Some(act) => self.compared(act, found, instant),
            None => Some(found),
        }
    }

    /// The one of those that move which a comparison of speeds is about.
    fn compared(&self, act: Act, moving: Vec<usize>, instant: usize) -> Option<Vec<usize>> {
        if moving.is_empty() {
            return Some(moving);
        }
        if act != Act::Fastest && moving.len() != 2 {
            return None;
        }
        let t = self.instants[instant].seconds;
        let speed = |&i: &usize| self.length(i, t - self.recent(instant), t);
        let mut speeds: Vec<(f32, usize)> = moving.iter().map(|i| (speed(i), *i)).collect();
        speeds.sort_by(|a, b| b.0.total_cmp(&a.0));
        match speeds[..] {
            [(first, _), (second, _), ..] if first < FASTER * second => None,
            [.., (_, slowest)] if act == Act::Slower => Some(vec![slowest]),
            [(_, fastest), ..] => Some(vec![fastest]),
            [] => Some(Vec::new()),
        }
    }

    fn relates(&self, relation: Relation, i: usize, anchor: usize, instant: usize) -> Option<bool> {
        if !self.sees(anchor, instant) {
            return None;
        }
        let offset = relation.offset(&self.instants[instant].truth, i, anchor);
        (offset.abs() >= CLEAR_MARGIN).then_some(offset > 0.0)
    }

    /// Whether an object does this at an instant; `None` if nobody could say. What is not seen does nothing but that it
    /// may have gone behind something.
    pub fn does(&self, act: Act, i: usize, instant: usize) -> Option<bool> {
        match act.hides() || self.sees(i, instant) {
            true => self.holds(act, i, instant),
            false => Some(false),
        }
    }

    /// Whether an object that is seen does this at an instant, or one that is not went behind something; `None` if nobody
    /// could say.
    pub fn holds(&self, act: Act, i: usize, instant: usize) -> Option<bool> {
        if instant == 0 {
            // Nothing was seen to move, so nothing does; whether it stands still remains to be seen.
            return (act != Act::Stands).then_some(false);
        }
        let (t, recent) = (self.instants[instant].seconds, self.recent(instant));
        let since = self.since(i, instant);
        let watched = t - since >= recent;
        let moves = watched.then(|| self.moves(i, t - recent, t)).flatten();
        match act {
            Act::Appeared => self.appeared(i, instant),
            Act::Moves | Act::Fastest | Act::Faster | Act::Slower => moves,
            Act::Stands => moves.map(|moves| !moves),
            Act::Stopped => match moves? {
                true => Some(false),
                false => self.stopped(i, since, t),
            },
            Act::Passed(x) if watched => self.passed(i, x, since, instant),
            Act::Passed(_) => None,
            Act::WentBehind(x) => self.went_behind(i, x, instant),
            Act::Started => match moves? {
                false => Some(false),
                true => self.started(i, since, t),
            },
            Act::Left | Act::Right | Act::Nearer | Act::Farther => match moves? {
                false => Some(false),
                true => within(self.direction(act, i, instant), ASIDE),
            },
            Act::Towards(x) | Act::AwayFrom(x) => {
                let rests = self.sees(x, instant) && self.moves(x, t - recent, t) == Some(false);
                match moves? {
                    false => Some(false),
                    true if !rests => None,
                    true => within(self.direction(act, i, instant), TOWARDS),
                }
            }
        }
    }

    fn appeared(&self, i: usize, instant: usize) -> Option<bool> {
        let (t, first) = (self.instants[instant].seconds, self.instants[0].seconds);
        match self.story.comes(i).filter(|&comes| comes > first) {
            Some(comes) => just(t - comes),
            // What was hidden at first may just have come, as far as anybody can tell.
            None => (0..=instant).all(|n| self.sees(i, n)).then_some(false),
        }
    }

    fn stopped(&self, i: usize, since: f64, t: f64) -> Option<bool> {
        let Some(end) = back(t, since).find(|&s| self.speed(i, s) >= MOVING) else {
            return Some(false);
        };
        let seen = self.length(i, since, end) >= BEFORE_LENGTH;
        seen.then(|| just(t - end)).flatten()
    }

    fn started(&self, i: usize, since: f64, t: f64) -> Option<bool> {
        let Some(start) = back(t, since).find(|&s| self.speed(i, s) <= STILL) else {
            return Some(false);
        };
        let rested = start - since >= BEFORE && self.moves(i, start - BEFORE, start) == Some(false);
        rested.then(|| just(t - start)).flatten()
    }

    fn passed(&self, i: usize, x: usize, since: f64, instant: usize) -> Option<bool> {
        let t = self.instants[instant].seconds;
        let rests = self.sees(x, instant) && self.moves(x, since, t) == Some(false);
        if !rests {
            return None;
        }
        let [x, y] = self.story.position(x, t);
        // How far ahead of it the other object is, and how far off.
        let ahead = |seconds: f64| {
            let ([px, py], [vx, vy]) = (
                self.story.position(i, seconds),
                self.story.velocity(i, seconds),
            );
            let speed = vx.hypot(vy);
            let along = ((x - px) * vx + (y - py) * vy) / speed.max(1e-6);
            (speed >= MOVING).then_some((along, (x - px).hypot(y - py)))
        };
        let moments = back(t, since).map(|seconds| (seconds, ahead(seconds)));
        let pairs = moments.clone().zip(moments.skip(1));
        for ((seconds, later), (_, earlier)) in pairs {
            let (Some((after, distance)), Some((before, _))) = (later, earlier) else {
                continue;
            };
            if after > 0.0 || before <= 0.0 || distance >= PASSING.1 {
                continue;
            }
            let seen = [(since, seconds), (seconds, t)];
            let seen = seen.map(|(from, to)| self.length(i, from, to) >= PASSED_LENGTH);
            let near = distance <= PASSING.0;
            return (near && seen == [true; 2])
                .then(|| just(t - seconds))
                .flatten();
        }
        Some(false)
    }

    fn went_behind(&self, i: usize, x: usize, instant: usize) -> Option<bool> {
        let at = |n: usize| &self.instants[n];
        if self.sees(i, instant) {
            return (at(instant).parts[i] >= IN_SIGHT).then_some(false);
        }
        // What nobody saw went nowhere.
        let Some(last) = (0..instant).rev().find(|&n| self.sees(i, n)) else {
            return Some(false);
        };
        let (t, seen, gone) = (at(instant).seconds, at(last).seconds, at(last + 1).seconds);
        if !self.story.is_there(i, t) {
            let openly = !self.story.is_there(i, gone) && at(last).parts[i] >= IN_SIGHT;
            return openly.then_some(false);
        }
        if !self.sees(x, instant) {
            return None;
        }
        let hides = within(at(instant).hidden[i][x], HIDING)?;
        let from = (seen - GOING).max(at(0).seconds);
        let went = self.length(i, from, gone) >= GOING_LENGTH;
        let rests = self.moves(x, from, t) == Some(false);
        match hides {
            true if went && rests => just(t - gone),
            true => None,
            false => Some(false),
        }
    }

    /// Whether an object moved all the time between two moments; `None` if only some of it.
    fn moves(&self, i: usize, from: f64, to: f64) -> Option<bool> {
        let speeds: Vec<f32> = back(to, from).map(|t| self.speed(i, t)).collect();
        if speeds.iter().all(|&v| v >= MOVING) {
            Some(true)
        } else if speeds.iter().all(|&v| v <= STILL) {
            Some(false)
        } else {
            None
        }
    }

    /// Cosine of the angle between how an object moves and the direction an act names.
    fn direction(&self, act: Act, i: usize, instant: usize) -> f32 {
        let t = self.instants[instant].seconds;
        let (now, then) = (
            self.story.position(i, t),
            self.story.position(i, t - self.recent(instant)),
        );
        let moved = vec3(now[0] - then[0], now[1] - then[1], 0.0);
        let view = View::new(&self.story.camera(t));
        let to = |x: usize| {
            let [x, y] = self.story.position(x, t);
            vec3(x - now[0], y - now[1], 0.0)
        };
        let away = vec3(view.forward.x, view.forward.y, 0.0);
        let named = match act {
            Act::Left => -view.right,
            Act::Right => view.right,
            Act::Nearer => -away,
            Act::Farther => away,
            Act::Towards(x) => to(x),
            Act::AwayFrom(x) => -to(x),
            _ => vec3(0.0, 0.0, 0.0),
        };
        moved.dot(named) / (moved.length() * named.length()).max(1e-6)
    }

    /// Seconds over which motion is judged: at least since the instant before.
    fn recent(&self, instant: usize) -> f64 {
        let before = self.instants[instant.saturating_sub(1)].seconds;
        NOW.max(self.instants[instant].seconds - before)
    }

    /// Since when an object was seen at every instant up to this one.
    fn since(&self, i: usize, instant: usize) -> f64 {
        let seen = (0..=instant).rev().take_while(|&n| self.sees(i, n));
        seen.last()
            .map_or(f64::INFINITY, |n| self.instants[n].seconds)
    }

    fn speed(&self, i: usize, seconds: f64) -> f32 {
        let [x, y] = self.story.velocity(i, seconds);
        x.hypot(y)
    }

    /// How far an object came between two moments, world units.
    fn length(&self, i: usize, from: f64, to: f64) -> f32 {
        let (a, b) = (self.story.position(i, from), self.story.position(i, to));
        (a[0] - b[0]).hypot(a[1] - b[1])
    }
}

/// Moments from a later one back to an earlier one.
fn back(to: f64, from: f64) -> impl Iterator<Item = f64> + Clone {
    let steps = ((to - from) / STEP).floor().max(0.0) as usize;
    (0..=steps).map(move |step| to - step as f64 * STEP)
}

fn just(seconds: f64) -> Option<bool> {
    match seconds {
        s if s <= JUST.0 => Some(true),
        s if s >= JUST.1 => Some(false),
        _ => None,
    }
}

/// Whether a value is at least `yes`, or at most `no`.
fn within(value: f32, (yes, no): (f32, f32)) -> Option<bool> {
    match value {
        c if c >= yes => Some(true),
        c if c <= no => Some(false),
        _ => None,
    }
}
