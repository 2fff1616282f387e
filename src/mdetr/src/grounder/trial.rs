//! Trying whether TensorRT takes a bundle, on machines without a GPU too.

use std::path::Path;
use std::time::Duration;

use mdetr_engine::{PlanWatcher, TensorRtOptions};

use crate::error::Error;

/// A plan that was built, checked and dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct TriedPlan {
    /// File name of the graph.
    pub graph: &'static str,
    /// How long its build took.
    pub time: Duration,
    /// Size of the plan.
    pub bytes: u64,
}

/// Builds TensorRT's plans of the bundle in `dir` for frames of that width and height, checks that
/// their inputs and outputs are the bundle's, by names, types and sizes, and keeps nothing.
///
/// Of the libraries TensorRT-RTX needs no GPU for it. Of `options` the precision and the workspace count.
///
/// # Errors
/// The bundle is unsound, TensorRT is missing or does not take a graph, or a plan differs from what the
/// bundle says.
pub fn try_plans(
    dir: &Path,
    size: (u32, u32),
    options: &TensorRtOptions,
    watcher: &PlanWatcher,
) -> Result<Vec<TriedPlan>, Error> {
    #[cfg(feature = "tensorrt")]
    return enabled::try_plans(dir, size, options, watcher);
    #[cfg(not(feature = "tensorrt"))]
    {
        let _ = (dir, size, watcher);
        let options = mdetr_engine::EngineOptions {
            tensorrt: options,
            kserve: &mdetr_engine::KServeOptions::default(),
        };
        mdetr_engine::open(mdetr_engine::EngineKind::TensorRt.into(), "fp32", options)?;
        Ok(Vec::new())
    }
}

#[cfg(feature = "tensorrt")]
mod enabled {
    use std::time::Instant;

    use mdetr_engine::tensorrt::{Element, IoTensor, NAME, open_library, ranges, try_build};
    use mdetr_engine::{EngineError, EngineKind, InputShape, InputType, check_precision};

    use super::*;
    use crate::bundle::{Bundle, FUSION_GRAPH, Interface, MASK_GRAPH, TEXT_GRAPH, VISION_GRAPH};
    use crate::frame::check_size;
    use crate::grounder::network::{
        FusionShape, MaskShape, fusion_inputs, mask_inputs, vision_inputs,
    };
    use crate::grounder::positions::grid;
    use crate::text::text_inputs;

    pub(super) fn try_plans(
        dir: &Path,
        (width, height): (u32, u32),
        options: &TensorRtOptions,
        watcher: &PlanWatcher,
    ) -> Result<Vec<TriedPlan>, Error> {
        check_size(width, height)?;
        let bundle = Bundle::open(dir)?;
        let manifest = bundle.manifest();
        check_precision(EngineKind::TensorRt, &manifest.precision)?;
        let library = open_library()?;
        let sizes = &manifest.network;
        let size = manifest.input_policy().target(width, height);
        let (rows, columns) = grid(size, sizes.stride);
        let tokens = rows * columns;

        let mut tried = Vec::new();
        let mut attempt = |graph, inputs: &[InputShape]| -> Result<Vec<IoTensor>, Error> {
            let source = bundle.graph(graph)?;
            let start = Instant::now();
            let trial = try_build(&library, &source, inputs, options, watcher)?;
            tried.push(TriedPlan {
                graph,
                time: start.elapsed(),
                bytes: trial.plan_bytes,
            });
            compare(&trial.tensors, inputs, &bundle.interface(graph)?).map_err(|message| {
                EngineError::Plan {
                    engine: NAME,
                    graph: source.path,
                    shapes: mdetr_engine::describe(inputs),
                    message,
                }
            })?;
            Ok(trial.tensors)
        };
        attempt(TEXT_GRAPH, &text_inputs(3, manifest.max_tokens()))?;
        let seen = attempt(VISION_GRAPH, &vision_inputs(size))?;
        attempt(
            FUSION_GRAPH,
            &fusion_inputs(sizes, FusionShape::new(1, tokens, 3)),
        )?;
        if manifest.segments() {
            let pyramid = bundle.pyramid()?;
            let channels = |name: &str| {
                let map = seen.iter().find(|tensor| tensor.name == name);
                map.and_then(|map| map.shape.get(1).copied().flatten())
                    .unwrap_or(0)
            };
            let maps = pyramid.iter().map(|(name, stride)| {
                let (rows, columns) = grid(size, *stride);
                vec![1, channels(name), rows, columns]
            });
            let shape = MaskShape {
                objects: 1,
                tokens,
                pyramid: maps.collect(),
            };
            let names = pyramid.iter().map(|(name, _)| *name);
            attempt(MASK_GRAPH, &mask_inputs(sizes.d_model, &shape, names))?;
        }
        Ok(tried)
    }

    /// Whether a plan has the graph's inputs and outputs, and takes all the sizes it is to take.
    fn compare(
        tensors: &[IoTensor],
        inputs: &[InputShape],
        interface: &Interface,
    ) -> Result<(), String> {
        let named = |name: &str| {
            let found = tensors.iter().find(|tensor| tensor.name == name);
            found.ok_or_else(|| format!("the plan lacks {name}"))
        };
        for (input, range) in inputs.iter().zip(ranges(inputs)) {
            let tensor = named(input.name)?;
            let fits = match input.element {
                InputType::F32 => tensor.element == Element::Float,
                InputType::I64 => matches!(tensor.element, Element::Int64 | Element::Int32),
            };
            let sizes = (&tensor.min, &tensor.opt, &tensor.max);
            if !(tensor.is_input && fits && sizes == (&range.min, &range.opt, &range.max)) {
                return Err(format!("input {tensor:?} is not as {range:?}"));
            }
        }
        for output in &interface.outputs {
            let tensor = named(&output.name)?;
            let rank = output.shape.as_ref().map(Vec::len);
            if tensor.is_input
                || tensor.element != Element::Float
                || rank.is_some_and(|rank| rank != tensor.shape.len())
            {
                return Err(format!("output {tensor:?} is not as {output}"));
            }
        }
        let count = inputs.len() + interface.outputs.len();
        if tensors.len() != count {
            return Err(format!(
                "expected {count} inputs and outputs, found {}",
                tensors.len()
            ));
        }
        Ok(())
    }
}
