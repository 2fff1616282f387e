//! Any call may fail: it is said, nothing is broken by it, and the next run is right.

use mdetr_tensorrt_standin::Failure;

use super::*;

#[test]
fn whatever_call_fails_the_next_run_is_right() {
    let calls = [
        "cuMemAlloc_v2",
        "cuMemFree_v2",
        "cuMemHostAlloc",
        "cuMemFreeHost",
        "cuStreamCreate",
        "cuStreamSynchronize",
        "cuMemcpyHtoDAsync_v2",
        "cuMemcpyDtoHAsync_v2",
        "cuMemcpyDtoDAsync_v2",
        "cuStreamBeginCapture_v2",
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
        "cuGraphLaunch",
        "cuCtxSetCurrent",
        "createExecutionContext",
        "enqueueV3",
    ];
    for call in calls {
        for after in 0..8 {
            let standin = StandIn::take();
            let bench = Bench::new();
            standin.fail(call, after, Failure::Spoiled);
            let mut failed = 0;
            for frame in 0..6 {
                let kept = bench.lanes.run(
                    &bench.engine,
                    &[("x", vec![2, 3])],
                    &[Input::F32(&numbers(frame, 2, 3))],
                    &[("line", true), ("mean", true)],
                );
                failed += i32::from(kept.is_err());
                failed += i32::from(bench.run(frame, 1 + frame / 3, 3).is_err());
            }
            assert!(failed <= 1, "{call}: {failed} runs failed");
            for frame in 0..4 {
                bench.run(frame, 2, 3).unwrap();
            }
            assert_eq!(standin.violations(), "", "{call} after {after}");
        }
    }
}

#[test]
fn what_is_queued_when_a_run_fails_is_done_before_its_memory_goes() {
    let standin = StandIn::take();
    let bench = Bench::new();
    let second = Bench {
        device: bench.device.clone(),
        engine: bench.engine.clone(),
        lanes: Lanes::new(&bench.device, 4),
    };
    let shapes = [("x", vec![2, 3])];
    let x = numbers(0, 2, 3);
    second.run(0, 2, 3).unwrap();
    for call in ["cuMemcpyDtoHAsync_v2", "enqueueV3"] {
        // The buffer that was to be kept is freed with a copy to it queued.
        standin.fail(call, 0, Failure::Spoiled);
        let outputs = [("line", true), ("mean", false)];
        let failed = bench
            .lanes
            .run(&bench.engine, &shapes, &[Input::F32(&x)], &outputs);
        failed.unwrap_err();
        let found = second
            .lanes
            .run(&bench.engine, &shapes, &[Input::F32(&x)], &[("line", true)]);
        let Output::Device(line) = &found.unwrap()[0].1 else {
            panic!("it was to stay on the device");
        };
        let fed = [Input::Device(line)];
        second
            .lanes
            .run(&bench.engine, &shapes, &fed, &[("line", false)])
            .unwrap();
    }
    drop(second);
    sound(&standin, bench);
}

#[test]
fn a_lost_device_is_said_and_nothing_of_it_is_used_again() {
    let standin = StandIn::take();
    let bench = Bench::new();
    for frame in 0..5 {
        bench.run(frame, 2, 3).unwrap();
    }
    standin.fail("cuStreamSynchronize", 0, Failure::Lost);
    let message = bench.run(0, 2, 3).unwrap_err().to_string();
    assert!(
        message.contains("the GPU failed: unspecified launch failure"),
        "{message}"
    );
    bench.run(0, 2, 3).unwrap_err();
    assert_eq!(standin.violations(), "");
    drop(bench);
    drop(standin);
    // Another process, as it were.
    let standin = StandIn::take();
    let bench = Bench::new();
    bench.run(0, 2, 3).unwrap();
    assert_eq!(standin.violations(), "");
}
