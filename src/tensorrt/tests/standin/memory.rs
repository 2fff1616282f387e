//! Device memory: shared, bounded, and given back before it is said to be used up.

use mdetr_tensorrt_standin::Failure;

use super::*;

const MIB: usize = 1 << 20;

#[test]
fn freed_buffers_are_used_again_up_to_a_bound() {
    let standin = StandIn::take();
    let bench = Bench::new();
    let (device, used) = (&bench.device, || {
        let (free, total) = bench.device.memory().unwrap();
        total - free
    });
    let before = used();
    drop(device.allocate(MIB).unwrap());
    let calls = standin.count("cuMemAlloc_v2");
    drop(device.allocate(MIB).unwrap());
    assert_eq!(standin.count("cuMemAlloc_v2"), calls);
    let many: Vec<_> = (0..100).map(|_| device.allocate(MIB).unwrap()).collect();
    drop(many);
    assert!(
        used() - before <= 64 * MIB,
        "{} bytes are kept",
        used() - before
    );
    sound(&standin, bench);
}

#[test]
fn the_pool_is_emptied_before_memory_is_used_up() {
    let standin = StandIn::take();
    let bench = Bench::new();
    standin.set_memory(40 * MIB);
    drop(bench.device.allocate(30 * MIB).unwrap());
    // More than is free, but not more than there is.
    let most = bench.device.allocate(35 * MIB).unwrap();
    let error = bench.device.allocate(10 * MIB).unwrap_err();
    assert!(matches!(error, Error::Memory(_)), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("cannot have 10485760 bytes of the GPU: out of memory"),
        "{message}"
    );
    drop(most);
    bench.run(0, 2, 3).unwrap();
    sound(&standin, bench);
}

#[test]
fn tensorrt_gets_what_is_only_kept_for_later() {
    let standin = StandIn::take();
    let bench = Bench::new();
    bench.run(0, 2, 3).unwrap();
    let plan = build_with(&line(), &BuildOptions::default()).unwrap().plan;
    standin.set_memory(40 * MIB);
    drop(bench.device.allocate(39 * MIB).unwrap());
    let (free, _) = bench.device.memory().unwrap();
    standin.set_memory(40 * MIB - free);
    let load = || library().load(&plan);
    let loaded = bench.lanes.with_memory(load);
    drop(loaded.unwrap());
    for call in ["createExecutionContext", "enqueueV3", "cuMemHostAlloc"] {
        standin.fail(call, 0, Failure::OutOfMemory);
        bench.run(1, 3, 4).unwrap();
    }
    sound(&standin, bench);
}

#[test]
fn all_engines_of_a_lane_share_its_memory() {
    let standin = StandIn::take();
    let bench = Bench::new();
    let plan = build_with(&line(), &BuildOptions::default()).unwrap().plan;
    let engines: Vec<Arc<Engine>> = (0..4)
        .map(|_| Arc::new(library().load(&plan).unwrap()))
        .collect();
    // So many outputs between inputs and outputs: its intermediate results are most of what a context needs.
    let shapes = [("x", vec![8, 64])];
    bench.lanes.prepare(&bench.engine, &shapes).unwrap();
    let pieces = standin.count("alive device");
    for engine in &engines {
        bench.lanes.prepare(engine, &shapes).unwrap();
    }
    // Of each engine: its input and its two outputs.
    assert_eq!(standin.count("alive device") - pieces, 4 * 3);
    assert_eq!(standin.count("alive contexts"), 5);
    assert_eq!(standin.count("alive streams"), 1);
    assert_eq!(standin.count("alive pinned"), 0, "nothing was copied yet");
    drop(engines);
    sound(&standin, bench);
}

#[test]
fn only_what_is_copied_is_pinned() {
    let standin = StandIn::take();
    let bench = Bench::new();
    let shapes = [("x", vec![2, 3])];
    let x = numbers(0, 2, 3);
    let run = |input, outputs: &[(&str, bool)]| {
        bench
            .lanes
            .run(&bench.engine, &shapes, &[input], outputs)
            .unwrap()
    };
    let kept = run(Input::F32(&x), &[("line", true)]);
    assert_eq!(standin.count("alive pinned"), 1, "the input");
    run(Input::F32(&x), &[("mean", false)]);
    assert_eq!(standin.count("alive pinned"), 2, "and an output");
    drop(kept);
    sound(&standin, bench);
}
