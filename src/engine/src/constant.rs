//! Values that are fed to many runs.

use std::sync::{Arc, OnceLock};

use crate::tensor::{Resident, View};

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
