//! What runs a graph: a small trait, and engines behind it.

#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod tract;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{EngineError, Error};

/// Which engine to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum EngineKind {
    /// The fastest that is available here.
    #[default]
    Auto,
    /// ONNX Runtime: faster than tract on CPUs.
    OnnxRuntime,
    /// tract: pure Rust, on the CPU, always available.
    Tract,
}

impl EngineKind {
    /// All kinds.
    pub const ALL: &[EngineKind] = &[EngineKind::Auto, EngineKind::OnnxRuntime, EngineKind::Tract];

    /// Its name in properties, options and messages.
    pub const fn name(self) -> &'static str {
        match self {
            EngineKind::Auto => "auto",
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
            expected: "auto, onnxruntime or tract",
            found: name.to_owned(),
        })
    }
}

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
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

impl Tensor {
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
}

/// Shapes for messages: `image [1, 3, 192, 256], ...`.
pub(crate) fn describe(shapes: &[InputShape]) -> String {
    let inputs: Vec<String> = shapes
        .iter()
        .map(|input| format!("{} {:?}", input.name, input.shape))
        .collect();
    inputs.join(", ")
}

/// An ONNX file's bytes, with what messages and lookups need.
pub(crate) struct GraphSource {
    /// Path of the file, for messages.
    pub path: String,
    pub onnx: Vec<u8>,
    /// Names of the outputs, in the graph's order.
    pub outputs: Vec<String>,
}

/// Something that runs ONNX graphs.
pub(crate) trait Engine: fmt::Debug + Send + Sync {
    fn info(&self) -> EngineInfo;
    /// Most texts that one run of the fusion graph takes in less time than as many runs of one text;
    /// 1 where a run of several gains nothing.
    fn texts_at_once(&self) -> usize {
        1
    }
    fn load(&self, source: GraphSource) -> Result<Box<dyn Graph>, EngineError>;
}

/// A loaded graph whose batch, image size and lengths are still open.
pub(crate) trait Graph: fmt::Debug + Send + Sync {
    /// Binds every input to a concrete shape. May take seconds.
    fn plan(&self, shapes: &[InputShape]) -> Result<Arc<dyn Plan>, EngineError>;
}

/// A graph made ready for fixed shapes. Runs on the calling thread; threads may run it at once.
pub(crate) trait Plan: fmt::Debug + Send + Sync {
    /// Feeds `inputs`, in the order of the shapes that the plan was made for, and gives the outputs
    /// named in `outputs`, in that order.
    fn run(&self, inputs: &[View], outputs: &[&'static str]) -> Result<Vec<Tensor>, EngineError>;
}

/// The engine for `kind`; for [`EngineKind::Auto`] the first that is available here, in the order
/// of [`EngineKind::ALL`].
pub(crate) fn open(kind: EngineKind) -> Result<Box<dyn Engine>, EngineError> {
    if kind != EngineKind::Auto {
        return open_one(kind, format!("engine={kind} was asked for"));
    }
    let mut passed_over = String::new();
    for &candidate in &EngineKind::ALL[1..] {
        let reason = format!("engine=auto took {candidate}{passed_over}");
        match open_one(candidate, reason) {
            Ok(engine) => return Ok(engine),
            Err(error) => passed_over += &format!("; {error}"),
        }
    }
    unreachable!("tract is always available")
}

fn open_one(kind: EngineKind, reason: String) -> Result<Box<dyn Engine>, EngineError> {
    match kind {
        #[cfg(feature = "onnxruntime")]
        EngineKind::OnnxRuntime => Ok(Box::new(onnxruntime::OnnxRuntime::new(reason)?)),
        #[cfg(not(feature = "onnxruntime"))]
        EngineKind::OnnxRuntime => Err(EngineError::Unavailable {
            engine: kind.name(),
            message: "this build has no such engine".to_owned(),
        }),
        EngineKind::Auto | EngineKind::Tract => Ok(Box::new(tract::Tract::new(reason))),
    }
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
    fn engines_are_known_by_their_names() {
        for kind in EngineKind::ALL {
            assert_eq!(kind.name().parse::<EngineKind>().unwrap(), *kind);
        }
        let message = "cuda".parse::<EngineKind>().unwrap_err().to_string();
        assert!(message.contains("expected auto, onnxruntime"), "{message}");
        assert!(message.contains("found cuda"), "{message}");
    }

    #[test]
    fn what_the_engine_cannot_load_is_named() {
        let path = "some/vision.onnx".to_owned();
        let source = GraphSource {
            path,
            onnx: b"no graph".to_vec(),
            outputs: vec![],
        };
        let message = open(EngineKind::Tract)
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
