//! What plans compute, at one shape and another, on one thread and several.

use std::sync::Barrier;

use super::*;

#[test]
fn outputs_are_what_the_graph_computes() {
    let standin = StandIn::take();
    let bench = Bench::new();
    for frame in 0..10 {
        bench.run(frame, 2, 3).unwrap();
    }
    assert!(
        standin.count("cuGraphLaunch") > 3,
        "it is queued by one call"
    );
    sound(&standin, bench);
}

#[test]
fn what_stays_on_the_device_is_fed_to_other_runs() {
    let standin = StandIn::take();
    let bench = Bench::new();
    let shapes = [("x", vec![2, 3])];
    let x = numbers(5, 2, 3);
    for _ in 0..5 {
        let run = |input| {
            let mut found = bench
                .lanes
                .run(&bench.engine, &shapes, &[input], &[("line", true)])
                .unwrap();
            match found.remove(0).1 {
                Output::Device(buffer) => buffer,
                Output::Host(_) => panic!("it was to stay on the device"),
            }
        };
        let once = run(Input::F32(&x));
        let twice = run(Input::Device(&once));
        let fed = [Input::Device(&twice)];
        let found = bench
            .lanes
            .run(&bench.engine, &shapes, &fed, &[("line", false)])
            .unwrap();
        let Output::Host(thrice) = &found[0].1 else {
            panic!("it was asked for on the host");
        };
        assert_eq!(
            thrice,
            &x.iter().map(|x| 8.0 * x + 7.0).collect::<Vec<f32>>()
        );
    }
    sound(&standin, bench);
}

#[test]
fn what_is_held_is_copied_once() {
    let standin = StandIn::take();
    let bench = Bench::new();
    let shapes = [("x", vec![2, 3])];
    let x = numbers(0, 2, 3);
    let held = bench
        .lanes
        .hold(Input::F32(&x), mdetr_tensorrt::Element::Float)
        .unwrap();
    let copies = || standin.count("cuMemcpyHtoDAsync_v2") + standin.count("cuMemcpyDtoDAsync_v2");
    let before = copies();
    for _ in 0..20 {
        let found = bench.lanes.run(
            &bench.engine,
            &shapes,
            &[Input::Device(&held)],
            &[("line", false)],
        );
        let Output::Host(line) = &found.unwrap()[0].1 else {
            panic!("it was asked for on the host");
        };
        assert_eq!(line[5], 11.0);
    }
    assert_eq!(copies() - before, 1);
    drop(held);
    sound(&standin, bench);
}

#[test]
fn a_lane_is_reshaped_and_keeps_its_memory() {
    let standin = StandIn::take();
    let bench = Bench::new();
    bench.run(0, 8, 64).unwrap();
    let (contexts, memory) = (
        standin.count("alive contexts"),
        bench.device.memory().unwrap(),
    );
    for frame in 0..50 {
        bench.run(frame, 1 + frame % 8, 1 + frame * 7 % 64).unwrap();
    }
    assert_eq!((contexts, standin.count("alive contexts")), (1, 1));
    assert_eq!(bench.device.memory().unwrap(), memory);
    assert_eq!(standin.count("alive streams"), 1);
    sound(&standin, bench);
}

#[test]
fn two_contexts_run_one_engine() {
    let standin = StandIn::take();
    let bench = Bench::new();
    bench.run(0, 2, 3).unwrap();
    let other = Lanes::new(&bench.device, 4);
    let second = Bench {
        device: bench.device.clone(),
        engine: bench.engine.clone(),
        lanes: other,
    };
    second.run(1, 3, 4).unwrap();
    bench.run(2, 2, 3).unwrap();
    assert_eq!(standin.count("alive contexts"), 2);
    drop(second);
    sound(&standin, bench);
}

#[test]
fn threads_have_lanes_of_their_own() {
    let standin = StandIn::take();
    let bench = Bench::new();
    const THREADS: usize = 4;
    let together = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (bench, together) = (&bench, &together);
            scope.spawn(move || {
                together.wait();
                for frame in 0..100 {
                    bench
                        .run(thread * 31 + frame, 1 + thread, 1 + frame / 10)
                        .unwrap();
                }
            });
        }
    });
    let lanes = standin.count("alive contexts");
    assert!((1..=THREADS as i64).contains(&lanes), "{lanes} contexts");
    assert_eq!(standin.count("spoiled captures"), 0);
    sound(&standin, bench);
}

#[test]
fn there_are_no_more_lanes_than_allowed() {
    let standin = StandIn::take();
    let Bench { device, engine, .. } = Bench::new();
    let bench = Bench {
        lanes: Lanes::new(&device, 1),
        device,
        engine,
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let bench = &bench;
            scope.spawn(move || {
                for frame in 0..50 {
                    bench.run(thread + frame, 1 + thread, 3).unwrap();
                }
            });
        }
    });
    assert_eq!(standin.count("cuStreamCreate"), 1);
    // One that failed makes room.
    bench.run(0, 9, 3).unwrap_err();
    bench.run(0, 2, 3).unwrap();
    assert_eq!(standin.count("alive streams"), 1);
    sound(&standin, bench);
}

#[test]
fn sizes_that_the_plan_does_not_take_are_said() {
    let standin = StandIn::take();
    let bench = Bench::new();
    bench.run(0, 2, 3).unwrap();
    let message = bench.run(0, 9, 3).unwrap_err().to_string();
    assert!(message.contains("[9, 3]"), "{message}");
    assert!(
        message.contains("the plan takes [1, 1] to [8, 64]"),
        "{message}"
    );
    let shapes = [("x", vec![2, 3])];
    let refused = |inputs: &[Input], output| {
        let found = bench
            .lanes
            .run(&bench.engine, &shapes, inputs, &[(output, false)]);
        found.unwrap_err().to_string()
    };
    let message = refused(&[Input::F32(&[0.0; 5])], "line");
    assert!(
        message.contains("expected 6 values for [2, 3], found 5"),
        "{message}"
    );
    let message = refused(&[Input::I64(&[0; 6])], "line");
    assert!(message.contains("the plan takes Float"), "{message}");
    let message = refused(&[Input::F32(&[0.0; 6])], "curve");
    assert!(
        message.contains("the plan has no output curve"),
        "{message}"
    );
    let message = refused(&[], "line");
    assert!(message.contains("expected 1 inputs, found 0"), "{message}");
    bench.run(0, 2, 3).unwrap();
    sound(&standin, bench);
}

#[test]
fn an_engine_that_is_retired_leaves_nothing_on_lanes() {
    let standin = StandIn::take();
    let bench = Bench::new();
    bench.run(0, 2, 3).unwrap();
    let free = || bench.device.memory().unwrap().0;
    let plan = build_with(&line(), &BuildOptions::default()).unwrap().plan;
    let before = free();
    let brief = Arc::new(library().load(&plan).unwrap());
    bench.lanes.prepare(&brief, &[("x", vec![8, 64])]).unwrap();
    brief.retire();
    bench.lanes.drop_retired();
    assert_eq!(standin.count("alive contexts"), 1);
    drop(brief);
    bench.run(0, 2, 3).unwrap();
    // Its input and outputs are in the pool.
    assert!(
        before - free() <= (2 * 8 * 64 + 8) * 4,
        "{} bytes",
        before - free()
    );
    sound(&standin, bench);
}
