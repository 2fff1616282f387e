//! What cameras saw, asked over HTTP.

use mdetr::seen::TokenPrecision;
use mdetr::{Frame, Grounder, GrounderOptions};
use mdetr_past::{Writer, WriterOptions};
use serde_json::json;

use super::*;

const PICTURE: &[u8] = b"\xff\xd8 a picture";

/// With so many frames of the camera "gate".
async fn kept(frames: i64) -> Bench {
    let bench = Bench::with("[past]\n", Limits::default()).await;
    bench.keep("gate", frames);
    bench
}

/// A frame's tokens.
fn tokens_of_a_picture() -> Vec<u8> {
    let picture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../mdetr/tests/data/parity/03.png"
    );
    let picture = image::open(picture).unwrap().to_rgb8();
    let frame = Frame::rgb(picture.width(), picture.height(), &picture).unwrap();
    let grounder = Grounder::load(tabletop(), GrounderOptions::default()).unwrap();
    let seen = grounder.see(&frame).unwrap();
    seen.to_bytes(TokenPrecision::Int8).unwrap()
}

impl Bench {
    /// Keeps so many frames of a camera, a second apart from 10:00 on, all of the same scene.
    fn keep(&self, camera: &str, frames: i64) {
        let tokens = tokens_of_a_picture();
        let dir = self.hub.config().document.data.join("past");
        let mut writer = Writer::open(&dir, WriterOptions::default()).unwrap();
        let start: Timestamp = "2026-01-05T10:00:00Z".parse().unwrap();
        for second in 0..frames {
            let time = start.as_nanosecond() as i64 + second * 1_000_000_000;
            writer.frame(camera, time, &tokens, Some(PICTURE)).unwrap();
        }
    }

    fn search(&self, body: &Value) -> reqwest::RequestBuilder {
        self.request("POST", "/api/search").json(body)
    }
}

async fn lines(request: reqwest::RequestBuilder) -> Vec<Value> {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let text = answer.text().await.unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_is_found_and_its_picture_shown() {
    let bench = kept(100).await;
    let asked = json!({ "query": "a gray thing", "from": "2026-01-05T10:00:10Z", "to": "2026-01-05T10:00:20Z",
        "cameras": ["gate"], "exhaustive": true });
    let lines = lines(bench.search(&asked)).await;
    let outcome = &lines.last().unwrap()["outcome"];
    assert_eq!(outcome["asked"], 10, "{lines:?}");
    let hit = &outcome["hits"][0];
    assert_eq!(hit["camera"], "gate");
    assert_eq!(hit["size"], json!([256, 192]));
    assert_eq!(hit["has_picture"], true);
    assert_eq!(hit["detections"][0]["box"].as_array().unwrap().len(), 4);
    assert!(
        lines.iter().any(|line| line["hit"] == *hit),
        "it was told of before"
    );
    let time = hit["time"].as_str().unwrap();
    assert!(time.starts_with("2026-01-05T10:00:1"), "{time}");
    let path = format!("/api/search/picture.jpg?camera=gate&time={time}");
    let picture = bench.get(&path).send().await.unwrap();
    assert_eq!(picture.headers()["content-type"], "image/jpeg");
    assert_eq!(picture.bytes().await.unwrap(), PICTURE);
    let none = "/api/search/picture.jpg?camera=dark&time=2026-01-05T10:00:00Z";
    told(bench.get(none), 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_gives_answers_and_moments_are_told() {
    let bench = kept(20).await;
    let asked = json!({ "query": "is there a gray thing?" });
    let answers = lines(bench.search(&asked)).await;
    let curve = &answers.last().unwrap()["outcome"]["curve"];
    assert_eq!(curve[0]["answer"]["text"], "yes", "{curve}");
    assert!(
        answers
            .iter()
            .any(|line| line["answer"]["camera"] == "gate")
    );
    let asked = json!({ "query": "a gray thing", "moments": true });
    let moments = lines(bench.search(&asked)).await;
    let outcome = &moments.last().unwrap()["outcome"];
    assert_eq!(
        (&outcome["mode"], &outcome["moments"]),
        (&json!("moments"), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_search_runs_at_a_time_and_ends_with_its_client() {
    let bench = kept(3000).await;
    let asked = json!({ "query": "a gray thing", "exhaustive": true });
    let mut first = bench.search(&asked).send().await.unwrap();
    assert!(first.chunk().await.unwrap().is_some());
    let refused = told(bench.search(&asked), 429).await;
    assert!(
        refused["error"]
            .as_str()
            .unwrap()
            .contains("another search"),
        "{refused}"
    );
    let picture = bench.get("/api/search/picture.jpg?camera=gate&time=2026-01-05T10:00:00Z");
    let meanwhile = picture.send().await.unwrap();
    assert_eq!(meanwhile.status(), 200, "pictures do not wait for searches");
    drop(first);
    let short = json!({ "query": "a gray thing", "to": "2026-01-05T10:00:01Z" });
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        let again = bench.search(&short).send().await.unwrap();
        if again.status() == 200 {
            return;
        }
    }
    panic!("the search goes on without its client");
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_that_are_gone_are_asked_and_those_that_never_were_are_refused() {
    let bench = kept(1).await;
    bench.keep("attic", 2);
    for (cameras, frames) in [(json!(["attic"]), 2), (json!(["dark"]), 0), (json!([]), 3)] {
        let asked = json!({ "query": "a gray thing", "cameras": cameras });
        let lines = lines(bench.search(&asked)).await;
        assert_eq!(lines.last().unwrap()["outcome"]["frames"], frames);
    }
    let asked = json!({ "query": "a gray thing", "cameras": ["gate", "gone"] });
    let refused = told(bench.search(&asked), 400).await;
    assert_eq!(
        refused["error"],
        "cameras: there is no camera \"gone\", and no frame of it was kept: expected some of \"attic\", \"dark\", \"gate\""
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_refused() {
    let bench = kept(1).await;
    for (asked, expected) in [
        (json!({ "query": "[a cube" }), "bracket"),
        (json!({ "query": "" }), ""),
        (json!({ "query": "a cube", "limit": 0 }), "limit"),
        (
            json!({ "query": "a cube", "score_threshold": 2 }),
            "threshold",
        ),
        (json!({ "query": "x".repeat(5000) }), "at most 4096 bytes"),
        (json!({ "query": "a cube", "from": "yesterday" }), "from"),
        (json!({ "query": "a cube", "colour": 1 }), "colour"),
    ] {
        let error = told(bench.search(&asked), 400).await;
        assert!(
            error["error"].as_str().unwrap().contains(expected),
            "{error}"
        );
    }
    let off = Bench::new().await;
    let error = told(off.search(&json!({ "query": "a cube" })), 404).await;
    assert!(
        error["error"].as_str().unwrap().contains("[past]"),
        "{error}"
    );
}
