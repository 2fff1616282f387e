//! The engine TensorRT where it cannot run, and what it is asked that it cannot do.
//!
//! `tools/test-tensorrt` has its library; on a GPU the engine's own tests are parity, official and
//! grounder with `MDETR_TEST_ENGINE=tensorrt`.
#![cfg(feature = "tensorrt")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mdetr::engine::{
    EngineError, PlanEvent, PlanWatcher, Precision, TensorRtOptions, TriedPlan, try_plans,
};
use mdetr::{EngineKind, Error, Grounder, GrounderOptions};

/// A GPU that no machine has.
fn options(engine: EngineKind) -> GrounderOptions {
    GrounderOptions {
        engine: engine.into(),
        tensorrt: TensorRtOptions {
            device_id: 1000,
            ..TensorRtOptions::default()
        },
        ..GrounderOptions::default()
    }
}

fn try_with(options: &TensorRtOptions, watcher: &PlanWatcher) -> Result<Vec<TriedPlan>, Error> {
    try_plans(&common::bundle(), (640, 480), options, watcher)
}

fn deaf() -> PlanWatcher {
    Arc::new(|_| true)
}

#[test]
fn without_its_gpu_auto_takes_another_and_says_why() {
    let grounder = Grounder::load(common::bundle(), options(EngineKind::Auto)).unwrap();
    let engine = grounder.engine();
    assert_ne!(engine.name, "tensorrt");
    let reason = &engine.reason;
    assert!(
        reason.starts_with(&format!("engine=auto took {}", engine.name)),
        "{reason}"
    );
    assert!(reason.contains("tensorrt is not available: "), "{reason}");

    let error = Grounder::load(common::bundle(), options(EngineKind::TensorRt)).unwrap_err();
    let unavailable = matches!(&error, Error::Engine(EngineError::Unavailable { engine, .. }) if *engine == "tensorrt");
    assert!(unavailable, "{error}");
}

#[test]
fn plans_of_the_bundled_model_have_its_inputs_and_outputs() {
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let watcher: PlanWatcher = Arc::new(move |event| {
        if let PlanEvent::Building { step, steps, .. } = event {
            assert!(step <= steps);
            count.fetch_add(1, Ordering::Relaxed);
        }
        true
    });
    let tried = try_with(&TensorRtOptions::default(), &watcher).unwrap();
    let graphs: Vec<&str> = tried.iter().map(|plan| plan.graph).collect();
    assert_eq!(
        graphs,
        ["text.onnx", "vision.onnx", "fusion.onnx", "mask.onnx"]
    );
    assert!(tried.iter().all(|plan| plan.bytes > 100_000), "{tried:?}");
    assert!(told.load(Ordering::Relaxed) > 100);
}

#[test]
fn a_precision_that_the_bundle_has_not_is_refused() {
    let half = TensorRtOptions {
        precision: Precision::Fp16,
        ..TensorRtOptions::default()
    };
    let error = try_with(&half, &deaf()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("the bundle is of fp32"), "{message}");
    assert!(message.contains("--precision fp16"), "{message}");
}

#[test]
fn a_build_that_is_given_up_says_so() {
    let never: PlanWatcher = Arc::new(|_| false);
    let error = try_with(&TensorRtOptions::default(), &never).unwrap_err();
    assert!(error.to_string().contains("was interrupted"), "{error}");
}

#[test]
fn a_workspace_that_is_too_small_is_said() {
    let small = TensorRtOptions {
        workspace: Some(1),
        ..TensorRtOptions::default()
    };
    let error = try_with(&small, &deaf()).unwrap_err();
    assert!(error.to_string().contains("workspace"), "{error}");
}
