//! Which engine, and what it is to do.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::OptionError;
use crate::plan_cache;

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
    type Err = OptionError;

    fn from_str(name: &str) -> Result<EngineKind, OptionError> {
        let found = EngineKind::ALL.iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| OptionError {
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
    type Err = OptionError;

    fn from_str(name: &str) -> Result<Precision, OptionError> {
        let found = Precision::ALL.iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| OptionError {
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
