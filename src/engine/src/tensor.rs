//! Values that go into graphs and come out of them.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::error::EngineError;

/// A dense row-major tensor of floats that an engine gave.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Size of each dimension.
    pub shape: Vec<usize>,
    /// The values.
    pub data: Data,
}

/// Where a tensor's values are.
#[derive(Debug, Clone)]
pub enum Data {
    /// On the host.
    Host(Vec<f32>),
    /// Where the engine that gave them can feed them to another of its plans.
    Device(Arc<dyn Resident>),
}

/// Values in an engine's own memory.
pub trait Resident: fmt::Debug + Any + Send + Sync {}

impl Tensor {
    /// How many values there are.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// To feed it to a plan of the same engine.
    pub fn view(&self) -> View<'_> {
        match &self.data {
            Data::Host(values) => View::F32(values),
            Data::Device(resident) => View::Device(resident.as_ref()),
        }
    }

    /// The values of an output that was not to be kept.
    pub fn into_host(self) -> Vec<f32> {
        match self.data {
            Data::Host(values) => values,
            Data::Device(_) => {
                unreachable!("an engine kept an output that it was not asked to keep")
            }
        }
    }

    /// Refuses an output of the graph at `path` that does not have the expected shape.
    pub fn check(
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
pub enum View<'a> {
    /// Floats on the host.
    F32(&'a [f32]),
    /// Integers on the host.
    I64(&'a [i64]),
    /// What many runs are fed with.
    Constant(&'a Constant),
    /// An output that the engine kept in its own memory.
    Device(&'a dyn Resident),
}

impl<'a> View<'a> {
    /// The same for an engine that computes on the host.
    pub(crate) fn on_the_host(self) -> View<'a> {
        match self {
            View::Constant(constant) => constant.view(),
            view => view,
        }
    }
}

/// Values that do not change. An engine with memory of its own keeps them there from the first run on.
#[derive(Debug)]
pub struct Constant {
    values: Values,
    #[cfg_attr(not(feature = "tensorrt"), allow(dead_code))]
    pub(crate) resident: OnceLock<Arc<dyn Resident>>,
}

#[derive(Debug)]
enum Values {
    F32(Vec<f32>),
    I64(Vec<i64>),
}

impl Constant {
    /// Of floats, row-major.
    pub fn f32(values: Vec<f32>) -> Constant {
        Constant {
            values: Values::F32(values),
            resident: OnceLock::new(),
        }
    }

    /// Of integers, row-major.
    pub fn i64(values: Vec<i64>) -> Constant {
        Constant {
            values: Values::I64(values),
            resident: OnceLock::new(),
        }
    }

    /// As an input of the host.
    pub(crate) fn view(&self) -> View<'_> {
        match &self.values {
            Values::F32(values) => View::F32(values),
            Values::I64(values) => View::I64(values),
        }
    }
}
