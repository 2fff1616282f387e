//! What one tracked object does: where it is, which lines it crosses, whether it moves.

use std::collections::VecDeque;
use std::time::Duration;

use crate::document::Direction;
use crate::geometry::{Point, cross, distance, meeting};
use crate::scene::Moment;

/// Half the width of the band along a line in which an object is on neither side, in picture heights.
const BAND: f64 = 0.01;
/// How far an object may be from where it came to rest, in picture heights ...
const REST: f64 = 0.02;
/// ... or in heights of its box, if that is more: boxes of large objects tremble more.
const REST_OF_BOX: f64 = 0.05;
/// Over how long a speed is measured.
const SPEED_WINDOW: Duration = Duration::from_secs(1);
/// Least time over which a speed is measured.
const SPEED_SPAN: Duration = Duration::from_millis(200);
/// Most points that are kept for a speed.
const SPEED_POINTS: usize = 128;

/// How a change is confirmed: in so many results in a row, for so long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Confirm {
    pub frames: u32,
    pub hold: Duration,
}

impl Confirm {
    fn is_met(self, results: u32, since: Moment, now: Moment) -> bool {
        results >= self.frames && now.time.saturating_sub(since.time) >= self.hold
    }
}

/// A value that changes when it is confirmed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settled<T> {
    value: Option<T>,
    next: Option<(T, Moment, u32)>,
}

impl<T: Copy + PartialEq> Settled<T> {
    pub const fn new() -> Settled<T> {
        Settled {
            value: None,
            next: None,
        }
    }

    /// With what a new result says: since when the value is another one, if that is confirmed now. The first value is
    /// taken as it is.
    pub fn observe(&mut self, value: T, now: Moment, confirm: Confirm) -> Option<Moment> {
        match self.value {
            None => self.value = Some(value),
            Some(current) if current == value => self.next = None,
            Some(_) => {
                let (since, results) = match self.next {
                    Some((next, since, results)) if next == value => (since, results + 1),
                    _ => (now, 1),
                };
                self.next = Some((value, since, results));
                if confirm.is_met(results, since, now) {
                    *self = Settled {
                        value: Some(value),
                        next: None,
                    };
                    return Some(since);
                }
            }
        }
        None
    }
}

/// For how long something is the case, apart from single results that say otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lasting {
    since: Option<Moment>,
    misses: u32,
}

impl Lasting {
    pub const fn new() -> Lasting {
        Lasting {
            since: None,
            misses: 0,
        }
    }

    /// With what a new result says: whether it has been the case for longer than `least`.
    pub fn observe(&mut self, is: bool, now: Moment, frames: u32, least: Duration) -> bool {
        if is {
            self.misses = 0;
            let since = *self.since.get_or_insert(now);
            return now.time.saturating_sub(since.time) > least;
        }
        self.misses = self.misses.saturating_add(1);
        if self.misses >= frames {
            self.since = None;
        }
        false
    }
}

/// A line in picture heights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub from: Point,
    pub to: Point,
}

impl Segment {
    /// Distance from the endless line; above 0 on its right, looking from `from` to `to` in a picture whose y grows
    /// downwards.
    fn offset(&self, [x, y]: Point) -> f64 {
        let way = [self.to[0] - self.from[0], self.to[1] - self.from[1]];
        let length = way[0].hypot(way[1]);
        if length > 0.0 {
            cross(way, [x - self.from[0], y - self.from[1]]) / length
        } else {
            0.0
        }
    }
}

/// On which side of a line an object is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides {
    right: Settled<bool>,
    last: Option<Point>,
    /// How often its way went through the segment to the right, less how often to the left, since it was on the side
    /// that is settled.
    passed: i32,
}

impl Sides {
    pub const fn new() -> Sides {
        Sides {
            right: Settled::new(),
            last: None,
            passed: 0,
        }
    }

    /// With where a new result shows it: the crossing that is confirmed now, and since when it is on the other side.
    pub fn observe(
        &mut self,
        point: Point,
        segment: &Segment,
        now: Moment,
        confirm: Confirm,
    ) -> Option<(Direction, Moment)> {
        let offset = segment.offset(point);
        if let Some(last) = self.last {
            let (was_right, is_right) = (segment.offset(last) > 0.0, offset > 0.0);
            if was_right != is_right && meeting(last, point, segment.from, segment.to).is_some() {
                self.passed += if is_right { 1 } else { -1 };
            }
        }
        self.last = Some(point);
        if offset.abs() <= BAND {
            return None;
        }
        let right = offset > 0.0;
        let since = self.right.observe(right, now, confirm);
        if self.right.value == Some(right) {
            let passed = std::mem::take(&mut self.passed);
            let through = if right { passed > 0 } else { passed < 0 };
            return since.filter(|_| through).map(|since| match right {
                true => (Direction::Forward, since),
                false => (Direction::Backward, since),
            });
        }
        None
    }
}

/// Whether an object stays where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rest {
    place: Option<(Point, Moment)>,
    misses: u32,
}

impl Rest {
    pub const fn new() -> Rest {
        Rest {
            place: None,
            misses: 0,
        }
    }

    /// With where a new result shows it: whether it has stayed for longer than `least`.
    pub fn observe(
        &mut self,
        point: Point,
        height: f64,
        now: Moment,
        frames: u32,
        least: Duration,
    ) -> bool {
        let (place, since) = *self.place.get_or_insert((point, now));
        if distance(place, point) <= REST.max(REST_OF_BOX * height) {
            self.misses = 0;
            return now.time.saturating_sub(since.time) > least;
        }
        self.misses += 1;
        if self.misses >= frames {
            self.place = Some((point, now));
            self.misses = 0;
        }
        false
    }
}

/// How fast an object is.
#[derive(Debug, Clone)]
pub(crate) struct Speed(VecDeque<(Duration, Point)>);

impl Speed {
    pub const fn new() -> Speed {
        Speed(VecDeque::new())
    }

    /// With where a new result shows it: picture heights a second over the last second, if that is known.
    pub fn observe(&mut self, point: Point, now: Moment) -> Option<f64> {
        self.0.push_back((now.time, point));
        // The last point that is a second old stays, so that slow results have a speed, too.
        let old = |(time, _): &(Duration, Point)| now.time.saturating_sub(*time) >= SPEED_WINDOW;
        while self.0.len() > SPEED_POINTS || self.0.get(1).is_some_and(old) {
            self.0.pop_front();
        }
        let (time, from) = self.0.front()?;
        let span = now.time.saturating_sub(*time);
        (span >= SPEED_SPAN).then(|| distance(*from, point) / span.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment {
            time: Duration::from_millis(ms),
            utc: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    const TWICE: Confirm = Confirm {
        frames: 2,
        hold: Duration::ZERO,
    };

    /// Crossings of a level line from left to right, of an object that is seen at these points.
    fn crossings(points: &[Point]) -> Vec<(Direction, u64)> {
        let segment = Segment {
            from: [0.2, 0.5],
            to: [0.8, 0.5],
        };
        let mut sides = Sides::new();
        let crossing = |(index, point): (usize, &Point)| {
            let (direction, since) =
                sides.observe(*point, &segment, at(100 * index as u64), TWICE)?;
            Some((direction, since.time.as_millis() as u64 / 100))
        };
        points.iter().enumerate().filter_map(crossing).collect()
    }

    #[test]
    fn forward_is_from_the_left_to_the_right() {
        // Looking along a line that runs to the right, the left is above and the right is below.
        let down = [[0.5, 0.4], [0.5, 0.45], [0.5, 0.55], [0.5, 0.6]];
        assert_eq!(crossings(&down), [(Direction::Forward, 2)]);
        let up = [[0.5, 0.6], [0.5, 0.55], [0.5, 0.45], [0.5, 0.4]];
        assert_eq!(crossings(&up), [(Direction::Backward, 2)]);
    }

    #[test]
    fn steps_inside_the_band_are_part_of_the_way() {
        let slow: Vec<Point> = (0..40)
            .map(|i| [0.5, 0.45 + 0.0025 * f64::from(i)])
            .collect();
        assert_eq!(crossings(&slow).len(), 1);
        let trembling: Vec<Point> = (0..40)
            .map(|i| [0.5, 0.5 + 0.009 * f64::from(i % 3 - 1)])
            .collect();
        assert_eq!(crossings(&trembling), []);
    }

    #[test]
    fn single_results_and_ways_round_the_end_do_not_cross() {
        assert_eq!(
            crossings(&[[0.5, 0.4], [0.5, 0.6], [0.5, 0.4], [0.5, 0.4]]),
            []
        );
        let round = [[0.5, 0.4], [0.9, 0.4], [0.9, 0.6], [0.5, 0.6], [0.5, 0.7]];
        assert_eq!(crossings(&round), []);
        // Round the end and back through it.
        let back = [
            [0.5, 0.4],
            [0.9, 0.4],
            [0.9, 0.6],
            [0.5, 0.6],
            [0.5, 0.7],
            [0.5, 0.4],
            [0.5, 0.3],
        ];
        assert_eq!(crossings(&back), [(Direction::Backward, 5)]);
    }

    #[test]
    fn single_outliers_do_not_end_a_stay() {
        let mut lasting = Lasting::new();
        let held: Vec<bool> = [true, true, false, true, true, false, false, true, true]
            .iter()
            .enumerate()
            .map(|(i, is)| lasting.observe(*is, at(1000 * i as u64), 2, Duration::from_secs(2)))
            .collect();
        assert_eq!(
            held,
            [false, false, false, true, true, false, false, false, false]
        );
        let mut rest = Rest::new();
        let still: Vec<bool> = [0.5, 0.51, 0.9, 0.5, 0.515, 0.7, 0.7, 0.7, 0.7, 0.7]
            .iter()
            .enumerate()
            .map(|(i, x)| {
                rest.observe(
                    [*x, 0.5],
                    0.2,
                    at(1000 * i as u64),
                    2,
                    Duration::from_secs(2),
                )
            })
            .collect();
        assert_eq!(
            still,
            [
                false, false, false, true, true, false, false, false, false, true
            ]
        );
    }

    #[test]
    fn speed_is_known_after_a_while_and_forgets() {
        let mut speed = Speed::new();
        assert_eq!(speed.observe([0.0, 0.0], at(0)), None);
        assert_eq!(speed.observe([0.1, 0.0], at(100)), None);
        let fast = speed.observe([0.5, 0.0], at(500)).unwrap();
        assert!((fast - 1.0).abs() < 1e-9);
        for ms in (600..=1600).step_by(100) {
            speed.observe([0.5, 0.0], at(ms));
        }
        assert_eq!(speed.observe([0.5, 0.0], at(1700)), Some(0.0));
    }
}
