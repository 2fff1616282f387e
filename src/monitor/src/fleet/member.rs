//! What a program of a fleet has taken.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::document::{FleetDocument, Release, SCHEMA};
use crate::config::Fleet;

/// What a program says of its group's document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// `mdetr-fleet/1`.
    pub schema: String,
    /// Name of the program.
    pub device: String,
    /// What is in force; nothing before the first document.
    pub taken: Option<Taken>,
    /// The newest document that was refused, if it came after that which was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
    /// When this was said.
    pub time: Timestamp,
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// Revision of the document.
    pub document: u64,
    /// Revision of the document that brought what is watched for.
    pub revision: u64,
    /// Whether it is tried only.
    pub candidate: bool,
    /// Revision of the program's configuration with it.
    pub configuration: u64,
}

/// A document that was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// Revision of the document, if it could be read.
    pub document: Option<u64>,
    /// Why.
    pub error: String,
}

/// The newest document of the group that was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetState {
    /// What the fleet's topics begin with.
    pub topic_prefix: String,
    /// The group.
    pub group: String,
    /// Name of the program.
    pub device: String,
    /// The document.
    pub document: FleetDocument,
}

impl FleetState {
    /// Whether it is what a program of this configuration has taken.
    pub fn is_of(&self, fleet: Option<&Fleet>) -> bool {
        fleet.is_some_and(|fleet| {
            fleet.topic_prefix == self.topic_prefix
                && fleet.group.as_ref() == Some(&self.group)
                && fleet.device == self.device
        })
    }

    /// What is to be watched for.
    pub fn release(&self) -> Release<'_> {
        self.document.release(&self.device)
    }

    /// What is said of it.
    pub fn taken(&self, configuration: u64) -> Taken {
        let release = self.release();
        Taken {
            document: self.document.revision,
            revision: release.revision,
            candidate: release.is_candidate,
            configuration,
        }
    }
}

impl Receipt {
    /// What a program says now.
    pub fn new(device: &str, taken: Option<Taken>, refused: Option<Refusal>) -> Receipt {
        Receipt {
            schema: SCHEMA.to_owned(),
            device: device.to_owned(),
            taken,
            refused,
            time: Timestamp::now(),
        }
    }
}
