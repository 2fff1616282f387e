//! Conditions about tracked objects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;

use crate::document::{Condition, Direction, Line, Rule, RuleSet};
use crate::evidence::Evidence;
use crate::object::{Confirm, Lasting, Rest, Segment, Settled, Sides, Speed};
use crate::scene::{Area, Moment, Observation, Seen};

/// Most objects that are followed at a time; those that were not seen for longest give way.
const MOST_OBJECTS: usize = 1024;
/// For how long the side of an edge on which an object was last is remembered while it is not seen. Whether it is the
/// same object when it comes back is the tracker's matter.
const MEMORY: Duration = Duration::from_secs(10);
/// For how long a moment holds inside of `all`, `any` and `not`.
const MOMENT: Duration = Duration::from_secs(1);

/// Times of a rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub hold: Duration,
    pub clear: Duration,
    pub frames: u32,
}

impl Times {
    pub fn new(rule: &Rule) -> Times {
        Times {
            hold: unsigned(rule.hold),
            clear: unsigned(rule.clear),
            frames: rule.frames,
        }
    }
}

pub(crate) fn unsigned(time: SignedDuration) -> Duration {
    Duration::try_from(time).unwrap_or_default()
}

/// A condition about each of a query's tracked objects.
#[derive(Debug)]
pub(crate) struct Objects {
    query: String,
    area: Area,
    kind: Kind,
    times: Times,
    tracks: BTreeMap<u64, Track>,
    /// Whether the last result had objects without identities only.
    pub lacks_tracks: bool,
}

#[derive(Debug)]
enum Kind {
    Enters,
    Leaves,
    Dwells(Duration),
    Crosses { line: Line, direction: Direction },
    Still(Duration),
    Moves(f64),
}

#[derive(Debug)]
struct Track {
    motion: Motion,
    /// What the last result that showed it said.
    holds: bool,
    /// Since when, and in how many results, it is not seen.
    missing: Option<(Duration, u32)>,
    /// Whether it was lost since.
    lost: bool,
    /// Until when its last moment holds, and in how many results at least.
    latch: Option<(Duration, u32, Option<Direction>)>,
}

#[derive(Debug, Clone)]
enum Motion {
    Zone(Settled<bool>),
    Stay(Lasting),
    Line(Sides),
    Rest(Rest),
    Speed(Speed),
}

/// What a new result says of a query's tracked objects.
#[derive(Debug)]
pub(crate) struct Sights<'a> {
    /// The objects; `None` if they are not known.
    pub seen: Option<Vec<Sight<'a>>>,
    /// Objects that are not followed any more.
    pub lost: Vec<u64>,
    /// Whether an object for which the condition held is not seen for the moment.
    hidden: bool,
    zone: Option<String>,
    line: Option<String>,
}

/// What a new result says of one object.
#[derive(Debug)]
pub(crate) struct Sight<'a> {
    pub track: u64,
    pub object: Seen<'a>,
    /// Whether the condition holds; `None` if that is not known yet.
    pub holds: Option<bool>,
    /// A moment that is confirmed now: since when, and which way.
    pub happened: Option<(Moment, Option<Direction>)>,
    direction: Option<Direction>,
}

impl Objects {
    /// `None` for conditions that are not about objects.
    pub fn new(condition: &Condition, rules: &RuleSet, times: Times) -> Option<Objects> {
        let kind = match condition {
            Condition::Enters { .. } => Kind::Enters,
            Condition::Leaves { .. } => Kind::Leaves,
            Condition::Dwells { longer_than, .. } => Kind::Dwells(unsigned(*longer_than)),
            Condition::Crosses {
                line, direction, ..
            } => Kind::Crosses {
                line: rules.lines.iter().find(|known| known.id == *line)?.clone(),
                direction: *direction,
            },
            Condition::Still { longer_than, .. } => Kind::Still(unsigned(*longer_than)),
            Condition::Moves { faster_than, .. } => Kind::Moves(f64::from(*faster_than)),
            _ => return None,
        };
        let mut area = Area::new(&condition.place().cloned().unwrap_or_default(), rules);
        if let Condition::Crosses { anchor, .. } = condition {
            area.anchor = *anchor;
        }
        Some(Objects {
            query: condition.query()?.to_owned(),
            area,
            kind,
            times,
            tracks: BTreeMap::new(),
            lacks_tracks: false,
        })
    }

    /// Whether its events are over when they begin.
    pub fn is_of_moments(&self) -> bool {
        matches!(
            self.kind,
            Kind::Enters | Kind::Leaves | Kind::Crosses { .. }
        )
    }

    pub fn forget(&mut self) {
        self.tracks.clear();
        self.lacks_tracks = false;
    }

    /// After a gap: stays that are long enough go on, all else begins anew.
    pub fn pause(&mut self) {
        for track in self.tracks.values_mut() {
            let lasts = matches!(track.motion, Motion::Stay(_) | Motion::Rest(_));
            if track.holds && lasts {
                track.missing = None;
            } else {
                *track = Track::new(&self.kind);
            }
        }
    }

    /// With a new result.
    pub fn observe<'a>(&mut self, frame: &'a Observation<'_>) -> Sights<'a> {
        let mut sights = Sights {
            seen: None,
            lost: Vec::new(),
            hidden: false,
            zone: self.area.zone.as_ref().map(|(id, _)| id.clone()),
            line: match &self.kind {
                Kind::Crosses { line, .. } => Some(line.id.clone()),
                _ => None,
            },
        };
        let Some(objects) = frame.objects(&self.query) else {
            return sights;
        };
        let without = objects.iter().all(|seen| seen.detection.track.is_none());
        self.lacks_tracks = without && !objects.is_empty();
        if self.lacks_tracks {
            return sights;
        }
        let mut present = BTreeSet::new();
        let mut seen = Vec::new();
        for object in objects {
            if let Some(track) = object.detection.track
                && present.insert(track)
            {
                seen.push(self.see(frame, track, object));
            }
        }
        sights.seen = Some(seen);
        self.miss(frame.moment, &present, &mut sights);
        sights
    }

    fn see<'a>(&mut self, frame: &Observation<'_>, id: u64, object: Seen<'a>) -> Sight<'a> {
        let Times { frames, hold, .. } = self.times;
        let (now, confirm) = (frame.moment, Confirm { frames, hold });
        let track = self
            .tracks
            .entry(id)
            .or_insert_with(|| Track::new(&self.kind));
        track.missing = None;
        track.lost = false;
        let inside = self.area.has(&object);
        let point = || frame.in_heights(object.point(self.area.anchor));
        let mut happened = None;
        let mut holds = Some(false);
        match (&mut track.motion, &self.kind) {
            (Motion::Zone(zone), kind) => {
                let wanted = matches!(kind, Kind::Enters);
                happened = zone
                    .observe(inside, now, confirm)
                    .filter(|_| inside == wanted)
                    .map(|since| (since, None));
            }
            (Motion::Line(sides), Kind::Crosses { line, direction }) => {
                let segment = Segment {
                    from: frame.in_heights(line.from.map(f64::from)),
                    to: frame.in_heights(line.to.map(f64::from)),
                };
                let crossing = sides.observe(point(), &segment, now, confirm);
                let wanted = |way: Direction| *direction == Direction::Both || *direction == way;
                happened = crossing
                    .filter(|(way, _)| wanted(*way))
                    .map(|(way, since)| (since, Some(way)));
            }
            (Motion::Stay(stay), Kind::Dwells(least)) => {
                holds = Some(stay.observe(inside, now, frames, *least));
            }
            (Motion::Rest(rest), Kind::Still(least)) => {
                let height = object.rect.y1 - object.rect.y0;
                holds = Some(rest.observe(point(), height, now, frames, *least) && inside);
            }
            (Motion::Speed(speed), Kind::Moves(least)) => {
                holds = speed
                    .observe(point(), now)
                    .map(|speed| speed > *least && inside);
            }
            // A track is made for its kind.
            _ => {}
        }
        let mut direction = None;
        if let Some((_, way)) = happened {
            track.latch = Some((now.time.saturating_add(MOMENT), frames, way));
        }
        if let Some((until, results, way)) = &mut track.latch {
            if now.time < *until || *results > 0 {
                *results = results.saturating_sub(1);
                holds = Some(true);
                direction = *way;
            } else {
                track.latch = None;
            }
        }
        track.holds = holds.unwrap_or(track.holds);
        Sight {
            track: id,
            object,
            holds,
            happened,
            direction,
        }
    }

    /// Notes which objects are not seen, and forgets those that were not for long.
    fn miss(&mut self, now: Moment, present: &BTreeSet<u64>, sights: &mut Sights<'_>) {
        let Times { frames, clear, .. } = self.times;
        let mut forgotten = Vec::new();
        for (id, track) in self
            .tracks
            .iter_mut()
            .filter(|(id, _)| !present.contains(id))
        {
            let (since, results) = track.missing.get_or_insert((now.time, 0));
            *results = results.saturating_add(1);
            let passed = now.time.saturating_sub(*since);
            if *results < frames || passed < clear {
                sights.hidden |= track.holds;
                continue;
            }
            if !track.lost {
                track.lose(&self.kind);
                sights.lost.push(*id);
            }
            if passed >= MEMORY {
                forgotten.push(*id);
            }
        }
        let excess = (self.tracks.len() - forgotten.len()).saturating_sub(MOST_OBJECTS);
        if excess > 0 {
            let missing = |(id, track): (&u64, &Track)| Some((track.missing?.0, *id));
            let mut oldest: Vec<_> = self.tracks.iter().filter_map(missing).collect();
            oldest.retain(|(_, id)| !forgotten.contains(id));
            oldest.sort_unstable();
            forgotten.extend(oldest.iter().take(excess).map(|(_, id)| id));
        }
        for id in &forgotten {
            let track = self.tracks.remove(id);
            if track.is_some_and(|track| !track.lost) {
                sights.lost.push(*id);
            }
        }
    }
}

impl Track {
    fn new(kind: &Kind) -> Track {
        let motion = match kind {
            Kind::Enters | Kind::Leaves => Motion::Zone(Settled::new()),
            Kind::Dwells(_) => Motion::Stay(Lasting::new()),
            Kind::Crosses { .. } => Motion::Line(Sides::new()),
            Kind::Still(_) => Motion::Rest(Rest::new()),
            Kind::Moves(_) => Motion::Speed(Speed::new()),
        };
        Track {
            motion,
            holds: false,
            missing: None,
            lost: false,
            latch: None,
        }
    }

    /// It was not seen for long: what lasts is over.
    fn lose(&mut self, kind: &Kind) {
        let motion = match self.motion {
            Motion::Zone(_) | Motion::Line(_) => self.motion.clone(),
            _ => Track::new(kind).motion,
        };
        *self = Track {
            motion,
            missing: self.missing,
            lost: true,
            ..Track::new(kind)
        };
    }
}

impl Sights<'_> {
    /// Whether the condition holds for any object.
    pub fn holds(&self, evidence: &mut Evidence) -> Option<bool> {
        let seen = self.seen.as_ref()?;
        let mut unknown = self.hidden;
        let mut holds = false;
        for sight in seen {
            match sight.holds {
                Some(true) => {
                    holds = true;
                    evidence.join(self.evidence(sight));
                }
                Some(false) => {}
                None => unknown = true,
            }
        }
        if holds {
            Some(true)
        } else {
            (!unknown).then_some(false)
        }
    }

    /// What an event of this object rests on.
    pub fn evidence(&self, sight: &Sight<'_>) -> Evidence {
        let mut evidence = Evidence::default();
        evidence.add(&sight.object);
        evidence.zones.extend(self.zone.clone());
        evidence.line.clone_from(&self.line);
        evidence.direction = sight.direction;
        evidence
    }
}
