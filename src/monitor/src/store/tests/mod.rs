//! On real databases in directories of their own.

mod basics;
mod damage;
mod full;
mod kill;
mod model;
mod retention;
mod worker;

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mdetr_rules::document::Severity;
use mdetr_rules::event::EndReason;
use mdetr_rules::{Event, EventKind};
use tempfile::TempDir;

use super::Store;
use crate::config;
pub use crate::example::begun;
use crate::hub::Step;

/// An hour of 2026 after its first.
pub fn hour(hours: i64) -> Timestamp {
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    begin + SignedDuration::from_hours(hours)
}

pub fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// The same event a while later.
pub fn updated(event: &Event, later: i64) -> Event {
    Event {
        kind: EventKind::Update,
        time: event.start + seconds(later),
        ..event.clone()
    }
}

/// The same event when it is over.
pub fn ended(event: &Event, later: i64) -> Event {
    let end = event.start + seconds(later);
    Event {
        kind: EventKind::End,
        time: end,
        end: Some(end),
        reason: Some(EndReason::Cleared),
        ..event.clone()
    }
}

pub fn step(event: &Event) -> Step {
    Step {
        event: event.clone(),
        plain: None,
        drawn: None,
    }
}

pub fn pictured(event: &Event, bytes: usize) -> Step {
    Step {
        event: event.clone(),
        plain: Some(Arc::from(vec![1; bytes])),
        drawn: Some(Arc::from(vec![2; bytes])),
    }
}

/// A configuration in which retention does nothing.
pub fn endless() -> config::Store {
    config::Store {
        days: 36_500,
        bytes: u64::MAX,
        free_bytes: 0,
        pictures: true,
        keeps: Vec::new(),
    }
}

pub async fn open(data: &Path) -> Store {
    Store::open(data, &endless()).await.unwrap()
}

pub async fn fresh() -> (TempDir, Store) {
    let directory = TempDir::new().unwrap();
    let store = open(&directory.path().join("data")).await;
    (directory, store)
}

/// Ids of events in the order in which they are listed.
pub async fn ids(store: &Store, filter: &super::EventFilter) -> Vec<String> {
    let events = store.events(filter).await.unwrap();
    events.into_iter().map(|event| event.event.id).collect()
}

/// How many rows a table has.
pub async fn count(store: &Store, table: &'static str) -> i64 {
    let query = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
    let database = store.inner.database.read();
    sqlx::query_scalar(query).fetch_one(database).await.unwrap()
}
