//! CUDA graphs: when they are made, and what happens where they cannot be.

use std::sync::atomic::{AtomicBool, Ordering};

use mdetr_tensorrt_standin::Failure;

use super::*;

fn run_times(bench: &Bench, times: usize) {
    for frame in 0..times {
        bench.run(frame, 2, 3).unwrap();
    }
}

#[test]
fn a_shape_is_captured_once_it_recurs() {
    let standin = StandIn::take();
    let bench = Bench::new();
    for frame in 0..20 {
        bench.run(frame, 1 + frame % 2, 3).unwrap();
    }
    assert_eq!(
        bench.lanes.stats().captures,
        0,
        "shapes that alternate are not worth it"
    );
    run_times(&bench, 4);
    let enqueued = standin.count("enqueueV3");
    run_times(&bench, 10);
    assert_eq!(bench.lanes.stats().captures, 1);
    assert_eq!(standin.count("enqueueV3"), enqueued, "replayed");
    bench.run(0, 4, 4).unwrap();
    assert_eq!(
        standin.count("alive executable graphs"),
        0,
        "one of another shape is stale"
    );
    sound(&standin, bench);
}

#[test]
fn nothing_is_captured_while_a_plan_is_built() {
    let standin = StandIn::take();
    let bench = Bench::new();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        standin.hold_builds(true);
        let builds = standin.count("buildSerializedNetwork");
        scope.spawn(|| {
            build_with(&line(), &BuildOptions::default()).unwrap();
            done.store(true, Ordering::Release);
        });
        while standin.count("buildSerializedNetwork") == builds {
            std::thread::yield_now();
        }
        run_times(&bench, 10);
        assert!(!done.load(Ordering::Acquire));
        assert_eq!(bench.lanes.stats(), Default::default());
        standin.hold_builds(false);
    });
    run_times(&bench, 3);
    assert_eq!(bench.lanes.stats().captures, 1);
    assert_eq!(standin.count("spoiled captures"), 0);
    sound(&standin, bench);
}

#[test]
fn captures_and_calls_that_synchronise_exclude_each_other() {
    let standin = StandIn::take();
    let bench = Bench::new();
    let plan = build_with(&line(), &BuildOptions::default()).unwrap().plan;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                bench.device.enter().unwrap();
                let engine = Arc::new(library().load(&plan).unwrap());
                let lanes = Lanes::new(&bench.device, 4);
                lanes.prepare(&engine, &[("x", vec![3, 3])]).unwrap();
                drop(lanes.hold(Input::F32(&[1.0; 1000]), mdetr_tensorrt::Element::Float));
            }
        });
        for frame in 0..300 {
            // Each new shape is captured anew.
            bench.run(frame, 1 + frame / 5 % 8, 3).unwrap();
        }
        stop.store(true, Ordering::Release);
    });
    assert_eq!(standin.count("spoiled captures"), 0);
    assert_eq!(bench.lanes.stats().capture_failures, 0);
    sound(&standin, bench);
}

#[test]
fn a_capture_that_is_spoiled_is_counted_and_tried_again() {
    for call in [
        "cuStreamBeginCapture_v2",
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
    ] {
        let standin = StandIn::take();
        let bench = Bench::new();
        standin.fail(call, 0, Failure::Spoiled);
        run_times(&bench, 30);
        let stats = bench.lanes.stats();
        assert_eq!((stats.captures, stats.capture_failures), (0, 1), "{call}");
        run_times(&bench, 10);
        assert_eq!(bench.lanes.stats().captures, 1, "{call}");
        assert!(standin.count("cuGraphLaunch") > 0, "{call}");
        sound(&standin, bench);
    }
}

#[test]
fn work_that_fails_in_a_capture_leaves_no_graph() {
    let standin = StandIn::take();
    let bench = Bench::new();
    bench.run(0, 2, 3).unwrap();
    // The second run queues the plan, then captures it.
    standin.fail("enqueueV3", 1, Failure::OutOfMemory);
    run_times(&bench, 5);
    let stats = bench.lanes.stats();
    assert_eq!((stats.captures, stats.capture_failures), (0, 1));
    assert_eq!(standin.count("alive graphs"), 0);
    sound(&standin, bench);
}

#[test]
fn a_graph_that_cannot_be_replayed_is_made_anew() {
    let standin = StandIn::take();
    let bench = Bench::new();
    run_times(&bench, 5);
    assert_eq!(bench.lanes.stats().captures, 1);
    standin.fail("cuGraphLaunch", 0, Failure::Spoiled);
    run_times(&bench, 50);
    let stats = bench.lanes.stats();
    assert_eq!((stats.captures, stats.replay_failures), (2, 1));
    sound(&standin, bench);
}
