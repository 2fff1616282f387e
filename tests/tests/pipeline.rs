//! Pipelines as a user types them.

use std::fs;

use mdetr_tests::{TestEnv, sha256};
use serde_json::Value;

const CLIP: &str =
    "tabletopsrc seed=3 num-buffers=24 ! video/x-raw,format=RGB,width=320,height=240";
const QUERIES: &str =
    r#"queries=<"all\ objects","[the\ large\ cube]\ behind\ the\ red\ ball","a\ purple\ cone">"#;

fn lines(text: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    text.lines().map(parse).collect()
}

/// A counter of the element's last statistics message.
fn stat(output: &str, field: &str) -> u64 {
    let stats = output
        .lines()
        .rfind(|l| l.contains("mdetr-stats"))
        .expect("mdetr says its statistics");
    let start = format!("{field}=(guint64)");
    let value = stats
        .split(&start)
        .nth(1)
        .unwrap_or_else(|| panic!("no {field}: {stats}"));
    let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("digits")
}

#[test]
fn every_frame_becomes_a_line_of_the_schema() {
    let env = TestEnv::new();
    env.launch(&format!(
        "{CLIP} ! mdetr model=MODEL {QUERIES} ! mdetr2json source=cam0 ! filesink location=out.jsonl"
    ))
    .success();
    let schema = serde_json::from_str(mdetr::report::SCHEMA).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    let lines = lines(&env.read("out.jsonl"));
    assert_eq!(lines.len(), 24);
    for (i, line) in lines.iter().enumerate() {
        assert!(validator.is_valid(line), "{line}");
        assert_eq!(line["frame"], i);
        assert_eq!(line["source"], "cam0");
        assert_eq!(line["size"], serde_json::json!([320, 240]));
        let ids: Vec<_> = line["queries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|q| &q["id"])
            .collect();
        assert_eq!(ids, ["q1", "q2", "q3"]);
        assert_eq!(line["queries"][0]["present"], true, "all objects: {line}");
    }
    let pts: Vec<u64> = lines
        .iter()
        .map(|l| l["pts_ns"].as_u64().unwrap())
        .collect();
    assert!(
        pts.is_sorted() && pts[0] == 0 && pts[23] > 700_000_000,
        "{pts:?}"
    );
}

#[test]
fn pixels_pass_through_untouched_in_both_modes() {
    let env = TestEnv::new();
    env.launch(&format!("{CLIP} ! filesink location=before.rgb"))
        .success();
    for mode in ["every-frame", "live"] {
        env.launch(&format!(
            "{CLIP} ! mdetr model=MODEL mode={mode} {QUERIES} ! filesink location={mode}.rgb"
        ))
        .success();
        let after = env.path().join(format!("{mode}.rgb"));
        assert_eq!(
            fs::metadata(&after).unwrap().len(),
            24 * 320 * 240 * 3,
            "{mode}"
        );
        assert_eq!(
            sha256(&env.path().join("before.rgb")),
            sha256(&after),
            "{mode}"
        );
    }
}

#[test]
fn the_text_encoder_runs_once_per_query_in_the_life_of_a_cache() {
    let env = TestEnv::new();
    let pipeline =
        format!("{CLIP} ! mdetr name=m model=MODEL text-cache-dir=queries {QUERIES} ! fakesink");
    let cold = env.launch(&pipeline).success();
    assert_eq!(stat(&cold, "frames"), 24);
    assert_eq!(stat(&cold, "text-encoder-runs"), 3);
    assert_eq!(stat(&cold, "text-encoder-loads"), 1);
    let warm = env.launch(&pipeline).success();
    assert_eq!(stat(&warm, "text-encoder-runs"), 0);
    assert_eq!(stat(&warm, "text-encoder-loads"), 0);
    assert_eq!(stat(&warm, "cache-disk-hits"), 3);
}

#[test]
fn the_overlay_changes_pixels_only_where_something_is() {
    let env = TestEnv::new();
    let draw = |query: &str, file: &str| {
        env.launch(&format!(
            "{CLIP} ! mdetr model=MODEL query={query} ! mdetroverlay ! videoconvert ! video/x-raw,format=RGB ! filesink location={file}"
        ))
        .success();
        fs::read(env.path().join(file)).unwrap()
    };
    env.launch(&format!("{CLIP} ! filesink location=plain.rgb"))
        .success();
    let plain = fs::read(env.path().join("plain.rgb")).unwrap();
    let drawn = draw(r#""all\ objects""#, "drawn.rgb");
    assert_eq!(plain.len(), drawn.len());
    let changed = plain.iter().zip(&drawn).filter(|(a, b)| a != b).count();
    assert!(
        changed > plain.len() / 200,
        "{changed} of {} bytes",
        plain.len()
    );
    assert!(
        changed < plain.len() / 2,
        "{changed} of {} bytes",
        plain.len()
    );
}

#[test]
fn mistakes_are_named() {
    let env = TestEnv::new();
    fs::write(env.path().join("file"), "").unwrap();
    for (element, expected) in [
        ("mdetr model=nowhere query=cube", "nowhere"),
        (r#"mdetr model=MODEL query="[a\ cube""#, "["),
        (r#"mdetr model=MODEL query="\ ""#, "empty"),
        (
            "mdetr model=MODEL query=cube text-cache-dir=file/cache",
            "file/cache",
        ),
        ("mdetr model=MODEL config=nothing.toml", "nothing.toml"),
        (
            "video/x-raw,format=GRAY16_LE ! mdetr model=MODEL query=cube",
            "not",
        ),
    ] {
        let pipeline = format!("videotestsrc num-buffers=2 ! {element} ! fakesink");
        let said = env.launch(&pipeline).failure();
        assert!(said.contains(expected), "{element}: {said}");
    }
}
