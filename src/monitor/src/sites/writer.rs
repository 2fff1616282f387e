//! Keeps what came, many steps at once.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::counts::Outcome;
use super::intake::{Arrived, Came, Kept};
use super::report::SiteReport;
use super::shared::{Sites, WAITS, told};
use crate::central::Arrival;
use crate::retry::Backoff;

/// Most messages that are taken at once.
const BATCH: usize = 512;
/// Tries of a batch before its sites are left to send it again.
const TRIES: u32 = 4;

/// Goes on until nothing comes any more.
pub(super) async fn run(
    sites: &Sites,
    mut arrived: mpsc::UnboundedReceiver<Arrived>,
    stored: mpsc::Sender<Kept>,
) {
    let mut came = Vec::new();
    while arrived.recv_many(&mut came, BATCH).await > 0 {
        let (mut arrivals, mut names) = (Vec::new(), Vec::new());
        let (mut pictures, mut states) = (Vec::new(), Vec::new());
        // What was taken makes room once it is kept.
        let mut rooms = Vec::with_capacity(came.len());
        for Arrived { came, _room } in came.drain(..) {
            rooms.push(_room);
            match came {
                Came::Step {
                    site,
                    arrival,
                    sequence,
                } => {
                    arrivals.push(*arrival);
                    names.extend(sequence.map(|sequence| Kept { site, sequence }));
                }
                Came::Picture { event, jpeg } => pictures.push((event, jpeg)),
                Came::State { site, state } => states.push((site, state)),
            }
        }
        if !arrivals.is_empty() && record(sites, &arrivals).await {
            for kept in names {
                // A site that does not hear of it sends the step again, which is known then.
                let _ = stored.try_send(kept);
            }
        }
        for (event, jpeg) in pictures {
            if let Err(error) = sites.central.keep_picture(&event, &jpeg).await {
                tracing::debug!(event, %error, "a picture is not kept");
            }
        }
        for (site, state) in states {
            if SiteReport::parse(&state).is_some()
                && let Err(error) = sites.central.keep_site(&site, &state).await
            {
                tracing::debug!(site = site.as_str(), %error, "a state is not kept");
            }
        }
    }
}

/// Whether the steps are kept.
async fn record(sites: &Sites, arrivals: &[Arrival]) -> bool {
    let mut backoff = Backoff::new(WAITS.0, Duration::from_secs(2));
    let count = arrivals.len() as u64;
    for _ in 0..TRIES {
        match sites.central.record(arrivals).await {
            Ok(new) => {
                sites.counts.add(Outcome::New, new);
                sites.counts.add(Outcome::Known, count.saturating_sub(new));
                told(sites, None);
                return true;
            }
            Err(error) => told(sites, Some(&error)),
        }
        sleep(backoff.next()).await;
    }
    sites.counts.add(Outcome::Left, count);
    false
}
