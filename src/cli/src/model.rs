//! Which model a command uses.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use mdetr::{EngineKind, Grounder, GrounderOptions};

/// Names the default of `--model`.
const VARIABLE: &str = "MDETR_MODEL";
/// Where the bundled model lies in the repository.
const BUNDLED: &str = "models/tabletop";

/// Which model, and what runs it.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Directory of the model [default: $MDETR_MODEL, else the bundled model].
    #[arg(long, value_name = "BUNDLE")]
    model: Option<PathBuf>,
    /// What runs the model: auto, onnxruntime or tract.
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    engine: EngineKind,
}

impl ModelArgs {
    /// As [`load`], run by this engine.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(&self, options: GrounderOptions) -> Result<Grounder> {
        let engine = self.engine;
        load(self.model.as_deref(), GrounderOptions { engine, ..options })
    }
}

/// `given`, else what `MDETR_MODEL` names, else the bundled model: in the current directory, or where
/// this program was built.
///
/// # Errors
/// The variable names no directory, or no model is named and the bundled one is not there.
pub fn directory(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    if let Some(dir) = std::env::var_os(VARIABLE).filter(|dir| !dir.is_empty()) {
        let dir = PathBuf::from(dir);
        ensure!(
            dir.is_dir(),
            "{VARIABLE} names {}, which is no directory: set it to the directory that holds \
             model.toml, or name one with --model",
            dir.display()
        );
        return Ok(dir);
    }
    let here = PathBuf::from(BUNDLED);
    if here.is_dir() {
        return Ok(here);
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(BUNDLED);
    ensure!(
        built.is_dir(),
        "no model is named, and the bundled one is neither in {BUNDLED} nor where this program was \
         built: name one with --model or {VARIABLE}"
    );
    Ok(built)
}

/// Loads the model; an error says so if `MDETR_MODEL` named it.
///
/// # Errors
/// The model cannot be used.
pub fn load(given: Option<&Path>, options: GrounderOptions) -> Result<Grounder> {
    let dir = directory(given)?;
    let loaded = Grounder::load(&dir, options);
    let variable = std::env::var_os(VARIABLE);
    let by_variable = given.is_none() && variable.is_some_and(|named| dir == Path::new(&named));
    if by_variable && matches!(loaded, Err(mdetr::Error::Bundle(_))) {
        return loaded.with_context(|| format!("the model that {VARIABLE} names"));
    }
    Ok(loaded?)
}
