//! `mdetr bundle triton`: a model repository for NVIDIA Triton.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use mdetr::Bundle;
use mdetr::bundle::{BundleGraph, GraphTensor, is_name};
use mdetr::engine::{Dimension, InputType, MODEL_HASH, model_name, model_version};
use mdetr_weights::with_half_interface;

use crate::model;
use crate::output::{first_line, say, write};

/// First line of what is written, by which it is known.
const MARK: &str = "# Written by mdetr bundle triton.";
/// What Triton's backend for ONNX calls a model's file.
const MODEL_FILE: &str = "model.onnx";

/// Arguments of `mdetr bundle triton`.
#[derive(Debug, Args)]
pub struct TritonArgs {
    /// The directory that holds model.toml, or the model's name.
    dir: PathBuf,
    /// Directory of the model repository. What is in it and was not written by this command stays as it is.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Take and give floats as FP16: half the bytes are sent. The graphs compute as before.
    #[arg(long)]
    half: bool,
    /// Instances of each graph, which run side by side.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    instances: u32,
    /// What they run on.
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    device: Device,
    /// Most frames of several clients in one run of the vision graph; 1: each is a run of its own.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: u32,
    /// Longest time that a frame waits for others, in microseconds.
    #[arg(long, value_name = "US", default_value_t = 500, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    batch_delay: u32,
}

/// What graphs run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Device {
    /// GPUs if there are any.
    Auto,
    /// GPUs.
    Gpu,
    /// The CPU.
    Cpu,
}

impl Device {
    const fn kind(self) -> &'static str {
        match self {
            Device::Auto => "KIND_AUTO",
            Device::Gpu => "KIND_GPU",
            Device::Cpu => "KIND_CPU",
        }
    }
}

impl TritonArgs {
    /// # Errors
    /// The bundle cannot be used, or there is a file that was not written by this command.
    pub fn run(&self) -> Result<()> {
        let bundle = Bundle::open(model::models().find(&self.dir)?)?;
        let manifest = bundle.manifest();
        let name = &manifest.name;
        ensure!(
            is_name(name),
            "{}: a model of this name cannot be served: expected letters, digits, -, _ and ., found {name:?}",
            bundle.dir().display()
        );
        // In int8 activations of a run share a scale: an answer would depend on other frames.
        let batch = if manifest.precision == "int8" {
            1
        } else {
            self.batch
        };
        for graph in bundle.graphs()? {
            let model = model_name(name, graph.role);
            let version = model_version(&graph.sha256);
            let folder = self.out.join(&model);
            let config = self.config(&model, &graph, batch);
            let versions = folder.join(version.to_string());
            fs::create_dir_all(&versions)
                .with_context(|| format!("cannot make {}", versions.display()))?;
            let is_ours = |file| first_line(file) == MARK.as_bytes();
            let place = folder.join("config.pbtxt");
            let was_ours = fs::File::open(&place).is_ok_and(is_ours);
            write(&place, config.as_bytes(), is_ours)?;
            self.put_graph(&graph, &versions.join(MODEL_FILE), was_ours)?;
            say!("{model}, version {version}: {}", folder.display());
        }
        Ok(())
    }

    /// Writes a graph. What is there is left alone if it is the same, and replaced if it `was_ours`.
    fn put_graph(&self, graph: &BundleGraph, path: &Path, was_ours: bool) -> Result<()> {
        let place = || graph.path.display().to_string();
        let mut bytes = fs::read(&graph.path).with_context(place)?;
        if self.half {
            bytes = with_half_interface(&bytes).with_context(place)?;
        }
        if fs::read(path).is_ok_and(|found| found == bytes) {
            return Ok(());
        }
        write(path, &bytes, |_| was_ours)
    }

    fn config(&self, model: &str, graph: &BundleGraph, batch: u32) -> String {
        let tensors = || graph.inputs.iter().chain(&graph.outputs);
        // What all tensors have one of for each frame.
        let first = graph.inputs.first().and_then(|input| input.shape.first());
        let is_open = matches!(first, Some(Dimension::Open(_)));
        let batched = batch > 1 && is_open && tensors().all(|tensor| tensor.shape.first() == first);
        let skipped = usize::from(batched);
        let mut config = format!("{MARK}\nname: \"{model}\"\nbackend: \"onnxruntime\"\n");
        let most = if batched { batch } else { 0 };
        let _ = writeln!(config, "max_batch_size: {most}");
        for (direction, tensors) in [("input", &graph.inputs), ("output", &graph.outputs)] {
            for tensor in tensors {
                config += &of_tensor(direction, tensor, skipped, self.half);
            }
        }
        if batched {
            let delay = self.batch_delay;
            let _ = writeln!(
                config,
                "dynamic_batching {{ max_queue_delay_microseconds: {delay} }}"
            );
        }
        let (count, kind) = (self.instances, self.device.kind());
        let _ = writeln!(
            config,
            "instance_group [ {{ count: {count} kind: {kind} }} ]"
        );
        // Those of other bundles of the same name are served beside it, to clients that ask for them.
        config += "version_policy { all { } }\n";
        let hash = &graph.sha256;
        let _ = writeln!(
            config,
            "parameters {{ key: \"{MODEL_HASH}\" value {{ string_value: \"{hash}\" }} }}"
        );
        config
    }
}

/// An input or output without its first `skipped` dimensions.
fn of_tensor(direction: &str, tensor: &GraphTensor, skipped: usize, half: bool) -> String {
    let name = &tensor.name;
    let kind = match tensor.element {
        InputType::F32 if half => "TYPE_FP16",
        InputType::F32 => "TYPE_FP32",
        InputType::I64 => "TYPE_INT64",
    };
    let size = |dimension: &Dimension| match dimension {
        Dimension::Fixed(size) => size.to_string(),
        Dimension::Open(_) => "-1".to_owned(),
    };
    let dims: Vec<String> = tensor.shape.iter().skip(skipped).map(size).collect();
    let dims = dims.join(", ");
    format!("{direction} [ {{ name: \"{name}\" data_type: {kind} dims: [ {dims} ] }} ]\n")
}
