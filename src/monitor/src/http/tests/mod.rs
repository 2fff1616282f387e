//! On real servers at free ports, with real stores.

mod access;
mod changes;
mod fuzz;
mod limits;
mod media;
mod places;
mod search;
mod streams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mdetr::bundle::Models;
use mdetr_rules::Event;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{About, HttpState, Limits, Server, token};
use crate::config::{self, ConfigFile};
use crate::control::{self, Control};
use crate::events::Events;
use crate::example::begun;
use crate::hub::{
    BrokerStatus, CameraState, CameraStatus, Clip, Hub, LazyLine, Picture, Report, Step,
    StoreStatus,
};
use crate::metrics::Metrics;
use crate::past;
use crate::store::Store;

/// Longer than anything takes that does not hang.
const LONG: Duration = Duration::from_secs(20);

/// Cameras of all tests.
const CAMERAS: &str = r#"
[[camera]]
name = "gate"
url = "rtsp://me:secret@camera.example/1"
[[camera.query]]
id = "helmet"
text = "[a person] without a helmet"
[[camera.zone]]
id = "yard"
points = [[0.1, 0.4], [0.9, 0.4], [0.9, 1.0], [0.1, 1.0]]
[[camera.line]]
id = "door"
from = [0.2, 0.5]
to = [0.8, 0.5]
[[camera.rule]]
id = "no-helmet"
when = { is = "present", query = "helmet", zone = "yard" }
for = "2s"

[[camera]]
name = "dark"
url = "tabletop://?seed=7"
"#;

/// The bundled model.
fn tabletop() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tabletop")
}

/// A server with what belongs to it.
struct Bench {
    directory: TempDir,
    hub: Arc<Hub>,
    store: Store,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    served: JoinHandle<anyhow::Result<()>>,
    shower: JoinHandle<()>,
    client: reqwest::Client,
    /// Sent with each request, if there is one.
    token: Option<String>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.shower.abort();
    }
}

/// Tables of two tokens, and the tokens: of a viewer and of an admin.
fn tokens() -> (String, String, String) {
    let ((viewer, one), (admin, two)) = (token::generate(), token::generate());
    let tables = format!(
        "[[http.token]]\nname = \"eve\"\nrole = \"viewer\"\nsha256 = \"{one}\"\n\
         [[http.token]]\nname = \"ada\"\nrole = \"admin\"\nsha256 = \"{two}\"\n"
    );
    (tables, viewer, admin)
}

impl Bench {
    async fn new() -> Bench {
        Bench::with("", Limits::default()).await
    }

    /// With more in the configuration, behind `[http]`.
    async fn with(http: &str, limits: Limits) -> Bench {
        // Another test may have done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("monitor.toml");
        let text = format!("data = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n{http}\n{CAMERAS}");
        std::fs::write(&path, text).unwrap();
        let file = config::read(&path).unwrap();
        Bench::of(directory, &file, limits).await
    }

    async fn of(directory: TempDir, file: &ConfigFile, limits: Limits) -> Bench {
        let settings = &file.document.store;
        let store = Store::open(&file.document.data, settings).await.unwrap();
        let current = control::first(file, &store).await.unwrap();
        let (hub, _) = Hub::new(current);
        hub.set_store(StoreStatus {
            writable: true,
            ..StoreStatus::default()
        });
        hub.set_camera(status("gate"));
        let control = Arc::new(Control::new(hub.clone(), store.clone(), file).await);
        let metrics = Arc::new(Metrics::default());
        let state = HttpState {
            hub: hub.clone(),
            control,
            events: Events::Own(store.clone()),
            store: store.clone(),
            counts: None,
            past: Some(
                past::Archive::start(
                    hub.clone(),
                    metrics.clone(),
                    Models::new().with_bundled(tabletop()),
                )
                .unwrap(),
            ),
            metrics,
            about: About {
                started: Timestamp::now(),
                model: "tabletop".to_owned(),
                engine: "tract".to_owned(),
            },
            limits,
        };
        let server = Server::bind(state).unwrap();
        let address = server.address().unwrap();
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(server.run(stopped));
        let shower = tokio::spawn(show(hub.clone()));
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(LONG)
            .build()
            .unwrap();
        Bench {
            directory,
            hub,
            store,
            address,
            stop,
            served,
            shower,
            client,
            token: None,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap();
        let request = self.client.request(method, self.url(path));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.request("GET", path)
    }

    fn put(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.request("PUT", path).json(body)
    }

    /// Body of an answer that is a success.
    async fn json(&self, path: &str) -> Value {
        told(self.get(path), 200).await
    }

    /// All bytes of the answer to what no client library would send.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(LONG, read).await.unwrap().unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// An event with pictures and a clip.
    async fn event(&self, id: &str) -> Event {
        let event = event(id);
        let step = Step {
            event: event.clone(),
            plain: Some(Arc::from(&b"plain picture"[..])),
            drawn: Some(Arc::from(&b"drawn picture"[..])),
        };
        self.store.record(&step, &[]).await.unwrap();
        let part = self.store.parts().join(format!("{id}.mp4"));
        std::fs::write(&part, b"0123456789").unwrap();
        let clip = Clip {
            event: id.to_owned(),
            path: part,
            extension: "mp4",
            start: event.start,
            seconds: 2.0,
        };
        self.store.keep_clip(&clip).await.unwrap();
        event
    }
}

/// JSON of the answer, which has this status. Its body is empty or JSON.
async fn told(request: reqwest::RequestBuilder, status: u16) -> Value {
    let answer = request.send().await.unwrap();
    let url = answer.url().clone();
    let found = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(found.as_u16(), status, "{url}: {text}");
    if text.is_empty() {
        return Value::Null;
    }
    let value: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    if status >= 400 {
        let error = value["error"].as_str().unwrap_or_default();
        assert!(!error.is_empty(), "{url}: {text}");
    }
    value
}

fn status(camera: &str) -> CameraStatus {
    CameraStatus {
        name: camera.to_owned(),
        state: CameraState::Online,
        since: Timestamp::UNIX_EPOCH,
        message: None,
        size: Some([640, 480]),
        video: false,
        fps: 15.0,
        inferred_fps: 4.0,
        reconnects: 0,
        revision: 1,
    }
}

/// A camera that shows pictures as long as somebody looks.
async fn show(hub: Arc<Hub>) {
    let camera: Arc<str> = "gate".into();
    for frame in 1.. {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if hub.is_watched(&camera) {
            let report = Arc::new(report(frame));
            let jpeg = Arc::from(format!("jpeg {frame}").as_bytes());
            hub.show(Picture { report, jpeg });
        }
    }
}

fn report(frame: u64) -> Report {
    Report {
        camera: "gate".into(),
        frame,
        utc: Timestamp::UNIX_EPOCH,
        age_ms: 12.0,
        grounding: None,
        json: LazyLine::new(Box::new(move || {
            format!("{{\"schema\":\"mdetr/1\",\"frame\":{frame}}}")
        })),
    }
}

fn event(id: &str) -> Event {
    Event {
        text: "[a person] without a helmet".to_owned(),
        ..begun(id, "2026-01-05T10:15:03.123Z".parse().unwrap())
    }
}

#[tokio::test]
async fn the_state_is_told() {
    let bench = Bench::new().await;
    let status = bench.json("/api/status").await;
    assert_eq!(status["revision"], 1);
    assert_eq!(status["model"], "tabletop");
    assert_eq!(status["role"], "admin");
    assert_eq!(status["cameras"][0]["name"], "gate");
    assert_eq!(status["cameras"][0]["state"], "online");
    assert_eq!(status["store"]["writable"], true);
    assert!(status.get("broker").is_none());
    bench.hub.set_broker(Some(BrokerStatus {
        connected: true,
        ..BrokerStatus::default()
    }));
    assert_eq!(bench.json("/api/status").await["broker"]["connected"], true);

    assert_eq!(bench.get("/healthz").send().await.unwrap().status(), 200);
    assert_eq!(bench.get("/readyz").send().await.unwrap().status(), 200);
    bench.hub.set_store(StoreStatus::default());
    told(bench.get("/readyz"), 503).await;
    assert_eq!(bench.get("/healthz").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn metrics_are_told() {
    let bench = Bench::new().await;
    let answer = bench.get("/metrics").send().await.unwrap();
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text().await.unwrap();
    assert!(text.contains("mdetr_camera_state{camera=\"gate\",state=\"online\"} 1"));
    assert!(text.contains("mdetr_store_writable 1"));
    assert!(text.contains("mdetr_store_failed_writes_total 0"));
    assert!(text.contains("process_resident_memory_bytes "));
}

#[tokio::test]
async fn the_page_is_served_with_its_headers() {
    let bench = Bench::new().await;
    let answer = bench.get("/").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let headers = answer.headers().clone();
    assert!(
        headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert_eq!(headers["cache-control"], "no-cache");
    let tag = headers["etag"].to_str().unwrap();
    let again = bench.get("/").header("if-none-match", tag).send();
    assert_eq!(again.await.unwrap().status(), 304);
    let asset = bench.get("/assets/index.html").send().await.unwrap();
    assert_eq!(asset.headers()["etag"], headers["etag"]);
    assert_eq!(asset.text().await.unwrap(), answer.text().await.unwrap());

    let api = bench.get("/api/status").send().await.unwrap();
    assert_eq!(api.headers()["cache-control"], "no-store");
    assert_eq!(api.headers()["x-content-type-options"], "nosniff");
    let head = bench.request("HEAD", "/").send().await.unwrap();
    assert_eq!(head.status(), 200);
    told(bench.get("/assets/none.js"), 404).await;
    told(bench.get("/api/none"), 404).await;
    let refused = bench.request("PATCH", "/api/config").send().await.unwrap();
    assert_eq!(refused.status(), 405);
    assert!(refused.headers()["allow"].to_str().unwrap().contains("PUT"));
}
