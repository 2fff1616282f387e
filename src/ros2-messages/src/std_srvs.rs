//! `std_srvs`: services for switches and buttons.

use serde::{Deserialize, Serialize};

use crate::definition::{message, service};

/// On or off.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SetBoolRequest {
    /// On.
    pub data: bool,
}

message!(
    SetBoolRequest,
    "std_srvs/srv/SetBool_Request",
    [],
    "bool data"
);

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SetBoolResponse {
    /// Whether it was done.
    pub success: bool,
    /// What to add.
    pub message: String,
}

message!(
    SetBoolResponse, "std_srvs/srv/SetBool_Response", [],
    "bool success"
    "string message"
);

/// Nothing but a wish.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TriggerRequest {
    /// A byte that ROS sends, as structs of IDL cannot be empty.
    pub structure_needs_at_least_one_member: u8,
}

message!(TriggerRequest, "std_srvs/srv/Trigger_Request", [],);

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TriggerResponse {
    /// Whether it was done.
    pub success: bool,
    /// What to add.
    pub message: String,
}

message!(
    TriggerResponse, "std_srvs/srv/Trigger_Response", [],
    "bool success"
    "string message"
);

service!(
    /// Switches something on or off.
    SetBool, "std_srvs/srv/SetBool", SetBoolRequest, SetBoolResponse
);
service!(
    /// Does something.
    Trigger, "std_srvs/srv/Trigger", TriggerRequest, TriggerResponse
);
