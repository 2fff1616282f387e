//! Events, their pictures and clips.

use serde_json::json;

use super::*;

const ID: &str = "1767608103.123-gate-no-helmet-1";

#[tokio::test]
async fn events_are_found_kept_and_removed() {
    let bench = Bench::new().await;
    for number in 1..=3 {
        bench
            .event(&format!("1767608103.123-gate-no-helmet-{number}"))
            .await;
    }
    let found = bench
        .json("/api/events?camera=gate&words=helmet&limit=2")
        .await;
    let ids: Vec<&str> = found["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(found["next"], ids[1]);
    let rest = bench
        .json(&format!("/api/events?after={}&limit=2", ids[1]))
        .await;
    assert_eq!(rest["events"].as_array().unwrap().len(), 1);
    assert!(rest.get("next").is_none(), "{rest}");
    for none in [
        "camera=dark",
        "rule=other",
        "words=bicycle",
        "severity=detection",
        "open=false",
        "to=2026-01-01T00:00:00Z",
    ] {
        let found = bench.json(&format!("/api/events?{none}")).await;
        assert_eq!(found["events"], json!([]), "{none}");
    }
    for wrong in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "from=yesterday",
        "open=perhaps",
        "severity=high",
        "after=nobody",
        "what=ever",
    ] {
        told(bench.get(&format!("/api/events?{wrong}")), 400).await;
    }

    let event = bench.json(&format!("/api/events/{ID}")).await;
    assert_eq!(event["has_picture"], true);
    assert_eq!(event["has_clip"], true);
    assert_eq!(event["kept"], false);
    let path = format!("/api/events/{ID}/kept");
    told(bench.put(&path, &json!({ "kept": true })), 204).await;
    assert_eq!(bench.json(&format!("/api/events/{ID}")).await["kept"], true);
    told(
        bench.put("/api/events/none/kept", &json!({ "kept": true })),
        404,
    )
    .await;

    told(bench.request("DELETE", &format!("/api/events/{ID}")), 204).await;
    told(bench.request("DELETE", &format!("/api/events/{ID}")), 404).await;
    told(bench.get(&format!("/api/events/{ID}")), 404).await;
    told(bench.get(&format!("/api/events/{ID}/picture.jpg")), 404).await;
    told(bench.get(&format!("/api/events/{ID}/clip")), 404).await;
}

#[tokio::test]
async fn pictures_are_plain_or_drawn() {
    let bench = Bench::new().await;
    bench.event(ID).await;
    let path = format!("/api/events/{ID}/picture.jpg");
    let plain = bench.get(&path).send().await.unwrap();
    assert_eq!(plain.headers()["content-type"], "image/jpeg");
    assert_eq!(plain.text().await.unwrap(), "plain picture");
    let drawn = bench
        .get(&format!("{path}?drawn=true"))
        .send()
        .await
        .unwrap();
    assert_eq!(drawn.text().await.unwrap(), "drawn picture");
    told(bench.get(&format!("{path}?drawn=maybe")), 400).await;
}

#[tokio::test]
async fn clips_are_sent_in_parts() {
    let bench = Bench::new().await;
    bench.event(ID).await;
    let path = format!("/api/events/{ID}/clip");
    let whole = bench.get(&path).send().await.unwrap();
    let headers = whole.headers().clone();
    assert_eq!(headers["content-type"], "video/mp4");
    assert_eq!(headers["accept-ranges"], "bytes");
    let name = format!("inline; filename=\"{ID}.mp4\"");
    assert_eq!(headers["content-disposition"], name.as_str());
    assert_eq!(whole.text().await.unwrap(), "0123456789");

    for (range, part, place) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
    ] {
        let answer = bench
            .get(&path)
            .header("range", range)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 206, "{range}");
        assert_eq!(answer.headers()["content-range"], place, "{range}");
        assert_eq!(
            answer.headers()["content-length"],
            part.len().to_string().as_str()
        );
        assert_eq!(answer.text().await.unwrap(), part, "{range}");
    }
    for range in ["bytes=10-", "bytes=4-2", "bytes=99-100"] {
        let answer = bench
            .get(&path)
            .header("range", range)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.headers()["content-range"], "bytes */10", "{range}");
        assert_eq!(answer.status(), 416, "{range}");
    }
    // Several parts at once are the whole.
    let several = bench.get(&path).header("range", "bytes=0-1,4-5").send();
    assert_eq!(several.await.unwrap().text().await.unwrap(), "0123456789");

    let head = bench.request("HEAD", &path).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "10");
    let modified = headers["last-modified"].clone();
    let again = bench
        .get(&path)
        .header("if-modified-since", modified)
        .send();
    assert_eq!(again.await.unwrap().status(), 304);

    // A file that somebody removed by hand is no fault of the program.
    std::fs::remove_dir_all(bench.store.media()).unwrap();
    told(bench.get(&path), 404).await;
}
