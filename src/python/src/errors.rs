//! The library's errors as exceptions of the package.

use pyo3::prelude::*;
use pyo3::types::PyType;

/// Name of an exception class in `mdetr.errors`.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// The base of all.
    Any,
    Bundle,
    Cache,
    Engine,
    Frame,
    Option,
    Query,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Kind::Any => "MdetrError",
            Kind::Bundle => "BundleError",
            Kind::Cache => "CacheError",
            Kind::Engine => "EngineError",
            Kind::Frame => "FrameError",
            Kind::Option => "OptionError",
            Kind::Query => "QueryError",
        }
    }

    fn of(error: &mdetr::Error) -> Kind {
        match error {
            mdetr::Error::Bundle(_) => Kind::Bundle,
            mdetr::Error::Query(_) => Kind::Query,
            mdetr::Error::Frame(_) => Kind::Frame,
            mdetr::Error::Engine(_) => Kind::Engine,
            mdetr::Error::Cache(_) => Kind::Cache,
            mdetr::Error::Option(_) => Kind::Option,
            _ => Kind::Any,
        }
    }
}

/// An exception of the package.
pub fn exception(py: Python, kind: Kind, message: String) -> PyErr {
    let class = py
        .import("mdetr.errors")
        .and_then(|module| module.getattr(kind.class()))
        .and_then(|class| Ok(class.cast_into::<PyType>()?));
    match class {
        Ok(class) => PyErr::from_type(class, message),
        Err(error) => error,
    }
}

/// The exception for any error of the library.
pub fn raise(py: Python, error: impl Into<mdetr::Error>) -> PyErr {
    let error = error.into();
    exception(py, Kind::of(&error), error.to_string())
}
