//! Fleets: what a group of programs watches for is one document at their broker.
//!
//! The document is retained, has a revision that rises, and holds what is stable and, while something new is tried by a
//! share of the group, the candidate. Each program takes its part of it atomically, as one revision of its
//! configuration, and says on a topic of its own what it has taken or why not.

mod change;
mod document;
mod member;
pub mod operate;
mod topics;

pub use change::{Change, read_watch};
pub use document::{Candidate, FleetDocument, MAX_BYTES, Release, SCHEMA, Stable, Watch};
pub use member::{FleetState, Receipt, Refusal, Taken};
pub use topics::FleetTopics;
