//! Who may do what.

use serde_json::json;

use super::*;

#[tokio::test]
async fn without_tokens_only_this_machine_is_served() {
    let bench = Bench::new().await;
    let port = bench.address.port();
    for host in [
        "localhost",
        &format!("LOCALHOST:{port}"),
        "127.0.0.1",
        &format!("[::1]:{port}"),
    ] {
        let answer = bench
            .raw(&format!(
                "GET /api/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "192.0.2.1",
        "",
    ] {
        for path in ["/api/status", "/", "/healthz"] {
            let answer = bench
                .raw(&format!(
                    "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                ))
                .await;
            assert!(answer.starts_with("HTTP/1.1 403"), "{host}: {answer}");
        }
    }
}

#[tokio::test]
async fn pages_of_others_change_nothing() {
    let bench = Bench::with("origins = [\"https://home.example\"]", Limits::default()).await;
    let body = json!({ "enabled": false });
    let path = "/api/cameras/gate/enabled";
    let own = format!("http://{}", bench.address);
    for (origin, status) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1", 403),
        ("https://home.example.evil.example", 403),
        ("https://home.example", 200),
        (own.as_str(), 200),
    ] {
        told(bench.put(path, &body).header("origin", origin), status).await;
    }
    let cross = bench
        .put(path, &body)
        .header("sec-fetch-site", "cross-site");
    told(cross, 403).await;
    // To look is not forbidden; the browser does not let other pages read it.
    let look = bench
        .get("/api/status")
        .header("origin", "https://evil.example");
    let answer = look.send().await.unwrap();
    assert!(
        answer
            .headers()
            .get("access-control-allow-origin")
            .is_none()
    );
    let look = bench
        .get("/api/status")
        .header("origin", "https://home.example");
    let answer = look.send().await.unwrap();
    assert_eq!(
        answer.headers()["access-control-allow-origin"],
        "https://home.example"
    );
    // WebSockets have no such rule in browsers: they are refused here.
    let socket = bench
        .get("/api/ws")
        .header("origin", "https://evil.example")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    told(socket, 403).await;
}

#[tokio::test]
async fn tokens_have_roles() {
    let (tables, viewer, admin) = tokens();
    let mut bench = Bench::with(&tables, Limits::default()).await;
    for path in [
        "/api/status",
        "/api/config",
        "/api/cameras",
        "/api/events",
        "/api/live",
        "/api/ws",
        "/api/cameras/gate/picture.jpg",
        "/api/cameras/gate/stream.mjpg",
        "/metrics",
    ] {
        let answer = bench.get(path).send().await.unwrap();
        assert_eq!(
            answer.headers()["www-authenticate"],
            "Bearer realm=\"mdetr-monitor\""
        );
        assert_eq!(answer.status(), 401, "{path}");
        told(bench.get(path).bearer_auth("mdetr_wrong"), 401).await;
    }
    for path in ["/", "/healthz", "/readyz", "/api/openapi.json"] {
        let answer = bench.get(path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let body = json!({ "enabled": false });
    told(bench.put("/api/cameras/gate/enabled", &body), 401).await;

    bench.token = Some(viewer);
    let status = bench.json("/api/status").await;
    assert_eq!(
        (&status["name"], &status["role"]),
        (&json!("eve"), &json!("viewer"))
    );
    told(bench.put("/api/cameras/gate/enabled", &body), 403).await;
    told(bench.request("DELETE", "/api/cameras/gate"), 403).await;
    told(bench.request("DELETE", "/api/events/1"), 403).await;
    told(bench.get("/api/config/history"), 403).await;
    // What was kept may be asked: here nothing is.
    let sentence = json!({ "query": "a cube" });
    let search = bench.request("POST", "/api/search").json(&sentence);
    told(search, 404).await;
    let foreign = bench.request("POST", "/api/search").json(&sentence);
    told(foreign.header("origin", "http://evil.example"), 403).await;
    let seen = bench.json("/api/config").await;
    assert!(seen["http"].get("token").is_none(), "{seen}");

    bench.token = Some(admin);
    assert_eq!(bench.json("/api/status").await["role"], "admin");
    told(bench.put("/api/cameras/gate/enabled", &body), 200).await;
    let history = bench.json("/api/config/history").await;
    assert_eq!(history["revisions"][0]["origin"], "http: ada");
    assert_eq!(
        bench.json("/api/config").await["http"]["token"][0]["name"],
        "eve"
    );
}

#[tokio::test]
async fn a_session_has_a_cookie_until_it_ends() {
    let (tables, viewer, _) = tokens();
    let bench = Bench::with(&tables, Limits::default()).await;
    let login = |token: &str| {
        let body = json!({ "token": token });
        bench.request("POST", "/api/login").json(&body)
    };
    told(login("mdetr_wrong"), 401).await;
    let answer = login(&viewer).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=604800"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(
        !cookie.contains("Secure") && !cookie.contains(&viewer),
        "{cookie}"
    );
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body, json!({ "name": "eve", "role": "viewer" }));
    let proxy = login(&viewer).header("x-forwarded-proto", "https").send();
    let secure = proxy.await.unwrap().headers()["set-cookie"].clone();
    assert!(secure.to_str().unwrap().contains("Secure"));

    let session = cookie.split(';').next().unwrap();
    let with =
        |request: reqwest::RequestBuilder| request.header("cookie", format!("a=b; {session}"));
    assert_eq!(
        told(with(bench.get("/api/status")), 200).await["name"],
        "eve"
    );
    let body = json!({ "enabled": false });
    told(with(bench.put("/api/cameras/gate/enabled", &body)), 403).await;
    let evil = with(bench.request("POST", "/api/logout")).header("origin", "https://evil.example");
    told(evil, 403).await;
    told(with(bench.request("POST", "/api/logout")), 204).await;
    told(with(bench.get("/api/status")), 401).await;
    let forged = bench.get("/api/status").header("cookie", "mdetr_session=0");
    told(forged, 401).await;
}

#[tokio::test]
async fn a_token_that_is_gone_ends_its_sessions_and_streams() {
    let (tables, viewer, _) = tokens();
    let bench = Bench::with(&tables, Limits::default()).await;
    let body = json!({ "token": viewer });
    let answer = bench.request("POST", "/api/login").json(&body).send();
    let cookie = answer.await.unwrap().headers()["set-cookie"].clone();
    let cookie = cookie
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let with = |path: &str| bench.get(path).header("cookie", &cookie);
    let mut live = with("/api/live").send().await.unwrap();
    let mut pictures = with("/api/cameras/gate/stream.mjpg").send().await.unwrap();
    let mut current = (*bench.hub.config()).clone();
    current.document.http.tokens.remove(0);
    current.revision += 1;
    bench.hub.set_config(current);
    told(with("/api/status"), 401).await;
    for stream in [&mut live, &mut pictures] {
        let end = async { while stream.chunk().await.unwrap().is_some() {} };
        tokio::time::timeout(LONG, end)
            .await
            .expect("the stream ends");
    }
}

#[tokio::test]
async fn guesses_are_few() {
    let (tables, viewer, _) = tokens();
    let limits = Limits {
        logins: 3.0,
        ..Limits::default()
    };
    let bench = Bench::with(&tables, limits).await;
    let guess = || {
        let body = json!({ "token": "mdetr_wrong" });
        bench.request("POST", "/api/login").json(&body)
    };
    told(guess(), 401).await;
    told(guess(), 401).await;
    told(bench.get("/api/status").bearer_auth("mdetr_wrong"), 401).await;
    let answer = guess().send().await.unwrap();
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    told(bench.get("/api/status").bearer_auth("mdetr_wrong"), 429).await;
    // Who has a token is not shut out by somebody who guesses.
    told(bench.get("/api/status").bearer_auth(&viewer), 200).await;
}
