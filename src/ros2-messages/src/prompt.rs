//! Services that change what is looked for.
//!
//! NVIDIA's node for Grounding DINO has the service `set_prompt`; whoever calls it can call ours, as [`isaac::SetPrompt`]
//! is the same type. Its answer has no room for the revision of the queries nor for the words of an error, so there is
//! also [`SetQueries`] of a package of our own.

use serde::{Deserialize, Serialize};

use crate::definition::{message, service};

/// `isaac_ros_grounding_dino_interfaces`: what NVIDIA's clients know.
pub mod isaac {
    use super::*;

    /// What to look for.
    #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
    pub struct SetPromptRequest {
        /// A sentence.
        pub prompt: String,
    }

    message!(
        SetPromptRequest,
        "isaac_ros_grounding_dino_interfaces/srv/SetPrompt_Request",
        [],
        "string prompt"
    );

    /// Whether it is looked for.
    #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
    pub struct SetPromptResponse {
        /// Whether it is.
        pub success: bool,
    }

    message!(
        SetPromptResponse,
        "isaac_ros_grounding_dino_interfaces/srv/SetPrompt_Response",
        [],
        "bool success"
    );

    service!(
        /// Changes what is looked for.
        SetPrompt,
        "isaac_ros_grounding_dino_interfaces/srv/SetPrompt",
        SetPromptRequest,
        SetPromptResponse
    );
}

/// What to look for: the standing queries, all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SetQueriesRequest {
    /// One sentence each, targets in brackets.
    pub queries: Vec<String>,
}

message!(
    SetQueriesRequest,
    "mdetr_msgs/srv/SetQueries_Request",
    [],
    "string[] queries"
);

/// Whether they are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SetQueriesResponse {
    /// Whether they are.
    pub success: bool,
    /// Why not.
    pub message: String,
    /// The revision of the standing queries in force. Results that answer the new queries have this one or a higher one.
    pub revision: u64,
}

message!(
    SetQueriesResponse, "mdetr_msgs/srv/SetQueries_Response", [],
    "bool success"
    "string message"
    "uint64 revision"
);

service!(
    /// Changes the standing queries as a whole.
    SetQueries, "mdetr_msgs/srv/SetQueries", SetQueriesRequest, SetQueriesResponse
);
