//! What the bundled model says in a pipeline.

use mdetr_tests::TestEnv;
use serde_json::Value;

/// The scene's objects do not change in number; they move.
const CLIP: &str =
    "tabletopsrc seed=5 objects=3 num-buffers=12 ! video/x-raw,width=320,height=240,framerate=10/1";

#[test]
fn a_standing_question_is_answered_in_every_frame_and_its_words_have_boxes() {
    let env = TestEnv::new();
    env.launch(&format!(
        "{CLIP} ! mdetr model={} queries=<\"how\\ many\\ objects\\ are\\ there?\",\"is\\ there\\ an\\ object?\"> \
         ! mdetr2json ! filesink location=out.jsonl",
        env.model().display()
    ))
    .success();
    let text = env.read("out.jsonl");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 12);
    let right = |query: usize, answer: &str| {
        let given = |line: &&Value| line["queries"][query]["answer"]["text"] == answer;
        lines.iter().filter(given).count()
    };
    assert!(right(0, "3") >= 9, "three objects: {text}");
    assert_eq!(right(1, "yes"), 12, "{text}");
    for line in &lines {
        let detections = line["queries"][0]["detections"].as_array().unwrap();
        assert!(!detections.is_empty(), "no object has a box: {line}");
        for detection in detections {
            assert_eq!(detection["mask"]["size"], serde_json::json!([240, 320]));
        }
    }
}
