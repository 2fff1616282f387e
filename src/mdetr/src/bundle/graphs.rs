//! What a bundle's graphs take and give, for those who run them elsewhere.

use std::path::PathBuf;

use mdetr_engine::{Dimension, GraphRole, InputType};

use super::error::BundleError;
use super::onnx::{self, ElementType, TensorInfo};
use super::{Bundle, FUSION_GRAPH, MASK_GRAPH, TEXT_GRAPH, VISION_GRAPH};

/// A graph of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BundleGraph {
    /// Which one it is.
    pub role: GraphRole,
    /// Its file.
    pub path: PathBuf,
    /// Of the file, hexadecimal.
    pub sha256: String,
    /// What it takes, in the graph's order.
    pub inputs: Vec<GraphTensor>,
    /// What it gives, in the graph's order.
    pub outputs: Vec<GraphTensor>,
}

/// An input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GraphTensor {
    /// Its name.
    pub name: String,
    /// Element type.
    pub element: InputType,
    /// Size of each dimension, under the names that the graph has for them.
    pub shape: Vec<Dimension>,
}

impl Bundle {
    /// Its graphs, in the order of [`GraphRole::ALL`]; a model that draws no masks has no mask graph.
    ///
    /// # Errors
    /// A file cannot be read, or an output is of no known type or shape.
    pub fn graphs(&self) -> Result<Vec<BundleGraph>, BundleError> {
        let mut files = vec![TEXT_GRAPH, VISION_GRAPH, FUSION_GRAPH];
        files.extend(self.manifest().segments().then_some(MASK_GRAPH));
        let graph = |name: &str| {
            let interface = self.interface(name)?;
            let tensors = |tensors: Vec<TensorInfo>| {
                let tensors = tensors.into_iter().map(|info| self.tensor(name, info));
                tensors.collect::<Result<_, _>>()
            };
            Ok(BundleGraph {
                role: super::files::role(name),
                path: self.path(name),
                sha256: self.sha256(name).to_owned(),
                inputs: tensors(interface.inputs)?,
                outputs: tensors(interface.outputs)?,
            })
        };
        files.into_iter().map(graph).collect()
    }

    fn tensor(&self, file: &str, info: TensorInfo) -> Result<GraphTensor, BundleError> {
        let found = info.to_string();
        let wrong = |expected: &str| BundleError::Interface {
            path: self.path(file),
            tensor: info.name.clone(),
            expected: expected.to_owned(),
            found: found.clone(),
        };
        let element = match info.element {
            ElementType::F32 => InputType::F32,
            ElementType::I64 => InputType::I64,
            _ => return Err(wrong("f32 or i64")),
        };
        let shape = info.shape.as_ref().ok_or_else(|| wrong("a shape"))?;
        let size = |dimension: &onnx::Dimension| match dimension {
            onnx::Dimension::Fixed(size) => usize::try_from(*size).map(Dimension::Fixed),
            onnx::Dimension::Open(name) => Ok(Dimension::Open(name.clone())),
        };
        let shape = shape.iter().map(size).collect::<Result<_, _>>();
        Ok(GraphTensor {
            element,
            shape: shape.map_err(|_| wrong("sizes from 0"))?,
            name: info.name,
        })
    }
}
