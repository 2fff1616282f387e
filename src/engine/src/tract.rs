//! tract behind the engine trait, through its documented facade.

use std::sync::Arc;

use tract::prelude::*;

use crate::error::EngineError;
use crate::graph::{
    Engine, EngineInfo, Graph, GraphSource, InputShape, InputType, Plan, describe, not_on_the_host,
};
use crate::guard::guard;
use crate::tensor::{self, Data, View};

const NAME: &str = "tract";

#[derive(Debug)]
pub(crate) struct Tract {
    reason: String,
}

impl Tract {
    pub(crate) fn new(reason: String) -> Tract {
        Tract { reason }
    }
}

impl Engine for Tract {
    fn info(&self) -> EngineInfo {
        let version = tract::version().to_owned();
        EngineInfo {
            name: NAME.to_owned(),
            version,
            reason: self.reason.clone(),
        }
    }

    fn load(&self, source: GraphSource) -> Result<Box<dyn Graph>, EngineError> {
        let graph = TractGraph { source };
        // Parsed now, for the error; parsed again for each plan, as binding shapes consumes a model.
        guard(|| graph.parse().map(drop)).map_err(|message| EngineError::Load {
            engine: NAME,
            graph: graph.source.path.clone(),
            message,
        })?;
        Ok(Box::new(graph))
    }
}

struct TractGraph {
    source: GraphSource,
}

impl std::fmt::Debug for TractGraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TractGraph")
            .field("path", &self.source.path)
            .finish_non_exhaustive()
    }
}

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl TractGraph {
    fn parse(&self) -> Fallible<InferenceModel> {
        Ok(onnx()?.load_buffer(&self.source.onnx)?)
    }

    /// The runnable, and for each of its inputs the index in `shapes`.
    fn bind(&self, shapes: &[InputShape]) -> Fallible<(Runnable, Vec<usize>)> {
        let mut model = self.parse()?;
        let mut order = Vec::new();
        for id in 0..model.input_count()? {
            let name = model.input_name(id)?;
            let index = shapes
                .iter()
                .position(|input| input.name == name)
                .ok_or_else(|| format!("the graph has an unknown input {name}"))?;
            model.set_input_fact(id, fact(&shapes[index]).as_str())?;
            order.push(index);
        }
        Ok((model.into_model()?.into_runnable()?, order))
    }
}

/// A concrete type and shape as the facade takes it: `1,3,192,256,f32`.
fn fact(input: &InputShape) -> String {
    let mut parts: Vec<String> = input.shape.iter().map(ToString::to_string).collect();
    parts.push(match input.element {
        InputType::F32 => "f32".to_owned(),
        InputType::I64 => "i64".to_owned(),
    });
    parts.join(",")
}

impl Graph for TractGraph {
    fn plan(&self, shapes: &[InputShape]) -> Result<Arc<dyn Plan>, EngineError> {
        let (runnable, order) =
            guard(|| self.bind(shapes)).map_err(|message| EngineError::Plan {
                engine: NAME,
                graph: self.source.path.clone(),
                shapes: describe(shapes),
                message,
            })?;
        Ok(Arc::new(TractPlan {
            runnable,
            order,
            path: self.source.path.clone(),
            outputs: self.source.outputs.clone(),
            shapes: shapes.to_vec(),
        }))
    }
}

#[derive(Debug)]
struct TractPlan {
    runnable: Runnable,
    order: Vec<usize>,
    path: String,
    outputs: Vec<String>,
    shapes: Vec<InputShape>,
}

impl TractPlan {
    fn feed(&self, inputs: &[View]) -> Fallible<Vec<Tensor>> {
        let feed = |&index: &usize| -> Fallible<Tensor> {
            let (input, view) = (
                &self.shapes[index],
                inputs.get(index).map(|view| view.on_the_host()),
            );
            Ok(match view {
                Some(View::F32(data)) => Tensor::from_slice(&input.shape, data)?,
                Some(View::I64(data)) => Tensor::from_slice(&input.shape, data)?,
                Some(View::Constant(_) | View::Device(_)) => {
                    return Err(not_on_the_host(input).into());
                }
                None => return Err(format!("input {} was not fed", input.name).into()),
            })
        };
        self.order.iter().map(feed).collect()
    }

    fn execute(&self, inputs: &[View], outputs: &[&str]) -> Fallible<Vec<tensor::Tensor>> {
        let found = self.runnable.run(self.feed(inputs)?)?;
        outputs
            .iter()
            .map(|name| {
                let tensor = self
                    .outputs
                    .iter()
                    .position(|output| output == name)
                    .and_then(|index| found.get(index))
                    .ok_or_else(|| format!("the graph has no output {name}"))?;
                let (shape, data) = tensor.as_shape_and_slice::<f32>()?;
                Ok(tensor::Tensor {
                    shape: shape.to_vec(),
                    data: Data::Host(data.to_vec()),
                })
            })
            .collect()
    }
}

impl Plan for TractPlan {
    fn run(
        &self,
        inputs: &[View],
        outputs: &[&'static str],
        _keep: &[&'static str],
    ) -> Result<Vec<tensor::Tensor>, EngineError> {
        guard(|| self.execute(inputs, outputs)).map_err(|message| EngineError::Run {
            engine: NAME,
            graph: self.path.clone(),
            shapes: describe(&self.shapes),
            message,
        })
    }
}
