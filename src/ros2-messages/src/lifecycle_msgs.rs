//! `lifecycle_msgs`: nodes with a life cycle.

use serde::{Deserialize, Serialize};

use crate::definition::{message, service};

/// A state of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// Its number.
    pub id: u8,
    /// Its name.
    pub label: String,
}

/// The numbers.
#[allow(missing_docs)]
impl State {
    pub const PRIMARY_STATE_UNKNOWN: u8 = 0;
    pub const PRIMARY_STATE_UNCONFIGURED: u8 = 1;
    pub const PRIMARY_STATE_INACTIVE: u8 = 2;
    pub const PRIMARY_STATE_ACTIVE: u8 = 3;
    pub const PRIMARY_STATE_FINALIZED: u8 = 4;
    pub const TRANSITION_STATE_CONFIGURING: u8 = 10;
    pub const TRANSITION_STATE_CLEANINGUP: u8 = 11;
    pub const TRANSITION_STATE_SHUTTINGDOWN: u8 = 12;
    pub const TRANSITION_STATE_ACTIVATING: u8 = 13;
    pub const TRANSITION_STATE_DEACTIVATING: u8 = 14;
    pub const TRANSITION_STATE_ERRORPROCESSING: u8 = 15;
}

message!(
    State, "lifecycle_msgs/msg/State", [],
    "uint8 PRIMARY_STATE_UNKNOWN=0"
    "uint8 PRIMARY_STATE_UNCONFIGURED=1"
    "uint8 PRIMARY_STATE_INACTIVE=2"
    "uint8 PRIMARY_STATE_ACTIVE=3"
    "uint8 PRIMARY_STATE_FINALIZED=4"
    "uint8 TRANSITION_STATE_CONFIGURING=10"
    "uint8 TRANSITION_STATE_CLEANINGUP=11"
    "uint8 TRANSITION_STATE_SHUTTINGDOWN=12"
    "uint8 TRANSITION_STATE_ACTIVATING=13"
    "uint8 TRANSITION_STATE_DEACTIVATING=14"
    "uint8 TRANSITION_STATE_ERRORPROCESSING=15"
    "uint8 id"
    "string label"
);

/// A way from a state to another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Transition {
    /// Its number.
    pub id: u8,
    /// Its name.
    pub label: String,
}

/// The numbers.
#[allow(missing_docs)]
impl Transition {
    pub const TRANSITION_CREATE: u8 = 0;
    pub const TRANSITION_CONFIGURE: u8 = 1;
    pub const TRANSITION_CLEANUP: u8 = 2;
    pub const TRANSITION_ACTIVATE: u8 = 3;
    pub const TRANSITION_DEACTIVATE: u8 = 4;
    pub const TRANSITION_UNCONFIGURED_SHUTDOWN: u8 = 5;
    pub const TRANSITION_INACTIVE_SHUTDOWN: u8 = 6;
    pub const TRANSITION_ACTIVE_SHUTDOWN: u8 = 7;
    pub const TRANSITION_DESTROY: u8 = 8;
    pub const TRANSITION_ON_CONFIGURE_SUCCESS: u8 = 10;
    pub const TRANSITION_ON_CONFIGURE_FAILURE: u8 = 11;
    pub const TRANSITION_ON_CONFIGURE_ERROR: u8 = 12;
    pub const TRANSITION_ON_CLEANUP_SUCCESS: u8 = 20;
    pub const TRANSITION_ON_CLEANUP_FAILURE: u8 = 21;
    pub const TRANSITION_ON_CLEANUP_ERROR: u8 = 22;
    pub const TRANSITION_ON_ACTIVATE_SUCCESS: u8 = 30;
    pub const TRANSITION_ON_ACTIVATE_FAILURE: u8 = 31;
    pub const TRANSITION_ON_ACTIVATE_ERROR: u8 = 32;
    pub const TRANSITION_ON_DEACTIVATE_SUCCESS: u8 = 40;
    pub const TRANSITION_ON_DEACTIVATE_FAILURE: u8 = 41;
    pub const TRANSITION_ON_DEACTIVATE_ERROR: u8 = 42;
    pub const TRANSITION_ON_SHUTDOWN_SUCCESS: u8 = 50;
    pub const TRANSITION_ON_SHUTDOWN_FAILURE: u8 = 51;
    pub const TRANSITION_ON_SHUTDOWN_ERROR: u8 = 52;
    pub const TRANSITION_ON_ERROR_SUCCESS: u8 = 60;
    pub const TRANSITION_ON_ERROR_FAILURE: u8 = 61;
    pub const TRANSITION_ON_ERROR_ERROR: u8 = 62;
    pub const TRANSITION_CALLBACK_SUCCESS: u8 = 97;
    pub const TRANSITION_CALLBACK_FAILURE: u8 = 98;
    pub const TRANSITION_CALLBACK_ERROR: u8 = 99;
}

message!(
    Transition, "lifecycle_msgs/msg/Transition", [],
    "uint8 TRANSITION_CREATE=0"
    "uint8 TRANSITION_CONFIGURE=1"
    "uint8 TRANSITION_CLEANUP=2"
    "uint8 TRANSITION_ACTIVATE=3"
    "uint8 TRANSITION_DEACTIVATE=4"
    "uint8 TRANSITION_UNCONFIGURED_SHUTDOWN=5"
    "uint8 TRANSITION_INACTIVE_SHUTDOWN=6"
    "uint8 TRANSITION_ACTIVE_SHUTDOWN=7"
    "uint8 TRANSITION_DESTROY=8"
    "uint8 TRANSITION_ON_CONFIGURE_SUCCESS=10"
    "uint8 TRANSITION_ON_CONFIGURE_FAILURE=11"
    "uint8 TRANSITION_ON_CONFIGURE_ERROR=12"
    "uint8 TRANSITION_ON_CLEANUP_SUCCESS=20"
    "uint8 TRANSITION_ON_CLEANUP_FAILURE=21"
    "uint8 TRANSITION_ON_CLEANUP_ERROR=22"
    "uint8 TRANSITION_ON_ACTIVATE_SUCCESS=30"
    "uint8 TRANSITION_ON_ACTIVATE_FAILURE=31"
    "uint8 TRANSITION_ON_ACTIVATE_ERROR=32"
    "uint8 TRANSITION_ON_DEACTIVATE_SUCCESS=40"
    "uint8 TRANSITION_ON_DEACTIVATE_FAILURE=41"
    "uint8 TRANSITION_ON_DEACTIVATE_ERROR=42"
    "uint8 TRANSITION_ON_SHUTDOWN_SUCCESS=50"
    "uint8 TRANSITION_ON_SHUTDOWN_FAILURE=51"
    "uint8 TRANSITION_ON_SHUTDOWN_ERROR=52"
    "uint8 TRANSITION_ON_ERROR_SUCCESS=60"
    "uint8 TRANSITION_ON_ERROR_FAILURE=61"
    "uint8 TRANSITION_ON_ERROR_ERROR=62"
    "uint8 TRANSITION_CALLBACK_SUCCESS=97"
    "uint8 TRANSITION_CALLBACK_FAILURE=98"
    "uint8 TRANSITION_CALLBACK_ERROR=99"
    "uint8 id"
    "string label"
);

/// A transition with its states.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TransitionDescription {
    /// The transition.
    pub transition: Transition,
    /// From where.
    pub start_state: State,
    /// To where.
    pub goal_state: State,
}

message!(
    TransitionDescription, "lifecycle_msgs/msg/TransitionDescription", [Transition, State],
    "lifecycle_msgs/Transition transition"
    "lifecycle_msgs/State start_state"
    "lifecycle_msgs/State goal_state"
);

/// A transition that took place, as distributions up to Kilted have it. Lyrical has a [`Time`] named `stamp` in place of
/// the timestamp: of the same size, so that its tools read all but the time of this one.
///
/// [`Time`]: crate::builtin_interfaces::Time
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TransitionEvent {
    /// When, in nanoseconds.
    pub timestamp: u64,
    /// The transition.
    pub transition: Transition,
    /// From where.
    pub start_state: State,
    /// To where.
    pub goal_state: State,
}

message!(
    TransitionEvent, "lifecycle_msgs/msg/TransitionEvent", [Transition, State],
    "uint64 timestamp"
    "lifecycle_msgs/Transition transition"
    "lifecycle_msgs/State start_state"
    "lifecycle_msgs/State goal_state"
);

/// The transition to take.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChangeStateRequest {
    /// By its number, or by its label where that is not empty.
    pub transition: Transition,
}

message!(
    ChangeStateRequest,
    "lifecycle_msgs/srv/ChangeState_Request",
    [Transition],
    "lifecycle_msgs/Transition transition"
);

/// Whether it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChangeStateResponse {
    /// Whether it was.
    pub success: bool,
}

message!(
    ChangeStateResponse,
    "lifecycle_msgs/srv/ChangeState_Response",
    [],
    "bool success"
);

/// Nothing but a question.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GetStateRequest {
    /// A byte that ROS sends, as structs of IDL cannot be empty.
    pub structure_needs_at_least_one_member: u8,
}

message!(GetStateRequest, "lifecycle_msgs/srv/GetState_Request", [],);

/// The state of the node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GetStateResponse {
    /// The state.
    pub current_state: State,
}

message!(
    GetStateResponse,
    "lifecycle_msgs/srv/GetState_Response",
    [State],
    "lifecycle_msgs/State current_state"
);

/// Nothing but a question.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GetAvailableStatesRequest {
    /// A byte that ROS sends, as structs of IDL cannot be empty.
    pub structure_needs_at_least_one_member: u8,
}

message!(
    GetAvailableStatesRequest,
    "lifecycle_msgs/srv/GetAvailableStates_Request",
    [],
);

/// All states of the node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GetAvailableStatesResponse {
    /// The states.
    pub available_states: Vec<State>,
}

message!(
    GetAvailableStatesResponse,
    "lifecycle_msgs/srv/GetAvailableStates_Response",
    [State],
    "lifecycle_msgs/State[] available_states"
);

/// Nothing but a question.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GetAvailableTransitionsRequest {
    /// A byte that ROS sends, as structs of IDL cannot be empty.
    pub structure_needs_at_least_one_member: u8,
}

message!(
    GetAvailableTransitionsRequest,
    "lifecycle_msgs/srv/GetAvailableTransitions_Request",
    [],
);

/// Transitions of the node: those from its state, or all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GetAvailableTransitionsResponse {
    /// The transitions.
    pub available_transitions: Vec<TransitionDescription>,
}

message!(
    GetAvailableTransitionsResponse,
    "lifecycle_msgs/srv/GetAvailableTransitions_Response",
    [TransitionDescription],
    "lifecycle_msgs/TransitionDescription[] available_transitions"
);

service!(
    /// Takes a transition.
    ChangeState, "lifecycle_msgs/srv/ChangeState", ChangeStateRequest, ChangeStateResponse
);
service!(
    /// Tells the state.
    GetState, "lifecycle_msgs/srv/GetState", GetStateRequest, GetStateResponse
);
service!(
    /// Tells all states.
    GetAvailableStates,
    "lifecycle_msgs/srv/GetAvailableStates",
    GetAvailableStatesRequest,
    GetAvailableStatesResponse
);
service!(
    /// Tells the transitions from the state that the node is in; as `get_transition_graph`, all.
    GetAvailableTransitions,
    "lifecycle_msgs/srv/GetAvailableTransitions",
    GetAvailableTransitionsRequest,
    GetAvailableTransitionsResponse
);
