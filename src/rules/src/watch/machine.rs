//! One rule at work.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::life::{Asked, Ids, Life, Origin, moment};
use crate::document::{Condition, Line, Rule, RuleSet, Zone};
use crate::event::{EndReason, Event};
use crate::evidence::Evidence;
use crate::leaf::{Objects, Times, unsigned};
use crate::logic::Node;
use crate::scene::{Moment, Observation};
use crate::schedule::Schedules;

/// How a rule does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleState {
    /// Its id.
    pub id: String,
    /// Whether its condition holds now; not given while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
    /// Id of its open event; of several, of the one that was begun first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Number of its open events.
    pub events: usize,
    /// Number of objects for which the condition holds in the newest result.
    pub objects: usize,
    /// Since when `holds` is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Whether it needs identities over time, and the newest result has objects without.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks_tracks: bool,
}

#[derive(Debug)]
pub(super) struct Machine {
    rule: Rule,
    zones: Vec<Zone>,
    lines: Vec<Line>,
    times: Times,
    schedules: Schedules,
    /// The queries it asks; the first is that of its events.
    queries: Vec<Query>,
    asked: Asked,
    node: Node,
    /// The event of the whole, or of each object.
    life: Life,
    lives: BTreeMap<u64, Life>,
    /// When its last event began.
    began: Option<Timestamp>,
    holds: Option<bool>,
    since: Option<Timestamp>,
    objects: usize,
}

/// A query as it was answered last.
#[derive(Debug)]
struct Query {
    id: String,
    /// The sentence as it was written, and the revision of the result.
    last: Option<(String, u64)>,
}

impl Machine {
    pub fn new(rule: &Rule, rules: &RuleSet) -> Machine {
        let times = Times::new(rule);
        let mut queries: Vec<Query> = Vec::new();
        for id in rule.when.walk().into_iter().filter_map(Condition::query) {
            if queries.iter().all(|query| query.id != id) {
                queries.push(Query {
                    id: id.to_owned(),
                    last: None,
                });
            }
        }
        let (zones, lines) = used(rule, rules);
        Machine {
            zones,
            lines,
            times,
            schedules: Schedules::new(&rule.schedules),
            asked: Asked::default(),
            queries,
            node: Node::new(&rule.when, rules, times),
            rule: rule.clone(),
            life: Life::default(),
            lives: BTreeMap::new(),
            began: None,
            holds: None,
            since: None,
            objects: 0,
        }
    }

    /// Whether it does what the rule says.
    pub fn is_of(&self, rule: &Rule, rules: &RuleSet) -> bool {
        let (zones, lines) = used(rule, rules);
        self.rule == *rule && self.zones == zones && self.lines == lines
    }

    pub fn pause(&mut self) {
        self.node.pause();
        self.life.pause();
        self.lives.values_mut().for_each(Life::pause);
    }

    /// Ends its events, and forgets what was seen.
    fn end(&mut self, reason: EndReason, now: Moment, events: &mut Vec<Event>) {
        for life in std::iter::once(&mut self.life).chain(self.lives.values_mut()) {
            life.end(reason, now, events);
        }
        self.lives.clear();
        self.node.forget();
        for query in &mut self.queries {
            query.last = None;
        }
    }

    /// Ends its events, and knows nothing any more.
    pub fn reset(&mut self, reason: EndReason, now: Moment, events: &mut Vec<Event>) {
        self.end(reason, now, events);
        self.set(None, now);
    }

    pub fn observe(
        &mut self,
        frame: &Observation<'_>,
        new: bool,
        ids: &mut Ids,
        events: &mut Vec<Event>,
    ) {
        let now = frame.moment;
        if !self.rule.enabled {
            return;
        }
        if !self.schedules.watch_at(now.utc) {
            self.end(EndReason::ScheduleOver, now, events);
            self.set(Some(false), now);
            return;
        }
        if frame.is_stale() {
            self.set(None, now);
        } else if new {
            if self.is_asked_otherwise(frame) {
                self.end(EndReason::QueryChanged, now, events);
            }
            self.note_queries(frame);
            self.decide(frame, ids, events);
        }
        for life in std::iter::once(&mut self.life).chain(self.lives.values_mut()) {
            life.tell(now, events);
        }
    }

    /// Whether a query has another sentence than in the last result, or is gone with a new revision.
    fn is_asked_otherwise(&self, frame: &Observation<'_>) -> bool {
        self.queries
            .iter()
            .any(|query| match (&query.last, frame.result(&query.id)) {
                (None, _) => false,
                (Some((sentence, _)), Some((_, result))) => result.query.source() != sentence,
                (Some((_, revision)), None) => *revision != frame.grounding.revision,
            })
    }

    fn note_queries(&mut self, frame: &Observation<'_>) {
        for (index, query) in self.queries.iter_mut().enumerate() {
            if let Some((_, result)) = frame.result(&query.id) {
                query.last = Some((result.query.source().to_owned(), frame.grounding.revision));
                if index == 0 {
                    self.asked.id.clone_from(&query.id);
                    result.query.text().clone_into(&mut self.asked.text);
                    self.asked.revision = frame.grounding.revision;
                }
            } else if index == 0 && self.asked.id.is_empty() {
                self.asked.id.clone_from(&query.id);
                self.asked.revision = frame.grounding.revision;
            }
        }
    }

    fn decide(&mut self, frame: &Observation<'_>, ids: &mut Ids, events: &mut Vec<Event>) {
        if matches!(self.node, Node::Objects(_)) {
            self.decide_each(frame, ids, events);
            return;
        }
        let mut evidence = Evidence::default();
        let holds = self.node.observe(frame, &mut evidence);
        self.objects = evidence.objects();
        self.set(holds, frame.moment);
        let origin = Origin {
            rule: &self.rule,
            times: self.times,
            asked: &self.asked,
            track: None,
            may_begin: may_begin(&self.rule, self.began, frame.moment),
        };
        if self
            .life
            .observe(holds, &evidence, frame, origin, ids, events)
        {
            self.began = Some(frame.moment.utc);
        }
    }

    /// An event for each object.
    fn decide_each(&mut self, frame: &Observation<'_>, ids: &mut Ids, events: &mut Vec<Event>) {
        let now = frame.moment;
        let Node::Objects(objects) = &mut self.node else {
            return;
        };
        let moments = Objects::is_of_moments(objects);
        let sights = objects.observe(frame);
        let mut all = Evidence::default();
        let holds = sights.holds(&mut all);
        for track in &sights.lost {
            if let Some(mut life) = self.lives.remove(track) {
                life.end(EndReason::ObjectLost, now, events);
            }
        }
        for sight in sights.seen.iter().flatten() {
            let evidence = sights.evidence(sight);
            let origin = Origin {
                rule: &self.rule,
                times: self.times,
                asked: &self.asked,
                track: Some(sight.track),
                may_begin: may_begin(&self.rule, self.began, now),
            };
            if moments {
                if let Some((since, _)) = sight.happened
                    && origin.may_begin
                {
                    moment(since, &evidence, frame, origin, ids, events);
                    self.began = Some(now.utc);
                }
                continue;
            }
            let life = self.lives.entry(sight.track).or_default();
            if life.observe(sight.holds, &evidence, frame, origin, ids, events) {
                self.began = Some(now.utc);
            }
        }
        self.lives.retain(|_, life| !life.is_idle());
        self.objects = all.objects();
        self.set(holds, now);
    }

    fn set(&mut self, holds: Option<bool>, now: Moment) {
        if self.since.is_none() || self.holds != holds {
            self.holds = holds;
            self.since = Some(now.utc);
        }
        if holds != Some(true) {
            self.objects = 0;
        }
    }

    pub fn state(&self) -> RuleState {
        let lives = || std::iter::once(&self.life).chain(self.lives.values());
        let first = lives()
            .filter(|life| life.id().is_some())
            .min_by_key(|life| life.start());
        RuleState {
            id: self.rule.id.clone(),
            holds: self.holds,
            event: first.and_then(Life::id).map(str::to_owned),
            events: lives().filter(|life| life.id().is_some()).count(),
            objects: self.objects,
            since: self.since,
            lacks_tracks: self.node.lacks_tracks(),
        }
    }
}

/// Whether the last event of the rule began long enough ago. A clock that was set back does not count.
fn may_begin(rule: &Rule, began: Option<Timestamp>, now: Moment) -> bool {
    let every = unsigned(rule.every);
    began.is_none_or(|began| {
        let passed = now.utc.duration_since(began);
        passed.is_negative() || unsigned(passed) >= every
    })
}

/// The zones and lines of a rule.
fn used(rule: &Rule, rules: &RuleSet) -> (Vec<Zone>, Vec<Line>) {
    let conditions = rule.when.walk();
    let zone = |zone: &&Zone| {
        let mut places = conditions.iter().filter_map(|condition| condition.place());
        places.any(|place| place.zone.as_ref() == Some(&zone.id))
    };
    let line = |line: &&Line| {
        conditions
            .iter()
            .any(|condition| condition.line() == Some(&line.id))
    };
    (
        rules.zones.iter().filter(zone).cloned().collect(),
        rules.lines.iter().filter(line).cloned().collect(),
    )
}
