//! The log on the topic /rosout.

use std::rc::Rc;

use mdetr_ros2_bus::{BusError, latched};
use mdetr_ros2_messages::rcl_interfaces::Log;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinHandle, spawn_local};

use crate::log::Line;
use crate::node::Node;

/// How long lines are kept for those who come later.
const LIFESPAN: std::time::Duration = std::time::Duration::from_secs(10);
const DEPTH: usize = 1000;

/// Publishes the lines of the log.
///
/// # Errors
/// DDS refuses.
pub(crate) fn start(
    node: &Rc<Node>,
    mut lines: Receiver<Line>,
) -> Result<JoinHandle<()>, BusError> {
    let qos = latched()
        .history(ros2_client::qos::History::KeepLast { depth: DEPTH })
        .lifespan(Some(LIFESPAN));
    let topic = node.bus.output("/rosout", qos)?;
    let node = node.clone();
    Ok(spawn_local(async move {
        // As rcl names loggers: parts are separated by dots.
        let name = node.bus.own_name()[1..].replace('/', ".");
        while let Some(line) = lines.recv().await {
            topic.publish(Log {
                stamp: node.clock.now(),
                level: line.severity,
                name: name.clone(),
                msg: line.message,
                file: line.file.to_owned(),
                function: String::new(),
                line: line.line,
            });
        }
    }))
}
