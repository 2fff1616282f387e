//! What a hub does: it takes events and states of many sites from their broker, keeps them, and shows them as if the
//! cameras were its own.
//!
//! Steps of events come by a subscription that hubs share, so each comes to one of them. It says which ones it has kept;
//! a site sends again what no hub has. What a hub cannot keep it does not acknowledge, and forgets.

mod counts;
mod intake;
mod message;
mod overview;
mod report;
mod shared;
mod topics;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::config::{self, Broker};
use crate::hub::Notice;
use crate::retry::Backoff;

use self::shared::{WAITS, told};

pub use self::counts::{Counts, Outcome};
pub use self::message::event_of;
pub use self::report::{SiteReport, SiteWatch};
pub use self::shared::Sites;
pub use self::topics::SiteTopics;

/// Steps that are kept, and of which sites are to be told.
const QUEUE: usize = 65_536;
/// How often old events are looked for.
const SWEEP: Duration = Duration::from_secs(600);

/// Takes what sites say until `stop` says so. Neither a broker nor a database that fails ends it.
pub async fn run(sites: Sites, mut stop: watch::Receiver<bool>) {
    let document = sites.hub.config().document.clone();
    let (Some(broker), Some(own)) = (document.mqtt, document.hub) else {
        return;
    };
    let work = work(&sites, &broker, &own);
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn work(sites: &Sites, broker: &Broker, own: &config::Central) {
    ready(sites).await;
    let (arrivals, arrived) = mpsc::unbounded_channel();
    let (stored, to_tell) = mpsc::channel(QUEUE);
    tokio::join!(
        intake::run(sites, broker, own, arrivals, to_tell),
        writer::run(sites, arrived, stored),
        overview::run(sites),
        tell_of_events(sites),
        sweep(sites),
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

async fn sweep(sites: &Sites) {
    let mut due = interval(SWEEP);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let days = sites.hub.config().document.store.days;
        match sites.central.sweep(days, Timestamp::now()).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "old events are removed"),
            Err(error) => tracing::warn!(%error, "old events cannot be removed"),
        }
    }
}
