//! Bundles of the released structures in pipelines: small forms with random weights, so that what
//! they say is noise, but every part of it is said.

use mdetr_tests::TestEnv;
use serde_json::{Value, json};

const CLIP: &str = "tabletopsrc seed=3 num-buffers=3 ! video/x-raw,format=RGB,width=160,height=120";

/// The lines of a pipeline whose `mdetr` has that bundle and these properties; `scale` comes
/// between it and `mdetr2json`.
fn lines(bundle: &str, properties: &str, scale: &str) -> Vec<Value> {
    let env = TestEnv::new();
    let model = env
        .root()
        .join("src/mdetr/tests/data/official")
        .join(bundle);
    env.launch(&format!(
        "{CLIP} ! mdetr model={} {properties} {scale} ! mdetr2json ! filesink location=out.jsonl",
        model.display()
    ))
    .success();
    let schema = serde_json::from_str(mdetr::report::SCHEMA).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    let text = env.read("out.jsonl");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert!(validator.is_valid(line), "{line}");
    }
    lines
}

#[test]
fn masks_follow_the_size_of_the_frame() {
    for (scale, size) in [
        ("", [120, 160]),
        ("! videoscale ! video/x-raw,width=80,height=90", [90, 80]),
    ] {
        for line in lines(
            "resnet101_phrasecut",
            "query=a\\ cup score-threshold=0.1",
            scale,
        ) {
            let detections = line["queries"][0]["detections"].as_array().unwrap();
            assert!(!detections.is_empty());
            for detection in detections {
                assert_eq!(detection["mask"]["size"], json!(size));
                let counts = detection["mask"]["counts"].as_str().unwrap();
                let mask = mdetr::Rle::from_coco_string(counts, size[1], size[0]);
                assert!(mask.is_some(), "{detection}");
            }
        }
    }
}

#[test]
fn a_standing_question_has_an_answer_for_each_frame() {
    for bundle in ["resnet101_gqa", "efficientnetB5_gqa", "clevr"] {
        let queries = "queries=<\"what\\ is\\ it?\",\"a\\ cup\">";
        for line in lines(bundle, queries, "") {
            let answer = &line["queries"][0]["answer"];
            assert!(!answer["text"].as_str().unwrap().is_empty(), "{line}");
            assert!(line["queries"][1]["answer"].is_null(), "{line}");
        }
    }
}

#[test]
fn the_short_side_is_the_users() {
    // At a third of the size small structures see a grid of 2 x 1 tokens: other boxes.
    let boxes = |properties: &str| {
        let lines = lines("efficientnetB3", properties, "");
        lines[0]["queries"][0]["detections"].clone()
    };
    let own = boxes("query=a\\ cup score-threshold=0.1");
    let smaller = boxes("query=a\\ cup score-threshold=0.1 short-side=40");
    let same = boxes("query=a\\ cup score-threshold=0.1 short-side=120");
    assert_ne!(own, smaller);
    assert_eq!(own, same);
}
