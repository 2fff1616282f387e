//! `mdetr pull`: released models by name.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use indicatif::ProgressBar;
use mdetr::bundle::Models;
use mdetr_pull::{
    ConvertError, Home, Material, Registry, Request, Source, Watch, own_registry, pull,
};
use mdetr_weights::{Import, Structure};

use crate::import::{self, PrecisionArg};
use crate::output::say;
use crate::progress;

/// Fetch a released model by name.
///
/// Downloads its checkpoint, checks it, and makes a model of it. `mdetr models` lists what there is.
///
/// A download that breaks off, by Ctrl-C too, goes on with the same command. The model is in
/// $XDG_DATA_HOME/mdetr/models (~/.local/share/mdetr/models) then, and --model NAME, model=NAME in pipelines and
/// MDETR_MODEL find it by its name. Proxies are taken from HTTPS_PROXY and NO_PROXY.
///
/// Entries of your own go into ~/.config/mdetr/models.toml; configs/models.toml shows how.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// Name of the model, as eb3.
    name: String,
    /// Take the checkpoint from here instead of its publisher: its file, a directory or address that has files of the
    /// publisher's names, or its own address [default: $MDETR_MIRROR, else the publisher].
    #[arg(long, value_name = "FILE|DIR|URL")]
    from: Option<OsString>,
    /// The tokenizer.json of the model [default: the one beside the checkpoint, else its publisher's].
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Words of the answers, for models of GQA: gqa_answer2id_by_type.json of MDETR's annotations.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// How it computes: fp32 on CPUs, fp16 with TensorRT, int8 with ONNX Runtime on CPUs that multiply in 8 bit.
    #[arg(long, value_enum, default_value_t)]
    precision: PrecisionArg,
    /// Keep the downloaded checkpoint.
    #[arg(long)]
    keep: bool,
    /// Make the model again if it is there already.
    #[arg(long)]
    replace: bool,
    /// Directory of further structures, as `python -m mdetr_training templates` writes it, instead of the released ones.
    #[arg(long, value_name = "DIR")]
    structures: Option<PathBuf>,
}

impl PullArgs {
    /// # Errors
    /// There is no such model, it cannot be downloaded, or it cannot be converted; the error says what to do.
    pub fn run(self) -> Result<ExitCode> {
        let source = match &self.from {
            Some(from) => Some(Source::parse(from)?),
            None => Source::from_environment()?,
        };
        let registry = Registry::load(own_registry().as_deref())?;
        let home = Home::new(Models::new().own_dir())?;
        let request = Request {
            name: self.name,
            source,
            tokenizer: self.tokenizer,
            answers: self.answers,
            keep: self.keep,
            replace: self.replace,
            ..Request::default()
        };
        let structures = match &self.structures {
            Some(dir) => Structure::read_all(dir)?,
            None => Structure::released(),
        };
        let precision = self.precision.into();
        let convert = |material: &Material<'_>, out: &Path| {
            let mut import = Import::new(material.checkpoint, material.tokenizer, out);
            import.precision = precision;
            import.answers = material.answers.map(Path::to_owned);
            import.name = Some(material.name.to_owned());
            import.structures = structures.clone();
            eprintln!("mdetr: making the model");
            match import::run(&import) {
                Ok(_) => Ok(()),
                Err(error) => Err(ConvertError::from(error)),
            }
        };
        let pulled = pull(&registry, &home, &request, &Told::default(), convert)?;
        let (name, dir) = (&request.name, pulled.dir.display());
        match pulled.already {
            true => say!("{name} is there already, in {dir}; --replace makes it again"),
            false => {
                say!("{name}: {dir}; use it with --model {name}, in pipelines model={name}")
            }
        }
        if let Some(kept) = pulled.kept {
            say!("the checkpoint is kept: {}", kept.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Shows on standard error what happens.
#[derive(Default)]
pub struct Told {
    bar: RefCell<Option<ProgressBar>>,
}

impl Watch for Told {
    fn say(&self, line: &str) {
        eprintln!("mdetr: {line}");
    }

    fn begin(&self, what: &str, done: u64, total: Option<u64>) {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        match total {
            Some(total) if done > 0 => {
                self.say(&format!(
                    "{what} from {:.1} MB on, of {:.1} MB",
                    mb(done),
                    mb(total)
                ));
            }
            Some(total) => self.say(&format!("{what} {:.1} MB", mb(total))),
            None => self.say(what),
        }
        let bar = progress::bytes();
        bar.set_length(total.unwrap_or(0));
        bar.set_position(done);
        // What was there before says nothing about the rate.
        bar.reset_eta();
        *self.bar.borrow_mut() = Some(bar);
    }

    fn at(&self, done: u64) {
        if let Some(bar) = &*self.bar.borrow() {
            bar.set_position(done);
        }
    }

    fn end(&self) {
        if let Some(bar) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}
