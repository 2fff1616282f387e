//! Zones and lines of the rules on a frame.

use std::sync::Arc;

use mdetr_draw::{LineMark, ZoneMark};
use mdetr_gst::events::FrameEvents;
use mdetr_rules::{Condition, RuleState};

/// The zones and lines of rules; bright are those of rules with an open event, or with a moment just now.
pub(super) fn of(watched: &[Arc<FrameEvents>]) -> (Vec<ZoneMark>, Vec<LineMark>) {
    let (mut zones, mut lines) = (Vec::new(), Vec::new());
    for found in watched {
        let active = |uses: &dyn Fn(&Condition) -> bool| {
            let rules = found.rules.rules.iter().zip(&found.states);
            let mut rules = rules.filter(|(rule, state)| is_active(&rule.when, state));
            rules.any(|(rule, _)| rule.when.walk().into_iter().any(uses))
        };
        zones.extend(found.rules.zones.iter().map(|zone| {
            ZoneMark {
                label: zone.id.clone(),
                points: zone
                    .points
                    .iter()
                    .map(|point| point.map(f64::from))
                    .collect(),
                active: active(&|condition| {
                    let place = condition.place().and_then(|place| place.zone.as_ref());
                    place == Some(&zone.id)
                }),
            }
        }));
        lines.extend(found.rules.lines.iter().map(|line| LineMark {
            label: line.id.clone(),
            from: line.from.map(f64::from),
            to: line.to.map(f64::from),
            active: active(&|condition| condition.line() == Some(&line.id)),
        }));
    }
    (zones, lines)
}

fn is_active(condition: &Condition, state: &RuleState) -> bool {
    let moment = matches!(
        condition,
        Condition::Enters { .. } | Condition::Leaves { .. } | Condition::Crosses { .. }
    );
    // Events of moments end at once; their conditions hold for a second.
    state.events > 0 || (moment && state.holds == Some(true))
}
