//! A zone and a line on a picture, rules that use them, and what these rules must find.

use mdetr_rules::document::Direction;
use mdetr_rules::{Event, RuleSet};
use rand::Rng;

use super::{Point, Signal, Truth, changes, crossings, inside, lasting};

/// Width over height of the pictures.
pub const ASPECT: f64 = 4.0 / 3.0;

/// A zone and a line, and rules that use them.
pub struct Setting {
    zone: Vec<Point>,
    from: Point,
    to: Point,
}

impl Setting {
    /// A zone and a line through the middle of the picture.
    pub fn sample(random: &mut impl Rng) -> Setting {
        let mut near = |x: f64, y: f64, by: f64| {
            [
                ASPECT * (x + random.random_range(-by..by)),
                y + random.random_range(-by..by),
            ]
        };
        let mut zone = vec![
            near(0.3, 0.45, 0.1),
            near(0.7, 0.45, 0.1),
            near(0.7, 0.8, 0.1),
            near(0.3, 0.8, 0.1),
        ];
        let (from, to) = (near(0.15, 0.55, 0.12), near(0.85, 0.6, 0.12));
        if zone[0][0] < 0.3 * ASPECT {
            // A bay from the right.
            zone.insert(2, [0.55 * ASPECT, 0.6]);
        }
        Setting { zone, from, to }
    }

    pub fn rules(&self) -> RuleSet {
        let relative = |p: &Point| format!("[{}, {}]", p[0] / ASPECT, p[1]);
        let points: Vec<String> = self.zone.iter().map(relative).collect();
        let text = format!(
            r#"
[[zone]]
id = "zone"
points = [{}]
[[line]]
id = "line"
from = {}
to = {}
[[rule]]
id = "enters"
when = {{ is = "enters", query = "q", zone = "zone" }}
[[rule]]
id = "leaves"
when = {{ is = "leaves", query = "q", zone = "zone" }}
[[rule]]
id = "dwells"
when = {{ is = "dwells", query = "q", zone = "zone", longer_than = "2s" }}
[[rule]]
id = "forward"
when = {{ is = "crosses", query = "q", line = "line", direction = "forward" }}
[[rule]]
id = "backward"
when = {{ is = "crosses", query = "q", line = "line", direction = "backward" }}
[[rule]]
id = "absent"
when = {{ is = "absent", query = "q", zone = "zone" }}
for = "1s"
[[rule]]
id = "count"
when = {{ is = "count", query = "q", zone = "zone", over = 1 }}
for = "1s"
"#,
            points.join(", "),
            relative(&self.from),
            relative(&self.to),
        );
        let rules = RuleSet::parse_toml(&text).unwrap();
        assert_eq!(rules.check(&[]), []);
        rules
    }

    /// What each rule must find, from where the anchors of objects were, `step` seconds apart; of rules about objects
    /// for each of them.
    pub fn truths(
        &self,
        ways: &[Vec<Option<Point>>],
        step: f64,
    ) -> Vec<(&'static str, Option<u64>, Truth)> {
        let inside: Vec<Signal> = ways
            .iter()
            .map(|way| way.iter().map(|p| inside((*p)?, &self.zone)).collect())
            .collect();
        let mut truths = Vec::new();
        for (index, (way, inside)) in ways.iter().zip(&inside).enumerate() {
            let track = Some(index as u64);
            let crossings = |right| crossings(way, self.from, self.to, right, step);
            truths.push(("enters", track, changes(inside, true, step)));
            truths.push(("leaves", track, changes(inside, false, step)));
            truths.push(("dwells", track, lasting(inside, 2.0, 1.0, step)));
            truths.push(("forward", track, crossings(true)));
            truths.push(("backward", track, crossings(false)));
        }
        let frames = 0..ways[0].len();
        let absent = |frame: usize| {
            let none = inside.iter().all(|of| of[frame] == Some(false));
            let one = inside.iter().any(|of| of[frame] == Some(true));
            if one {
                Some(false)
            } else {
                none.then_some(true)
            }
        };
        let several = |frame: usize| {
            let surely = inside.iter().filter(|of| of[frame] == Some(true)).count();
            let perhaps = inside.iter().filter(|of| of[frame] != Some(false)).count();
            if surely > 1 {
                Some(true)
            } else {
                (perhaps < 2).then_some(false)
            }
        };
        let absent: Signal = frames.clone().map(absent).collect();
        let several: Signal = frames.map(several).collect();
        truths.push(("absent", None, lasting(&absent, 1.0, 1.0, step)));
        truths.push(("count", None, lasting(&several, 1.0, 1.0, step)));
        truths
    }
}

/// When the event of a rule began, as the truths above have it: in seconds behind the Unix epoch.
pub fn begins(event: &Event) -> f64 {
    let start = event
        .start
        .duration_since(jiff::Timestamp::UNIX_EPOCH)
        .as_secs_f64();
    let wanted = match event.rule.as_str() {
        "forward" => Some(Direction::Forward),
        "backward" => Some(Direction::Backward),
        _ => None,
    };
    assert_eq!(event.direction, wanted, "{event:?}");
    // Their truths say when it was so for long enough.
    if is_of_all(&event.rule) {
        start + 1.0
    } else {
        start
    }
}

/// Whether a rule is not about each object.
pub fn is_of_all(rule: &str) -> bool {
    matches!(rule, "absent" | "count")
}
