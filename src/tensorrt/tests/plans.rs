//! The shim against a TensorRT library: finding it, building with it, and what goes wrong.
//!
//! `tools/test-tensorrt` has the library; without it these tests fail.
#![cfg(feature = "shim")]

use std::path::{Path, PathBuf};
use std::process::Command;

use mdetr_tensorrt::{BuildOptions, Built, Device, Element, Error, Library, Range};

fn graph(name: &str) -> (Vec<u8>, String) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tabletop");
    let path = dir.join(name);
    let onnx = std::fs::read(&path).unwrap();
    (onnx, path.display().to_string())
}

fn range(name: &str, min: &[usize], max: &[usize]) -> Range {
    Range {
        name: name.to_owned(),
        min: min.to_vec(),
        opt: min.to_vec(),
        max: max.to_vec(),
    }
}

fn texts(most: usize) -> [Range; 2] {
    ["input_ids", "attention_mask"].map(|name| range(name, &[1, 1], &[1, most]))
}

fn build(ranges: &[Range]) -> Result<Built, Error> {
    let (onnx, path) = graph("text.onnx");
    let options = BuildOptions::default();
    let library = Library::open().unwrap();
    library.build(&onnx, &path, ranges, &options, &mut |_| true)
}

/// A library with these C definitions.
fn library(dir: &Path, code: &str) -> PathBuf {
    let (source, file) = (dir.join("fake.c"), dir.join("libfake.so"));
    std::fs::write(&source, code).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&file, &source])
        .status();
    assert!(built.unwrap().success());
    file
}

#[test]
fn plans_have_the_inputs_and_outputs_of_the_graph() {
    let built = build(&texts(64)).unwrap();
    assert!(built.plan.len() > 1 << 20, "{} bytes", built.plan.len());
    let names: Vec<&str> = built.tensors.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["input_ids", "attention_mask", "text_memory"]);
    let [ids, mask, memory] = &built.tensors[..] else {
        unreachable!("three by their names");
    };
    for input in [ids, mask] {
        assert!(
            input.is_input && input.element == Element::Int64,
            "{input:?}"
        );
        assert_eq!((&input.min, &input.max), (&vec![1, 1], &vec![1, 64]));
    }
    assert!(
        !memory.is_input && memory.element == Element::Float,
        "{memory:?}"
    );
    assert_eq!(memory.shape.last(), Some(&Some(128)));
}

#[test]
fn a_build_tells_how_far_it_is_and_can_be_interrupted() {
    let (onnx, path) = graph("text.onnx");
    let library = Library::open().unwrap();
    let options = BuildOptions::default();
    let build = |watch: &mut (dyn FnMut(mdetr_tensorrt::Progress) -> bool + Send)| {
        library.build(&onnx, &path, &texts(64), &options, watch)
    };
    let (mut steps, mut calls) = (0, 0);
    build(&mut |progress| {
        calls += 1;
        assert!(progress.step <= progress.steps && !progress.phase.is_empty());
        steps = steps.max(progress.steps);
        true
    })
    .unwrap();
    assert!(calls > 20 && steps > 5, "{calls} calls, {steps} steps");
    let mut left = 10;
    let stopped = build(&mut |_| {
        left -= 1;
        left > 0
    });
    assert!(
        matches!(stopped, Err(Error::Interrupted { .. })),
        "{stopped:?}"
    );
    let panics = build(&mut |_| panic!("not into C"));
    assert!(
        matches!(panics, Err(Error::Interrupted { .. })),
        "{panics:?}"
    );
}

#[test]
fn what_is_no_graph_or_does_not_fit_is_said() {
    let library = Library::open().unwrap();
    let options = BuildOptions::default();
    let junk = library.build(
        b"no graph",
        "some/text.onnx",
        &texts(64),
        &options,
        &mut |_| true,
    );
    let message = junk.unwrap_err().to_string();
    assert!(message.contains("some/text.onnx"), "{message}");

    let missing = build(&texts(64)[..1]).unwrap_err().to_string();
    assert!(
        missing.contains("unknown input attention_mask"),
        "{missing}"
    );
    let mut square = texts(64);
    square[0] = range("input_ids", &[1, 1, 1], &[1, 1, 64]);
    let message = build(&square).unwrap_err().to_string();
    assert!(message.contains("input_ids"), "{message}");
    let mut backwards = texts(64);
    backwards[0] = range("input_ids", &[1, 64], &[1, 1]);
    let message = build(&backwards).unwrap_err().to_string();
    assert!(message.contains("input_ids"), "{message}");
    square[0].max.pop();
    let message = build(&square).unwrap_err().to_string();
    assert!(message.contains("differ in their number"), "{message}");
}

#[test]
fn what_is_no_plan_is_refused() {
    let library = Library::open().unwrap();
    let plan = build(&texts(64)).unwrap().plan;
    for bytes in [&b""[..], b"no plan", &plan[..plan.len() / 2]] {
        let error = library.load(bytes).map(drop).unwrap_err();
        assert!(matches!(error, Error::Load(_)), "{error}");
        assert!(error.to_string().len() > "TensorRT cannot load the plan: ".len());
    }
}

#[test]
fn libraries_of_other_versions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (number, expected) in [
        (8601, "is TensorRT 8.6.1, but this build was compiled for"),
        (90_100, "is TensorRT 9.1.0, but"),
        (10_001, "is TensorRT-RTX 1.0.1, older than"),
    ] {
        let code = format!(
            "void *createInferRuntime_INTERNAL(void *logger, int version) {{ return 0; }}\n\
             int getInferLibVersion(void) {{ return {number}; }}\n"
        );
        let dir = dir.path().join(number.to_string());
        std::fs::create_dir(&dir).unwrap();
        let file = library(&dir, &code);
        let error = Library::open_from(Some(file.into()), None).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("TENSORRT_INCLUDE_DIR"), "{message}");
    }
}

#[test]
fn without_a_parser_nothing_is_built() {
    let none = Some("/nowhere/libnvonnxparser.so".into());
    let named = std::env::var_os("TENSORRT_DYLIB_PATH");
    let library = Library::open_from(named, none).unwrap();
    let (onnx, path) = graph("text.onnx");
    let options = BuildOptions::default();
    let error = library.build(&onnx, &path, &texts(64), &options, &mut |_| true);
    let message = error.unwrap_err().to_string();
    assert!(message.contains("ONNX parser cannot be used"), "{message}");
    assert!(message.contains("/nowhere/libnvonnxparser.so"), "{message}");
}

#[test]
fn without_a_gpu_that_is_said() {
    let Err(error) = Device::open(1000) else {
        panic!("there are not as many GPUs");
    };
    let message = error.to_string();
    let known = [
        "libcuda.so was not found",
        "no NVIDIA GPU",
        "device-id: expected 0 to",
    ];
    assert!(
        known.iter().any(|words| message.contains(words)),
        "{message}"
    );
}
