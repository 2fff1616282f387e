//! `rcl_interfaces`: what every node says of its log and its parameters.

use serde::{Deserialize, Serialize};

use crate::builtin_interfaces::Time;
use crate::definition::message;

/// A line of a node's log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Log {
    /// When it was written.
    pub stamp: Time,
    /// [`DEBUG`](Self::DEBUG) to [`FATAL`](Self::FATAL).
    pub level: u8,
    /// The logger: the node's name, with dots between its parts.
    pub name: String,
    /// The text.
    pub msg: String,
    /// The file of the source.
    pub file: String,
    /// The function in it.
    pub function: String,
    /// The line in it.
    pub line: u32,
}

impl Log {
    /// For developers.
    pub const DEBUG: u8 = 10;
    /// For users.
    pub const INFO: u8 = 20;
    /// What may be a mistake.
    pub const WARN: u8 = 30;
    /// What went wrong.
    pub const ERROR: u8 = 40;
    /// What ends the node.
    pub const FATAL: u8 = 50;
}

message!(
    Log, "rcl_interfaces/msg/Log", [Time],
    "uint8 DEBUG=10"
    "uint8 INFO=20"
    "uint8 WARN=30"
    "uint8 ERROR=40"
    "uint8 FATAL=50"
    "builtin_interfaces/Time stamp"
    "uint8 level"
    "string name"
    "string msg"
    "string file"
    "string function"
    "uint32 line"
);

/// A value of a parameter: the field that `type` names has it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ParameterValue {
    /// 0 nothing, 1 a boolean, 2 an integer, 3 a double, 4 a string, 5 to 9 lists of bytes, booleans, integers, doubles and
    /// strings.
    pub r#type: u8,
    /// A boolean.
    pub bool_value: bool,
    /// An integer.
    pub integer_value: i64,
    /// A double.
    pub double_value: f64,
    /// A string.
    pub string_value: String,
    /// Bytes.
    #[serde(with = "serde_bytes")]
    pub byte_array_value: Vec<u8>,
    /// Booleans.
    pub bool_array_value: Vec<bool>,
    /// Integers.
    pub integer_array_value: Vec<i64>,
    /// Doubles.
    pub double_array_value: Vec<f64>,
    /// Strings.
    pub string_array_value: Vec<String>,
}

message!(
    ParameterValue, "rcl_interfaces/msg/ParameterValue", [],
    "uint8 type"
    "bool bool_value"
    "int64 integer_value"
    "float64 double_value"
    "string string_value"
    "byte[] byte_array_value"
    "bool[] bool_array_value"
    "int64[] integer_array_value"
    "float64[] double_array_value"
    "string[] string_array_value"
);

/// A parameter of a node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: ParameterValue,
}

message!(
    Parameter, "rcl_interfaces/msg/Parameter", [ParameterValue],
    "string name"
    "rcl_interfaces/ParameterValue value"
);

/// Changes of a node's parameters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ParameterEvent {
    /// When.
    pub stamp: Time,
    /// The node, with its namespace.
    pub node: String,
    /// Parameters that were not there before.
    pub new_parameters: Vec<Parameter>,
    /// Those with another value.
    pub changed_parameters: Vec<Parameter>,
    /// Those that are gone.
    pub deleted_parameters: Vec<Parameter>,
}

message!(
    ParameterEvent, "rcl_interfaces/msg/ParameterEvent", [Time, Parameter],
    "builtin_interfaces/Time stamp"
    "string node"
    "rcl_interfaces/Parameter[] new_parameters"
    "rcl_interfaces/Parameter[] changed_parameters"
    "rcl_interfaces/Parameter[] deleted_parameters"
);
