//! What runs the network.

use std::path::PathBuf;

use mdetr::bundle::Models;

use crate::config::Document;

/// What runs the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Directory of the bundle.
    pub bundle: PathBuf,
    /// Engine by name.
    pub engine: String,
    /// Directory of encoded queries.
    pub text_cache: PathBuf,
}

impl Model {
    /// That of a configuration.
    pub fn of(document: &Document, models: &Models) -> Model {
        let named = document.model.clone();
        let named = named.unwrap_or_else(|| models.default_model());
        // Who loads it says what is wrong with one that is not found.
        let found = models.find(&named);
        Model {
            bundle: found.unwrap_or(named),
            engine: document.engine.clone(),
            text_cache: document.data.join("cache").join("text"),
        }
    }
}
