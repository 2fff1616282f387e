//! What a site says of itself.

use mdetr_grounding::query::QueryEntry;
use mdetr_rules::document::{Line, Rule, Zone};
use serde::{Deserialize, Serialize};

use crate::central::SiteName;
use crate::config::{Camera, is_name};
use crate::hub::CameraStatus;

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
        names.all(|name| is_name(name)).then_some(report)
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

    /// A camera of a hub.
    pub(super) fn camera(self, site: &SiteName) -> Camera {
        Camera {
            enabled: self.enabled,
            queries: self.queries,
            zones: self.zones,
            lines: self.lines,
            rules: self.rules,
            ..Camera::new(site.own(&self.camera), "site:".to_owned())
        }
    }
}
