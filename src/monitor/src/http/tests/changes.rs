//! Changes of the configuration.

use serde_json::json;

use super::*;

#[tokio::test]
async fn the_configuration_hides_passwords_and_takes_them_back() {
    let bench = Bench::new().await;
    let answer = bench.get("/api/config").send().await.unwrap();
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(tag, "\"1\"");
    let text = answer.text().await.unwrap();
    assert!(text.contains("rtsp://me:***@camera.example/1"), "{text}");
    assert!(!text.contains("secret"), "{text}");

    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["camera"][0]["fps"] = json!(7);
    told(bench.put("/api/config", &document), 428).await;
    let put = |tag: &str| bench.put("/api/config", &document).header("if-match", tag);
    told(put("\"0\""), 412).await;
    told(put("nonsense"), 412).await;
    let answer = put(&tag).send().await.unwrap();
    assert_eq!(answer.headers()["etag"], "\"2\"");
    told(put(&tag), 412).await;
    let camera = bench.hub.config().document.cameras[0].clone();
    assert_eq!(
        (camera.fps, camera.url.as_str()),
        (7, "rtsp://me:secret@camera.example/1")
    );

    // What only the file may change.
    document["http"]["listen"] = json!("0.0.0.0:80");
    let refused = bench.put("/api/config", &document).header("if-match", "*");
    let refused = told(refused, 422).await;
    assert_eq!(refused["faults"][0]["place"], "http");

    let history = bench
        .get("/api/config/history?limit=1")
        .send()
        .await
        .unwrap();
    let history = history.text().await.unwrap();
    assert!(!history.contains("secret"), "{history}");
    let history: Value = serde_json::from_str(&history).unwrap();
    assert_eq!(history["revisions"].as_array().unwrap().len(), 1);
    assert_eq!(history["revisions"][0]["revision"], 2);
    assert_eq!(history["revisions"][0]["origin"], "http: loopback");
    told(bench.get("/api/config/history?limit=0"), 400).await;
    told(bench.get("/api/config/history?limit=1&what=2"), 400).await;
}

#[tokio::test]
async fn a_document_is_checked_without_being_taken() {
    let bench = Bench::new().await;
    let mut document = bench.json("/api/config").await;
    let check = |document: &Value| bench.request("POST", "/api/config/check").json(document);
    assert_eq!(told(check(&document), 200).await, json!({ "faults": [] }));
    document["camera"][0]["fps"] = json!(1000);
    document["camera"][1]["name"] = json!("gate");
    let faults = told(check(&document), 200).await;
    assert_eq!(faults["faults"].as_array().unwrap().len(), 2, "{faults}");
    document["camera"][0]["fps"] = json!("many");
    let refused = told(check(&document), 400).await;
    assert!(
        refused["error"].as_str().unwrap().contains("camera[0].fps"),
        "{refused}"
    );
    assert_eq!(bench.hub.config().revision, 1);
}

#[tokio::test]
async fn cameras_come_and_go() {
    let bench = Bench::new().await;
    let add = |body: &Value| bench.request("POST", "/api/cameras").json(body);
    let camera = json!({ "name": "yard", "url": "rtsp://camera.example/2" });
    let answer = add(&camera).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["location"], "/api/cameras/yard");
    told(add(&camera), 409).await;
    told(
        add(&json!({ "name": "a/b", "url": "rtsp://camera.example/2" })),
        422,
    )
    .await;
    let refused = told(add(&json!({ "name": "x", "url": "ftp://camera" })), 422).await;
    assert!(
        refused["faults"][0]["place"]
            .as_str()
            .unwrap()
            .contains("x"),
        "{refused}"
    );
    // The program reads no secrets that the file does not name.
    let thief = json!({ "name": "x", "url": "rtsp://evil.example/", "username": "me", "password": { "file": "/etc/shadow" } });
    told(add(&thief), 422).await;

    let found = bench.json("/api/cameras").await;
    assert_eq!(found["revision"], 2);
    let names: Vec<&str> = found["cameras"]
        .as_array()
        .unwrap()
        .iter()
        .map(|camera| camera["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["gate", "dark", "yard"]);

    let mut gate = bench.json("/api/cameras/gate").await;
    assert_eq!(gate["url"], "rtsp://me:***@camera.example/1");
    gate["fps"] = json!(3);
    told(bench.put("/api/cameras/gate", &gate), 200).await;
    let kept = bench.hub.config().document.cameras[0].url.clone();
    assert_eq!(kept, "rtsp://me:secret@camera.example/1");
    told(bench.put("/api/cameras/dark", &gate), 400).await;
    gate["name"] = json!("nowhere");
    told(bench.put("/api/cameras/nowhere", &gate), 404).await;

    let stale = bench
        .request("DELETE", "/api/cameras/yard")
        .header("if-match", "\"1\"");
    told(stale, 412).await;
    told(bench.request("DELETE", "/api/cameras/yard"), 200).await;
    told(bench.request("DELETE", "/api/cameras/yard"), 404).await;
    told(bench.get("/api/cameras/yard"), 404).await;
}

#[tokio::test]
async fn what_is_watched_for_changes_at_once() {
    let bench = Bench::new().await;
    let path = "/api/cameras/gate/watch";
    let watch = json!({
        "queries": [{ "id": "dog", "text": "[a dog] on the lawn" }],
        "zones": [{ "id": "lawn", "points": [[0, 0], [1, 0], [1, 1]] }],
        "rules": [{
            "id": "dogs",
            "when": { "is": "any", "of": [
                { "is": "enters", "query": "dog", "zone": "lawn", "anchor": "share", "share": 0.5 },
                { "is": "count", "query": "dog", "over": 2 },
            ] },
        }],
    });
    assert_eq!(
        told(bench.put(path, &watch), 200).await,
        json!({ "revision": 2 })
    );
    let camera = bench.json("/api/cameras/gate").await;
    assert_eq!(camera["query"][0]["id"], "dog");
    assert_eq!(camera["rule"][0]["when"]["of"][1]["over"], 2.0);
    // What was not given stays.
    assert_eq!(camera["line"][0]["id"], "door");

    // All or nothing.
    let wrong = json!({ "zones": [], "queries": [{ "id": "cat", "text": "" }] });
    let refused = told(bench.put(path, &wrong), 422).await;
    assert!(
        !refused["faults"].as_array().unwrap().is_empty(),
        "{refused}"
    );
    assert_eq!(bench.json("/api/cameras/gate").await, camera);
    told(bench.put(path, &json!({ "query": [] })), 400).await;
    told(bench.put(path, &watch).header("if-match", "\"1\""), 412).await;
    told(bench.put(path, &watch).header("if-match", "\"2\""), 200).await;
    told(bench.put("/api/cameras/nowhere/watch", &watch), 404).await;
}

#[tokio::test]
async fn cameras_and_rules_are_switched() {
    let bench = Bench::new().await;
    let off = json!({ "enabled": false });
    told(
        bench.put("/api/cameras/gate/rules/no-helmet/enabled", &off),
        200,
    )
    .await;
    assert!(!bench.hub.config().document.cameras[0].rules[0].enabled);
    told(bench.put("/api/cameras/gate/rules/none/enabled", &off), 404).await;
    told(
        bench.put("/api/cameras/none/rules/no-helmet/enabled", &off),
        404,
    )
    .await;
    let answer = told(bench.put("/api/cameras/gate/enabled", &off), 200).await;
    assert_eq!(answer["revision"], 3);
    assert!(!bench.hub.config().document.cameras[0].enabled);
    // Twice is once.
    let answer = told(bench.put("/api/cameras/gate/enabled", &off), 200).await;
    assert_eq!(answer["revision"], 3);
    told(bench.put("/api/cameras/gate/enabled", &json!({})), 400).await;
}

#[tokio::test]
async fn shapes_that_are_told_are_those_that_are_read() {
    let document: Value = serde_json::from_str(&crate::http::document()).unwrap();
    let of = |name: &str| {
        let schema = json!({
            "$ref": format!("#/components/schemas/{name}"),
            "components": document["components"],
        });
        jsonschema::validator_for(&schema).unwrap()
    };
    let conditions = [
        json!({ "is": "present", "query": "q" }),
        json!({ "is": "absent", "query": "q", "zone": "z", "anchor": "bottom-center" }),
        json!({ "is": "count", "query": "q", "over": 1, "under": 5, "equals": 3 }),
        json!({ "is": "answer", "query": "q", "equals": "red" }),
        json!({ "is": "enters", "query": "q", "anchor": "share", "share": 0.5 }),
        json!({ "is": "leaves", "query": "q", "anchor": "all" }),
        json!({ "is": "dwells", "query": "q", "longer_than": "10s", "anchor": "any" }),
        json!({ "is": "crosses", "query": "q", "line": "l", "direction": "backward", "anchor": "center" }),
        json!({ "is": "still", "query": "q", "longer_than": "10s" }),
        json!({ "is": "moves", "query": "q", "faster_than": 0.5 }),
        json!({ "is": "not", "of": { "is": "all", "of": [{ "is": "any", "of": [] }] } }),
    ];
    for when in conditions {
        let rule = json!({
            "id": "r", "severity": "detection", "when": when, "for": "1s", "frames": 3, "clear": "2s",
            "every": "1m", "enabled": false,
            "schedule": [{ "days": ["mon", "sun"], "from": "18:00", "to": "06:00", "time_zone": "UTC" }],
        });
        let read: mdetr_rules::Rule = serde_json::from_value(rule.clone()).unwrap();
        let written = serde_json::to_value(&read).unwrap();
        for rule in [rule, written] {
            let faults: Vec<String> = of("Rule")
                .iter_errors(&rule)
                .map(|e| e.to_string())
                .collect();
            assert!(faults.is_empty(), "{faults:?} in {rule}");
        }
    }
    for unlike in [
        json!({ "id": "r" }),
        json!({ "id": "r", "when": { "is": "odd" } }),
    ] {
        assert!(!of("Rule").is_valid(&unlike), "{unlike}");
        assert!(serde_json::from_value::<mdetr_rules::Rule>(unlike).is_err());
    }

    let bench = Bench::new().await;
    bench.event("1.0-gate-no-helmet-1").await;
    for (path, name) in [
        ("/api/status", "Status"),
        ("/api/config", "Document"),
        ("/api/config/history", "History"),
        ("/api/cameras", "Cameras"),
        ("/api/events", "Events"),
        ("/api/events/1.0-gate-no-helmet-1", "StoredEvent"),
    ] {
        let answer = bench.json(path).await;
        let validator = of(name);
        let faults: Vec<String> = validator
            .iter_errors(&answer)
            .map(|e| e.to_string())
            .collect();
        assert!(faults.is_empty(), "{name}: {faults:?} in {answer}");
    }
    // An event with everything that it may have.
    let mut full = serde_json::to_value(event("1")).unwrap();
    for (key, value) in [
        ("end", json!("2026-01-05T10:15:09Z")),
        ("reason", json!("camera-lost")),
        ("line", json!("door")),
        ("direction", json!("forward")),
        ("count", json!(3)),
        ("answer", json!("red")),
    ] {
        full[key] = value;
    }
    let read: Event = serde_json::from_value(full.clone()).unwrap();
    assert_eq!(
        serde_json::to_value(&read)
            .unwrap()
            .as_object()
            .unwrap()
            .len(),
        full.as_object().unwrap().len()
    );
    for key in ["has_picture", "has_clip", "kept"] {
        full[key] = json!(true);
    }
    let known = &document["components"]["schemas"]["StoredEvent"]["properties"];
    for key in full.as_object().unwrap().keys() {
        assert!(known.get(key).is_some(), "{key} is not in the document");
    }
    assert!(of("StoredEvent").is_valid(&full));
}
