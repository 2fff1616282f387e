//! Whether a set of rules can be used.

use std::collections::BTreeSet;
use std::fmt;

use jiff::SignedDuration;
use jiff::tz::TimeZone;

use crate::document::{Anchor, Bounds, Condition, Place, Rule, RuleSet, Schedule, Zone};
use crate::geometry::{Polygon, Rect};

/// Most bytes of a text with rules.
pub const MAX_BYTES: usize = 1 << 20;
/// Most characters of a name.
const MAX_NAME: usize = 64;
/// Most zones, lines or rules.
const MAX_ENTRIES: usize = 256;
/// Most corners of a zone.
const MAX_POINTS: usize = 128;
/// Deepest condition in conditions.
const MAX_DEPTH: usize = 8;
/// Most conditions of a rule.
const MAX_CONDITIONS: usize = 64;
/// Most schedules of a rule.
const MAX_SCHEDULES: usize = 64;
/// Most results in a row that confirm something.
const MAX_FRAMES: u32 = 1000;
/// Longest time.
const MAX_TIME: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Most characters of an answer.
const MAX_ANSWER: usize = 256;

/// Something that is wrong with a set of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: `rule "night", when.query`.
    pub place: String,
    /// What was expected and found, and the remedy.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Why a text holds no rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It is too long.
    #[error("expected at most {MAX_BYTES} bytes, found {0}")]
    TooLong(usize),
    /// It is not TOML, or has what rules do not have.
    #[error("{0}")]
    Toml(String),
}

impl RuleSet {
    /// Zones, lines and rules from TOML. They are not checked: see [`RuleSet::check`].
    ///
    /// # Errors
    /// The place, what was expected and what was found.
    pub fn parse_toml(text: &str) -> Result<RuleSet, ParseError> {
        if text.len() > MAX_BYTES {
            return Err(ParseError::TooLong(text.len()));
        }
        toml::from_str(text)
            .map_err(|error| ParseError::Toml(error.to_string().trim_end().to_owned()))
    }

    /// All that is wrong with it, where `queries` are the ids of the standing queries. Without any, nothing is said of
    /// queries.
    pub fn check(&self, queries: &[&str]) -> Vec<Fault> {
        let mut check = Check {
            rules: self,
            queries,
            faults: Vec::new(),
        };
        check.names("zone", self.zones.iter().map(|zone| zone.id.as_str()));
        check.names("line", self.lines.iter().map(|line| line.id.as_str()));
        check.names("rule", self.rules.iter().map(|rule| rule.id.as_str()));
        for zone in self.zones.iter().take(MAX_ENTRIES) {
            check.zone(zone);
        }
        for line in self.lines.iter().take(MAX_ENTRIES) {
            let place = format!("line {:?}", line.id);
            check.points(&place, [&line.from, &line.to]);
            if line.from == line.to {
                check.add(place, "expected two points, found the same twice");
            }
        }
        for rule in self.rules.iter().take(MAX_ENTRIES) {
            check.rule(rule);
        }
        check.faults
    }
}

/// Names become parts of ids, paths and topics.
fn is_name(name: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(known)
}

/// What is wrong with the name of a camera.
pub(crate) fn check_camera(name: &str) -> Option<Fault> {
    (!is_name(name)).then(|| Fault {
        place: format!("camera {name:?}"),
        message: format!("expected a name of 1 to {MAX_NAME} letters, digits, - and _"),
    })
}

struct Check<'a> {
    rules: &'a RuleSet,
    queries: &'a [&'a str],
    faults: Vec<Fault>,
}

impl Check<'_> {
    fn add(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault {
            place: place.into(),
            message: message.into(),
        });
    }

    fn names<'n>(&mut self, what: &str, names: impl ExactSizeIterator<Item = &'n str>) {
        if names.len() > MAX_ENTRIES {
            self.add(
                what,
                format!("expected at most {MAX_ENTRIES}, found {}", names.len()),
            );
        }
        let mut seen = BTreeSet::new();
        for name in names.take(MAX_ENTRIES) {
            let place = format!("{what} {name:?}");
            if !is_name(name) {
                let message = format!("expected an id of 1 to {MAX_NAME} letters, digits, - and _");
                self.add(place, message);
            } else if !seen.insert(name) {
                self.add(
                    place,
                    "there are two with this id: give each an id of its own",
                );
            }
        }
    }

    fn points<'p>(&mut self, place: &str, points: impl IntoIterator<Item = &'p [f32; 2]>) -> bool {
        let mut sound = true;
        for point in points {
            if !point.iter().all(|part| (0.0..=1.0).contains(part)) {
                let message = format!("expected points with x and y from 0 to 1, found {point:?}");
                self.add(place, message);
                sound = false;
            }
        }
        sound
    }

    fn zone(&mut self, zone: &Zone) {
        let place = format!("zone {:?}", zone.id);
        let found = zone.points.len();
        if !(3..=MAX_POINTS).contains(&found) {
            self.add(
                place,
                format!("expected 3 to {MAX_POINTS} points, found {found}"),
            );
            return;
        }
        if self.points(&place, &zone.points) {
            let points = zone.points.iter().map(|point| point.map(f64::from));
            let picture = Rect {
                x0: 0.0,
                y0: 0.0,
                x1: 1.0,
                y1: 1.0,
            };
            if Polygon::new(points.collect()).area_in(picture) < 1e-9 {
                self.add(
                    place,
                    "its area is 0: give points that do not lie on one line",
                );
            }
        }
    }

    fn rule(&mut self, rule: &Rule) {
        let place = format!("rule {:?}", rule.id);
        for (key, time) in [
            ("for", rule.hold),
            ("clear", rule.clear),
            ("every", rule.every),
        ] {
            self.time(format!("{place}, {key}"), time);
        }
        if !(1..=MAX_FRAMES).contains(&rule.frames) {
            let message = format!("expected 1 to {MAX_FRAMES}, found {}", rule.frames);
            self.add(format!("{place}, frames"), message);
        }
        if rule.schedules.len() > MAX_SCHEDULES {
            let message = format!(
                "expected at most {MAX_SCHEDULES}, found {}",
                rule.schedules.len()
            );
            self.add(format!("{place}, schedule"), message);
        }
        for schedule in rule.schedules.iter().take(MAX_SCHEDULES) {
            self.schedule(&place, schedule);
        }
        let mut conditions = 0;
        self.condition(&format!("{place}, when"), &rule.when, 1, &mut conditions);
    }

    fn schedule(&mut self, place: &str, schedule: &Schedule) {
        if let Err(error) = TimeZone::get(&schedule.time_zone) {
            let message = format!(
                "expected a name such as Europe/Berlin, found {:?}: {error}",
                schedule.time_zone
            );
            self.add(format!("{place}, schedule.time_zone"), message);
        }
    }

    fn time(&mut self, place: String, time: SignedDuration) {
        if time.is_negative() || time > MAX_TIME {
            self.add(
                place,
                format!("expected 0s to a week (168h), found {time:#}"),
            );
        }
    }

    fn condition(&mut self, place: &str, condition: &Condition, depth: usize, count: &mut usize) {
        *count += 1;
        if *count > MAX_CONDITIONS {
            if *count == MAX_CONDITIONS + 1 {
                self.add(
                    place,
                    format!("expected at most {MAX_CONDITIONS} conditions in a rule, found more"),
                );
            }
            return;
        }
        if depth > MAX_DEPTH {
            self.add(
                place,
                format!("expected conditions at most {MAX_DEPTH} deep in each other, found more"),
            );
            return;
        }
        if let Some(query) = condition.query() {
            if query.is_empty() {
                self.add(
                    format!("{place}.query"),
                    "expected the id of a query, found none",
                );
            } else if !self.queries.is_empty() && !self.queries.contains(&query) {
                let known = self.queries.join(", ");
                self.add(
                    format!("{place}.query"),
                    format!("there is no query {query:?}: there are {known}"),
                );
            }
        }
        if let Some(area) = condition.place() {
            self.area(place, area);
        }
        match condition {
            Condition::Present { .. } | Condition::Absent { .. } => {}
            Condition::Count { bounds, .. } => self.bounds(place, bounds),
            Condition::Answer { equals, .. } => {
                let found = equals.chars().count();
                if equals.trim().is_empty() || found > MAX_ANSWER {
                    let message =
                        format!("expected 1 to {MAX_ANSWER} characters, found {equals:.80?}");
                    self.add(format!("{place}.equals"), message);
                }
            }
            Condition::Enters { place: area, .. } | Condition::Leaves { place: area, .. } => {
                if area.zone.is_none() {
                    self.add(
                        format!("{place}.zone"),
                        "expected a zone that objects come into or go out of, found none",
                    );
                }
            }
            Condition::Dwells { longer_than, .. } | Condition::Still { longer_than, .. } => {
                self.time(format!("{place}.longer_than"), *longer_than);
            }
            Condition::Moves { faster_than, .. } => {
                if !(0.0..=1000.0).contains(faster_than) {
                    let message =
                        format!("expected 0 to 1000 picture heights a second, found {faster_than}");
                    self.add(format!("{place}.faster_than"), message);
                }
            }
            Condition::Crosses { line, anchor, .. } => {
                if !self.rules.lines.iter().any(|known| known.id == *line) {
                    self.add(
                        format!("{place}.line"),
                        format!("there is no line {line:?}: add a [[line]] with this id"),
                    );
                }
                if !matches!(anchor, Anchor::BottomCenter | Anchor::Center) {
                    self.add(
                        format!("{place}.anchor"),
                        "expected bottom-center or center",
                    );
                }
            }
            Condition::All { of } | Condition::Any { of } => {
                if of.is_empty() {
                    self.add(
                        format!("{place}.of"),
                        "expected one condition at least, found none",
                    );
                }
                for (index, inner) in of.iter().enumerate() {
                    self.condition(&format!("{place}.of[{index}]"), inner, depth + 1, count);
                }
            }
            Condition::Not { of } => self.condition(&format!("{place}.of"), of, depth + 1, count),
        }
    }

    fn area(&mut self, place: &str, area: &Place) {
        if let Some(zone) = &area.zone
            && !self.rules.zones.iter().any(|known| known.id == *zone)
        {
            self.add(
                format!("{place}.zone"),
                format!("there is no zone {zone:?}: add a [[zone]] with this id"),
            );
        }
        match (area.anchor, area.share) {
            (Anchor::Share, Some(share)) if share > 0.0 && share <= 1.0 => {}
            (Anchor::Share, found) => {
                let found = found.map_or("none".to_owned(), |share| share.to_string());
                self.add(
                    format!("{place}.share"),
                    format!("expected a part above 0 to 1, found {found}"),
                );
            }
            (_, Some(_)) => self.add(
                format!("{place}.share"),
                "means something with anchor = \"share\" only: remove it",
            ),
            (_, None) => {}
        }
    }

    fn bounds(&mut self, place: &str, bounds: &Bounds) {
        let given = [
            ("over", bounds.over),
            ("under", bounds.under),
            ("equals", bounds.equals),
        ];
        if given.iter().all(|(_, bound)| bound.is_none()) {
            self.add(
                place,
                "expected over, under or equals with a number, found none of them",
            );
        }
        for (key, bound) in given {
            if let Some(found) = bound.filter(|bound| !bound.is_finite()) {
                self.add(
                    format!("{place}.{key}"),
                    format!("expected a number, found {found}"),
                );
            }
        }
    }
}

impl Condition {
    /// The query that it asks, if it is not made of others.
    pub fn query(&self) -> Option<&str> {
        match self {
            Condition::Present { query, .. }
            | Condition::Absent { query, .. }
            | Condition::Count { query, .. }
            | Condition::Answer { query, .. }
            | Condition::Enters { query, .. }
            | Condition::Leaves { query, .. }
            | Condition::Dwells { query, .. }
            | Condition::Crosses { query, .. }
            | Condition::Still { query, .. }
            | Condition::Moves { query, .. } => Some(query),
            Condition::All { .. } | Condition::Any { .. } | Condition::Not { .. } => None,
        }
    }

    /// Where it looks for objects.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Condition::Present { place, .. }
            | Condition::Absent { place, .. }
            | Condition::Count { place, .. }
            | Condition::Enters { place, .. }
            | Condition::Leaves { place, .. }
            | Condition::Dwells { place, .. }
            | Condition::Still { place, .. }
            | Condition::Moves { place, .. } => Some(place),
            _ => None,
        }
    }

    /// The line whose crossing it waits for.
    pub fn line(&self) -> Option<&str> {
        match self {
            Condition::Crosses { line, .. } => Some(line),
            _ => None,
        }
    }

    /// The conditions it is made of, itself first.
    pub fn walk(&self) -> Vec<&Condition> {
        let mut all = vec![self];
        match self {
            Condition::All { of } | Condition::Any { of } => {
                all.extend(of.iter().flat_map(Condition::walk))
            }
            Condition::Not { of } => all.extend(of.walk()),
            _ => {}
        }
        all
    }
}
