//! How the node does, once a second on /diagnostics.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mdetr_record::Recording;
use mdetr_ros2_bus::{BusError, reliable};
use mdetr_ros2_messages::diagnostic_msgs::{DiagnosticArray, DiagnosticStatus, KeyValue};
use mdetr_ros2_messages::std_msgs::Header;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{MissedTickBehavior, interval};

use crate::camera::Camera;
use crate::lifecycle::Phase;
use crate::node::Node;

const PERIOD: Duration = Duration::from_secs(1);
/// After how long without an answer something is taken to be wrong.
const SILENCE: Duration = Duration::from_secs(5);

/// Publishes from now on.
///
/// # Errors
/// DDS refuses.
pub(crate) fn start(node: &Rc<Node>) -> Result<JoinHandle<()>, BusError> {
    let topic = node.bus.output("/diagnostics", reliable(10))?;
    let node = node.clone();
    let mut recording = node.taps.recording().map(|recording| Watch {
        name: format!("{}: recording", node.bus.own_name()),
        recording: recording.clone(),
        left_out: 0,
        loses: false,
        failed: false,
    });
    Ok(spawn_local(async move {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut array = array(&node);
            array.status.extend(recording.as_mut().map(Watch::status));
            topic.publish(array);
        }
    }))
}

/// Looks after the recording.
struct Watch {
    name: String,
    recording: Arc<Recording>,
    /// Messages that were left out when it was looked at last.
    left_out: u64,
    /// Whether some were since the look before.
    loses: bool,
    failed: bool,
}

impl Watch {
    /// How it does. What is new and bad is logged, once.
    fn status(&mut self) -> DiagnosticStatus {
        let (recorded, left_out) = (self.recording.recorded(), self.recording.left_out());
        let lost = left_out - self.left_out;
        self.left_out = left_out;
        let (level, message) = match self.recording.error() {
            Some(error) => {
                if !self.failed {
                    tracing::error!(
                        "the recording has ended: {error}; what was written can be read after --recover"
                    );
                }
                self.failed = true;
                (DiagnosticStatus::ERROR, error)
            }
            None if lost > 0 => {
                let message = format!(
                    "{lost} messages were not recorded, as the disk is too slow; {left_out} in all"
                );
                if !self.loses {
                    tracing::warn!("{message}");
                }
                (DiagnosticStatus::WARN, message)
            }
            None => (DiagnosticStatus::OK, "recording".to_owned()),
        };
        self.loses = lost > 0;
        DiagnosticStatus {
            level,
            name: self.name.clone(),
            message,
            hardware_id: String::new(),
            values: vec![value("recorded", recorded), value("left_out", left_out)],
        }
    }
}

fn array(node: &Node) -> DiagnosticArray {
    let mut status = Vec::new();
    node.each_camera(|camera| status.push(of_camera(node, camera)));
    if status.is_empty() {
        status.push(of_node(node));
    }
    DiagnosticArray {
        header: Header {
            stamp: node.clock.now(),
            frame_id: String::new(),
        },
        status,
    }
}

fn value(key: &str, value: impl ToString) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: value.to_string(),
    }
}

/// Without a model and cameras.
fn of_node(node: &Node) -> DiagnosticStatus {
    let state = node.phase().state().label;
    DiagnosticStatus {
        level: DiagnosticStatus::WARN,
        name: node.bus.own_name(),
        message: format!("in the state {state}: no model is loaded"),
        hardware_id: String::new(),
        values: vec![value("state", state)],
    }
}

fn of_camera(node: &Node, camera: &Camera) -> DiagnosticStatus {
    let shared = &camera.shared;
    let name = match shared.name.as_str() {
        "" => node.bus.own_name(),
        camera => format!("{}: {camera}", node.bus.own_name()),
    };
    let (level, message) = level(node, camera);
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counts = &shared.counts;
    let mut values = vec![
        value("state", node.phase().state().label),
        value("enabled", node.enabled()),
        value("topic", &shared.topics.image),
        value("received", count(&counts.received)),
        value("dropped", count(&counts.dropped)),
        value("answered", count(&counts.answered)),
        value("failed", count(&counts.failed)),
        value("rate_hz", format!("{:.1}", counts.rate())),
    ];
    if let Some((taken, at)) = counts.last() {
        values.push(value(
            "inference_ms",
            format!("{:.1}", 1e3 * taken.as_secs_f64()),
        ));
        values.push(value("age_ms", at.elapsed().as_millis()));
    }
    if let Some(standing) = node.standing() {
        values.extend([
            value("model", standing.model()),
            value("engine", standing.engine()),
            value("revision", standing.revision()),
            value("queries", standing.queries()),
        ]);
    }
    DiagnosticStatus {
        level,
        name,
        message,
        hardware_id: String::new(),
        values,
    }
}

fn level(node: &Node, camera: &Camera) -> (u8, String) {
    let phase = node.phase();
    if phase != Phase::Active || !node.enabled() {
        let state = phase.state().label;
        let enabled = if node.enabled() { "" } else { ", disabled" };
        return (
            DiagnosticStatus::OK,
            format!("{state}{enabled}: no pictures are taken"),
        );
    }
    if let Some(failure) = camera.shared.counts.failure() {
        return (DiagnosticStatus::ERROR, failure);
    }
    match camera.shared.counts.last() {
        Some((_, at)) if at.elapsed() <= SILENCE => (DiagnosticStatus::OK, "answering".to_owned()),
        Some(_) => (
            DiagnosticStatus::WARN,
            format!("no picture came for more than {} s", SILENCE.as_secs()),
        ),
        None => (
            DiagnosticStatus::WARN,
            format!("no picture came yet on {}", camera.shared.topics.image),
        ),
    }
}
