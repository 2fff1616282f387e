//! What is counted, in Prometheus' text format.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mdetr_rules::{Event, EventKind};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::hub::{BrokerStatus, CameraState, CameraStatus, StoreStatus};
use crate::sites::{Counts, Outcome};

/// What a metric is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCamera {
    camera: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    camera: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRule {
    camera: String,
    rule: String,
    severity: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReceiver {
    receiver: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

/// What is counted while the program runs.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    frames: Family<OfCamera, Counter>,
    inferences: Family<OfCamera, Counter>,
    inference: Family<OfCamera, Histogram>,
    age: Family<OfCamera, Histogram>,
    reconnects: Family<OfCamera, Counter>,
    events: Family<OfRule, Counter>,
    past_frames: Family<OfCamera, Counter>,
    past_skipped: Family<OfCamera, Counter>,
    past_bytes: Gauge,
    states: States,
    /// One text at a time is written, since states are set for it.
    rendering: Mutex<()>,
}

/// What is looked up when somebody asks.
#[derive(Debug, Default)]
struct States {
    revision: Gauge,
    camera: Family<OfState, Gauge>,
    fps: Family<OfCamera, Gauge<f64, AtomicU64>>,
    broker: Gauge,
    writable: Gauge,
    bytes: Gauge,
    free: Gauge,
    queue: Gauge,
    outbox: Family<OfReceiver, Gauge>,
    steps: Family<OfOutcome, Counter>,
    failures: Counter,
    lost: Counter,
}

/// The state of the program when somebody asks for metrics.
#[derive(Debug, Clone)]
pub struct Scrape {
    /// Revision of the configuration.
    pub revision: u64,
    /// Cameras.
    pub cameras: Vec<Arc<CameraStatus>>,
    /// The broker, if there is one.
    pub broker: Option<Arc<BrokerStatus>>,
    /// The store.
    pub store: Arc<StoreStatus>,
    /// Tries of the store to write that failed, since the program began.
    pub failures: u64,
    /// Steps of events that the store lost.
    pub lost: u64,
    /// Receivers, and how many steps of events wait for each.
    pub outbox: Vec<(String, u64)>,
    /// What a hub counts.
    pub counts: Option<Arc<Counts>>,
}

/// Seconds: from a fast GPU to a slow processor that many cameras share.
fn seconds() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ])
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::default(),
            frames: Family::default(),
            inferences: Family::default(),
            inference: Family::new_with_constructor(seconds),
            age: Family::new_with_constructor(seconds),
            reconnects: Family::default(),
            events: Family::default(),
            past_frames: Family::default(),
            past_skipped: Family::default(),
            past_bytes: Gauge::default(),
            states: States::default(),
            rendering: Mutex::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("mdetr");
        let states = &self.states;
        registry.register("frames", "Frames that came", self.frames.clone());
        registry.register(
            "inferences",
            "Frames that were inferred",
            self.inferences.clone(),
        );
        registry.register_with_unit(
            "inference",
            "Time from a frame to the first frame with its result: waiting for a turn, inference, and the wait for that frame",
            Unit::Seconds,
            self.inference.clone(),
        );
        registry.register_with_unit(
            "result_age",
            "Age of results when they were reported",
            Unit::Seconds,
            self.age.clone(),
        );
        registry.register(
            "reconnects",
            "How often a camera was connected anew",
            self.reconnects.clone(),
        );
        registry.register("events", "Events that began", self.events.clone());
        registry.register(
            "past_frames",
            "Frames that were kept to be asked later",
            self.past_frames.clone(),
        );
        registry.register(
            "past_skipped",
            "Frames that were not kept, since those before took too long or could not be",
            self.past_skipped.clone(),
        );
        registry.register_with_unit(
            "past",
            "Size of what is kept to be asked later",
            Unit::Bytes,
            self.past_bytes.clone(),
        );
        registry.register(
            "store_failed_writes",
            "Tries to write that failed",
            states.failures.clone(),
        );
        registry.register(
            "store_lost_steps",
            "Steps of events that were lost: they could not be written, and too many waited",
            states.lost.clone(),
        );
        registry.register(
            "config_revision",
            "Revision of the configuration in force",
            states.revision.clone(),
        );
        registry.register(
            "camera_state",
            "1 for the state that the camera is in",
            states.camera.clone(),
        );
        registry.register(
            "camera_fps",
            "Frames a second that came, over the last seconds",
            states.fps.clone(),
        );
        registry.register(
            "broker_connected",
            "Whether the broker is connected",
            states.broker.clone(),
        );
        registry.register(
            "store_writable",
            "Whether events can be written",
            states.writable.clone(),
        );
        registry.register_with_unit(
            "store",
            "Size of pictures and clips",
            Unit::Bytes,
            states.bytes.clone(),
        );
        registry.register_with_unit(
            "store_free",
            "Free space on the disk of the store",
            Unit::Bytes,
            states.free.clone(),
        );
        registry.register(
            "store_waiting",
            "Steps of events that wait to be written",
            states.queue.clone(),
        );
        registry.register(
            "outbox_waiting",
            "Steps of events that wait for a receiver",
            states.outbox.clone(),
        );
        registry.register(
            "hub_steps",
            "Steps of events that came to this hub, by what became of them",
            states.steps.clone(),
        );
        self.registry.register_collector(Box::new(Process));
    }

    /// A frame of a camera came.
    pub fn frame(&self, camera: &str) {
        self.frames.get_or_create(&of(camera)).inc();
    }

    /// A frame of a camera was inferred; the first frame with its result came so many seconds behind it.
    pub fn inference(&self, camera: &str, seconds: f64) {
        self.inferences.get_or_create(&of(camera)).inc();
        self.inference.get_or_create(&of(camera)).observe(seconds);
    }

    /// A result was reported so many seconds behind its frame.
    pub fn age(&self, camera: &str, seconds: f64) {
        self.age.get_or_create(&of(camera)).observe(seconds);
    }

    /// A camera was connected anew.
    pub fn reconnect(&self, camera: &str) {
        self.reconnects.get_or_create(&of(camera)).inc();
    }

    /// A frame was kept to be asked later; all that are take so many bytes.
    pub fn kept(&self, camera: &str, bytes: u64) {
        self.past_frames.get_or_create(&of(camera)).inc();
        self.past_bytes.set(number(bytes));
    }

    /// A frame was not kept that should have been.
    pub fn not_kept(&self, camera: &str) {
        self.past_skipped.get_or_create(&of(camera)).inc();
    }

    /// A step of an event. Beginnings are counted.
    pub fn event(&self, event: &Event) {
        use mdetr_rules::document::Severity;
        if event.kind == EventKind::New {
            let label = OfRule {
                camera: event.camera.clone(),
                rule: event.rule.clone(),
                severity: match event.severity {
                    Severity::Alert => "alert",
                    Severity::Detection => "detection",
                },
            };
            self.events.get_or_create(&label).inc();
        }
    }

    /// All metrics in Prometheus' text format, version 0.0.4.
    pub fn render(&self, scrape: &Scrape) -> String {
        let _one = self.rendering.lock().expect("no code panics with the lock");
        self.states.set(scrape);
        let mut open = String::new();
        text::encode(&mut open, &self.registry).expect("a string takes all text");
        classic(&open)
    }
}

fn of(camera: &str) -> OfCamera {
    let camera = camera.to_owned();
    OfCamera { camera }
}

impl States {
    fn set(&self, scrape: &Scrape) {
        let known = [
            (CameraState::Connecting, "connecting"),
            (CameraState::Online, "online"),
            (CameraState::Stalled, "stalled"),
            (CameraState::Offline, "offline"),
            (CameraState::Disabled, "disabled"),
        ];
        // Cameras and receivers that are gone have no state.
        self.camera.clear();
        self.fps.clear();
        self.outbox.clear();
        self.revision.set(number(scrape.revision));
        for status in &scrape.cameras {
            for (state, name) in known {
                let label = OfState {
                    camera: status.name.clone(),
                    state: name,
                };
                let gauge = self.camera.get_or_create_owned(&label);
                gauge.set((status.state == state).into());
            }
            self.fps
                .get_or_create_owned(&of(&status.name))
                .set(status.fps);
        }
        let connected = scrape
            .broker
            .as_ref()
            .is_some_and(|broker| broker.connected);
        self.broker.set(connected.into());
        self.writable.set(scrape.store.writable.into());
        self.bytes.set(number(scrape.store.bytes));
        self.free.set(number(scrape.store.free_bytes));
        self.queue.set(number(scrape.store.waiting));
        self.failures
            .inner()
            .store(scrape.failures, Ordering::Relaxed);
        self.lost.inner().store(scrape.lost, Ordering::Relaxed);
        for (receiver, waiting) in &scrape.outbox {
            let receiver = receiver.clone();
            let gauge = self.outbox.get_or_create_owned(&OfReceiver { receiver });
            gauge.set(number(*waiting));
        }
        if let Some(counts) = &scrape.counts {
            for outcome in Outcome::ALL {
                let label = OfOutcome {
                    outcome: outcome.name(),
                };
                let counter = self.steps.get_or_create_owned(&label);
                counter
                    .inner()
                    .store(counts.get(outcome), Ordering::Relaxed);
            }
        }
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The text as programs before OpenMetrics know it: the metadata of counters have the name of their samples.
fn classic(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), rest) => help = Some((name, rest)),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let end = if kind == "counter" { "_total" } else { "" };
                if let Some((_, Some(help))) = help.take().filter(|(of, _)| *of == name) {
                    writeln!(text, "# HELP {name}{end} {help}").expect("a string takes all text");
                }
                writeln!(text, "# TYPE {name}{end} {kind}").expect("a string takes all text");
            }
            (Some("#"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

/// What the system tells of this process.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        if let Some(bytes) = resident_bytes() {
            let metric = ConstGauge::new(number(bytes));
            let help = "Resident memory";
            let unit = Some(&Unit::Bytes);
            let metrics = encoder.encode_descriptor(
                "process_resident_memory",
                help,
                unit,
                metric.metric_type(),
            )?;
            metric.encode(metrics)?;
        }
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let metric = ConstCounter::new(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
        let help = "Processor time of all threads";
        let unit = Some(&Unit::Seconds);
        let metrics = encoder.encode_descriptor("process_cpu", help, unit, metric.metric_type())?;
        metric.encode(metrics)?;
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            let metric = ConstGauge::new(number(files.count() as u64));
            let help = "Open file descriptors";
            let metrics =
                encoder.encode_descriptor("process_open_fds", help, None, metric.metric_type())?;
            metric.encode(metrics)?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape() -> Scrape {
        let camera = CameraStatus {
            name: "gate".to_owned(),
            state: CameraState::Online,
            since: jiff::Timestamp::UNIX_EPOCH,
            message: None,
            size: None,
            video: false,
            fps: 14.5,
            inferred_fps: 3.0,
            reconnects: 1,
            revision: 1,
        };
        let counts = Counts::default();
        counts.add(Outcome::Known, 5);
        Scrape {
            revision: 7,
            cameras: vec![Arc::new(camera)],
            broker: None,
            store: Arc::new(StoreStatus {
                writable: true,
                bytes: 4096,
                ..StoreStatus::default()
            }),
            failures: 1,
            lost: 0,
            outbox: vec![("webhook:phone".to_owned(), 3)],
            counts: Some(counts.into()),
        }
    }

    fn filled() -> Metrics {
        let metrics = Metrics::default();
        metrics.frame("gate");
        metrics.frame("gate");
        metrics.inference("gate", 0.2);
        metrics.age("gate", 0.3);
        metrics.reconnect("gate");
        metrics
    }

    #[test]
    fn metrics_tell_what_was_counted_and_what_is() {
        let metrics = filled();
        let text = metrics.render(&scrape());
        for line in [
            "# TYPE mdetr_frames_total counter",
            "mdetr_frames_total{camera=\"gate\"} 2",
            "mdetr_inferences_total{camera=\"gate\"} 1",
            "mdetr_inference_seconds_bucket{le=\"0.25\",camera=\"gate\"} 1",
            "mdetr_inference_seconds_bucket{le=\"0.1\",camera=\"gate\"} 0",
            "mdetr_camera_state{camera=\"gate\",state=\"online\"} 1",
            "mdetr_camera_state{camera=\"gate\",state=\"offline\"} 0",
            "mdetr_camera_fps{camera=\"gate\"} 14.5",
            "mdetr_store_bytes 4096",
            "mdetr_store_failed_writes_total 1",
            "mdetr_store_lost_steps_total 0",
            "mdetr_outbox_waiting{receiver=\"webhook:phone\"} 3",
            "mdetr_hub_steps_total{outcome=\"known\"} 5",
            "mdetr_config_revision 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(resident_bytes().unwrap() > 1 << 20);
        // What is gone has no state any more.
        let mut later = scrape();
        later.cameras.clear();
        let text = metrics.render(&later);
        assert!(!text.contains("mdetr_camera_state{"), "{text}");
    }

    #[test]
    fn beginnings_of_events_are_counted() {
        let text = r#"{"kind":"new","id":"1","camera":"gate","rule":"night","severity":"alert","query":"q",
            "text":"a person","revision":1,"start":"2026-01-05T10:15:03Z","time":"2026-01-05T10:15:03Z","score":0.5,
            "tracks":[],"phrases":[],"zones":[],
            "best":{"frame":1,"utc":"2026-01-05T10:15:03Z","size":[640,480],"boxes":[],"score":0.5}}"#;
        let mut event: Event = serde_json::from_str(text).unwrap();
        let metrics = Metrics::default();
        metrics.event(&event);
        event.kind = EventKind::End;
        metrics.event(&event);
        let line = r#"mdetr_events_total{camera="gate",rule="night",severity="alert"} 1"#;
        let text = metrics.render(&scrape());
        assert!(text.lines().any(|found| found == line), "{text}");
    }

    #[test]
    #[ignore = "needs promtool"]
    fn promtool_is_content() {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool, of Debian's package prometheus");
        let text = filled().render(&scrape());
        let mut stdin = promtool.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        drop(stdin);
        let found = promtool.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&found.stderr) + String::from_utf8_lossy(&found.stdout);
        assert!(found.status.success() && told.is_empty(), "{told}\n{text}");
    }
}
