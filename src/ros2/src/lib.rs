//! The ROS 2 node `mdetr-ros2`: pictures of topics in, what sentences describe in them out, as detections.
//!
//! [`args::parse`] reads the command line and [`run`] runs the node. DDS is on one thread, each camera's inference on
//! another: a picture that comes while one is answered waits for it, and DDS does not.

pub mod args;
mod camera;
mod clock;
mod diagnostics;
mod inputs;
mod lifecycle;
mod log;
mod node;
mod outputs;
mod parameter_services;
mod parameters;
mod picture;
mod prompt;
mod rgb;
mod rosout;
mod rules;
mod services;
mod space;
mod standing;
mod topics;
mod yaml;

use std::rc::Rc;
use std::time::Duration;

pub use mdetr_ros2_bus::BusError;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::task::LocalSet;

use args::Arguments;
use log::Line;
use node::Node;
pub use node::NodeError;

/// How long a model that is being loaded is waited for at the end.
const PATIENCE: Duration = Duration::from_secs(3);

/// The help for the command line.
pub fn help() -> String {
    let distribution = ros2_client::COMPILED_ROS_DISTRO;
    format!(
        "{}\nParameters:\n{}\nBuilt for ROS 2 {distribution}.\n",
        include_str!("help.txt"),
        parameters::help(),
    )
}

/// Runs the node until the program is told to stop, by SIGINT or SIGTERM.
///
/// # Errors
/// A parameter is wrong, or the network cannot be joined.
pub fn run(arguments: &Arguments) -> Result<(), NodeError> {
    let lines = log::start(arguments);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    let ran = local.block_on(&runtime, spin(arguments, lines));
    drop(local);
    runtime.shutdown_timeout(PATIENCE);
    ran
}

async fn spin(arguments: &Arguments, lines: Receiver<Line>) -> Result<(), NodeError> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let node = Rc::new(Node::new(arguments)?);
    arguments.warn_of_unknown();
    let mut tasks = services::start(&node)?;
    tasks.push(diagnostics::start(&node)?);
    tasks.push(rosout::start(&node, lines)?);
    tasks.push(node::follow_listeners(&node));
    let starting = node.clone();
    tasks.push(tokio::task::spawn_local(
        async move { starting.start().await },
    ));
    tokio::select! {
        _ = interrupted.recv() => (),
        _ = terminated.recv() => (),
    }
    tracing::info!("stopping");
    for task in tasks {
        task.abort();
    }
    node.stop().await;
    Ok(())
}
