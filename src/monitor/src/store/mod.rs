//! Events, their pictures and clips, what waits for a broker, and the history of the configuration: SQLite and files.

mod base;
mod browse;
mod configs;
mod counters;
mod database;
mod error;
mod media;
mod open;
mod outbox;
mod record;
mod remove;
mod types;
mod words;

pub use base::Store;
pub use counters::Counters;
pub use error::StoreError;
pub use types::{ConfigEntry, EventFilter, Letter, StoredEvent};

#[cfg(test)]
mod tests;
