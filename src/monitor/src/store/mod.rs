//! Events, their pictures and clips, what waits for a broker, and the history of the configuration: SQLite and files.

mod base;
mod batch;
mod browse;
mod configs;
mod counters;
mod damage;
mod database;
mod error;
mod media;
mod open;
mod outbox;
mod queue;
mod reconcile;
mod record;
mod remove;
mod room;
mod sweep;
mod types;
mod words;
pub mod worker;

pub use base::Store;
pub use counters::Counters;
pub use error::StoreError;
pub use room::Usage;
pub(crate) use room::free_bytes;
pub use sweep::Swept;
pub use types::{ConfigEntry, EventFilter, Letter, StoredEvent};

pub(crate) use browse::{
    name as severity_name, push_conditions, push_order, stored, words_of_filter,
};
pub(crate) use record::kind as kind_name;
pub(crate) use words::words_of;

#[cfg(test)]
mod tests;
