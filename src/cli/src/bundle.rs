//! `mdetr bundle`: model directories.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use mdetr::Bundle;

use crate::model;
use crate::output::say;
use crate::triton::TritonArgs;

/// The `mdetr bundle` subcommands.
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Check a bundle: files, hashes, graphs, tokenizer, and one small picture through all of it.
    Check {
        /// The directory that holds model.toml, or the model's name.
        dir: PathBuf,
    },
    /// Write a bundle's graphs as a model repository for NVIDIA Triton, which the engine kserve asks.
    Triton(TritonArgs),
}

impl BundleCommand {
    /// # Errors
    /// The bundle cannot be used; the error says why.
    pub fn run(self) -> Result<ExitCode> {
        let dir = match self {
            BundleCommand::Check { dir } => dir,
            BundleCommand::Triton(args) => {
                args.run()?;
                return Ok(ExitCode::SUCCESS);
            }
        };
        let dir = model::models().find(dir)?;
        let bundle = Bundle::open(&dir)?;
        mdetr::Grounder::check(&bundle)?;
        let manifest = bundle.manifest();
        let bytes: u64 = manifest.files.values().map(|file| file.bytes).sum();
        say!(
            "{}: {} {} ({}), {}, {}: {} files, {:.1} MB, sound",
            dir.display(),
            manifest.name,
            manifest.version,
            manifest.licence,
            manifest.tasks.join(" + "),
            manifest.precision,
            manifest.files.len(),
            bytes as f64 / 1e6,
        );
        Ok(ExitCode::SUCCESS)
    }
}
