//! `std_msgs`: what all packages use.

use serde::{Deserialize, Serialize};

use crate::builtin_interfaces::Time;
use crate::definition::message;

/// When and where something was measured.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Header {
    /// When.
    pub stamp: Time,
    /// The coordinate frame; of a camera's pictures one with x to the right, y down and z forward.
    pub frame_id: std::string::String,
}

message!(
    Header, "std_msgs/msg/Header", [Time],
    "builtin_interfaces/Time stamp"
    "string frame_id"
);

/// A text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct String {
    /// The text.
    pub data: std::string::String,
}

message!(String, "std_msgs/msg/String", [], "string data");
