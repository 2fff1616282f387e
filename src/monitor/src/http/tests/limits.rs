//! Too much, too fast, too slow, and what is no request.

use std::time::Instant;

use serde_json::json;

use super::*;

#[tokio::test]
async fn bodies_are_limited_and_checked() {
    let bench = Bench::new().await;
    let post = |path: &str, kind: &str, body: Vec<u8>| {
        let request = bench.request("POST", path).header("content-type", kind);
        request.body(body)
    };
    let json = "application/json";
    told(post("/api/cameras", "text/plain", b"{}".to_vec()), 415).await;
    told(post("/api/cameras", json, b"{\"name\":".to_vec()), 400).await;
    told(post("/api/cameras", json, b"{} {}".to_vec()), 400).await;
    told(post("/api/cameras", json, b"\xff\xfe".to_vec()), 400).await;
    let deep = "[".repeat(100_000);
    told(post("/api/cameras", json, deep.into_bytes()), 400).await;
    let wrong = told(
        post("/api/cameras", json, br#"{"name":"x","url":7}"#.to_vec()),
        400,
    )
    .await;
    assert!(wrong["error"].as_str().unwrap().contains("url"), "{wrong}");
    told(bench.request("POST", "/api/cameras"), 415).await;

    // Documents may be larger than other bodies.
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(2 << 20));
    told(post("/api/config/check", json, long.into_bytes()), 400).await;
    for (path, length) in [
        ("/api/cameras", 2_u64 << 20),
        ("/api/config/check", 5 << 20),
    ] {
        // It is refused before it is sent.
        let answer = bench
            .raw(&format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{path}: {answer}");
    }
    // Without a length, it is counted.
    let chunk = "x".repeat(1 << 20);
    let answer = bench
        .raw(&format!(
            "POST /api/cameras HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n100000\r\n{chunk}\r\n1\r\nx\r\n"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(bench.hub.config().revision, 1);
}

#[tokio::test]
async fn what_is_no_request_ends_the_connection() {
    let bench = Bench::new().await;
    for request in [
        "nonsense\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        &format!(
            "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "x".repeat(1 << 20)
        ),
        &format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            "a: b\r\n".repeat(1000)
        ),
    ] {
        let answer = bench.raw(request).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    bench.json("/api/status").await;
}

#[tokio::test]
async fn an_address_asks_so_often() {
    let limits = Limits {
        rate: 0.01,
        burst: 5.0,
        ..Limits::default()
    };
    let bench = Bench::with("", limits).await;
    for _ in 0..5 {
        bench.json("/api/status").await;
    }
    let answer = bench.get("/api/status").send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert!(answer.headers().contains_key("retry-after"));
    told(bench.get("/healthz"), 429).await;
}

#[tokio::test]
async fn streams_are_few() {
    let limits = Limits {
        streams: 2,
        ..Limits::default()
    };
    let bench = Bench::with("", limits).await;
    let one = bench.get("/api/live").send().await.unwrap();
    let two = bench
        .get("/api/cameras/gate/stream.mjpg")
        .send()
        .await
        .unwrap();
    assert_eq!((one.status().as_u16(), two.status().as_u16()), (200, 200));
    told(bench.get("/api/live"), 429).await;
    told(bench.get("/api/cameras/gate/picture.jpg"), 429).await;
    drop(one);
    // The place is free as soon as the server knows that the client is gone.
    let begin = Instant::now();
    while bench.get("/api/live").send().await.unwrap().status() != 200 {
        assert!(begin.elapsed() < LONG, "the place is never free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn connections_are_limited() {
    let limits = Limits {
        connections: 3,
        ..Limits::default()
    };
    let bench = Bench::with("", limits).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(bench.address).await.unwrap();
        let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        held.push(stream);
    }
    let mut next = TcpStream::connect(bench.address).await.unwrap();
    let mut byte = [0];
    let read = tokio::time::timeout(LONG, next.read(&mut byte)).await;
    // Closed without an answer.
    assert!(!matches!(read.unwrap(), Ok(1)));
    drop(held);
    let begin = Instant::now();
    while bench.get("/healthz").send().await.is_err() {
        assert!(begin.elapsed() < LONG, "connections stay taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn who_sends_nothing_is_sent_away() {
    let bench = Bench::new().await;
    let begin = Instant::now();
    let mut silent = TcpStream::connect(bench.address).await.unwrap();
    let mut slow = TcpStream::connect(bench.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
    let mut answer = Vec::new();
    for stream in [&mut silent, &mut slow] {
        let read = stream.read_to_end(&mut answer);
        let end = tokio::time::timeout(Duration::from_secs(40), read).await;
        // A reset is an end too.
        let _ = end.expect("the connection ends");
    }
    assert!(begin.elapsed() > Duration::from_secs(5));
}

#[tokio::test]
async fn names_are_no_paths() {
    let bench = Bench::new().await;
    bench.event("1.0-gate-no-helmet-1").await;
    std::fs::write(bench.directory.path().join("data/secret.jpg"), "secret").unwrap();
    for path in [
        "/assets/../Cargo.toml",
        "/assets/..%2fCargo.toml",
        "/assets/%2e%2e/Cargo.toml",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/../../etc/passwd",
        "//etc/passwd",
        "/assets/index.html%00",
        "/api/events/..%2f..%2fsecret/picture.jpg",
        "/api/events/%2fetc%2fpasswd/clip",
        "/api/events/../../secret.jpg/picture.jpg",
        "/api/events/1.0-gate-no-helmet-1%00/picture.jpg",
        "/api/events/1.0-gate-no-helmet-1%2f..%2f1.0-gate-no-helmet-1/picture.jpg",
        "/api/cameras/..%2fgate/picture.jpg",
        "/api/cameras/gate%ff/picture.jpg",
        "/api/cameras/%/picture.jpg",
        "/api/events?camera=%00",
    ] {
        let answer = bench
            .raw(&format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{path}: {answer}");
        assert!(
            !answer.contains("root:") && !answer.contains("[package]"),
            "{path}"
        );
    }
    let enabled = json!({ "enabled": true });
    told(bench.put("/api/cameras/a%2fb/enabled", &enabled), 400).await;
}
