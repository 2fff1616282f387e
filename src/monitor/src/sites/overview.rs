//! Cameras of all sites, as if they were the hub's own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{MissedTickBehavior, interval};

use super::report::SiteReport;
use super::shared::{Sites, told};
use crate::central::{SiteName, SiteState};
use crate::config::Camera;
use crate::hub::{CameraState, CameraStatus, Current};

/// How often the database is asked for what sites said.
const LOOK: Duration = Duration::from_secs(5);
/// Sites say something every minute. One that was silent for so long is gone.
const SILENCE: SignedDuration = SignedDuration::from_secs(200);
/// What was written while it was asked for is found the next time.
const OVERLAP: SignedDuration = SignedDuration::from_secs(10);

/// A site says whether it is there; its broker does if it cannot.
pub(super) fn set_available(sites: &Sites, site: &SiteName, word: &[u8]) {
    let is_there = word == b"online";
    let mut away = sites.away.lock().expect("no code panics with the lock");
    match is_there {
        true => away.remove(site),
        false => away.insert(site.clone()),
    };
}

/// Shows what sites say, again and again.
pub(super) async fn run(sites: &Sites) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: BTreeMap<SiteName, Known> = BTreeMap::new();
    let mut since = Timestamp::UNIX_EPOCH;
    loop {
        look.tick().await;
        let now = Timestamp::now();
        match sites.central.sites(since).await {
            Ok(states) => {
                told(sites, None);
                since = now - OVERLAP;
                for SiteState { site, state, seen } in states {
                    if let Some(report) = SiteReport::parse(&state) {
                        let of_site = Known::new(&site, report, seen);
                        known.insert(site, of_site);
                    }
                }
            }
            Err(error) => told(sites, Some(&error)),
        }
        let away = sites
            .away
            .lock()
            .expect("no code panics with the lock")
            .clone();
        show(sites, &known, &away, now);
    }
}

/// What a site said last, as the hub shows it.
struct Known {
    cameras: Vec<Camera>,
    statuses: Vec<CameraStatus>,
    seen: Timestamp,
}

impl Known {
    fn new(site: &SiteName, report: SiteReport, seen: Timestamp) -> Known {
        let watch = report.watch.into_iter();
        let statuses = report.cameras.into_iter().map(|status| CameraStatus {
            name: site.own(&status.name),
            video: false,
            ..status
        });
        Known {
            cameras: watch.map(|watch| watch.camera(site)).collect(),
            statuses: statuses.collect(),
            seen,
        }
    }
}

fn show(
    sites: &Sites,
    known: &BTreeMap<SiteName, Known>,
    away: &BTreeSet<SiteName>,
    now: Timestamp,
) {
    let hub = &sites.hub;
    let before: BTreeMap<_, _> = hub
        .cameras()
        .into_iter()
        .map(|status| (status.name.clone(), status))
        .collect();
    let mut cameras = Vec::new();
    let mut names = BTreeSet::new();
    for (site, of_site) in known {
        cameras.extend(of_site.cameras.iter().cloned());
        let is_gone = away.contains(site) || now.duration_since(of_site.seen) > SILENCE;
        for status in &of_site.statuses {
            let mut status = status.clone();
            if is_gone && status.state != CameraState::Disabled {
                status.state = CameraState::Offline;
                status.since = of_site.seen;
                status.message = Some("its site is not there".to_owned());
            }
            names.insert(status.name.clone());
            if before
                .get(&status.name)
                .is_none_or(|before| **before != status)
            {
                hub.set_camera(status);
            }
        }
    }
    for name in before.keys().filter(|name| !names.contains(*name)) {
        hub.remove_camera(name);
    }
    let current = hub.config();
    if current.document.cameras != cameras {
        let mut document = current.document.clone();
        document.cameras = cameras;
        hub.set_config(Current {
            revision: current.revision + 1,
            document,
        });
    }
}
