//! What truly happened, from where objects truly were: by other means than the rules', at a finer step.
//!
//! Where an object is too near to an edge to say, the truth is left open: an event there is neither right nor wrong.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::ops::RangeInclusive;

pub mod setting;

/// A point in picture heights.
pub type Point = [f64; 2];

/// Nearer than this to an edge, in picture heights, nothing is said.
pub const MARGIN: f64 = 0.015;
/// By how much the times of a true and a found event may differ, in seconds.
pub const TOLERANCE: f64 = 0.5;
/// What lasts for this much longer or shorter than needed, in seconds, must or cannot be found.
pub const SLACK: f64 = 0.5;
/// For this long an object must stay on either side of an edge, in seconds, so that its change must be found.
pub const SETTLED: f64 = 0.6;

/// Whether something is the case: yes, no, or too near to say.
pub type Signal = Vec<Option<bool>>;

/// What may and what must be found.
#[derive(Debug, Default, Clone)]
pub struct Truth {
    /// Spans of time, in each of which one event begins.
    pub must: Vec<RangeInclusive<f64>>,
    /// Spans in which an event may begin.
    pub may: Vec<RangeInclusive<f64>>,
}

/// How many events were found rightly, wrongly, and not at all.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub right: usize,
    pub wrong: usize,
    pub missed: usize,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.missed += other.missed;
    }

    pub fn precision(self) -> f64 {
        self.right as f64 / (self.right + self.wrong).max(1) as f64
    }

    pub fn recall(self) -> f64 {
        self.right as f64 / (self.right + self.missed).max(1) as f64
    }
}

impl Truth {
    /// Compares the times at which events began.
    pub fn compare(&self, mut found: Vec<f64>) -> Tally {
        let mut tally = Tally::default();
        for span in &self.must {
            match found.iter().position(|time| span.contains(time)) {
                Some(index) => {
                    found.remove(index);
                    tally.right += 1;
                }
                None => tally.missed += 1,
            }
        }
        let open = |time: &&f64| !self.may.iter().any(|span| span.contains(time));
        tally.wrong = found.iter().filter(open).count();
        tally
    }
}

fn distance_to_edge(p: Point, a: Point, b: Point) -> f64 {
    let (way, to) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let length = (way[0] * way[0] + way[1] * way[1]).max(1e-12);
    let along = ((to[0] * way[0] + to[1] * way[1]) / length).clamp(0.0, 1.0);
    (to[0] - along * way[0]).hypot(to[1] - along * way[1])
}

/// Whether a point is in a polygon, by the angle under which it sees the corners.
pub fn inside(p: Point, polygon: &[Point]) -> Option<bool> {
    let edges = || polygon.iter().zip(polygon.iter().cycle().skip(1));
    if edges().any(|(a, b)| distance_to_edge(p, *a, *b) < MARGIN) {
        return None;
    }
    let angle = |(a, b): (&Point, &Point)| {
        let (a, b) = ([a[0] - p[0], a[1] - p[1]], [b[0] - p[0], b[1] - p[1]]);
        (a[0] * b[1] - a[1] * b[0]).atan2(a[0] * b[0] + a[1] * b[1])
    };
    Some(edges().map(angle).sum::<f64>().abs() > std::f64::consts::PI)
}

/// Stretches of a signal with the same value: value, first and last index.
fn stretches(signal: &Signal) -> Vec<(Option<bool>, usize, usize)> {
    let mut stretches: Vec<(Option<bool>, usize, usize)> = Vec::new();
    for (index, value) in signal.iter().enumerate() {
        match stretches.last_mut() {
            Some((last, _, end)) if last == value => *end = index,
            _ => stretches.push((*value, index, index)),
        }
    }
    stretches
}

/// When a signal changes to `to`, for objects that enter (to true) or leave (to false).
pub fn changes(signal: &Signal, to: bool, step: f64) -> Truth {
    let mut truth = Truth::default();
    let stretches = stretches(signal);
    let known: Vec<_> = stretches
        .iter()
        .filter(|(value, ..)| value.is_some())
        .collect();
    let long =
        |(_, start, end): (Option<bool>, usize, usize)| (end - start) as f64 * step >= SETTLED;
    let at = |index: usize| index as f64 * step;
    for pair in known.windows(2) {
        let (before, after) = (*pair[0], *pair[1]);
        let span = at(before.2) - TOLERANCE..=at(after.1) + TOLERANCE;
        if before.0 == after.0 || !long(before) || !long(after) {
            // A touch, or a visit too short to be sure of.
            truth.may.push(span);
        } else if after.0 == Some(to) {
            truth.must.push(span);
        }
    }
    // Before the first and behind the last known value something may happen.
    if let Some(first) = known.first() {
        truth.may.push(-TOLERANCE..=at(first.1) + TOLERANCE);
    }
    if let Some(last) = known.last()
        && last.2 + 1 < signal.len()
    {
        truth
            .may
            .push(at(last.2) - TOLERANCE..=at(signal.len()) + TOLERANCE);
    }
    truth
}

/// When an object crosses a segment to its right (`right`) or to its left.
pub fn crossings(way: &[Option<Point>], from: Point, to: Point, right: bool, step: f64) -> Truth {
    let along = [to[0] - from[0], to[1] - from[1]];
    let length = along[0].hypot(along[1]);
    let offset = |p: Point| ((p[1] - from[1]) * along[0] - (p[0] - from[0]) * along[1]) / length;
    let side = |p: &Option<Point>| p.map(offset).filter(|o| o.abs() > MARGIN).map(|o| o > 0.0);
    let signal: Signal = way.iter().map(side).collect();
    let mut truth = changes(&signal, right, step);
    // Where along the segment it is when it changes sides: outside nothing is crossed, near the ends nobody can say.
    let place = |span: &RangeInclusive<f64>| {
        let (first, last) = (span.start() + TOLERANCE, span.end() - TOLERANCE);
        let index = |time: f64| ((time / step).round() as usize).min(way.len() - 1);
        let points = way[index(first)..=index(last)].iter().flatten();
        let nearest = points.min_by(|a, b| offset(**a).abs().total_cmp(&offset(**b).abs()))?;
        let part = ((nearest[0] - from[0]) * along[0] + (nearest[1] - from[1]) * along[1])
            / (length * length);
        Some(part)
    };
    let mut must = Vec::new();
    for span in std::mem::take(&mut truth.must) {
        match place(&span) {
            Some(part) if (0.06..0.94).contains(&part) => must.push(span),
            Some(part) if !(-0.06..1.06).contains(&part) => {}
            _ => truth.may.push(span),
        }
    }
    truth.must = must;
    truth
}

/// When something has been the case for `needed` seconds; short times in which it is not do not count if they are
/// shorter than `clear`.
pub fn lasting(signal: &Signal, needed: f64, clear: f64, step: f64) -> Truth {
    let mut truth = Truth::default();
    let at = |index: usize| index as f64 * step;
    // Spells in which it is not denied for long, with the longest time for which it is surely so.
    let mut spells: Vec<(usize, usize)> = Vec::new();
    for (value, start, end) in stretches(signal) {
        let short = at(end - start) < clear + SLACK;
        match spells.last_mut() {
            Some((_, last)) if *last + 1 == start && (value != Some(false) || short) => *last = end,
            _ if value != Some(false) => spells.push((start, end)),
            _ => {}
        }
    }
    for (start, end) in spells {
        let runs = stretches(&signal[start..=end].to_vec());
        let sure = runs.iter().filter(|(value, ..)| *value == Some(true));
        let sure: Vec<_> = sure
            .filter(|(_, a, b)| at(b - a) >= needed + SLACK)
            .collect();
        let only = sure.len() == 1 && runs.iter().all(|(value, ..)| *value != Some(false));
        if at(end - start) >= (needed - SLACK).max(0.0) {
            truth
                .may
                .push(at(start) + needed - TOLERANCE..=at(end) + TOLERANCE);
        }
        if let (true, Some((_, first, _))) = (only, sure.first()) {
            // It may be so from the first time at which that cannot be denied.
            truth
                .must
                .push(at(start) + needed - TOLERANCE..=at(start + first) + needed + TOLERANCE);
        } else if let Some((_, first, _)) = sure.first() {
            truth.must.push(
                at(start) + needed - TOLERANCE..=at(start + first) + needed + TOLERANCE + SLACK,
            );
        }
    }
    truth
}
