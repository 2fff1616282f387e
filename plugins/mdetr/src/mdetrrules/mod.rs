//! The element `mdetrrules`: states and events of rules.

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use mdetr_rules::{EndReason, Event, Fault, RuleSet};

mod imp;
mod state;

glib::wrapper! {
    /// Watches results by rules, and tells of events.
    pub struct Rules(ObjectSubclass<imp::Rules>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Gives an `mdetrrules` other rules, in place of those of its property `rules`. While it plays they are in force from
/// the next frame on: those that are the same, with the same zones and lines, go on with their open events.
///
/// # Errors
/// All that is wrong with the rules, or that the element is another one; nothing changes then.
pub fn set(element: &gst::Element, rules: RuleSet) -> Result<(), Vec<Fault>> {
    let Some(element) = element.downcast_ref::<Rules>() else {
        let found = element.factory().map(|factory| factory.name().to_string());
        return Err(vec![Fault {
            place: format!("element {:?}", element.name().as_str()),
            message: format!("expected mdetrrules, found {}", found.unwrap_or_default()),
        }]);
    };
    element.imp().set_rules(rules)
}

/// Ends all open events of an `mdetrrules` for a reason that only the program knows, such as that the camera is lost.
/// The ends are messages, and go with the next frame, too. Of another element nothing ends.
pub fn end(element: &gst::Element, reason: EndReason) -> Vec<Event> {
    match element.downcast_ref::<Rules>() {
        Some(element) => element.imp().end_all(reason),
        None => Vec::new(),
    }
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "mdetrrules",
        gst::Rank::NONE,
        Rules::static_type(),
    )
}
