//! The life of one event, from what may become one to its end.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use mdetr_grounding::Span;

use crate::document::Rule;
use crate::event::{EndReason, Event, EventKind, View};
use crate::evidence::Evidence;
use crate::leaf::Times;
use crate::scene::{Moment, Observation};

/// Least time between two steps of an event that goes on.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);
/// By how much a view must be better to be told.
const BETTER: f32 = 0.05;

/// Names events.
#[derive(Debug)]
pub(crate) struct Ids {
    camera: String,
    count: u64,
}

/// The query of an event.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub id: String,
    pub text: String,
    pub revision: u64,
}

/// Whose event it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub rule: &'a Rule,
    pub times: Times,
    pub asked: &'a Asked,
    pub track: Option<u64>,
    /// Whether an event may begin now.
    pub may_begin: bool,
}

/// One event that may be, or that is.
#[derive(Debug, Default)]
pub(super) struct Life {
    pending: Option<Pending>,
    open: Option<Open>,
}

/// A condition that holds, and is not confirmed yet.
#[derive(Debug)]
struct Pending {
    since: Moment,
    last_true: Duration,
    results: u32,
    misses: u32,
}

#[derive(Debug)]
struct Open {
    event: Event,
    evidence: Evidence,
    last_true: Timestamp,
    /// Since when, and in how many results, the condition does not hold.
    denied: Option<(Duration, u32)>,
    last_step: Duration,
    told: Told,
}

/// What the last step said.
#[derive(Debug, PartialEq)]
struct Told {
    score: f32,
    count: Option<u64>,
    tracks: BTreeSet<u64>,
    zones: BTreeSet<String>,
    phrases: BTreeSet<(Span, String)>,
    answer: Option<String>,
}

impl Life {
    /// With whether the condition holds by a new result. True if an event begins.
    pub fn observe(
        &mut self,
        holds: Option<bool>,
        evidence: &Evidence,
        frame: &Observation<'_>,
        origin: Origin<'_>,
        ids: &mut Ids,
        events: &mut Vec<Event>,
    ) -> bool {
        let now = frame.moment;
        if let Some(open) = &mut self.open {
            match holds {
                Some(true) => open.go_on(evidence, frame, origin.asked),
                Some(false) if open.is_over(now, origin.times) => {
                    self.end(EndReason::Cleared, now, events)
                }
                _ => {}
            }
            return false;
        }
        match holds {
            Some(true) => {
                let pending = self.pending.get_or_insert(Pending {
                    since: now,
                    last_true: now.time,
                    results: 0,
                    misses: 0,
                });
                pending.last_true = now.time;
                pending.results = pending.results.saturating_add(1);
                pending.misses = 0;
                let held = now.time.saturating_sub(pending.since.time);
                let Times { hold, frames, .. } = origin.times;
                if held >= hold && pending.results >= frames && origin.may_begin {
                    let open = Open::begin(pending.since, evidence, frame, origin, ids);
                    events.push(open.event.clone());
                    self.pending = None;
                    self.open = Some(open);
                    return true;
                }
            }
            Some(false) => {
                if let Some(pending) = &mut self.pending {
                    pending.misses += 1;
                    let Times { clear, frames, .. } = origin.times;
                    if pending.misses >= frames
                        || now.time.saturating_sub(pending.last_true) >= clear
                    {
                        self.pending = None;
                    }
                }
            }
            None => {}
        }
        false
    }

    /// Tells what is new, if it is time for that.
    pub fn tell(&mut self, now: Moment, events: &mut Vec<Event>) {
        if let Some(open) = &mut self.open
            && now.time.saturating_sub(open.last_step) >= UPDATE_INTERVAL
            && open.has_news()
        {
            open.last_step = now.time;
            open.told = Told::new(open);
            let event = open.step(EventKind::Update, now.utc);
            events.push(event);
        }
    }

    /// Ends the event, if it is open, and forgets what was not confirmed.
    pub fn end(&mut self, reason: EndReason, now: Moment, events: &mut Vec<Event>) {
        self.pending = None;
        if let Some(mut open) = self.open.take() {
            open.event.time = open.event.time.max(now.utc);
            open.event.end = Some(open.last_true.clamp(open.event.start, open.event.time));
            open.event.reason = Some(reason);
            events.push(open.step(EventKind::End, now.utc));
        }
    }

    /// After a gap: what was not confirmed begins anew.
    pub fn pause(&mut self) {
        self.pending = None;
        if let Some(open) = &mut self.open {
            open.denied = None;
        }
    }

    pub fn is_idle(&self) -> bool {
        self.pending.is_none() && self.open.is_none()
    }

    /// Id of the event, if it is open.
    pub fn id(&self) -> Option<&str> {
        self.open.as_ref().map(|open| open.event.id.as_str())
    }

    /// When the event began, if it is open.
    pub fn start(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|open| open.event.start)
    }
}

/// Both steps of an event that is over when it begins.
pub(super) fn moment(
    since: Moment,
    evidence: &Evidence,
    frame: &Observation<'_>,
    origin: Origin<'_>,
    ids: &mut Ids,
    events: &mut Vec<Event>,
) {
    let open = Open::begin(since, evidence, frame, origin, ids);
    events.push(open.event.clone());
    let mut end = open.event;
    end.kind = EventKind::End;
    end.end = Some(end.start);
    end.reason = Some(EndReason::Moment);
    events.push(end);
}

impl Open {
    fn begin(
        since: Moment,
        evidence: &Evidence,
        frame: &Observation<'_>,
        origin: Origin<'_>,
        ids: &mut Ids,
    ) -> Open {
        let Origin {
            rule, asked, track, ..
        } = origin;
        let now = frame.moment;
        let event = Event {
            kind: EventKind::New,
            id: ids.next(since.utc, &rule.id, track),
            camera: ids.camera.clone(),
            rule: rule.id.clone(),
            severity: rule.severity,
            query: asked.id.clone(),
            text: asked.text.clone(),
            revision: asked.revision,
            start: since.utc,
            time: now.utc.max(since.utc),
            end: None,
            reason: None,
            score: 0.0,
            tracks: Vec::new(),
            phrases: Vec::new(),
            zones: Vec::new(),
            line: None,
            direction: None,
            count: None,
            answer: None,
            best: view(frame, evidence),
        };
        let mut open = Open {
            event,
            evidence: evidence.clone(),
            last_true: now.utc,
            denied: None,
            last_step: now.time,
            told: Told::default(),
        };
        open.told = Told::new(&open);
        open.event = open.step(EventKind::New, now.utc);
        open
    }

    fn go_on(&mut self, evidence: &Evidence, frame: &Observation<'_>, asked: &Asked) {
        self.denied = None;
        self.last_true = frame.moment.utc;
        self.event.revision = asked.revision;
        let rank = |objects: &Evidence, score: f32| {
            let count = objects.count.filter(|_| evidence.by_count);
            (count.unwrap_or(0), score)
        };
        if rank(evidence, evidence.score) > rank(&self.evidence, self.event.best.score) {
            self.event.best = view(frame, evidence);
        }
        self.evidence.grow(evidence);
    }

    /// With a result that denies the condition: whether that was so for long enough.
    fn is_over(&mut self, now: Moment, times: Times) -> bool {
        let (since, results) = self.denied.get_or_insert((now.time, 0));
        *results = results.saturating_add(1);
        *results >= times.frames && now.time.saturating_sub(*since) >= times.clear
    }

    fn has_news(&self) -> bool {
        let new = Told::new(self);
        new.score >= self.told.score + BETTER
            || Told {
                score: self.told.score,
                ..new
            } != self.told
    }

    /// The event as it stands.
    fn step(&mut self, kind: EventKind, now: Timestamp) -> Event {
        let (event, evidence) = (&mut self.event, &self.evidence);
        event.kind = kind;
        event.time = event.time.max(now);
        event.score = evidence.score;
        event.tracks = evidence.tracks.iter().copied().collect();
        event.phrases = evidence.phrases();
        event.zones = evidence.zones.iter().cloned().collect();
        event.line.clone_from(&evidence.line);
        event.direction = evidence.direction;
        event.count = evidence.count;
        event.answer.clone_from(&evidence.answer);
        event.clone()
    }
}

impl Default for Told {
    fn default() -> Told {
        Told {
            score: 0.0,
            count: None,
            tracks: BTreeSet::new(),
            zones: BTreeSet::new(),
            phrases: BTreeSet::new(),
            answer: None,
        }
    }
}

impl Told {
    fn new(open: &Open) -> Told {
        let evidence = &open.evidence;
        Told {
            score: open.event.best.score,
            count: evidence.count,
            tracks: evidence.tracks.clone(),
            zones: evidence.zones.clone(),
            phrases: evidence.phrases.keys().cloned().collect(),
            answer: evidence.answer.clone(),
        }
    }
}

fn view(frame: &Observation<'_>, evidence: &Evidence) -> View {
    View {
        frame: frame.frame,
        pts_ns: frame.pts_ns,
        utc: frame.moment.utc,
        size: [frame.grounding.width, frame.grounding.height],
        boxes: evidence.boxes(),
        score: evidence.score,
    }
}

impl Ids {
    pub fn new(camera: &str) -> Ids {
        Ids {
            camera: camera.to_owned(),
            count: 0,
        }
    }

    pub fn camera(&self) -> &str {
        &self.camera
    }

    fn next(&mut self, start: Timestamp, rule: &str, track: Option<u64>) -> String {
        self.count += 1;
        let ms = start.as_millisecond();
        let (seconds, ms) = (ms.div_euclid(1000), ms.rem_euclid(1000));
        let track = track.map(|track| format!("-{track}")).unwrap_or_default();
        format!(
            "{seconds}.{ms:03}-{}-{rule}{track}-{}",
            self.camera, self.count
        )
    }
}
