//! What runs a graph: a small trait, and tract behind it.

mod tract;

use std::fmt;
use std::sync::Arc;

use crate::error::EngineError;

/// Which engine to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum EngineKind {
    /// The fastest that is available here.
    #[default]
    Auto,
    /// tract: pure Rust, on the CPU, always available.
    Tract,
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

/// The engine for `kind`.
pub(crate) fn open(kind: EngineKind) -> Box<dyn Engine> {
    let reason = match kind {
        EngineKind::Auto => {
            "engine=auto took tract: it is the only engine compiled into this library"
        }
        EngineKind::Tract => "engine=tract was asked for",
    };
    Box::new(tract::Tract::new(reason))
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
        let info = open(EngineKind::Auto).info();
        assert_eq!(info.name, "tract");
        assert!(info.version.starts_with("0."), "{}", info.version);
        assert!(info.reason.contains("auto"), "{}", info.reason);
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
