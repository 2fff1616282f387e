//! Which engine, and what it is to do.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

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
    /// Servers that speak the Open Inference Protocol, KServe's version 2, over gRPC: never taken by `Auto`.
    KServe,
}

impl EngineKind {
    /// All kinds.
    pub const ALL: &[EngineKind] = &[
        EngineKind::Auto,
        EngineKind::TensorRt,
        EngineKind::OnnxRuntime,
        EngineKind::Tract,
        EngineKind::KServe,
    ];
    /// Those that [`Auto`](EngineKind::Auto) tries, in this order.
    pub(crate) const LOCAL: &[EngineKind] = &[
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
            EngineKind::KServe => cfg!(feature = "kserve"),
        }
    }

    /// Its name in properties, options and messages.
    pub const fn name(self) -> &'static str {
        match self {
            EngineKind::Auto => "auto",
            EngineKind::TensorRt => "tensorrt",
            EngineKind::OnnxRuntime => "onnxruntime",
            EngineKind::Tract => "tract",
            EngineKind::KServe => "kserve",
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
            expected: "auto, tensorrt, onnxruntime, tract or kserve",
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

/// What answers when no server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Fallback {
    /// ONNX Runtime if its library is there, else tract.
    #[default]
    Auto,
    /// ONNX Runtime.
    OnnxRuntime,
    /// tract.
    Tract,
    /// Nothing: it is an error.
    None,
}

impl Fallback {
    /// All of them.
    pub const ALL: &[Fallback] = &[
        Fallback::Auto,
        Fallback::OnnxRuntime,
        Fallback::Tract,
        Fallback::None,
    ];

    /// Its name in properties, options and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Fallback::Auto => "auto",
            Fallback::OnnxRuntime => "onnxruntime",
            Fallback::Tract => "tract",
            Fallback::None => "none",
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fallback {
    type Err = OptionError;

    fn from_str(name: &str) -> Result<Fallback, OptionError> {
        let found = Fallback::ALL.iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| OptionError {
            option: "fallback",
            expected: "auto, onnxruntime, tract or none",
            found: name.to_owned(),
        })
    }
}

/// What the engine KServe is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KServeOptions {
    /// Servers that have the models, as `grpc://HOST:PORT`, or `grpcs://` with TLS. They take turns, and one answers
    /// for another that does not.
    pub endpoints: Vec<String>,
    /// File with the token that servers ask for; `None`: what the environment variable `MDETR_KSERVE_TOKEN` holds, if
    /// anything. It is read for each call, and sent over TLS or to this machine only.
    pub token_file: Option<PathBuf>,
    /// Certificates in PEM of the authorities that servers are known by; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long a graph may take on the servers, all attempts together: 1 ms to 10 min.
    pub deadline: Duration,
    /// What answers when no server does.
    pub fallback: Fallback,
}

impl KServeOptions {
    /// Name of the environment variable that a token may be in.
    pub const TOKEN_VARIABLE: &str = "MDETR_KSERVE_TOKEN";
    /// Longest deadline.
    pub const MAX_DEADLINE: Duration = Duration::from_secs(600);

    /// The endpoints in a list with commas.
    pub fn endpoints_in(list: &str) -> Vec<String> {
        let parts = list.split(',').map(str::trim);
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

impl Default for KServeOptions {
    fn default() -> Self {
        KServeOptions {
            endpoints: Vec::new(),
            token_file: None,
            ca_file: None,
            deadline: Duration::from_secs(2),
            fallback: Fallback::default(),
        }
    }
}
