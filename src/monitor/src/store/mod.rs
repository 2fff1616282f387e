//! Events, their pictures and clips, what waits for a broker, and the history of the configuration: SQLite and files.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use mdetr_rules::Event;
use mdetr_rules::document::Severity;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::config;
use crate::hub::{Clip, Step};

/// The store.
#[derive(Debug, Clone)]
pub struct Store {}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {}

/// An event as it is kept: its last step and what there is beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoredEvent {
    /// Its last step.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub event: Event,
    /// Whether there is a picture of its best view.
    pub has_picture: bool,
    /// Whether there is a clip.
    pub has_clip: bool,
    /// Whether it is kept until somebody removes it.
    pub kept: bool,
}

/// Which events.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventFilter {
    /// Those that end at or behind this time, or are open.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// Those that begin before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
    /// Of this camera.
    pub camera: Option<String>,
    /// Of this rule.
    pub rule: Option<String>,
    /// Whose query or phrases have all of these words.
    pub words: Option<String>,
    /// Of this severity.
    #[param(value_type = Option<String>)]
    pub severity: Option<Severity>,
    /// Those that go on, or those that are over.
    pub open: Option<bool>,
    /// Those behind the event with this id in the order of the list.
    pub after: Option<String>,
    /// At most so many, 1 to 1000; 100 if not given.
    pub limit: Option<u32>,
}

/// A configuration that was in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigEntry {
    /// Its revision.
    pub revision: u64,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// Who gave it: `file`, `http: NAME` or `mqtt`.
    pub origin: String,
    /// SHA-256 of the file that was read last before it, in hexadecimal digits.
    pub file_sha256: String,
    /// The document as JSON.
    pub document: String,
}

/// A step of an event on its way to a receiver.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// Its place in the order of all steps.
    pub sequence: i64,
    /// The step.
    pub event: Event,
    /// How often sending it failed.
    pub attempts: u32,
}

impl Store {
    /// Opens the store in the directory `data`, and makes it if it is not there.
    pub async fn open(_data: &Path, _settings: &config::Store) -> Result<Store, StoreError> {
        unimplemented!()
    }

    /// The directory of pictures and clips: files are at `YYYY-MM-DD/CAMERA/EVENT.jpg` and the like.
    pub fn media(&self) -> PathBuf {
        unimplemented!()
    }

    /// The directory in which clips are written until [`keep_clip`](Self::keep_clip) takes them. On the same disk.
    pub fn parts(&self) -> PathBuf {
        unimplemented!()
    }

    /// Keeps a configuration.
    pub async fn keep_config(&self, _entry: &ConfigEntry) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Configurations, newest first.
    pub async fn configs(&self, _limit: u32) -> Result<Vec<ConfigEntry>, StoreError> {
        unimplemented!()
    }

    /// Keeps a step of an event and a letter to each of `receivers` (`mqtt`, `webhook:ID`, `email`): all or nothing.
    /// A step that is kept already changes nothing.
    pub async fn record(&self, _step: &Step, _receivers: &[String]) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Keeps a clip; its file is moved.
    pub async fn keep_clip(&self, _clip: &Clip) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Events, newest first.
    pub async fn events(&self, _filter: &EventFilter) -> Result<Vec<StoredEvent>, StoreError> {
        unimplemented!()
    }

    /// One event.
    pub async fn event(&self, _id: &str) -> Result<Option<StoredEvent>, StoreError> {
        unimplemented!()
    }

    /// Path of the picture of an event's best view, plain or with boxes and words drawn.
    pub async fn picture(&self, _id: &str, _drawn: bool) -> Result<Option<PathBuf>, StoreError> {
        unimplemented!()
    }

    /// Path of the clip of an event.
    pub async fn clip(&self, _id: &str) -> Result<Option<PathBuf>, StoreError> {
        unimplemented!()
    }

    /// Keeps an event until somebody removes it, or no longer. Whether there is such an event.
    pub async fn set_kept(&self, _id: &str, _kept: bool) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// Removes an event with its picture and clip. Whether there was such an event.
    pub async fn remove(&self, _id: &str) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// The next letters to a receiver, in order.
    pub async fn letters(&self, _receiver: &str, _limit: u32) -> Result<Vec<Letter>, StoreError> {
        unimplemented!()
    }

    /// How many letters wait for a receiver.
    pub async fn waiting(&self, _receiver: &str) -> Result<u64, StoreError> {
        unimplemented!()
    }

    /// A letter has arrived: it is forgotten.
    pub async fn delivered(&self, _receiver: &str, _sequence: i64) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Sending a letter failed.
    pub async fn failed(&self, _receiver: &str, _sequence: i64) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Ends, with the reason `interrupted`, all events that are open since an earlier run of the program. To be
    /// called before the first [`record`](Self::record).
    pub async fn end_interrupted(&self, _receivers: &[String]) -> Result<Vec<Event>, StoreError> {
        unimplemented!()
    }
}
