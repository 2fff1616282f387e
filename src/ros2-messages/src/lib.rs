//! Messages and services of ROS 2, and what was found as such messages.
//!
//! The messages are plain structs with a [`Message::DEFINITION`], in modules named after their packages. There is no DDS
//! here: `ros2-client`, MCAP files or [`cdr`] take them as serde gives them.

pub mod builtin_interfaces;
pub mod cdr;
pub mod definition;
pub mod diagnostic_msgs;
pub mod geometry_msgs;
pub mod lifecycle_msgs;
pub mod prompt;
pub mod sensor_msgs;
pub mod std_msgs;
pub mod std_srvs;
pub mod vision_msgs;

pub use cdr::{CdrError, from_cdr, to_cdr};
pub use definition::{Definition, Message, Service};
