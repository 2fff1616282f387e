//! What an engine is: something that loads graphs, binds them to shapes and runs them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::choice::GraphRole;
use crate::error::EngineError;
use crate::events::PlanWatcher;
use crate::tensor::{Tensor, View};

/// Which engine runs, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// Its name, as in [`EngineKind`](crate::EngineKind), in lower case; of several engines, as in
    /// [`EngineChoice`](crate::EngineChoice).
    pub name: String,
    /// Version of its library.
    pub version: String,
    /// Why this one was taken: a sentence for a log.
    pub reason: String,
}

/// Element type of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputType {
    /// 32-bit floats.
    F32,
    /// 64-bit integers.
    I64,
}

/// An input's name, element type and concrete shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputShape {
    /// Name in the graph.
    pub name: &'static str,
    /// Element type.
    pub element: InputType,
    /// Size of each dimension.
    pub shape: Vec<usize>,
    /// Its dimensions that vary between plans of the graph: an engine whose plans take long makes one for
    /// all of them.
    pub varies: Vec<Varying>,
}

/// A dimension that other plans of the graph have another size of, from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Varying {
    /// Which dimension, from 0.
    pub dimension: usize,
    /// The size that is used most.
    pub usual: usize,
    /// The largest size.
    pub most: usize,
}

impl InputShape {
    /// Of a shape that all plans of the graph have.
    pub fn new(name: &'static str, element: InputType, shape: Vec<usize>) -> InputShape {
        InputShape {
            name,
            element,
            shape,
            varies: Vec::new(),
        }
    }

    /// The same, with a dimension that other plans have up to `most` of, and mostly `usual`.
    pub fn varying(mut self, dimension: usize, usual: usize, most: usize) -> InputShape {
        self.varies.push(Varying {
            dimension,
            usual: usual.min(most),
            most,
        });
        self
    }
}

/// Shapes for messages: `image [1, 3, 192, 256], ...`.
pub fn describe(shapes: &[InputShape]) -> String {
    let inputs: Vec<String> = shapes
        .iter()
        .map(|input| format!("{} {:?}", input.name, input.shape))
        .collect();
    inputs.join(", ")
}

/// What an engine that computes on the host says of an input of another engine's.
pub(crate) fn not_on_the_host(input: &InputShape) -> String {
    format!("input {} is in the memory of another engine", input.name)
}

/// An ONNX file's bytes, with what messages and lookups need.
#[derive(Clone)]
pub struct GraphSource {
    /// Name of the bundle.
    pub bundle: String,
    /// Which of its graphs it is.
    pub role: GraphRole,
    /// Path of the file, for messages.
    pub path: String,
    /// The bytes.
    pub onnx: Vec<u8>,
    /// Of `onnx`, hexadecimal.
    pub sha256: String,
    /// Whether its weights are of fp16.
    pub half: bool,
    /// Names of the outputs, in the graph's order.
    pub outputs: Vec<String>,
    /// Shapes that inputs and outputs must have.
    pub shapes: BTreeMap<&'static str, Vec<Dimension>>,
}

/// Size of a dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimension {
    /// The same in all runs.
    Fixed(usize),
    /// Any. Where inputs and outputs have the same name it is the same, unless inputs have two sizes of it.
    Open(String),
}

/// Most texts that are fused with a frame in one run of the fusion graph.
pub const MOST_TEXTS: usize = 8;

/// What became of CUDA graphs; zeros of an engine that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GraphCounts {
    /// Captured.
    pub captures: u64,
    /// That could not be captured: the plan ran without.
    pub capture_failures: u64,
    /// That could not be run: the plan ran without.
    pub replay_failures: u64,
}

/// What became of runs on other machines; zeros of an engine that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemoteCounts {
    /// Runs that a server answered.
    pub answers: u64,
    /// Attempts that failed; another server may have answered.
    pub failures: u64,
    /// Runs that the local engine answered, as no server did.
    pub fallbacks: u64,
}

/// Something that runs ONNX graphs.
pub trait Engine: fmt::Debug + Send + Sync {
    /// Which engine it is, and why it was taken.
    fn info(&self) -> EngineInfo;
    /// What became of its CUDA graphs.
    fn graph_counts(&self) -> GraphCounts {
        GraphCounts::default()
    }
    /// What became of runs on other machines.
    fn remote_counts(&self) -> RemoteCounts {
        RemoteCounts::default()
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
    /// Loads a graph.
    ///
    /// # Errors
    /// [`EngineError::Load`] if the engine does not take the graph.
    fn load(&self, source: GraphSource) -> Result<Box<dyn Graph>, EngineError>;
    /// As [`load`](Self::load), for a graph that is dropped after a few runs.
    fn load_briefly(&self, source: GraphSource) -> Result<Box<dyn Graph>, EngineError> {
        self.load(source)
    }
}

/// A loaded graph whose batch, image size and lengths are still open.
pub trait Graph: fmt::Debug + Send + Sync {
    /// Binds every input to a concrete shape. May take seconds.
    fn plan(&self, shapes: &[InputShape]) -> Result<Arc<dyn Plan>, EngineError>;
}

/// A graph made ready for fixed shapes. Runs on the calling thread; threads may run it at once.
pub trait Plan: fmt::Debug + Send + Sync {
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
