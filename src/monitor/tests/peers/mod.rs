//! Real peers on loopback for the tests of what the program sends.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use mdetr_grounding::{Answer, BBox, Detection, Grounding, Phrase, Query, QueryResult, Span};
use mdetr_monitor::config::{self, Document};
use mdetr_monitor::hub::{Current, Hub, LazyLine, Notice, Report, Step};
use mdetr_monitor::notify;
use mdetr_monitor::store::Store;
use mdetr_rules::event::EndReason;
use mdetr_rules::{Event, EventKind};
use rumqttc::{AsyncClient, Incoming, MqttOptions, QoS};
use tempfile::TempDir;

#[path = "../../src/example.rs"]
mod example;

pub use example::begun;

/// How long a test waits for what must come: only what hangs takes so long.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// Whether something listens on a port of this machine; without connecting, which a server might count.
fn is_listening(port: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("this is Linux");
    sockets.contains(&format!(" 0100007F:{port:04X} 00000000:0000 0A "))
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A mosquitto.
pub struct Mosquitto {
    directory: TempDir,
    pub port: u16,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts one that anybody may use.
    pub fn start() -> Mosquitto {
        Mosquitto::start_with("allow_anonymous true\n")
    }

    /// Starts one with further settings.
    pub fn start_with(settings: &str) -> Mosquitto {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let path = directory.path().display();
        let text = format!(
            "listener {port} 127.0.0.1\n{settings}\npersistence true\npersistence_location {path}/\n\
             autosave_interval 1\nautosave_on_changes true\nmax_queued_messages 0\nuser root\nlog_type none\n"
        );
        std::fs::write(directory.path().join("mosquitto.conf"), text).unwrap();
        let mut broker = Mosquitto {
            directory,
            port,
            child: None,
        };
        broker.restart();
        broker
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(self.directory.path().join("mosquitto.conf"))
            .stdin(Stdio::null())
            .spawn()
            .expect("mosquitto is installed");
        self.child = Some(child);
        let begun = Instant::now();
        while !is_listening(self.port) {
            assert!(begun.elapsed() < PATIENCE, "mosquitto does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it runs");
        let status = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        self.signal("-TERM");
        self.child.take().expect("it runs").wait().unwrap();
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.signal("-KILL");
        self.child.take().expect("it runs").wait().unwrap();
    }

    /// Holds it.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it read its files of users and rights again.
    pub fn reload(&self) {
        self.signal("-HUP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A message as it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub topic: String,
    pub payload: Vec<u8>,
    pub retained: bool,
}

impl Received {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload).unwrap()
    }
}

/// Somebody who hears everything (MQTT 3.1.1), and keeps the session when the broker goes.
pub struct Listener {
    pub client: AsyncClient,
    received: Arc<Mutex<Vec<Received>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    pub async fn connect(broker: &Mosquitto) -> Listener {
        Listener::connect_as(broker, "listener", None).await
    }

    pub async fn connect_as(
        broker: &Mosquitto,
        name: &str,
        user: Option<(&str, &str)>,
    ) -> Listener {
        let mut options = MqttOptions::new(name, "127.0.0.1", broker.port);
        options
            .set_clean_session(false)
            .set_inflight(1000)
            .set_max_packet_size(16 << 20, 16 << 20);
        if let Some((name, password)) = user {
            options.set_credentials(name, password);
        }
        let (client, mut events) = AsyncClient::new(options, 16);
        client.subscribe("#", QoS::AtLeastOnce).await.unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (subscribed, ready) = tokio::sync::oneshot::channel();
        let list = received.clone();
        let task = tokio::spawn(async move {
            let mut subscribed = Some(subscribed);
            loop {
                match events.poll().await {
                    Ok(rumqttc::Event::Incoming(Incoming::Publish(packet))) => {
                        list.lock().unwrap().push(Received {
                            topic: packet.topic,
                            payload: packet.payload.to_vec(),
                            retained: packet.retain,
                        });
                    }
                    Ok(rumqttc::Event::Incoming(Incoming::SubAck(_))) => {
                        if let Some(subscribed) = subscribed.take() {
                            let _ = subscribed.send(());
                        }
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        ready.await.unwrap();
        Listener {
            client,
            received,
            task,
        }
    }

    pub async fn say(&self, topic: &str, payload: &str, retain: bool) {
        let sent = self
            .client
            .publish(topic, QoS::AtLeastOnce, retain, payload);
        sent.await.unwrap();
    }

    pub fn all(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub fn on(&self, topic: &str) -> Vec<Received> {
        let all = self.all().into_iter();
        all.filter(|message| message.topic == topic).collect()
    }

    pub fn count(&self, topic: &str) -> usize {
        let received = self.received.lock().unwrap();
        received
            .iter()
            .filter(|message| message.topic == topic)
            .count()
    }

    /// The last text on a topic.
    pub fn last(&self, topic: &str) -> Option<String> {
        self.on(topic)
            .last()
            .map(|message| message.text().to_owned())
    }

    /// Waits until the last text on a topic is this.
    pub async fn wait(&self, topic: &str, text: &str) {
        let what = format!("{topic} says {text:?}; it says {:?}", self.last(topic));
        until(&what, async || self.last(topic).as_deref() == Some(text)).await;
    }

    /// Steps of events in the order in which they came: id and kind.
    pub fn steps(&self) -> Vec<(String, String)> {
        let events = self.on("mdetr/events").into_iter();
        events
            .map(|message| {
                let json = message.json();
                let id = json["after"]["id"].as_str().unwrap().to_owned();
                (id, json["type"].as_str().unwrap().to_owned())
            })
            .collect()
    }
}

/// A configuration file with a camera, a question and a rule, and what `more` adds.
pub fn config_text(data: &Path, more: &str) -> String {
    format!(
        r#"
data = "{}"
{more}
[[camera]]
name = "gate"
url = "tabletop://?seed=7"

[[camera.query]]
id = "helmet"
text = "[a person] without a helmet"

[[camera.query]]
id = "how many?"
text = "how many cones are there?"

[[camera.zone]]
id = "yard"
points = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]

[[camera.rule]]
id = "no-helmet"
when = {{ is = "present", query = "helmet", zone = "yard" }}

[[camera]]
name = "dock"
url = "tabletop://?seed=8"

[[camera.query]]
id = "forklift"
text = "a forklift"
"#,
        data.display()
    )
}

/// The middle of the program with a store, without cameras.
pub struct Program {
    directory: TempDir,
    pub hub: Arc<Hub>,
    pub store: Store,
    pub file: PathBuf,
}

impl Program {
    pub async fn start(more: &str) -> Program {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let file = directory.path().join("monitor.toml");
        std::fs::write(&file, config_text(&data, more)).unwrap();
        let document = config::read(&file).unwrap().document;
        assert_eq!(config::check(&document), []);
        let store = Store::open(&data, &document.store).await.unwrap();
        let current = Current {
            revision: 1,
            document,
        };
        let (hub, _) = Hub::new(current);
        Program {
            directory,
            hub,
            store,
            file,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts another document in force.
    pub fn change(&self, change: impl FnOnce(&mut Document)) {
        let current = self.hub.config();
        let mut document = current.document.clone();
        change(&mut document);
        self.hub.set_config(Current {
            revision: current.revision + 1,
            document,
        });
    }

    /// Keeps a step, and tells of it, as the store's task does.
    pub async fn record(&self, event: &Event, drawn: Option<&[u8]>) {
        let receivers = notify::receivers(&self.hub.config(), event);
        let step = Step {
            event: event.clone(),
            plain: None,
            drawn: drawn.map(Arc::from),
        };
        self.store.record(&step, &receivers).await.unwrap();
        self.hub.tell(Notice::Event(Arc::new(event.clone())));
    }
}

/// The same event a while later.
pub fn later(event: &Event, kind: EventKind, seconds: i64) -> Event {
    let time = event.start + SignedDuration::from_secs(seconds);
    let over = kind == EventKind::End;
    Event {
        kind,
        time,
        end: over.then_some(time),
        reason: over.then_some(EndReason::Cleared),
        ..event.clone()
    }
}

/// A report of `gate`: boxes for `helmet` at these places, and an answer.
pub fn report(frame: u64, boxes: &[f32], answer: Option<&str>) -> Report {
    let query = |id: &str, text| Arc::new(Query::parse(id, text).unwrap());
    let helmet = QueryResult {
        query: query("helmet", "[a person] without a helmet"),
        detections: boxes
            .iter()
            .map(|&x| Detection {
                bbox: BBox {
                    x,
                    y: 72.0,
                    width: 128.0,
                    height: 360.0,
                },
                score: 0.9,
                phrases: vec![Phrase {
                    text: "a person".to_owned(),
                    span: Span { start: 0, end: 8 },
                    score: 0.97,
                }],
                track: Some(3),
                hidden_ms: None,
                identity: None,
                mask: None,
            })
            .collect(),
        answer: None,
    };
    let cones = QueryResult {
        query: query("how many?", "how many cones are there?"),
        detections: Vec::new(),
        answer: answer.map(|text| Answer {
            text: text.to_owned(),
            score: 0.98,
        }),
    };
    let begin: Timestamp = "2026-01-05T10:00:00Z".parse().unwrap();
    Report {
        camera: "gate".into(),
        frame,
        utc: begin + SignedDuration::from_millis(frame as i64 * 66),
        age_ms: 40.0,
        grounding: Some(Arc::new(Grounding {
            revision: 1,
            width: 1280,
            height: 720,
            queries: vec![helmet, cones],
        })),
        json: LazyLine::new(Box::new(|| "{}".to_owned())),
    }
}

/// Stands between the program and the broker: breaks connections, or slows them down.
pub struct Proxy {
    pub port: u16,
    connections: Arc<Mutex<Vec<tokio::task::JoinHandle<()>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

impl Proxy {
    /// To a port of this machine, with so many bytes a second to it at most.
    pub async fn start(target: u16, bytes_per_second: Option<usize>) -> Proxy {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // What is on its way stands in the sender's memory, as on a slow network.
        socket.set_recv_buffer_size(16 << 10).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let socket = socket.listen(16).unwrap();
        let port = socket.local_addr().unwrap().port();
        let connections: Arc<Mutex<Vec<_>>> = Arc::default();
        let list = connections.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = socket.accept().await {
                let carried = tokio::spawn(async move {
                    let Ok(server) = tokio::net::TcpStream::connect(("127.0.0.1", target)).await
                    else {
                        return;
                    };
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, to_server) = server.into_split();
                    let back = tokio::io::copy(&mut from_server, &mut to_client);
                    tokio::select! {
                        _ = back => {}
                        () = slowly(&mut from_client, to_server, bytes_per_second) => {}
                    }
                });
                list.lock().unwrap().push(carried);
            }
        });
        Proxy {
            port,
            connections,
            task,
        }
    }

    /// Breaks all connections.
    pub fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }
}

async fn slowly(
    from: &mut tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    bytes_per_second: Option<usize>,
) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
        if let Some(rate) = bytes_per_second {
            tokio::time::sleep(Duration::from_secs_f64(count as f64 / rate as f64)).await;
        }
    }
}
