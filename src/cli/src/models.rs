//! `mdetr models`: which models there are.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use mdetr::Bundle;
use mdetr::bundle::Models;
use mdetr_pull::{Home, Provenance, PullError, Registry, own_registry};

use crate::output::say;
use crate::{model, pull};

/// List, show and remove models.
///
/// Lists those that are here, and those that `mdetr pull` fetches.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    command: Option<ModelsCommand>,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// Show what a model does, its size and licence, and where it comes from.
    Show {
        /// Name of the model.
        name: String,
    },
    /// Remove a pulled model, and what was downloaded of it.
    Remove {
        /// Name of the model.
        name: String,
    },
}

impl ModelsArgs {
    /// # Errors
    /// There is no such model, or it cannot be removed.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            None => list()?,
            Some(ModelsCommand::Show { name }) => show(&name)?,
            Some(ModelsCommand::Remove { name }) => remove(&name)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list() -> Result<()> {
    let registry = Registry::load(own_registry().as_deref())?;
    let here = model::models().list();
    let width = |names: &mut dyn Iterator<Item = &String>| names.map(String::len).max();
    let width = width(&mut here.keys().chain(registry.models().keys())).unwrap_or(0);
    say!("Here:");
    for (name, dir) in &here {
        let what = match Bundle::open(dir) {
            Ok(bundle) => format!("{:>6.0} MB  {}", mb(bundle_bytes(&bundle)), tasks(&bundle)),
            Err(error) => format!("   unsound: {error}"),
        };
        say!("  {name:width$}  {what}, in {}", dir.display());
    }
    let own = Home::new(Models::new().own_dir());
    let unfinished = own.map(|home| home.unfinished()).unwrap_or_default();
    for download in unfinished {
        let name = &download.name;
        let bytes = mb(download.bytes);
        if here.contains_key(name) {
            let dir = download.dir.display();
            say!("  {name:width$}  {bytes:>6.0} MB  of its checkpoint are kept in {dir}");
            continue;
        }
        say!(
            "  {name:width$}  {bytes:>6.0} MB  of its download; `mdetr pull {name}` goes on with it, and \
             `mdetr models remove {name}` throws it away"
        );
    }
    say!(
        "\nTo fetch with `mdetr pull NAME`, with the size of the download and about that of the model:"
    );
    for (name, model) in registry.models() {
        if !here.contains_key(name) {
            let (download, size) = (model.download_mb, model.model_mb);
            say!(
                "  {name:width$}  {download:>6} MB  {size:>4} MB  {}",
                model.title
            );
        }
    }
    Ok(())
}

fn show(name: &str) -> Result<()> {
    if let Some(dir) = model::models().list().get(name) {
        return show_bundle(name, dir);
    }
    let registry = Registry::load(own_registry().as_deref())?;
    let model = registry.model(name)?;
    say!("{name}: {}", model.title);
    say!("not here; `mdetr pull {name}` fetches it");
    say!("tasks      {}", model.tasks.join(" + "));
    say!("licence    {}", model.licence);
    say!("source     {}", model.source());
    say!("checkpoint {}, about {} MB", model.file, model.download_mb);
    say!("size       about {} MB", model.model_mb);
    if let Some(answers) = &model.answers {
        say!("answers    {}, in {}", answers.file, answers.page);
    }
    Ok(())
}

fn show_bundle(name: &str, dir: &Path) -> Result<()> {
    let bundle = Bundle::open(dir)?;
    let manifest = bundle.manifest();
    let provenance = Provenance::read(dir);
    let title = provenance
        .as_ref()
        .map_or(&manifest.name, |from| &from.title);
    say!("{name}: {title}");
    say!("place      {}", dir.display());
    say!("tasks      {}", tasks(&bundle));
    say!("precision  {}", manifest.precision);
    say!("size       {:.1} MB", mb(bundle_bytes(&bundle)));
    say!("licence    {}", manifest.licence);
    if let Some(from) = provenance {
        if from.licence != manifest.licence {
            say!("           {}, says the publisher", from.licence);
        }
        say!("source     {}", from.checkpoint);
        let by = if from.published {
            "as published"
        } else {
            "computed here, not compared"
        };
        say!(
            "checkpoint {:.1} MB, {}, {by}",
            mb(from.bytes),
            from.checksum
        );
        say!("tokenizer  {}", from.tokenizer);
    }
    for (file, entry) in &manifest.files {
        say!("sha256     {} {file}", entry.sha256);
    }
    Ok(())
}

fn remove(name: &str) -> Result<()> {
    let home = Home::new(Models::new().own_dir())?;
    match home.remove(name, &pull::Told::default()) {
        Ok(true) => say!("{name}: removed"),
        Ok(false) => say!("{name}: the download is removed, there was no model"),
        Err(error @ PullError::NotRemoved { .. }) => {
            if let Some(dir) = model::models().list().get(name) {
                bail!(
                    "{name} is in {}, which is not yours alone: remove it there, or with the package that brought it",
                    dir.display()
                );
            }
            return Err(error.into());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn tasks(bundle: &Bundle) -> String {
    bundle.manifest().tasks.join(" + ")
}

fn bundle_bytes(bundle: &Bundle) -> u64 {
    bundle
        .manifest()
        .files
        .values()
        .map(|file| file.bytes)
        .sum()
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
