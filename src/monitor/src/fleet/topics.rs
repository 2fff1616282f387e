//! Topics of a group.

use crate::config::Fleet;

/// The topics of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetTopics {
    prefix: String,
}

impl FleetTopics {
    /// Of the group of this name, below a prefix.
    pub fn new(prefix: &str, group: &str) -> FleetTopics {
        let prefix = prefix.trim_end_matches('/');
        FleetTopics {
            prefix: format!("{prefix}/{group}"),
        }
    }

    /// Of the group that a program is of, if it is of one.
    pub fn of(fleet: &Fleet) -> Option<FleetTopics> {
        let group = fleet.group.as_ref()?;
        Some(FleetTopics::new(&fleet.topic_prefix, group))
    }

    /// Where the document is retained.
    pub fn document(&self) -> String {
        format!("{}/watch", self.prefix)
    }

    /// Where a program says what it has taken.
    pub fn receipt(&self, device: &str) -> String {
        format!("{}/devices/{device}", self.prefix)
    }

    /// Where operators say nothing, to hear that the broker has heard them.
    pub fn operators(&self) -> String {
        format!("{}/operators", self.prefix)
    }

    /// Filter of what all programs say.
    pub fn receipts(&self) -> String {
        self.receipt("+")
    }
}
