//! Cameras of all sites, as if they were the hub's own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mdetr_grounding::query::QueryEntry;
use mdetr_rules::document::{Line, Rule, Zone};
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};

use super::{Sites, told};
use crate::central::{SiteName, SiteState};
use crate::config::{Camera, parse_toml};
use crate::hub::{CameraState, CameraStatus, Current};

/// How often the database is asked for what sites said.
const LOOK: Duration = Duration::from_secs(5);
/// Sites say something every minute. One that was silent for so long is gone.
const SILENCE: SignedDuration = SignedDuration::from_secs(200);
/// What was written while it was asked for is found the next time.
const OVERLAP: SignedDuration = SignedDuration::from_secs(10);
/// Most bytes of what a site says.
const MAX_BYTES: usize = 1 << 20;

/// What a site says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteReport {
    /// Version of its program.
    pub version: String,
    /// Its cameras.
    pub cameras: Vec<CameraStatus>,
    /// What is watched for in them.
    #[serde(default)]
    pub watch: Vec<SiteWatch>,
}

/// What is watched for in a camera of a site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteWatch {
    /// The camera.
    pub camera: String,
    /// Whether it is watched.
    pub enabled: bool,
    /// Standing queries.
    #[serde(default, rename = "query")]
    pub queries: Vec<QueryEntry>,
    /// Zones.
    #[serde(default, rename = "zone")]
    pub zones: Vec<Zone>,
    /// Lines.
    #[serde(default, rename = "line")]
    pub lines: Vec<Line>,
    /// Rules.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

impl SiteReport {
    /// Reads what a site says; what is none is left out.
    pub fn parse(state: &str) -> Option<SiteReport> {
        if state.len() > MAX_BYTES || state.contains('\0') {
            return None;
        }
        let report: SiteReport = serde_json::from_str(state).ok()?;
        let names = report.cameras.iter().map(|camera| &camera.name);
        let mut names = names.chain(report.watch.iter().map(|watch| &watch.camera));
        names
            .all(|name| crate::config::is_name(name))
            .then_some(report)
    }
}

impl SiteWatch {
    /// Of a camera of this program.
    pub fn of(camera: &Camera) -> SiteWatch {
        SiteWatch {
            camera: camera.name.clone(),
            enabled: camera.enabled,
            queries: camera.queries.clone(),
            zones: camera.zones.clone(),
            lines: camera.lines.clone(),
            rules: camera.rules.clone(),
        }
    }

    fn camera(self, site: &SiteName) -> Camera {
        let name = site.own(&self.camera);
        let text = format!("data = \"\"\n[[camera]]\nname = {name:?}\nurl = \"site:\"\n");
        let document = parse_toml(&text).expect("it is a configuration");
        let camera = document.cameras.into_iter().next().expect("it has one");
        Camera {
            enabled: self.enabled,
            queries: self.queries,
            zones: self.zones,
            lines: self.lines,
            rules: self.rules,
            ..camera
        }
    }
}

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
    let mut known: BTreeMap<SiteName, (SiteReport, Timestamp)> = BTreeMap::new();
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
                        known.insert(site, (report, seen));
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

fn show(
    sites: &Sites,
    known: &BTreeMap<SiteName, (SiteReport, Timestamp)>,
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
    for (site, (report, seen)) in known {
        let watch = report.watch.iter().cloned();
        cameras.extend(watch.map(|watch| watch.camera(site)));
        let is_gone = away.contains(site) || now.duration_since(*seen) > SILENCE;
        for status in &report.cameras {
            let mut status = status.clone();
            status.name = site.own(&status.name);
            status.video = false;
            if is_gone && status.state != CameraState::Disabled {
                status.state = CameraState::Offline;
                status.since = *seen;
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
