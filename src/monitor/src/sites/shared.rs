//! What the parts of a hub work with.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::counts::Counts;
use crate::central::{Central, SiteName};
use crate::hub::{Hub, StoreStatus};
use crate::store::StoreError;

/// Waits between tries to reach the database.
pub(super) const WAITS: (Duration, Duration) =
    (Duration::from_millis(250), Duration::from_secs(10));

/// All that a hub works with.
#[derive(Debug)]
pub struct Sites {
    /// The middle of the program.
    pub hub: Arc<Hub>,
    /// Where events are kept.
    pub central: Central,
    /// What is counted.
    pub counts: Arc<Counts>,
    /// Sites that are known not to be there.
    pub(super) away: Mutex<BTreeSet<SiteName>>,
}

impl Sites {
    /// Of a program and a database.
    pub fn new(hub: Arc<Hub>, central: Central, counts: Arc<Counts>) -> Sites {
        Sites {
            hub,
            central,
            counts,
            away: Mutex::default(),
        }
    }
}

/// Says how the database does.
pub(super) fn told(sites: &Sites, error: Option<&StoreError>) {
    let before = sites.hub.store();
    let message = error.map(|error| format!("the hubs' database: {error}"));
    if before.message != message || before.writable != error.is_none() {
        match &message {
            Some(message) => tracing::error!("{message}; sites keep their events meanwhile"),
            None => tracing::info!("the hubs' database can be used"),
        }
    }
    sites.hub.set_store(StoreStatus {
        writable: error.is_none(),
        message,
        ..StoreStatus::clone(&before)
    });
}
