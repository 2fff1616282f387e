//! What is told of plans that take long to make.

use std::sync::Arc;

/// What an engine tells while it makes plans that take long.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PlanEvent {
    /// A plan is being built.
    Building {
        /// Path of the graph.
        graph: String,
        /// What the engine is at, in its words.
        phase: String,
        /// Finished steps of the phase.
        step: u32,
        /// Steps of the phase; 0 if it does not say.
        steps: u32,
    },
    /// Another process builds the same plan.
    Waiting {
        /// Path of the graph.
        graph: String,
    },
    /// A plan is there.
    Ready {
        /// Path of the graph.
        graph: String,
        /// It was built now, not found on disk.
        built: bool,
        /// Size of the plan.
        bytes: u64,
    },
    /// A plan that was built could not be kept: it is used, and built again next time.
    NotKept {
        /// Path of the graph.
        graph: String,
        /// Why, and what to do.
        message: String,
    },
}

/// Hears of plans being made, on the thread that makes them, and returns whether to go on; after a no it
/// hears no more.
pub type PlanWatcher = Arc<dyn Fn(&PlanEvent) -> bool + Send + Sync>;
