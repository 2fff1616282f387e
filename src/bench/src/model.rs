//! What is measured.

use std::path::PathBuf;

use clap::Args;
use mdetr::EngineChoice;

/// A bundle and what runs it.
#[derive(Debug, Args)]
pub struct Model {
    #[arg(long = "model", value_name = "BUNDLE")]
    pub bundle: PathBuf,
    #[arg(long, value_name = "ENGINE")]
    pub engine: EngineChoice,
    /// Servers, for the engine kserve, with commas.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub endpoints: String,
}
