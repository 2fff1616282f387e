//! What does not end.

use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::*;
use crate::hub::Notice;
use crate::video::{Codec, CodedPicture};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Bench {
    async fn socket(&self, path: &str) -> Socket {
        let url = format!("ws://{}{path}", self.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        socket
    }

    /// One notice of each kind.
    fn tell_all(&self) {
        let event = Arc::new(event("1.0-gate-no-helmet-1"));
        self.hub.tell(Notice::Report(Arc::new(report(5))));
        self.hub.tell(Notice::Event(event));
        self.hub.tell(Notice::Clip("1.0-gate-no-helmet-1".into()));
        self.hub.set_camera(status("gate"));
        self.hub.set_camera(status("dark"));
        self.hub.set_broker(Some(BrokerStatus {
            waiting: 3,
            ..BrokerStatus::default()
        }));
        self.hub.set_store(StoreStatus::default());
        self.hub.tell(Notice::Config(9));
    }
}

/// The text of a stream until it has `last`.
async fn until(stream: &mut reqwest::Response, last: &str) -> String {
    let mut text = String::new();
    while !text.contains(last) {
        let chunk = tokio::time::timeout(LONG, stream.chunk()).await;
        let chunk = chunk
            .unwrap()
            .unwrap()
            .unwrap_or_else(|| panic!("no {last} in {text}"));
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    text
}

/// The next message that is no ping.
async fn next(socket: &mut Socket) -> Message {
    loop {
        let message = tokio::time::timeout(LONG, socket.next()).await.unwrap();
        match message.expect("a message").unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

#[tokio::test]
async fn events_are_told_as_they_happen() {
    let bench = Bench::new().await;
    let mut live = bench.get("/api/live").send().await.unwrap();
    assert_eq!(live.headers()["content-type"], "text/event-stream");
    until(&mut live, "listening").await;
    bench.tell_all();
    let text = until(&mut live, "event: config\ndata: {\"revision\":9}\n\n").await;
    let kinds: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(
        kinds,
        [
            "event", "clip", "camera", "camera", "broker", "store", "config"
        ]
    );
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    let told: Value = serde_json::from_str(data.unwrap()).unwrap();
    assert_eq!(
        told,
        serde_json::to_value(event("1.0-gate-no-helmet-1")).unwrap()
    );
    told_bad(&bench).await;
}

async fn told_bad(bench: &Bench) {
    told(bench.get("/api/live?reports=perhaps"), 400).await;
    told(bench.get("/api/live?what=ever"), 400).await;
    let answer = bench.get("/api/ws").send().await.unwrap();
    assert_eq!(answer.headers()["upgrade"], "websocket");
    assert_eq!(answer.status(), 426);
}

#[tokio::test]
async fn reports_and_one_camera_are_told_to_those_who_ask() {
    let bench = Bench::new().await;
    let mut socket = bench.socket("/api/ws?reports=true&camera=gate").await;
    let mut other = bench.socket("/api/ws?reports=true&camera=dark").await;
    bench.tell_all();
    let mut found = Vec::new();
    let mut others = Vec::new();
    for (socket, told) in [(&mut socket, &mut found), (&mut other, &mut others)] {
        loop {
            let text = next(socket).await.into_text().unwrap();
            let message: Value = serde_json::from_str(&text).unwrap();
            let kind = message["type"].as_str().unwrap().to_owned();
            let last = kind == "config";
            told.push((kind, message["data"].clone()));
            if last {
                break;
            }
        }
    }
    let kinds: Vec<&str> = found.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "report", "event", "clip", "camera", "broker", "store", "config"
        ]
    );
    assert_eq!(found[0].1, json!({ "schema": "mdetr/1", "frame": 5 }));
    assert_eq!(found[2].1, json!({ "event": "1.0-gate-no-helmet-1" }));
    assert_eq!(found[4].1["waiting"], 3);
    let kinds: Vec<&str> = others.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["clip", "camera", "broker", "store", "config"]);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_told_what_it_missed() {
    let bench = Bench::new().await;
    let mut socket = bench.socket("/api/ws?reports=true").await;
    let mut long = report(1);
    long.json = LazyLine::new(Box::new(|| format!("\"{}\"", "x".repeat(1 << 14))));
    let long = Arc::new(long);
    // More than sockets and the backlog hold.
    for _ in 0..4000 {
        bench.hub.tell(Notice::Report(long.clone()));
    }
    let begin = Instant::now();
    loop {
        let text = next(&mut socket).await.into_text().unwrap();
        if text.starts_with("{\"type\":\"missed\"") {
            let message: Value = serde_json::from_str(&text).unwrap();
            assert!(message["data"]["count"].as_u64().unwrap() > 0);
            break;
        }
        assert!(begin.elapsed() < LONG, "nothing was missed");
    }
    // It goes on behind that.
    bench.hub.tell(Notice::Config(9));
    while !next(&mut socket)
        .await
        .into_text()
        .unwrap()
        .contains("\"config\"")
    {}
}

#[tokio::test]
async fn pictures_come_as_long_as_somebody_looks() {
    let bench = Bench::new().await;
    assert!(!bench.hub.is_watched("gate"));
    let answer = bench
        .get("/api/cameras/gate/picture.jpg")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "image/jpeg");
    assert!(answer.text().await.unwrap().starts_with("jpeg "));
    told(bench.get("/api/cameras/none/picture.jpg"), 404).await;
    told(bench.get("/api/cameras/none/stream.mjpg"), 404).await;
    // A camera that gives none.
    let begin = Instant::now();
    told(bench.get("/api/cameras/dark/picture.jpg"), 404).await;
    assert!(begin.elapsed() > Duration::from_secs(1));

    let mut stream = bench
        .get("/api/cameras/gate/stream.mjpg")
        .send()
        .await
        .unwrap();
    let kind = stream.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(kind, "multipart/x-mixed-replace; boundary=picture");
    let mut text = until(&mut stream, "jpeg ").await;
    while text.matches("\r\n--picture\r\n").count() < 3 {
        text.push_str(&until(&mut stream, "--picture\r\n").await);
    }
    assert!(text.starts_with("--picture\r\nContent-Type: image/jpeg\r\nContent-Length: "));
    assert!(bench.hub.is_watched("gate"));
    drop(stream);
    let begin = Instant::now();
    while bench.hub.is_watched("gate") {
        assert!(begin.elapsed() < LONG, "still watched");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn frames_come_with_their_results() {
    let bench = Bench::new().await;
    let mut socket = bench.socket("/api/cameras/gate/live").await;
    let mut last = 0;
    for _ in 0..3 {
        let message = next(&mut socket).await.into_data();
        let length = u32::from_be_bytes(message[..4].try_into().unwrap()) as usize;
        let line: Value = serde_json::from_slice(&message[4..4 + length]).unwrap();
        let frame = line["frame"].as_u64().unwrap();
        assert!(frame > last, "{frame} behind {last}");
        last = frame;
        assert_eq!(&message[4 + length..], format!("jpeg {frame}").as_bytes());
    }
    // What a client says is no matter, unless it is too long.
    socket.send(Message::text("hello")).await.unwrap();
    next(&mut socket).await;

    let off = json!({ "enabled": false });
    told(bench.put("/api/cameras/gate/enabled", &off), 200).await;
    while !matches!(next(&mut socket).await, Message::Close(Some(_))) {}
    told(bench.get("/api/cameras/gate/picture.jpg"), 404).await;
}

#[tokio::test]
async fn a_camera_that_is_removed_ends_its_streams() {
    let bench = Bench::new().await;
    let mut stream = bench
        .get("/api/cameras/gate/stream.mjpg")
        .send()
        .await
        .unwrap();
    until(&mut stream, "jpeg ").await;
    told(bench.request("DELETE", "/api/cameras/gate"), 200).await;
    let end = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(LONG, end)
        .await
        .expect("the stream ends");
}

#[tokio::test]
async fn long_messages_of_clients_end_the_connection() {
    let bench = Bench::new().await;
    let mut socket = bench.socket("/api/ws").await;
    socket
        .send(Message::text("x".repeat(1 << 16)))
        .await
        .unwrap();
    let end = async {
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() {
                break;
            }
        }
    };
    tokio::time::timeout(LONG, end).await.expect("it ends");
    bench.json("/api/status").await;
}

#[tokio::test]
async fn it_stops_at_once_with_streams_open() {
    let mut bench = Bench::new().await;
    let mut live = bench.get("/api/live").send().await.unwrap();
    until(&mut live, "listening").await;
    let mut pictures = bench
        .get("/api/cameras/gate/stream.mjpg")
        .send()
        .await
        .unwrap();
    until(&mut pictures, "jpeg ").await;
    let mut socket = bench.socket("/api/cameras/gate/live").await;
    next(&mut socket).await;
    let mut idle = bench.socket("/api/ws").await;
    let begin = Instant::now();
    bench.stop.send_replace(true);
    let served = tokio::time::timeout(LONG, &mut bench.served).await;
    served.unwrap().unwrap().unwrap();
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    // Those who listen are told that it is over.
    while !matches!(next(&mut socket).await, Message::Close(Some(_))) {}
    assert!(matches!(next(&mut idle).await, Message::Close(Some(_))));
    assert_eq!(live.chunk().await.unwrap(), None);
    assert!(bench.get("/healthz").send().await.is_err());
}

fn coded(pts_us: u64, key: bool) -> CodedPicture {
    let codec = Codec {
        codec: "avc1.42c01f".to_owned(),
        description: Some("0142c01f".to_owned()),
    };
    CodedPicture {
        codec: Arc::new(codec),
        pts_us,
        key,
        data: Box::new(format!("picture {pts_us}")),
    }
}

/// The text and the picture of a binary message.
fn parts(message: Message) -> (Value, String) {
    let bytes = message.into_data();
    let (length, rest) = bytes.split_at(4);
    let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
    let (header, data) = rest.split_at(length);
    let data = String::from_utf8(data.to_vec()).unwrap();
    (serde_json::from_slice(header).unwrap(), data)
}

#[tokio::test]
async fn coded_pictures_are_sent_on_with_results() {
    let bench = Bench::new().await;
    told(bench.get("/api/cameras/gate/video"), 426).await;
    for (time, key) in [(0, true), (1, true), (2, false)] {
        bench.hub.videos.push("gate", coded(time, key));
    }
    let mut socket = bench.socket("/api/cameras/gate/video").await;
    let first = parts(next(&mut socket).await);
    let wanted = json!({
        "pts_us": 1, "key": true, "codec": "avc1.42c01f", "description": "0142c01f"
    });
    assert_eq!(first, (wanted, "picture 1".to_owned()));
    let second = parts(next(&mut socket).await);
    let wanted = json!({ "pts_us": 2, "key": false });
    assert_eq!(second, (wanted, "picture 2".to_owned()));
    bench.hub.tell(Notice::Report(Arc::new(report(7))));
    let told = next(&mut socket).await;
    let told: Value = serde_json::from_str(told.to_text().unwrap()).unwrap();
    assert_eq!(told["frame"], 7);
    bench.hub.videos.push("gate", coded(3, false));
    assert_eq!(parts(next(&mut socket).await).1, "picture 3");
    // A camera that is lost.
    bench.hub.videos.end("gate");
    assert!(matches!(next(&mut socket).await, Message::Close(_)));
}

#[tokio::test]
async fn who_is_too_slow_for_video_is_sent_away() {
    let bench = Bench::new().await;
    bench.hub.videos.push("gate", coded(0, true));
    let mut socket = bench.socket("/api/cameras/gate/video").await;
    assert_eq!(parts(next(&mut socket).await).1, "picture 0");
    for time in 1..1000 {
        bench.hub.videos.push("gate", coded(time, false));
    }
    let mut last = 0;
    loop {
        match next(&mut socket).await {
            Message::Close(_) => break,
            // What comes can be decoded: nothing is left out in between.
            picture => {
                let time = parts(picture).0["pts_us"].as_u64().unwrap();
                assert_eq!(time, last + 1);
                last = time;
            }
        }
    }
    assert!(last < 999);
}
