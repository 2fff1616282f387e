//! Asks what was kept: coarse first, then around what was found.

mod changes;
mod ranking;
mod run;
mod types;

use std::sync::atomic::AtomicBool;

use mdetr::Grounder;

use crate::error::PastError;
use crate::reader::Past;
use run::Run;
pub use types::{CurvePoint, Event, Hit, Mode, Moment, Outcome, Search};

/// Asks the frames of `past`: every 64th of each camera first, then those around what scored best, or between those that differ,
/// and all others if the search is exhaustive. What is found is told as it is found, from the thread that calls.
///
/// Once `cancel` is true, what was found so far is given.
///
/// # Errors
/// The query is too long, the engine fails, or not one frame can be asked: another bundle saw them, say.
pub fn search(
    past: &Past,
    grounder: &Grounder,
    wanted: &Search,
    cancel: &AtomicBool,
    on: &mut dyn FnMut(Event),
) -> Result<Outcome, PastError> {
    let mut run = Run::new(past, grounder, wanted, cancel)?;
    run.coarse(on)?;
    match wanted.mode {
        _ if wanted.exhaustive => run.all(on)?,
        Mode::Best => run.around_the_best(on)?,
        Mode::Curve | Mode::Moments => run.between_changes(on)?,
    }
    run.outcome()
}
