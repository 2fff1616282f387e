//! The ROS 2 node `mdetr-ros2`: pictures of topics in, what sentences describe in them out, as detections.
//!
//! [`args::parse`] reads the command line and [`run`] runs the node. DDS is on one thread, each camera's inference on
//! another: a picture that comes while one is answered waits for it, and DDS does not.

pub mod args;
mod camera;
mod clock;
mod diagnostics;
mod entries;
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
mod taps;
mod topics;
mod viewers;
mod viewing;
mod yaml;

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use mdetr_record::RecordError;
pub use mdetr_ros2_bus::BusError;
use mdetr_ros2_bus::{Bus, Surroundings};
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::task::LocalSet;

use args::Arguments;
use clock::Clock;
use entries::Entries;
use log::Line;
use node::Node;
pub use node::NodeError;
use parameters::Values;
pub use taps::TapError;
use taps::Taps;
use viewers::{Change, Viewers};

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

/// Writes the messages of a recording that was not finished to a new file; what came of it, in words.
///
/// # Errors
/// It is no recording, or the new file exists or cannot be written.
pub fn recover(from: &Path, to: &Path) -> Result<String, RecordError> {
    let found = mdetr_record::recover(from, to)?;
    let (messages, to) = (found.messages, to.display());
    Ok(match found.damage {
        None => format!("{to}: {messages} messages; the recording is whole"),
        Some(damage) => format!("{to}: {messages} messages; then {damage}"),
    })
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
    let signals = Signals::new(&runtime)?;
    // Foxglove's server has a runtime of its own, which cannot be made within this one.
    let start = Start::new(arguments)?;
    let local = LocalSet::new();
    let ran = local.block_on(&runtime, spin(arguments, start, signals, lines));
    drop(local);
    runtime.shutdown_timeout(PATIENCE);
    ran
}

/// What ends the program.
struct Signals {
    interrupted: Signal,
    terminated: Signal,
}

impl Signals {
    fn new(runtime: &Runtime) -> io::Result<Signals> {
        let _within = runtime.enter();
        Ok(Signals {
            interrupted: signal(SignalKind::interrupt())?,
            terminated: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one.
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupted.recv() => (),
            _ = self.terminated.recv() => (),
        }
    }
}

/// What there is before there is a node.
struct Start {
    values: Values,
    surroundings: Surroundings,
    clock: Clock,
    entries: Entries,
    changes: Receiver<Change>,
    taps: Taps,
}

impl Start {
    /// Files are made and ports taken when all else is known to be sound.
    fn new(arguments: &Arguments) -> Result<Start, NodeError> {
        let values = arguments.values().map_err(NodeError::Parameter)?;
        let surroundings = Surroundings::of_environment()?;
        let entries = Entries::default();
        let (viewers, changes) = Viewers::new(entries.clone());
        let name = arguments.node.fully_qualified_name();
        Ok(Start {
            values,
            surroundings,
            clock: Clock::default(),
            entries,
            changes,
            taps: Taps::open(&arguments.beside, &name, viewers)?,
        })
    }
}

async fn spin(
    arguments: &Arguments,
    start: Start,
    mut signals: Signals,
    lines: Receiver<Line>,
) -> Result<(), NodeError> {
    let (taps, clock) = (start.taps, start.clock);
    let bus = Bus::new(start.surroundings, &arguments.node, &arguments.remaps)?;
    let bus = bus.tapped(taps.tapping(clock.clone()));
    let node = Node::new(bus, taps.clone(), clock, start.values, start.entries)?;
    let node = Rc::new(node);
    arguments.warn_of_unknown();
    taps.announce(&arguments.beside);
    let mut tasks = services::start(&node)?;
    tasks.push(viewers::follow(&node, start.changes));
    tasks.push(diagnostics::start(&node)?);
    tasks.push(rosout::start(&node, lines)?);
    tasks.push(node::follow_listeners(&node));
    let starting = node.clone();
    tasks.push(tokio::task::spawn_local(
        async move { starting.start().await },
    ));
    signals.recv().await;
    tracing::info!("stopping");
    for task in tasks {
        task.abort();
    }
    node.stop().await;
    let ended = tokio::task::spawn_blocking(move || taps.finish());
    tokio::select! {
        ended = ended => Ok(ended.unwrap_or(Ok(()))?),
        // The disk may hang.
        () = signals.recv() => Err(NodeError::Unfinished),
    }
}
