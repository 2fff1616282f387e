//! What a hub does: it takes events and states of many sites from their broker, keeps them, and shows them as if the
//! cameras were its own.
//!
//! Steps of events come by a subscription that hubs share, so each comes to one of them. It says which ones it has kept;
//! a site sends again what no hub has. What a hub cannot keep it does not acknowledge, and forgets.

mod counts;
mod intake;
mod message;
mod overview;
mod topics;
mod writer;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::central::{Central, SiteName};
use crate::config::{self, Broker};
use crate::hub::{Hub, Notice, StoreStatus};
use crate::retry::Backoff;
use crate::store::StoreError;

pub use self::counts::{Counts, Outcome};
pub use self::message::event_of;
pub use self::overview::{SiteReport, SiteWatch};
pub use self::topics::SiteTopics;

/// Steps that are kept, and of which sites are to be told.
const QUEUE: usize = 65_536;
/// How often old events are looked for.
const SWEEP: Duration = Duration::from_secs(600);
/// Waits between tries to reach the database.
const WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

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
    away: Mutex<BTreeSet<SiteName>>,
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

/// Takes what sites say until `stop` says so. Neither a broker nor a database that fails ends it.
pub async fn run(sites: Sites, mut stop: watch::Receiver<bool>) {
    let document = sites.hub.config().document.clone();
    let (Some(broker), Some(own)) = (document.mqtt, document.hub) else {
        return;
    };
    let work = work(&sites, &broker, &own, document.store.days);
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn work(sites: &Sites, broker: &Broker, own: &config::Central, days: u32) {
    ready(sites).await;
    let (arrivals, arrived) = mpsc::unbounded_channel();
    let (stored, to_tell) = mpsc::channel(QUEUE);
    tokio::join!(
        intake::run(sites, broker, own, arrivals, to_tell),
        writer::run(sites, arrived, stored),
        overview::run(sites),
        tell_of_events(sites),
        sweep(sites, days),
    );
}

/// Waits until the database is there and of this schema.
async fn ready(sites: &Sites) {
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    while let Err(error) = sites.central.migrate().await {
        told(sites, Some(&error));
        sleep(backoff.next()).await;
    }
    told(sites, None);
}

/// Says how the database does.
fn told(sites: &Sites, error: Option<&StoreError>) {
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

/// Tells who looks at the page of what this or another hub has kept.
async fn tell_of_events(sites: &Sites) {
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    loop {
        let mut notices = match sites.central.listen().await {
            Ok(notices) => notices,
            Err(error) => {
                tracing::debug!(%error, "what other hubs keep cannot be heard");
                sleep(backoff.next()).await;
                continue;
            }
        };
        backoff.reset();
        while let Ok(id) = notices.next().await {
            if sites.hub.listeners() == 0 {
                continue;
            }
            if let Ok(Some(stored)) = sites.central.event(&id).await {
                sites.hub.tell(Notice::Event(Arc::new(stored.event)));
            }
        }
    }
}

async fn sweep(sites: &Sites, days: u32) {
    let mut due = interval(SWEEP);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        match sites.central.sweep(days, Timestamp::now()).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "old events are removed"),
            Err(error) => tracing::warn!(%error, "old events cannot be removed"),
        }
    }
}
