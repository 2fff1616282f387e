//! `mdetr import`: checkpoints to bundles.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use mdetr::Bundle;
use mdetr_weights::{Averaged, Import, Precision, Progress, Structure};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::output::say;
use crate::progress;

/// Make a model of a checkpoint: one that MDETR's authors released, or one of the same structure that was trained on from
/// it. Number of queries and, for GQA, of answers may differ.
///
/// The file is one of PyTorch's torch.save, or of safetensors with the same names. Nothing in it is executed. Memory
/// holds one tensor at a time, and the directory appears when all is written.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Checkpoint, as pretrained_EB3_checkpoint.pth.
    checkpoint: PathBuf,
    /// The tokenizer of roberta-base: tokenizer.json, or a directory with it or with vocab.json and merges.txt.
    #[arg(long, value_name = "PATH")]
    tokenizer: PathBuf,
    /// Directory of the model to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How it computes: fp32 on CPUs, fp16 with TensorRT, int8 with ONNX Runtime on CPUs that multiply in 8 bit.
    #[arg(long, value_enum, default_value_t)]
    precision: PrecisionArg,
    /// Which weights of the checkpoint; by default the averaged ones if there are any.
    #[arg(long, value_enum)]
    weights: Option<WeightsArg>,
    /// Answers of a model for GQA: gqa_answer2id_by_type.json of MDETR's annotations.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Name of the model; by default that of its structure.
    #[arg(long)]
    name: Option<String>,
    /// Version of the model.
    #[arg(long, default_value = "0.1.0")]
    version: String,
    /// Replace the model that is there.
    #[arg(long)]
    replace: bool,
    /// Directory of further structures, as `python -m mdetr_training templates` writes it, instead of the released ones.
    #[arg(long, value_name = "DIR")]
    structures: Option<PathBuf>,
}

/// As [`Precision`].
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum PrecisionArg {
    #[default]
    Fp32,
    Fp16,
    Int8,
}

impl From<PrecisionArg> for Precision {
    fn from(precision: PrecisionArg) -> Precision {
        match precision {
            PrecisionArg::Fp32 => Precision::Fp32,
            PrecisionArg::Fp16 => Precision::Fp16,
            PrecisionArg::Int8 => Precision::Int8,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WeightsArg {
    /// Averaged over the last steps.
    Ema,
    /// Those of the last step.
    Model,
}

impl ImportArgs {
    /// # Errors
    /// The checkpoint is no MDETR, the tokenizer is another, or the model cannot be written; the error says why.
    pub fn run(self) -> Result<ExitCode> {
        let mut import = Import::new(self.checkpoint, self.tokenizer, self.out);
        import.precision = self.precision.into();
        import.averaged = self.weights.map(|weights| match weights {
            WeightsArg::Ema => Averaged::Ema,
            WeightsArg::Model => Averaged::Model,
        });
        import.answers = self.answers;
        import.name = self.name;
        import.version = self.version;
        import.replaces = self.replace;
        if let Some(dir) = self.structures {
            import.structures = Structure::read_all(&dir)?;
        }
        let bundle = run(&import)?;
        let manifest = bundle.manifest();
        let bytes: u64 = manifest.files.values().map(|file| file.bytes).sum();
        say!(
            "{}: {}, {}, {}, {} queries: {:.1} MB",
            bundle.dir().display(),
            manifest.name,
            manifest.tasks.join(" + "),
            manifest.precision,
            manifest.network.queries,
            bytes as f64 / 1e6
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs an import with a bar, until somebody wants the program to stop.
///
/// # Errors
/// As [`Import::run`].
pub fn run(import: &Import) -> Result<Bundle> {
    let stop = stop_on_signals()?;
    let bar = progress::bytes();
    let bundle = import.run(&mut |Progress { done, total }| {
        bar.set_length(total);
        bar.set_position(done);
        !stop.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    Ok(bundle?)
}

/// Becomes true when somebody wants the program to stop; the second time it stops at once.
///
/// # Errors
/// The system does not tell of signals.
pub fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .context("signals cannot be waited for")?;
    }
    Ok(stop)
}
