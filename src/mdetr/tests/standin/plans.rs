//! Plans: built, kept, refused, built again, and answered for meanwhile.

use std::sync::Mutex;

use mdetr::engine::plan_cache::PlanCache;
use mdetr::engine::{EngineMessage, LogLevel, PlanEvent, set_engine_log};
use mdetr_tensorrt_standin::Failure;

use super::*;

const SIZE: (u32, u32) = (64, 48);

fn kept_in(dir: &Path) -> TensorRtOptions {
    TensorRtOptions {
        plan_cache_dir: Some(dir.to_owned()),
        ..TensorRtOptions::default()
    }
}

/// How many plans were built and how many were found for one frame.
fn plans_of_a_frame(bundle: &Path, options: TensorRtOptions) -> (usize, usize) {
    let found = Grounder::load(bundle, tensorrt(options)).unwrap();
    let ready: Arc<Mutex<Vec<bool>>> = Arc::default();
    let hears = ready.clone();
    found.watch_plans(Arc::new(move |event| {
        if let PlanEvent::Ready { built, .. } = event {
            hears.lock().unwrap().push(*built);
        }
        true
    }));
    found.set_queries(queries(&["a red cube"])).unwrap();
    outputs(&found, SIZE, 0).unwrap();
    let ready = ready.lock().unwrap();
    let built = ready.iter().filter(|built| **built).count();
    (built, ready.len() - built)
}

#[test]
fn plans_are_kept_and_built_again_where_they_are_refused() {
    let standin = take();
    let (dir, plans) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    bundle::write(dir.path(), false);
    let frame = || plans_of_a_frame(dir.path(), kept_in(plans.path()));
    assert_eq!(frame(), (3, 0));
    assert_eq!(frame(), (0, 3));
    // The driver is another one: the plan is sound, but not for it.
    standin.fail("deserializeCudaEngine", 0, Failure::Spoiled);
    assert_eq!(frame(), (1, 2));
    assert_eq!(frame(), (0, 3));
    standin.set_gpu(2);
    assert_eq!(frame(), (3, 0), "another GPU has plans of its own");
    assert_eq!(standin.violations(), "");
}

#[test]
fn a_plan_that_memory_is_short_for_is_not_built_again() {
    let standin = take();
    let (dir, plans) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    bundle::write(dir.path(), false);
    plans_of_a_frame(dir.path(), kept_in(plans.path()));
    let builds = standin.count("buildSerializedNetwork");
    standin.fail("deserializeCudaEngine", 0, Failure::OutOfMemory);
    assert_eq!(plans_of_a_frame(dir.path(), kept_in(plans.path())), (0, 3));
    assert_eq!(standin.count("buildSerializedNetwork"), builds);
}

#[test]
fn timings_that_tensorrt_refuses_do_not_stay() {
    let standin = take();
    let (dir, plans) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    bundle::write(dir.path(), false);
    let found = Grounder::load(dir.path(), tensorrt(kept_in(plans.path()))).unwrap();
    let version = found.engine().version;
    if version.contains("RTX") {
        return;
    }
    let cache = PlanCache::open(plans.path(), 1 << 30).unwrap();
    const DEVICE: &str = "Stand-in 1, compute capability 8.7";
    cache.keep_timings(&version, DEVICE, b"of an older TensorRT");
    found.set_queries(queries(&["a red cube"])).unwrap();
    let kept = cache.timings(&version, DEVICE);
    assert!(
        !kept.is_empty() && kept != b"of an older TensorRT",
        "{kept:?}"
    );
    outputs(&found, SIZE, 0).unwrap();
    assert_ne!(
        cache.timings(&version, DEVICE),
        kept,
        "later builds add to it"
    );
    assert_eq!(standin.violations(), "");
}

#[test]
fn tract_answers_while_plans_are_built() {
    let standin = take();
    let dir = tempfile::tempdir().unwrap();
    bundle::write(dir.path(), false);
    let reference = grounder(
        dir.path(),
        options(EngineKind::Tract),
        &["a red cube", "a cone"],
    )
    .unwrap();
    let expected = outputs(&reference, SIZE, 0).unwrap();
    let options = TensorRtOptions {
        answer_while_building: true,
        ..TensorRtOptions::default()
    };
    standin.hold_builds(true);
    let found =
        Arc::new(grounder(dir.path(), tensorrt(options), &["a red cube", "a cone"]).unwrap());
    for _ in 0..5 {
        alike(&outputs(&found, SIZE, 0).unwrap(), &expected);
    }
    assert_eq!(standin.count("enqueueV3"), 0);
    standin.hold_builds(false);
    while standin.count("cuGraphLaunch") == 0 {
        alike(&outputs(&found, SIZE, 0).unwrap(), &expected);
    }
    assert!(standin.count("enqueueV3") > 0);
    sound(&standin, found);
}

#[test]
fn what_tensorrt_says_is_heard_by_graph() {
    let _standin = take();
    let dir = tempfile::tempdir().unwrap();
    bundle::write(dir.path(), false);
    type Heard = (LogLevel, String, String);
    let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
    let hears = heard.clone();
    set_engine_log(Some(Arc::new(move |message: &EngineMessage| {
        let graph = message.graph.unwrap_or_default().to_owned();
        hears
            .lock()
            .unwrap()
            .push((message.level, graph, message.text.to_owned()));
    })));
    let found = grounder(
        dir.path(),
        tensorrt(TensorRtOptions::default()),
        &["a red cube"],
    )
    .unwrap();
    outputs(&found, SIZE, 0).unwrap();
    set_engine_log(None);
    let heard = heard.lock().unwrap();
    for (graph, output) in [
        ("text.onnx", "text_memory"),
        ("vision.onnx", "tokens"),
        ("fusion.onnx", "logits"),
    ] {
        let path = dir.path().join(graph).display().to_string();
        let message = (
            LogLevel::Warning,
            path,
            format!("stand-in: building {output}"),
        );
        assert!(heard.contains(&message), "{heard:?}");
    }
}
