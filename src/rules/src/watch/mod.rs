//! The state machine of one camera.

mod life;
mod machine;

use std::time::Duration;

use crate::check::{Fault, check_camera};
use crate::document::RuleSet;
use crate::event::{EndReason, Event};
use crate::scene::{Moment, Observation};

use life::Ids;
use machine::Machine;

pub use machine::RuleState;

/// After so long without a frame, what was not confirmed yet begins anew.
pub const GAP: Duration = Duration::from_secs(5);
/// Two results whose instants differ by less are the same result.
const SAME_INSTANT_NS: u128 = 1_000_000;

/// Watches one camera: frames in, events out.
#[derive(Debug)]
pub struct Watch {
    rules: RuleSet,
    machines: Vec<Machine>,
    ids: Ids,
    last: Option<Moment>,
    result: Option<(i128, u64)>,
}

impl Watch {
    /// A watch that has seen nothing yet. Its events name the camera.
    ///
    /// # Errors
    /// All that is wrong with the rules and with the camera's name.
    pub fn new(camera: &str, rules: RuleSet) -> Result<Watch, Vec<Fault>> {
        let mut faults: Vec<Fault> = check_camera(camera).into_iter().collect();
        faults.extend(rules.check(&[]));
        if !faults.is_empty() {
            return Err(faults);
        }
        let machines = rules.rules.iter().map(|rule| Machine::new(rule, &rules));
        Ok(Watch {
            machines: machines.collect(),
            rules,
            ids: Ids::new(camera),
            last: None,
            result: None,
        })
    }

    /// With the next frame, whether it has a new result or an older one. Frames that are older than the last are
    /// ignored. The steps of events that it brings, in order.
    pub fn observe(&mut self, frame: &Observation<'_>) -> Vec<Event> {
        let now = frame.moment;
        if let Some(last) = self.last {
            if now.time < last.time {
                return Vec::new();
            }
            if now.time - last.time > GAP {
                self.machines.iter_mut().for_each(Machine::pause);
            }
        }
        self.last = Some(now);
        let new = self.is_new(frame);
        let mut events = Vec::new();
        for machine in &mut self.machines {
            machine.observe(frame, new, &mut self.ids, &mut events);
        }
        events
    }

    /// Whether the frame's result was not seen yet.
    fn is_new(&mut self, frame: &Observation<'_>) -> bool {
        let (instant, revision) = (frame.instant(), frame.grounding.revision);
        let new = self.result.is_none_or(|(last, last_revision)| {
            let later = instant > last && last.abs_diff(instant) >= SAME_INSTANT_NS;
            later || revision != last_revision
        });
        if new {
            self.result = Some((instant, revision));
        }
        new
    }

    /// Watches by other rules from now on. Rules that are the same, with the same zones and lines, and their open
    /// events go on; the events of others end. Ends that this brings.
    ///
    /// # Errors
    /// All that is wrong with the rules; those before stay in force.
    pub fn replace(&mut self, rules: RuleSet, at: Moment) -> Result<Vec<Event>, Vec<Fault>> {
        let faults = rules.check(&[]);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut before = std::mem::take(&mut self.machines);
        for rule in &rules.rules {
            let same = before
                .iter()
                .position(|machine| machine.is_of(rule, &rules));
            self.machines.push(match same {
                Some(index) => before.remove(index),
                None => Machine::new(rule, &rules),
            });
        }
        self.rules = rules;
        let mut events = Vec::new();
        for machine in &mut before {
            machine.reset(EndReason::RuleChanged, at, &mut events);
        }
        Ok(events)
    }

    /// Ends all open events, and forgets what was seen: the next frame may be of any time. Least times between events
    /// stay in force.
    pub fn end_all(&mut self, reason: EndReason, at: Moment) -> Vec<Event> {
        let mut events = Vec::new();
        for machine in &mut self.machines {
            machine.reset(reason, at, &mut events);
        }
        self.last = None;
        self.result = None;
        events
    }

    /// How each rule does, in their order.
    pub fn states(&self) -> impl Iterator<Item = RuleState> {
        self.machines.iter().map(Machine::state)
    }

    /// The rules in force.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// The camera's name.
    pub fn camera(&self) -> &str {
        self.ids.camera()
    }
}
