//! What runs the network.

use std::path::PathBuf;
use std::time::Duration;

use mdetr::bundle::Models;
use mdetr::engine::{KServeOptions, OptionError};

use crate::config::{Document, KServe};

/// What runs the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Directory of the bundle.
    pub bundle: PathBuf,
    /// Engine by name, or one for each graph.
    pub engine: String,
    /// Servers.
    pub kserve: Option<KServe>,
    /// Directory of encoded queries.
    pub text_cache: PathBuf,
}

impl Model {
    /// What the engine KServe is to do.
    ///
    /// # Errors
    /// The fallback is none.
    pub fn kserve_options(&self) -> Result<KServeOptions, OptionError> {
        let Some(kserve) = &self.kserve else {
            return Ok(KServeOptions::default());
        };
        Ok(KServeOptions {
            endpoints: kserve.endpoints.clone(),
            token_file: kserve.token_file.clone(),
            ca_file: kserve.ca.clone(),
            deadline: Duration::from_millis(kserve.deadline_ms.into()),
            fallback: kserve.fallback.parse()?,
        })
    }

    /// That of a configuration.
    pub fn of(document: &Document, models: &Models) -> Model {
        let named = document.model.clone();
        let named = named.unwrap_or_else(|| models.default_model());
        // Who loads it says what is wrong with one that is not found.
        let found = models.find(&named);
        Model {
            bundle: found.unwrap_or(named),
            engine: document.engine.clone(),
            kserve: document.kserve.clone(),
            text_cache: document.data.join("cache").join("text"),
        }
    }
}
