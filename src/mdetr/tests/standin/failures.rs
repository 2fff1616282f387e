//! What fails is said, or made up for; the next frame is answered.

use mdetr_tensorrt_standin::Failure;

use super::*;

const SIZE: (u32, u32) = (64, 48);

#[test]
fn frames_are_answered_where_a_graph_cannot_be_run() {
    let standin = take();
    let dir = tempfile::tempdir().unwrap();
    let found = on_standin(dir.path(), &["a red cube"]);
    let expected = outputs(&found, SIZE, 0).unwrap();
    for _ in 0..5 {
        outputs(&found, SIZE, 0).unwrap();
    }
    assert!(standin.count("cuGraphLaunch") > 0);
    standin.fail("cuGraphLaunch", 0, Failure::Spoiled);
    for _ in 0..50 {
        alike(&outputs(&found, SIZE, 0).unwrap(), &expected);
    }
    let stats = found.stats();
    assert_eq!(
        (stats.graph_captures, stats.graph_replay_failures),
        (3, 1),
        "{stats:?}"
    );
    sound(&standin, found);
}

#[test]
fn captures_that_fail_are_counted_and_tried_again() {
    let standin = take();
    let dir = tempfile::tempdir().unwrap();
    let found = on_standin(dir.path(), &["a red cube"]);
    let expected = outputs(&found, SIZE, 0).unwrap();
    standin.fail("cuStreamEndCapture", 0, Failure::Spoiled);
    for _ in 0..60 {
        alike(&outputs(&found, SIZE, 0).unwrap(), &expected);
    }
    let stats = found.stats();
    assert_eq!(
        (stats.graph_captures, stats.graph_capture_failures),
        (2, 1),
        "{stats:?}"
    );
    assert_eq!(standin.count("alive graphs"), 0);
    sound(&standin, found);
}

#[test]
fn memory_that_is_used_up_is_said_with_the_remedy() {
    let standin = take();
    let dir = tempfile::tempdir().unwrap();
    let found = on_standin(dir.path(), &["a red cube"]);
    outputs(&found, SIZE, 0).unwrap();
    standin.set_memory(1 << 16);
    let message = outputs(&found, (640, 480), 0).unwrap_err().to_string();
    assert!(
        message.contains("out of memory") && message.contains("smaller frames"),
        "{message}"
    );
    standin.set_memory(1 << 28);
    outputs(&found, (640, 480), 0).unwrap();
    sound(&standin, found);
}

#[test]
fn a_lost_device_is_named() {
    let standin = take();
    let dir = tempfile::tempdir().unwrap();
    let found = on_standin(dir.path(), &["a red cube"]);
    outputs(&found, SIZE, 0).unwrap();
    standin.fail("cuStreamSynchronize", 0, Failure::Lost);
    let message = outputs(&found, SIZE, 0).unwrap_err().to_string();
    assert!(message.contains("unspecified launch failure"), "{message}");
    assert_eq!(standin.violations(), "");
}
