//! Which model a command uses.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use mdetr::bundle::{MODEL_VARIABLE as VARIABLE, Models, named_by_environment};
use mdetr::engine::{Fallback, KServeOptions, LogLevel, set_engine_log};
use mdetr::{EngineChoice, EngineKind, Grounder, GrounderOptions};

use crate::warning;

/// Where the bundled model lies in the repository.
const BUNDLED: &str = "models/tabletop";
/// Its name.
const BUNDLED_NAME: &str = "tabletop";

/// Which model, and what runs it.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Name or directory of the model [default: $MDETR_MODEL, else the bundled model]. `mdetr models`
    /// lists the names.
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// What runs the model: auto, onnxruntime, tract or kserve; or for each graph, as
    /// vision:tract,fusion:kserve, of text, vision, fusion and mask.
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    engine: EngineChoice,
    /// Servers with the model, for the engine kserve, as grpc://HOST:PORT or, with TLS, grpcs://HOST:PORT.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    endpoint: Vec<String>,
    /// File with the token that the servers ask for [default: what is in MDETR_KSERVE_TOKEN].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates, in PEM, of the authorities that the servers are known by [default: those of the system].
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Milliseconds that a graph may take on the servers, all attempts together.
    #[arg(long, value_name = "MS", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=600_000))]
    remote_deadline: u32,
    /// What answers when no server does: auto, onnxruntime, tract or none.
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    fallback: Fallback,
}

impl ModelArgs {
    /// As [`load`], run by this engine.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(&self, options: GrounderOptions) -> Result<Grounder> {
        let options = GrounderOptions {
            engine: self.engine,
            kserve: KServeOptions {
                endpoints: self.endpoint.clone(),
                token_file: self.token_file.clone(),
                ca_file: self.ca_file.clone(),
                deadline: Duration::from_millis(self.remote_deadline.into()),
                fallback: self.fallback,
            },
            ..options
        };
        if self.engine.has(EngineKind::KServe) {
            // Who asked for a server is told if another engine answers.
            set_engine_log(Some(Arc::new(|message| {
                if message.level <= LogLevel::Warning {
                    warning::print(message.text);
                }
            })));
        }
        load(self.model.as_deref(), options)
    }
}

/// Where models are found by name.
pub fn models() -> Models {
    Models::new().with_bundled(bundled())
}

/// Where the bundled model may lie: in the current directory, or where this program was built.
fn bundled() -> PathBuf {
    let here = PathBuf::from(BUNDLED);
    if here.is_dir() {
        return here;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(BUNDLED)
}

/// The directory of the model that is given, by name or path, else of the one that `MDETR_MODEL` names,
/// else of the bundled one.
///
/// # Errors
/// There is no such model, the variable names no directory, or no model is named and the bundled one is
/// not there.
pub fn directory(given: Option<&Path>) -> Result<PathBuf> {
    let models = models();
    if let Some(given) = given {
        return Ok(models.find(given)?);
    }
    let Some(named) = named_by_environment() else {
        let bundled = Some(bundled()).filter(|dir| dir.is_dir());
        // Packages put it among the models of the system.
        let bundled = bundled.or_else(|| models.list().remove(BUNDLED_NAME));
        return bundled.with_context(|| {
            format!(
                "no model is named, and the bundled one is neither in {BUNDLED} nor where this \
                 program was built: name one with --model or {VARIABLE}"
            )
        });
    };
    let dir = models
        .find(&named)
        .with_context(|| format!("{VARIABLE} names {}", named.display()))?;
    ensure!(
        dir.is_dir(),
        "{VARIABLE} names {}, which is no directory: set it to the name of a model or to the directory \
         that holds model.toml, or name one with --model",
        dir.display()
    );
    Ok(dir)
}

/// Loads the model; an error says so if `MDETR_MODEL` named it.
///
/// # Errors
/// The model cannot be used.
pub fn load(given: Option<&Path>, options: GrounderOptions) -> Result<Grounder> {
    let dir = directory(given)?;
    let loaded = Grounder::load(&dir, options);
    let by_variable = given.is_none() && named_by_environment().is_some();
    if by_variable && matches!(loaded, Err(mdetr::Error::Bundle(_))) {
        return loaded.with_context(|| format!("the model that {VARIABLE} names"));
    }
    Ok(loaded?)
}
