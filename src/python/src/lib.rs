//! The compiled part of the Python package `mdetr`: the module `mdetr._native`.
//!
//! What users see is written in Python beside it, in `mdetr`; types of this module's functions are in
//! `mdetr/_native.pyi`.

#![cfg(feature = "module")]

mod errors;
mod grounder;
mod picture;
mod results;

use std::path::PathBuf;

use mdetr::bundle::Models;
use pyo3::prelude::*;

#[pymodule]
mod _native {
    use super::*;

    #[pymodule_export]
    use super::grounder::{Grounder, Past};
    #[pymodule_export]
    use super::results::{decode_mask, read_carried};
    #[pymodule_export]
    use super::{add_onnxruntime_library, models};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// Names and directories of the models that have names. The bundled one may lie near the file `program`.
#[pyfunction]
fn models(program: PathBuf) -> Vec<(String, PathBuf)> {
    Models::of_program(Some(&program))
        .list()
        .into_iter()
        .collect()
}

/// See [`mdetr::engine::add_onnxruntime_library`].
#[pyfunction]
fn add_onnxruntime_library(library: PathBuf) {
    mdetr::engine::add_onnxruntime_library(library);
}
