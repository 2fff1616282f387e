//! `diagnostic_msgs`: how a node does.

use serde::{Deserialize, Serialize};

use crate::definition::message;
use crate::std_msgs::Header;

/// A value with a name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyValue {
    /// The name.
    pub key: String,
    /// The value.
    pub value: String,
}

message!(
    KeyValue, "diagnostic_msgs/msg/KeyValue", [],
    "string key"
    "string value"
);

/// How a part of a robot does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DiagnosticStatus {
    /// [`OK`](Self::OK), [`WARN`](Self::WARN), [`ERROR`](Self::ERROR) or [`STALE`](Self::STALE).
    pub level: u8,
    /// The part.
    pub name: String,
    /// How it does, in words.
    pub message: String,
    /// The hardware.
    pub hardware_id: String,
    /// Measurements.
    pub values: Vec<KeyValue>,
}

impl DiagnosticStatus {
    /// It does well.
    pub const OK: u8 = 0;
    /// Something is not as it should be.
    pub const WARN: u8 = 1;
    /// It does not work.
    pub const ERROR: u8 = 2;
    /// Nothing was heard from it.
    pub const STALE: u8 = 3;
}

message!(
    DiagnosticStatus, "diagnostic_msgs/msg/DiagnosticStatus", [KeyValue],
    "byte OK=0"
    "byte WARN=1"
    "byte ERROR=2"
    "byte STALE=3"
    "byte level"
    "string name"
    "string message"
    "string hardware_id"
    "diagnostic_msgs/KeyValue[] values"
);

/// How the parts of a robot do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DiagnosticArray {
    /// When.
    pub header: Header,
    /// The parts.
    pub status: Vec<DiagnosticStatus>,
}

message!(
    DiagnosticArray, "diagnostic_msgs/msg/DiagnosticArray", [Header, DiagnosticStatus],
    "std_msgs/Header header"
    "diagnostic_msgs/DiagnosticStatus[] status"
);
