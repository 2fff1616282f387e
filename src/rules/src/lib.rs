//! Conditions on what standing queries find over time: results and times in, events out.
//!
//! There is no clock in it, no file and no video. A [`RuleSet`] says what is watched for; an
//! [`Event`] is what a rule found.

pub mod check;
pub mod document;
pub mod event;

pub use check::Fault;
pub use document::{Condition, Line, Rule, RuleSet, Zone};
pub use event::{Event, EventKind};
