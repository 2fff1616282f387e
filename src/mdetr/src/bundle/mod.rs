//! A directory with a model: manifest, ONNX graphs, tokenizer.

pub(crate) mod answers;
mod error;
mod files;
mod graphs;
mod interface;
mod manifest;
mod models;
pub(crate) mod onnx;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mdetr_engine::GraphSource;
use mdetr_engine::disk::hex;
use sha2::{Digest, Sha256};

pub use answers::{AnswerKind, Answers};
pub use error::BundleError;
pub(crate) use files::{
    ANSWERS, FUSION_GRAPH, MANIFEST, MASK_GRAPH, PYRAMID, TEXT_GRAPH, TOKENIZER, VISION_GRAPH,
};
pub use graphs::{BundleGraph, GraphTensor};
use interface::{Expected, check_tensors, expected_interfaces};
pub use manifest::{Captions, Case, FileEntry, Input, Manifest, Network, Resize, Thresholds};
pub use models::{MODEL_VARIABLE, Models, is_name, named_by_environment};

pub(crate) use onnx::Interface;
use onnx::OnnxError;

const MAX_MANIFEST: u64 = 1 << 20;
const MAX_TOKENIZER: u64 = 64 << 20;
const MAX_ANSWERS: u64 = 16 << 20;
const MAX_FILE: u64 = 8 << 30;

/// Files below this size are hashed when the bundle is opened, larger ones when they are loaded.
const HASHED_AT_OPEN: u64 = 64 << 20;

/// An opened bundle: its manifest is sound, its files are there, their lengths are as listed, small
/// ones have the listed hashes, and its graphs have the right inputs and outputs.
#[derive(Debug, Clone)]
pub struct Bundle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    manifest: Manifest,
}

impl Bundle {
    /// Opens and checks the bundle in `dir`, or the one of this name: see [`Models::find`].
    ///
    /// # Errors
    /// See [`BundleError`]: each names the file, what was expected and what was found.
    pub fn open(dir: impl AsRef<Path>) -> Result<Bundle, BundleError> {
        let dir = Models::new().find(dir)?;
        if !dir.is_dir() {
            return Err(BundleError::NotADirectory { dir });
        }
        let path = dir.join(MANIFEST);
        let length = length_of(&path)?;
        if length > MAX_MANIFEST {
            return Err(BundleError::TooLarge {
                path,
                limit: MAX_MANIFEST,
                found: length,
            });
        }
        let text = String::from_utf8(read_at_most(&path, MAX_MANIFEST)?).map_err(|e| {
            BundleError::Manifest {
                path: path.clone(),
                message: format!("not UTF-8: {e}"),
            }
        })?;
        let manifest = Manifest::parse(&path, &text)?;
        let bundle = Bundle {
            shared: Arc::new(Shared { dir, manifest }),
        };
        for (name, entry) in &bundle.manifest().files {
            bundle.check_length(name, entry)?;
        }
        for (name, entry) in &bundle.manifest().files {
            if entry.bytes < HASHED_AT_OPEN {
                bundle.read(name)?;
            }
        }
        let pyramid = bundle.pyramid()?;
        for (name, inputs, outputs) in expected_interfaces(bundle.manifest(), &pyramid) {
            bundle.check_interface(name, &inputs, &outputs)?;
        }
        bundle.answer_words()?;
        Ok(bundle)
    }

    /// Where the bundle lies.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// What the bundle says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// The feature maps that the mask graph takes, with their strides; none without that graph.
    pub(crate) fn pyramid(&self) -> Result<Vec<(&'static str, usize)>, BundleError> {
        if !self.manifest().segments() {
            return Ok(Vec::new());
        }
        let inputs = self.interface(MASK_GRAPH)?.inputs;
        let taken = |name: &str| inputs.iter().any(|info| info.name == name);
        Ok(PYRAMID
            .into_iter()
            .filter(|(name, _)| taken(name))
            .collect())
    }

    /// GQA's answers by head and class; none without its file.
    pub(crate) fn answer_words(&self) -> Result<BTreeMap<String, Vec<String>>, BundleError> {
        if self.manifest().answers.is_none() || !self.manifest().files.contains_key(ANSWERS) {
            return Ok(BTreeMap::new());
        }
        let bytes = self.read(ANSWERS)?;
        serde_json::from_slice(&bytes).map_err(|error| BundleError::Answers {
            path: self.path(ANSWERS),
            message: error.to_string(),
        })
    }

    /// Path of a file of the bundle.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.shared.dir.join(name)
    }

    /// SHA-256 of a listed file, as the manifest has it.
    pub(crate) fn sha256(&self, name: &str) -> &str {
        &self.manifest().files[name].sha256
    }

    /// A listed file's bytes, which have the length and hash that the manifest lists.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, BundleError> {
        let entry = &self.manifest().files[name];
        self.check_length(name, entry)?;
        let path = self.path(name);
        let bytes = read_at_most(&path, entry.bytes)?;
        let found = bytes.len() as u64;
        if found != entry.bytes {
            return Err(BundleError::Size {
                path,
                expected: entry.bytes,
                found,
            });
        }
        let found = hex(&Sha256::digest(&bytes));
        if found != entry.sha256 {
            return Err(BundleError::Hash {
                path,
                expected: entry.sha256.clone(),
                found,
            });
        }
        Ok(bytes)
    }

    /// A graph for an engine to load.
    pub(crate) fn graph(&self, name: &str) -> Result<GraphSource, BundleError> {
        let onnx = self.read(name)?;
        let outputs = self
            .interface(name)?
            .outputs
            .into_iter()
            .map(|info| info.name)
            .collect();
        let interfaces = expected_interfaces(self.manifest(), &self.pyramid()?);
        let interface = interfaces.into_iter().find(|(graph, ..)| *graph == name);
        let tensors = interface.into_iter().flat_map(|(_, inputs, outputs)| {
            let tensors = inputs.into_iter().chain(outputs);
            tensors.map(|tensor| tensor.shape())
        });
        Ok(GraphSource {
            bundle: self.manifest().name.clone(),
            role: files::role(name),
            shapes: tensors.collect(),
            path: self.path(name).display().to_string(),
            onnx,
            sha256: self.sha256(name).to_owned(),
            half: self.manifest().precision == "fp16",
            outputs,
        })
    }

    fn check_length(&self, name: &str, entry: &FileEntry) -> Result<(), BundleError> {
        let path = self.path(name);
        let found = length_of(&path)?;
        let limit = match name {
            TOKENIZER => MAX_TOKENIZER,
            ANSWERS => MAX_ANSWERS,
            _ => MAX_FILE,
        };
        if found > limit {
            return Err(BundleError::TooLarge { path, limit, found });
        }
        if found != entry.bytes {
            return Err(BundleError::Size {
                path,
                expected: entry.bytes,
                found,
            });
        }
        Ok(())
    }

    fn check_interface(
        &self,
        name: &str,
        inputs: &[Expected],
        outputs: &[Expected],
    ) -> Result<(), BundleError> {
        let interface = self.interface(name)?;
        for (direction, expected, found) in [
            ("input", inputs, &interface.inputs),
            ("output", outputs, &interface.outputs),
        ] {
            check_tensors(direction, expected, found).map_err(|(tensor, expected, found)| {
                BundleError::Interface {
                    path: self.path(name),
                    tensor,
                    expected,
                    found,
                }
            })?;
        }
        Ok(())
    }

    pub(crate) fn interface(&self, name: &str) -> Result<Interface, BundleError> {
        let path = self.path(name);
        let read = || {
            let file = File::open(&path)?;
            let length = file.metadata()?.len();
            onnx::read_interface(BufReader::new(file), length)
        };
        read().map_err(|error| match error {
            OnnxError::Malformed(message) => BundleError::Onnx {
                path: path.clone(),
                message: message.to_owned(),
            },
            OnnxError::Io(source) => BundleError::Read {
                path: path.clone(),
                source,
            },
        })
    }
}

fn length_of(path: &Path) -> Result<u64, BundleError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
        Ok(_) => Err(BundleError::Missing {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(BundleError::Missing {
            path: path.to_owned(),
        }),
        Err(source) => Err(BundleError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The file's bytes, one more than `limit` at most.
fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>, BundleError> {
    let read = || {
        let file = File::open(path)?;
        let mut bytes = Vec::with_capacity(file.metadata()?.len().min(limit) as usize + 1);
        file.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| BundleError::Read {
        path: path.to_owned(),
        source,
    })
}
