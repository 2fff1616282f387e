//! Rules on what is found: events on a topic.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use jiff::Timestamp;
use mdetr::Grounding;
use mdetr_rules::{EndReason, Event, Moment, Observation, RuleSet, Watch};

/// Most bytes of a file of rules.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the rules in the file at `path`; none, if it is empty. `queries` are the entries of the parameter.
///
/// # Errors
/// It cannot be read, or a rule is wrong: names the file and the place.
pub(crate) fn read(path: &str, queries: &[String]) -> Result<Option<RuleSet>, String> {
    if path.is_empty() {
        return Ok(None);
    }
    let failed = |error: &dyn std::fmt::Display| format!("rules {path}: {error}");
    let mut text = String::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| failed(&error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(failed(&format!(
            "more than {MAX_BYTES} bytes; these are no rules"
        )));
    }
    let rules = RuleSet::parse_toml(&text).map_err(|error| failed(&error))?;
    let queries = crate::prompt::parse_entries(queries)?;
    let ids: Vec<&str> = queries.iter().map(|query| query.id()).collect();
    match rules.check(&ids).first() {
        Some(fault) => Err(failed(fault)),
        None => Ok(Some(rules)),
    }
}

/// The rules of a camera and what they saw so far.
pub(crate) struct Watching {
    watch: Watch,
    /// Of the last picture.
    last: Moment,
}

impl Watching {
    /// Begins to watch; `rules` have passed their check.
    pub fn new(camera: &str, rules: RuleSet) -> Option<Watching> {
        let camera = if camera.is_empty() { "camera" } else { camera };
        let watch = Watch::new(camera, rules).ok()?;
        let last = moment(0);
        Some(Watching { watch, last })
    }

    /// The steps of events that a picture brings, as JSON.
    pub fn observe(&mut self, stamp_nanos: i64, frame: u64, grounding: &Grounding) -> Vec<String> {
        self.last = moment(stamp_nanos);
        let events = self.watch.observe(&Observation {
            moment: self.last,
            frame,
            pts_ns: u64::try_from(stamp_nanos).ok(),
            age: Duration::ZERO,
            grounding,
        });
        lines(events)
    }

    /// The ends of events that are open when no more pictures come.
    pub fn end(&mut self) -> Vec<String> {
        lines(self.watch.end_all(EndReason::Stopped, self.last))
    }
}

fn moment(nanos: i64) -> Moment {
    let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    Moment {
        time,
        utc: Timestamp::from_nanosecond(nanos.into()).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

fn lines(events: Vec<Event>) -> Vec<String> {
    let lines = events.iter().map(serde_json::to_string);
    // Strings and finite numbers always serialise.
    lines.filter_map(Result::ok).collect()
}
