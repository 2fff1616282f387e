//! `mdetr plan`: TensorRT's plans, which take minutes to build and are kept.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use mdetr::engine::plan_cache::{DEFAULT_PLAN_CACHE_BYTES, PlanCache, default_plan_cache_dir};
use mdetr::engine::{PlanEvent, PlanWatcher, Precision};
use mdetr::engine::{TensorRtOptions, TriedPlan, try_plans};
use mdetr::{EngineKind, Grounder, GrounderOptions};

use crate::output::say;
use crate::{model, progress, size};

/// The `mdetr plan` subcommands.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Build a model's plans for frames of a size, so that a pipeline starts at once.
    Build(BuildArgs),
    /// List the plans that are kept, the last used first.
    List {
        #[command(flatten)]
        cache: CacheArgs,
    },
    /// Remove the plans that are kept.
    Clear {
        #[command(flatten)]
        cache: CacheArgs,
    },
}

/// Where plans are kept.
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// Directory of plans [default: mdetr/plans in $XDG_CACHE_HOME or ~/.cache].
    #[arg(long, value_name = "DIR")]
    plan_cache_dir: Option<PathBuf>,
}

impl CacheArgs {
    fn dir(&self) -> Result<PathBuf> {
        let dir = self.plan_cache_dir.clone().or_else(default_plan_cache_dir);
        dir.context(
            "neither XDG_CACHE_HOME nor HOME is set; name a directory: --plan-cache-dir DIR",
        )
    }
}

/// Arguments of `mdetr plan build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Name or directory of the model [default: $MDETR_MODEL, else the bundled model].
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Size of the frames, before they are scaled for the network.
    #[arg(long, value_name = "WxH", default_value = "640x480", value_parser = parse_size)]
    size: (u32, u32),
    /// Number of the GPU.
    #[arg(long, value_name = "N", default_value_t = 0)]
    device_id: u32,
    /// How floats are computed: auto, fp32 or fp16.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    precision: Precision,
    /// Most memory of the GPU for a plan's intermediate results, in MiB [default: as TensorRT chooses].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    workspace: Option<u32>,
    /// Build and check, and keep nothing. TensorRT-RTX needs no GPU for it.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cache: CacheArgs,
}

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    size::parse(text).ok_or_else(|| format!("expected WIDTHxHEIGHT as 640x480, found {text}"))
}

impl PlanCommand {
    /// # Errors
    /// TensorRT or the directory cannot be used; the error says why.
    pub fn run(self) -> Result<ExitCode> {
        match self {
            PlanCommand::Build(args) => args.run()?,
            PlanCommand::List { cache } => list(&cache.dir()?)?,
            PlanCommand::Clear { cache } => {
                let dir = cache.dir()?;
                let count = open(&dir)?.clear();
                let count = count.with_context(|| format!("cannot clear {}", dir.display()))?;
                say!("{}: {count} plans removed", dir.display());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn open(dir: &Path) -> Result<PlanCache> {
    Ok(PlanCache::open(dir, DEFAULT_PLAN_CACHE_BYTES)?)
}

fn list(dir: &Path) -> Result<()> {
    let entries = open(dir)?.entries();
    let entries = entries.with_context(|| format!("cannot list {}", dir.display()))?;
    if entries.is_empty() {
        say!("{}: no plans", dir.display());
    }
    for entry in entries {
        let age = SystemTime::now().duration_since(entry.used);
        let hours = age.unwrap_or_default().as_secs_f64() / 3600.0;
        let size = entry.bytes as f64 / 1e6;
        say!("{} {size:.1} MB, used {hours:.1} h ago", &entry.name[..12]);
        match entry.built {
            Some((path, key)) => say!(
                "  {path}\n  {}, {}, {}\n  {}",
                key.engine,
                key.device,
                key.precision,
                key.shapes
            ),
            None => say!("  damaged: it will be built again"),
        }
    }
    Ok(())
}

impl BuildArgs {
    fn run(&self) -> Result<()> {
        let model = model::directory(self.model.as_deref())?;
        let (width, height) = self.size;
        let bar = progress::steps();
        let watcher = show(&bar);
        let tensorrt = TensorRtOptions {
            device_id: self.device_id,
            precision: self.precision,
            workspace: self.workspace.map(|mib| u64::from(mib) << 20),
            ..TensorRtOptions::default()
        };
        if self.dry_run {
            let tried = try_plans(&model, self.size, &tensorrt, &watcher)?;
            bar.finish_and_clear();
            for TriedPlan { graph, time, bytes } in tried {
                say!(
                    "{}: {:.1} s, {:.1} MB, inputs and outputs as in the bundle",
                    model.join(graph).display(),
                    time.as_secs_f64(),
                    bytes as f64 / 1e6
                );
            }
            return Ok(());
        }
        let dir = self.cache.dir()?;
        let options = GrounderOptions {
            engine: EngineKind::TensorRt.into(),
            tensorrt: TensorRtOptions {
                plan_cache_dir: Some(dir.clone()),
                ..tensorrt
            },
            ..GrounderOptions::default()
        };
        let grounder = Grounder::load(&model, options)?;
        grounder.watch_plans(watcher);
        grounder.rehearse(width, height)?;
        bar.finish_and_clear();
        say!("{}: plans for {width}x{height} are there", dir.display());
        Ok(())
    }
}

/// Shows what is being built on the bar, and prints what is ready.
fn show(bar: &ProgressBar) -> PlanWatcher {
    let bar = bar.clone();
    let phases = Mutex::new(String::new());
    Arc::new(move |event| {
        match event {
            PlanEvent::Building {
                graph,
                phase,
                step,
                steps,
            } => {
                let mut shown = phases.lock().unwrap_or_else(PoisonError::into_inner);
                let message = format!("{graph}: {phase}");
                if *shown != message {
                    bar.set_message(message.clone());
                    *shown = message;
                }
                bar.set_length(u64::from((*steps).max(1)));
                bar.set_position(u64::from(*step));
            }
            PlanEvent::Waiting { graph } => {
                bar.set_message(format!("{graph}: another process builds it"));
            }
            PlanEvent::Ready {
                graph,
                built,
                bytes,
            } => {
                let how = if *built { "built" } else { "found" };
                let size = *bytes as f64 / 1e6;
                bar.suspend(|| say!("{graph}: {how}, {size:.1} MB"));
            }
            PlanEvent::NotKept { graph, message } => {
                bar.suspend(|| eprintln!("mdetr: {graph}: the plan is not kept: {message}"));
            }
            _ => {}
        }
        true
    })
}
