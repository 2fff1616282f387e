//! Nodes of ROS 2 on DDS, and results on their topics.
//!
//! A [`Bus`] is a node with its topics and services, under the names that they are remapped to. It lives on one thread;
//! [`Output`]s and [`Results`] may go to others. [`Results`] publishes what was found in a picture, as the node
//! `mdetr-ros2` and the element `mdetrros2sink` do. What is worth a warning is said with `tracing`.

mod bus;
mod listeners;
mod mailbox;
pub mod names;
mod results;
mod server;

pub use bus::{
    Bus, BusError, LINGER, Output, Surroundings, Tap, Tapping, best_effort, latched, reliable,
};
pub use mailbox::Mailbox;
pub use names::Remap;
pub use results::{Found, Results};
pub use ros2_client::{COMPILED_ROS_DISTRO, NodeName, QosProfile, Subscription};
pub use server::Server;
