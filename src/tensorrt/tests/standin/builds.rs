//! Plans: types, timings, messages, and those that are refused.

use std::sync::Mutex;

use mdetr_tensorrt::{LogMessage, Severity, set_log_hook};

use super::*;

/// Softmax of 3 x in fp32, where 3 x is of fp16, and a norm whose squares fp16 cannot have.
fn mixed() -> Vec<u8> {
    const FLOAT: i64 = 1;
    const HALF: i64 = 10;
    const THREE: u16 = 0x4200;
    let cast = |to| [("to", Attribute::Int(to))];
    Model::new()
        .input("x", Type::Float, &["rows", "columns"])
        .halves("three", &[1], &[THREE])
        .floats("scale", &[1], &[1.0])
        .node("Cast", &["x"], "half", &cast(HALF))
        .node("Mul", &["half", "three"], "scaled", &[])
        .node("Cast", &["scaled"], "wide", &cast(FLOAT))
        .node(
            "Softmax",
            &["wide"],
            "softmax",
            &[("axis", Attribute::Int(-1))],
        )
        .node(
            "LayerNormalization",
            &["wide", "scale"],
            "norm",
            &[("epsilon", Attribute::Float(1e-5))],
        )
        .output("softmax", Type::Float, &["rows", "columns"])
        .output("norm", Type::Float, &["rows", "columns"])
        .finish()
}

fn run_mixed(bench: &Bench, x: &[f32]) -> [Vec<f32>; 2] {
    let shapes = [("x", vec![1, x.len()])];
    let outputs = [("softmax", false), ("norm", false)];
    let found = bench
        .lanes
        .run(&bench.engine, &shapes, &[Input::F32(x)], &outputs)
        .unwrap();
    let mut found = found.into_iter().map(|(_, output)| match output {
        Output::Host(values) => values,
        Output::Device(_) => panic!("it was asked for on the host"),
    });
    [found.next().unwrap(), found.next().unwrap()]
}

#[test]
fn graphs_of_fp16_keep_softmax_and_norms_in_fp32() {
    let standin = StandIn::take();
    let device = Device::open(0).unwrap();
    device.enter().unwrap();
    let options = BuildOptions {
        half: library().chooses_types(),
        ..BuildOptions::default()
    };
    let built = build_with(&mixed(), &options).unwrap();
    let bench = Bench {
        lanes: Lanes::new(&device, 4),
        engine: Arc::new(library().load(&built.plan).unwrap()),
        device,
    };
    // 3 x is -300 and 300, exact in fp16; its mean is 0 and its variance 90000, which is not.
    let [_, norm] = run_mixed(&bench, &[-100.0, 100.0]);
    assert_eq!(norm, [-1.0, 1.0]);
    // Softmax of 0 and 9: fp16 has the greater one as 1.
    let [softmax, _] = run_mixed(&bench, &[0.0, 3.0]);
    let most = 1.0 / (1.0 + (-9f64).exp());
    assert!(
        (f64::from(softmax[1]) - most).abs() < 1e-7 && softmax[1] < 1.0,
        "{softmax:?}"
    );
    sound(&standin, bench);
}

#[test]
fn fp16_must_be_allowed_where_types_are_chosen() {
    let _standin = StandIn::take();
    let built = build_with(&mixed(), &BuildOptions::default());
    match library().chooses_types() {
        true => {
            let message = built.unwrap_err().to_string();
            assert!(
                message.contains("fp16 is not configured in the builder"),
                "{message}"
            );
        }
        false => drop(built.unwrap()),
    }
}

#[test]
fn timings_that_are_refused_are_replaced() {
    let standin = StandIn::take();
    let build = |timings: &[u8]| {
        let options = BuildOptions {
            timing_cache: timings.to_vec(),
            ..BuildOptions::default()
        };
        build_with(&line(), &options).unwrap().timing_cache
    };
    let sound = build(&[]);
    if sound.is_empty() {
        assert!(
            library().version().contains("RTX"),
            "only TensorRT-RTX keeps none"
        );
        return;
    }
    assert_ne!(build(&sound), sound, "a sound one is added to");
    standin.set_gpu(2);
    let foreign = build(&[]);
    standin.set_gpu(1);
    for refused in [&foreign[..], b"junk", &sound[..10]] {
        assert_eq!(build(refused), sound);
    }
}

#[test]
fn plans_of_another_gpu_are_refused() {
    let standin = StandIn::take();
    let plan = build_with(&line(), &BuildOptions::default()).unwrap().plan;
    let refused = |plan: &[u8]| match library().load(plan) {
        Err(Error::Load(message)) => message,
        other => panic!("{other:?}"),
    };
    standin.set_gpu(2);
    let message = refused(&plan);
    assert!(message.contains("of another GPU"), "{message}");
    standin.set_gpu(1);
    let message = refused(&plan[..plan.len() / 2]);
    assert!(message.contains("it is cut"), "{message}");
}

#[test]
fn messages_belong_to_the_build_that_they_are_of() {
    let standin = StandIn::take();
    type Heard = (Severity, Option<String>, String);
    let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
    let hears = heard.clone();
    set_log_hook(Some(Arc::new(move |message: &LogMessage| {
        let graph = message.graph.map(str::to_owned);
        hears
            .lock()
            .unwrap()
            .push((message.severity, graph, message.text.to_owned()));
    })));
    let build = |path: &str, onnx: &[u8]| {
        let ranges = [range("x", [[1, 1], [1, 4], [8, 64]])];
        library().build(onnx, path, &ranges, &BuildOptions::default(), &mut |_| true)
    };
    let of = |graph: Option<&str>| -> Vec<String> {
        let heard = heard.lock().unwrap();
        let of = heard.iter().filter(|(_, of, _)| of.as_deref() == graph);
        of.map(|(_, _, text)| text.clone()).collect()
    };
    // One build: what its threads say is its own.
    build("a.onnx", &line()).unwrap();
    assert_eq!(
        of(Some("a.onnx")),
        ["stand-in: timing the tactics", "stand-in: building line"]
    );
    assert!(
        heard
            .lock()
            .unwrap()
            .iter()
            .all(|(severity, _, _)| *severity == Severity::Warning)
    );
    heard.lock().unwrap().clear();
    // Two at once, of which one fails: the other does not get its words.
    standin.hold_builds(true);
    let builds = standin.count("buildSerializedNetwork");
    std::thread::scope(|scope| {
        let sound = scope.spawn(|| build("sound.onnx", &line()));
        let broken = Model::new()
            .input("x", Type::Float, &["rows", "columns"])
            .node("Reshape", &["x", "shape"], "y", &[])
            .ints("shape", &[7, 7])
            .output("y", Type::Float, &["7", "7"])
            .finish();
        let broken = scope.spawn(move || build("broken.onnx", &broken));
        while standin.count("buildSerializedNetwork") < builds + 2 {
            std::thread::yield_now();
        }
        standin.hold_builds(false);
        sound.join().unwrap().unwrap();
        let message = broken.join().unwrap().unwrap_err().to_string();
        assert!(
            message.contains("broken.onnx") && message.contains("is not [7, 7]"),
            "{message}"
        );
    });
    assert!(of(Some("sound.onnx")).contains(&"stand-in: building line".to_owned()));
    assert!(
        !of(Some("sound.onnx"))
            .iter()
            .any(|text| text.contains("[7, 7]"))
    );
    set_log_hook(None);
}
