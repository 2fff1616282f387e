//! What runs a graph: a small trait, and engines behind it.

mod constant;
mod log;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
pub mod plan_cache;
#[cfg(any(feature = "tensorrt", test))]
mod standby;
#[cfg(feature = "tensorrt")]
pub(crate) mod tensorrt;
mod tract;
#[cfg(any(feature = "tensorrt", test))]
mod watchers;

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

pub(crate) use constant::Constant;
pub use log::{EngineLog, EngineMessage, LogLevel, set_engine_log};

use crate::error::{EngineError, Error};

/// Which engine to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum EngineKind {
    /// The fastest that is available here.
    #[default]
    Auto,
    /// TensorRT, on NVIDIA GPUs.
    TensorRt,
    /// ONNX Runtime: faster than tract on CPUs.
    OnnxRuntime,
    /// tract: pure Rust, on the CPU, always available.
    Tract,
}

impl EngineKind {
    /// All kinds.
    pub const ALL: &[EngineKind] = &[
        EngineKind::Auto,
        EngineKind::TensorRt,
        EngineKind::OnnxRuntime,
        EngineKind::Tract,
    ];

    /// Whether this build has it; its library or device may still be missing where it runs.
    pub const fn is_built(self) -> bool {
        match self {
            EngineKind::Auto | EngineKind::Tract => true,
            EngineKind::TensorRt => cfg!(feature = "tensorrt"),
            EngineKind::OnnxRuntime => cfg!(feature = "onnxruntime"),
        }
    }

    /// Its name in properties, options and messages.
    pub const fn name(self) -> &'static str {
        match self {
            EngineKind::Auto => "auto",
            EngineKind::TensorRt => "tensorrt",
            EngineKind::OnnxRuntime => "onnxruntime",
            EngineKind::Tract => "tract",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<EngineKind, Error> {
        let found = EngineKind::ALL.iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| Error::Option {
            option: "engine",
            expected: "auto, tensorrt, onnxruntime or tract",
            found: name.to_owned(),
        })
    }
}

/// How floats are computed where an engine has a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Precision {
    /// As the bundle says; products of fp32 may use TF32.
    #[default]
    Auto,
    /// The bundle must be of fp32, and products do not use TF32.
    Fp32,
    /// The bundle must be of fp16; TensorRT before version 10 also makes fp16 of one of fp32.
    Fp16,
}

impl Precision {
    /// All of them.
    pub const ALL: &[Precision] = &[Precision::Auto, Precision::Fp32, Precision::Fp16];

    /// Its name in properties, options and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Precision::Auto => "auto",
            Precision::Fp32 => "fp32",
            Precision::Fp16 => "fp16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Precision, Error> {
        let found = Precision::ALL.iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| Error::Option {
            option: "precision",
            expected: "auto, fp32 or fp16",
            found: name.to_owned(),
        })
    }
}

/// What the engine TensorRT is to do.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorRtOptions {
    /// Number of the GPU, from 0.
    pub device_id: u32,
    /// How floats are computed.
    pub precision: Precision,
    /// Where plans are kept between runs; `None`: only in memory, and they are built anew each time,
    /// which takes minutes. Several processes may share a directory.
    pub plan_cache_dir: Option<PathBuf>,
    /// Bytes that the plans in `plan_cache_dir` may take.
    pub plan_cache_bytes: u64,
    /// Most bytes of the GPU's memory for a plan's intermediate results; `None`: as TensorRT chooses.
    /// A plan that needs more is not built.
    pub workspace: Option<u64>,
    /// Frames that are on the GPU at once; each takes memory of its own for what lies between a plan's
    /// inputs and outputs. Of grounders that share a model the first one's counts.
    pub lanes: usize,
    /// Let tract answer while plans are built, which then happens in the background. It takes the time
    /// of a CPU and the memory of a second model. Texts are encoded by tract then.
    pub answer_while_building: bool,
}

impl Default for TensorRtOptions {
    fn default() -> Self {
        TensorRtOptions {
            device_id: 0,
            precision: Precision::Auto,
            plan_cache_dir: None,
            plan_cache_bytes: plan_cache::DEFAULT_PLAN_CACHE_BYTES,
            workspace: None,
            lanes: 2,
            answer_while_building: false,
        }
    }
}

/// What an engine tells while it makes plans that take long.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PlanEvent {
    /// A plan is being built.
    Building {
        /// Path of the graph.
        graph: String,
        /// What the engine is at, in its words.
        phase: String,
        /// Finished steps of the phase.
        step: u32,
        /// Steps of the phase; 0 if it does not say.
        steps: u32,
    },
    /// Another process builds the same plan.
    Waiting {
        /// Path of the graph.
        graph: String,
    },
    /// A plan is there.
    Ready {
        /// Path of the graph.
        graph: String,
        /// It was built now, not found on disk.
        built: bool,
        /// Size of the plan.
        bytes: u64,
    },
    /// A plan that was built could not be kept: it is used, and built again next time.
    NotKept {
        /// Path of the graph.
        graph: String,
        /// Why, and what to do.
        message: String,
    },
}

/// Hears of plans being made, on the thread that makes them, and returns whether to go on; after a no it
/// hears no more.
pub type PlanWatcher = Arc<dyn Fn(&PlanEvent) -> bool + Send + Sync>;

/// Which engine runs, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// Its name, as in [`EngineKind`], in lower case.
    pub name: &'static str,
    /// Version of its library.
    pub version: String,
    /// Why this one was taken: a sentence for a log.
    pub reason: String,
}

/// A dense row-major tensor of floats that an engine gave.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub shape: Vec<usize>,
    pub data: Data,
}

/// Where a tensor's values are.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Host(Vec<f32>),
    /// Where the engine that gave them can feed them to another of its plans.
    #[cfg_attr(not(feature = "tensorrt"), allow(dead_code))]
    Device(Arc<dyn Resident>),
}

/// Values in an engine's own memory.
pub(crate) trait Resident: fmt::Debug + Any + Send + Sync {}

impl Tensor {
    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// To feed it to a plan of the same engine.
    pub(crate) fn view(&self) -> View<'_> {
        match &self.data {
            Data::Host(values) => View::F32(values),
            Data::Device(resident) => View::Device(resident.as_ref()),
        }
    }

    /// The values of an output that was not to be kept.
    pub(crate) fn into_host(self) -> Vec<f32> {
        match self.data {
            Data::Host(values) => values,
            Data::Device(_) => {
                unreachable!("an engine kept an output that it was not asked to keep")
            }
        }
    }

    /// Refuses an output of the graph at `path` that does not have the expected shape.
    pub(crate) fn check(
        &self,
        path: &str,
        output: &'static str,
        expected: &[usize],
    ) -> Result<(), EngineError> {
        if self.shape == expected {
            return Ok(());
        }
        Err(EngineError::OutputShape {
            graph: path.to_owned(),
            output,
            expected: expected.to_vec(),
            found: self.shape.clone(),
        })
    }
}

/// A dense row-major tensor to feed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum View<'a> {
    F32(&'a [f32]),
    I64(&'a [i64]),
    /// What many runs are fed with.
    Constant(&'a Constant),
    #[cfg_attr(not(feature = "tensorrt"), allow(dead_code))]
    Device(&'a dyn Resident),
}

impl<'a> View<'a> {
    /// The same for an engine that computes on the host.
    fn on_the_host(self) -> View<'a> {
        match self {
            View::Constant(constant) => constant.view(),
            view => view,
        }
    }
}

/// Shape and element type of an input, to make a plan for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum InputType {
    F32,
    I64,
}

/// An input's name, element type and concrete shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputShape {
    pub name: &'static str,
    pub element: InputType,
    pub shape: Vec<usize>,
    /// Its dimensions that vary between plans of the graph: an engine whose plans take long makes one for
    /// all of them.
    pub varies: Vec<Varying>,
}

/// A dimension that other plans of the graph have another size of, from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "tensorrt"), allow(dead_code))]
pub(crate) struct Varying {
    pub dimension: usize,
    /// The size that is used most.
    pub usual: usize,
    pub most: usize,
}

impl InputShape {
    pub(crate) fn new(name: &'static str, element: InputType, shape: Vec<usize>) -> InputShape {
        InputShape {
            name,
            element,
            shape,
            varies: Vec::new(),
        }
    }

    /// The same, with a dimension that other plans have up to `most` of, and mostly `usual`.
    pub(crate) fn varying(mut self, dimension: usize, usual: usize, most: usize) -> InputShape {
        self.varies.push(Varying {
            dimension,
            usual: usual.min(most),
            most,
        });
        self
    }
}

/// Shapes for messages: `image [1, 3, 192, 256], ...`.
pub(crate) fn describe(shapes: &[InputShape]) -> String {
    let inputs: Vec<String> = shapes
        .iter()
        .map(|input| format!("{} {:?}", input.name, input.shape))
        .collect();
    inputs.join(", ")
}

/// What an engine that computes on the host says of an input of another engine's.
fn not_on_the_host(input: &InputShape) -> String {
    format!("input {} is in the memory of another engine", input.name)
}

/// An ONNX file's bytes, with what messages and lookups need.
#[derive(Clone)]
#[cfg_attr(not(feature = "tensorrt"), allow(dead_code))]
pub(crate) struct GraphSource {
    /// Path of the file, for messages.
    pub path: String,
    pub onnx: Vec<u8>,
    /// Of `onnx`, hexadecimal.
    pub sha256: String,
    /// Whether its weights are of fp16.
    pub half: bool,
    /// Names of the outputs, in the graph's order.
    pub outputs: Vec<String>,
}

/// What became of CUDA graphs; zeros of an engine that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct GraphCounts {
    pub captures: u64,
    pub capture_failures: u64,
    pub replay_failures: u64,
}

/// Something that runs ONNX graphs.
pub(crate) trait Engine: fmt::Debug + Send + Sync {
    fn info(&self) -> EngineInfo;
    fn graph_counts(&self) -> GraphCounts {
        GraphCounts::default()
    }
    /// Whether a new shape or text may have to wait for minutes.
    fn plans_take_long(&self) -> bool {
        false
    }
    /// Tells `watcher` from now on what becomes of plans, where they take long.
    fn watch(&self, _watcher: PlanWatcher) {}
    /// Most texts that one run of the fusion graph takes in less time than as many runs of one text;
    /// 1 where a run of several gains nothing.
    fn texts_at_once(&self) -> usize {
        1
    }
    fn load(&self, source: GraphSource) -> Result<Box<dyn Graph>, EngineError>;
    /// As [`load`](Self::load), for a graph that is dropped after a few runs.
    fn load_briefly(&self, source: GraphSource) -> Result<Box<dyn Graph>, EngineError> {
        self.load(source)
    }
}

/// A loaded graph whose batch, image size and lengths are still open.
pub(crate) trait Graph: fmt::Debug + Send + Sync {
    /// Binds every input to a concrete shape. May take seconds.
    fn plan(&self, shapes: &[InputShape]) -> Result<Arc<dyn Plan>, EngineError>;
}

/// A graph made ready for fixed shapes. Runs on the calling thread; threads may run it at once.
pub(crate) trait Plan: fmt::Debug + Send + Sync {
    /// Feeds `inputs`, in the order of the shapes that the plan was made for, and gives the outputs
    /// named in `outputs`, in that order. Those that are in `keep` too are fed to other plans of the
    /// engine only, so they need not come to the host.
    fn run(
        &self,
        inputs: &[View],
        outputs: &[&'static str],
        keep: &[&'static str],
    ) -> Result<Vec<Tensor>, EngineError>;
}

/// The engine for `kind` and bundles of `precision`; for [`EngineKind::Auto`] the first that is
/// available here, in the order of [`EngineKind::ALL`].
pub(crate) fn open(
    kind: EngineKind,
    precision: &str,
    options: &TensorRtOptions,
) -> Result<Box<dyn Engine>, Error> {
    if kind != EngineKind::Auto {
        check_precision(kind, precision)?;
        return open_one(kind, options, format!("engine={kind} was asked for"));
    }
    let mut passed_over = String::new();
    for &candidate in &EngineKind::ALL[1..] {
        let reason = format!("engine=auto took {candidate}{passed_over}");
        let opened = check_precision(candidate, precision)
            .and_then(|()| open_one(candidate, options, reason));
        match opened {
            Ok(engine) => return Ok(engine),
            Err(error) => passed_over += &format!("; {error}"),
        }
    }
    unreachable!("tract is always available")
}

/// Refuses bundles of a precision that an engine does not run.
pub(crate) fn check_precision(kind: EngineKind, precision: &str) -> Result<(), Error> {
    if kind == EngineKind::TensorRt && precision == "int8" {
        return Err(Error::Engine(EngineError::Unavailable {
            engine: kind.name(),
            message: "it does not run bundles of int8; export the model with --precision fp16 or \
                      fp32, or take another engine"
                .to_owned(),
        }));
    }
    Ok(())
}

fn open_one(
    kind: EngineKind,
    options: &TensorRtOptions,
    reason: String,
) -> Result<Box<dyn Engine>, Error> {
    #[cfg(not(feature = "tensorrt"))]
    let _ = options;
    match kind {
        #[cfg(feature = "tensorrt")]
        EngineKind::TensorRt => {
            let engine = Box::new(tensorrt::TensorRt::new(options, reason)?);
            if !options.answer_while_building {
                return Ok(engine);
            }
            let tract = Box::new(tract::Tract::new(String::new()));
            Ok(Box::new(standby::Standby::new(engine, tract)))
        }
        #[cfg(not(feature = "tensorrt"))]
        EngineKind::TensorRt => Err(unbuilt(
            kind,
            "build it with --features tensorrt (cross/README.md)",
        )),
        #[cfg(feature = "onnxruntime")]
        EngineKind::OnnxRuntime => Ok(Box::new(onnxruntime::OnnxRuntime::new(reason)?)),
        #[cfg(not(feature = "onnxruntime"))]
        EngineKind::OnnxRuntime => Err(unbuilt(kind, "build it with --features onnxruntime")),
        EngineKind::Auto | EngineKind::Tract => Ok(Box::new(tract::Tract::new(reason))),
    }
}

#[cfg(not(all(feature = "tensorrt", feature = "onnxruntime")))]
fn unbuilt(kind: EngineKind, remedy: &str) -> Error {
    Error::Engine(EngineError::Unavailable {
        engine: kind.name(),
        message: format!("this build has no such engine; {remedy}"),
    })
}

/// Calls into a third-party library; a panic there becomes a message.
pub(crate) fn guard<T, E: fmt::Display>(call: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    // What a panicking call leaves behind is dropped: every caller gives up its graph, plan or encoding.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| format!("{error:#}")),
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned());
            Err(format!(
                "internal panic: {}",
                text.unwrap_or_else(|| "no message".to_owned())
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_says_what_it_took_and_why() {
        let open = |kind| open(kind, "fp32", &TensorRtOptions::default());
        let info = open(EngineKind::Auto).unwrap().info();
        assert!(
            info.reason
                .starts_with(&format!("engine=auto took {}", info.name)),
            "{}",
            info.reason
        );
        let info = open(EngineKind::Tract).unwrap().info();
        assert_eq!(info.name, "tract");
        assert!(info.version.starts_with("0."), "{}", info.version);
        assert_eq!(info.reason, "engine=tract was asked for");
    }

    #[test]
    fn an_engine_that_is_not_built_says_how_to_have_it() {
        for &kind in EngineKind::ALL.iter().filter(|kind| !kind.is_built()) {
            let error = open(kind, "fp32", &TensorRtOptions::default())
                .map(drop)
                .unwrap_err();
            let message = error.to_string();
            assert!(message.contains(&format!("--features {kind}")), "{message}");
        }
    }

    #[test]
    fn tensorrt_takes_no_weights_of_8_bit() {
        let open = |kind| open(kind, "int8", &TensorRtOptions::default());
        let message = open(EngineKind::TensorRt)
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("does not run bundles of int8"),
            "{message}"
        );
        let info = open(EngineKind::Auto).unwrap().info();
        assert_ne!(info.name, "tensorrt");
        assert!(info.reason.contains("bundles of int8"), "{}", info.reason);
        assert_eq!(open(EngineKind::Tract).unwrap().info().name, "tract");
    }

    #[test]
    fn engines_are_known_by_their_names() {
        for kind in EngineKind::ALL {
            assert_eq!(kind.name().parse::<EngineKind>().unwrap(), *kind);
        }
        let message = "cuda".parse::<EngineKind>().unwrap_err().to_string();
        assert!(
            message.contains("expected auto, tensorrt, onnxruntime"),
            "{message}"
        );
        assert!(message.contains("found cuda"), "{message}");
    }

    #[test]
    fn what_the_engine_cannot_load_is_named() {
        let path = "some/vision.onnx".to_owned();
        let source = GraphSource {
            path,
            onnx: b"no graph".to_vec(),
            sha256: String::new(),
            half: false,
            outputs: vec![],
        };
        let message = open(EngineKind::Tract, "fp32", &TensorRtOptions::default())
            .unwrap()
            .load(source)
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("tract cannot load some/vision.onnx: "),
            "{message}"
        );
    }

    #[test]
    fn panics_become_messages() {
        let fails = || -> Result<(), String> { panic!("index {} out of range", 7) };
        assert_eq!(
            guard(fails),
            Err("internal panic: index 7 out of range".into())
        );
        assert_eq!(guard(|| Err::<(), _>("plain")), Err("plain".into()));
        assert_eq!(guard(|| Ok::<_, String>(3)), Ok(3));
    }
}
