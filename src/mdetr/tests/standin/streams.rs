//! Streams of frames: several sizes, several queries, several threads.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const SIZES: [(u32, u32); 3] = [(64, 48), (32, 32), (96, 64)];
/// Of several lengths, so that several runs of the fusion graph are made for a frame.
const TEXTS: [&str; 4] = [
    "a red cube",
    "all cones",
    "the large shiny yellow cylinder that is behind the tiny blue ball in front of the cone",
    "a ball",
];

#[test]
fn answers_are_those_of_the_graphs() {
    let standin = take();
    let dir = tempfile::tempdir().unwrap();
    let found = on_standin(dir.path(), &TEXTS);
    let reference = grounder(dir.path(), options(EngineKind::Tract), &TEXTS).unwrap();
    for number in 0..4 {
        for size in SIZES {
            alike(
                &outputs(&found, size, number).unwrap(),
                &outputs(&reference, size, number).unwrap(),
            );
        }
    }
    // Text, vision and fusion graph; the text graph is gone when its texts are encoded.
    assert!(standin.count("createExecutionContext") >= 3);
    let contexts = standin.count("alive contexts");
    assert!(
        (2..=1 + SIZES.len() as i64 * 2).contains(&contexts),
        "{contexts} contexts"
    );
    assert_eq!(standin.count("alive streams"), 1, "one lane");
    sound(&standin, found);
}

#[test]
fn a_graph_of_one_plan_runs_at_all_lengths() {
    let standin = take();
    let dir = tempfile::tempdir().unwrap();
    let found = on_standin(dir.path(), &TEXTS);
    outputs(&found, SIZES[0], 0).unwrap();
    // Two plans of the fusion graph's shapes are one engine's, which has a profile for one context only
    // unless it is told to share it.
    found
        .set_queries(queries(&[
            "a cone",
            "the small green sphere left of the big purple block",
        ]))
        .unwrap();
    outputs(&found, SIZES[0], 0).unwrap();
    assert_eq!(
        standin.count("alive contexts"),
        2,
        "of the vision and of the fusion graph"
    );
    sound(&standin, found);
}

#[test]
fn a_steady_stream_copies_its_picture_only() {
    let standin = take();
    let dir = tempfile::tempdir().unwrap();
    let found = on_standin(dir.path(), &TEXTS[..1]);
    for number in 0..5 {
        outputs(&found, SIZES[0], number).unwrap();
    }
    let uploads = standin.count("cuMemcpyHtoDAsync_v2");
    let (allocations, enqueued) = (standin.count("cuMemAlloc_v2"), standin.count("enqueueV3"));
    for number in 0..10 {
        outputs(&found, SIZES[0], number).unwrap();
    }
    assert_eq!(standin.count("cuMemcpyHtoDAsync_v2") - uploads, 10);
    assert_eq!(standin.count("cuMemAlloc_v2"), allocations);
    assert_eq!(standin.count("enqueueV3"), enqueued, "graphs are replayed");
    assert_eq!(
        found.stats().graph_captures,
        2,
        "of the vision and of the fusion graph"
    );
    sound(&standin, found);
}

#[test]
fn what_was_prepared_takes_no_longer_than_the_next() {
    let standin = take();
    let dir = tempfile::tempdir().unwrap();
    let found = on_standin(dir.path(), &TEXTS[..1]);
    found.prepare(64, 48).unwrap();
    let before = standin.count("createExecutionContext");
    outputs(&found, (64, 48), 0).unwrap();
    assert_eq!(standin.count("createExecutionContext"), before);
    found.rehearse(64, 48).unwrap();
    sound(&standin, found);
}

#[test]
fn bundles_of_fp16_run() {
    let standin = take();
    let (whole, half) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    bundle::write(whole.path(), false);
    bundle::write(half.path(), true);
    let reference = grounder(whole.path(), options(EngineKind::Tract), &TEXTS).unwrap();
    let found =
        Arc::new(grounder(half.path(), tensorrt(TensorRtOptions::default()), &TEXTS).unwrap());
    for size in SIZES {
        let (found, expected) = (
            outputs(&found, size, 1).unwrap(),
            outputs(&reference, size, 1).unwrap(),
        );
        for (found, expected) in found.iter().zip(&expected) {
            for (a, b) in found.logits.iter().zip(&expected.logits) {
                assert!((a - b).abs() < 4e-3 * b.abs().max(1.0), "{a} and {b}");
            }
        }
    }
    sound(&standin, found);
}

#[test]
fn workers_and_changes_do_not_disturb_each_other() {
    let standin = take();
    let dir = tempfile::tempdir().unwrap();
    let found = on_standin(dir.path(), &TEXTS[..2]);
    let reference = grounder(dir.path(), options(EngineKind::Tract), &TEXTS[..2]).unwrap();
    let asked = found.encode(queries(&TEXTS[..2])).unwrap();
    let expected: Vec<_> = SIZES
        .iter()
        .map(|&size| outputs(&reference, size, 0).unwrap())
        .collect();
    const WORKERS: usize = 3;
    let (together, stop) = (Barrier::new(WORKERS), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (found, together, asked, expected) =
                    (&found, &together, &asked, &expected[worker]);
                scope.spawn(move || {
                    let rgb = picture(SIZES[worker], 0);
                    let frame = Frame::rgb(SIZES[worker].0, SIZES[worker].1, &rgb).unwrap();
                    together.wait();
                    for _ in 0..40 {
                        alike(&found.outputs(&frame, asked).unwrap(), expected);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let mut changes = 0;
            while !stop.load(Ordering::Acquire) {
                let text = format!("the {} cube", "very ".repeat(changes % 20));
                found.set_queries(queries(&[&text])).unwrap();
                found.prepare(16 + 16 * (changes as u32 % 6), 32).unwrap();
                changes += 1;
            }
        });
        for worker in workers {
            worker.join().unwrap();
        }
        stop.store(true, Ordering::Release);
    });
    assert_eq!(standin.count("spoiled captures"), 0);
    let stats = found.stats();
    assert_eq!(
        (stats.graph_capture_failures, stats.graph_replay_failures),
        (0, 0)
    );
    let streams = standin.count("alive streams");
    assert!(streams <= WORKERS as i64 + 1, "{streams} lanes");
    drop(asked);
    sound(&standin, found);
}
