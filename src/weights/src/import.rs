//! A checkpoint to a bundle.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use mdetr::Bundle;
use mdetr_checkpoint::Checkpoint;

use crate::entries::Entries;
use crate::error::ImportError;
use crate::graph::{Template, queries};
use crate::options::{Averaged, Precision, Progress};
use crate::recognise::recognise;
use crate::staging::Staging;
use crate::structure::Structure;
use crate::{answers, manifest, tokenizer};

/// Graphs that every bundle has, then that of masks.
const GRAPHS: [&str; 4] = ["text", "vision", "fusion", "mask"];
/// The entry whose rows are tokens.
const EMBEDDINGS: &str = "transformer.text_encoder.embeddings.word_embeddings.weight";

/// What is made of a checkpoint, and where.
#[derive(Debug, Clone)]
pub struct Import {
    /// A file of `torch.save` or of safetensors.
    pub checkpoint: PathBuf,
    /// RoBERTa's tokenizer.json, or a directory with it or with vocab.json and merges.txt.
    pub tokenizer: PathBuf,
    /// The bundle's directory, which must not be there yet.
    pub out: PathBuf,
    /// How it computes.
    pub precision: Precision,
    /// Which weights; by default the averaged ones if there are any.
    pub averaged: Option<Averaged>,
    /// GQA's gqa_answer2id_by_type.json.
    pub answers: Option<PathBuf>,
    /// Name in the manifest; by default that of the structure.
    pub name: Option<String>,
    /// Version in the manifest.
    pub version: String,
    /// A bundle that is there already is replaced.
    pub replaces: bool,
    /// Structures that are known.
    pub structures: Vec<Structure>,
}

impl Import {
    /// In fp32, of a released structure.
    pub fn new(
        checkpoint: impl Into<PathBuf>,
        tokenizer: impl Into<PathBuf>,
        out: impl Into<PathBuf>,
    ) -> Import {
        Import {
            checkpoint: checkpoint.into(),
            tokenizer: tokenizer.into(),
            out: out.into(),
            precision: Precision::default(),
            averaged: None,
            answers: None,
            name: None,
            version: "0.1.0".to_owned(),
            replaces: false,
            structures: Structure::released(),
        }
    }

    /// Writes the bundle. `progress` is told how far it is, and returns false to stop. The directory appears at once, or
    /// not at all.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub fn run(&self, progress: &mut dyn FnMut(Progress) -> bool) -> Result<Bundle, ImportError> {
        let staging = Staging::begin(&self.out, self.replaces)?;
        let checkpoint = Checkpoint::open(&self.checkpoint)?;
        let entries = Entries::open(&checkpoint, self.averaged)?;
        let structure = recognise(&self.checkpoint, &entries, &self.structures)?;
        let queries = queries(&entries)?;
        let mut files = self.small_files(structure, &entries)?;
        let templates = self.templates(structure, &entries)?;
        let bytes = templates.values().map(Template::bytes).sum();
        staging.need(bytes)?;
        let total = entries.stored_bytes() + bytes;
        let mut done = 0;
        let mut step = |bytes| {
            done += bytes;
            match progress(Progress { done, total }) {
                true => Ok(()),
                false => Err(ImportError::Stopped),
            }
        };
        step(0)?;
        entries.verify(&mut step)?;
        let mut written = Vec::new();
        for (name, template) in &templates {
            let graph = staging.write(&format!("{name}.onnx"), |file, path| {
                template.write(&entries, file, path, &mut step)
            })?;
            written.push(graph);
        }
        for (name, bytes) in files.drain(..) {
            let file = staging.write(name, |file, path| {
                file.write_all(&bytes).map_err(ImportError::io(path))
            })?;
            written.push(file);
        }
        let text = manifest::text(
            structure,
            self.name.as_deref(),
            &self.version,
            self.precision,
            queries,
            &written,
        );
        staging.write("model.toml", |file, path| {
            file.write_all(text.as_bytes())
                .map_err(ImportError::io(path))
        })?;
        Bundle::open(staging.dir()).map_err(ImportError::Bundle)?;
        staging.finish()?;
        Bundle::open(&self.out).map_err(ImportError::Bundle)
    }

    /// Names and contents of what is no graph.
    fn small_files(
        &self,
        structure: &Structure,
        entries: &Entries,
    ) -> Result<Vec<(&'static str, Vec<u8>)>, ImportError> {
        let embeddings = entries.detector_shape(EMBEDDINGS)?;
        let tokens = embeddings.first().copied().unwrap_or(0);
        let mut files = vec![(
            "tokenizer.json",
            tokenizer::roberta(&self.tokenizer, tokens)?,
        )];
        if let Some(path) = &self.answers {
            let table = structure.manifest.get("answers");
            let kind = table.and_then(|table| table.get("kind")?.as_str());
            if kind != Some("gqa") {
                return Err(ImportError::Answers {
                    path: path.clone(),
                    message: format!(
                        "answers belong to a network for GQA, found {}",
                        structure.name()
                    ),
                });
            }
            files.push(("answers.json", answers::words(path, entries)?));
        }
        Ok(files)
    }

    fn templates(
        &self,
        structure: &Structure,
        entries: &Entries,
    ) -> Result<BTreeMap<&'static str, Template>, ImportError> {
        let mut templates = BTreeMap::new();
        for name in GRAPHS {
            if let Some((path, packed)) = structure.graph(name, self.precision) {
                templates.insert(name, Template::open(&path, packed, entries)?);
            } else if name != "mask" {
                return Err(ImportError::Template {
                    path: Path::new(structure.name()).join(name),
                    message: "missing".to_owned(),
                });
            }
        }
        Ok(templates)
    }
}
