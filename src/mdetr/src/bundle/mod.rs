//! A directory with a model: manifest, ONNX graphs, tokenizer.

mod manifest;
pub(crate) mod onnx;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

pub use manifest::{
    AnswerKind, Answers, Captions, Case, FileEntry, Input, Manifest, Network, Resize, Thresholds,
};

use crate::engine::GraphSource;
use crate::error::{BundleError, Error};
use crate::frame::Frame;
use crate::ground::answers::{self, Answering};
use crate::grounder::{Grounder, GrounderOptions};
use crate::query::Query;
pub(crate) use onnx::Interface;
use onnx::{Dimension, ElementType, OnnxError, TensorInfo};

/// File name of the manifest.
pub(crate) const MANIFEST: &str = "model.toml";
/// File name of the tokenizer.
pub(crate) const TOKENIZER: &str = "tokenizer.json";
/// File name of the text encoder's graph.
pub(crate) const TEXT_GRAPH: &str = "text.onnx";
/// File name of the backbone's graph.
pub(crate) const VISION_GRAPH: &str = "vision.onnx";
/// File name of the graph of encoder, decoder and heads.
pub(crate) const FUSION_GRAPH: &str = "fusion.onnx";
/// File name of the graph that draws masks.
pub(crate) const MASK_GRAPH: &str = "mask.onnx";
/// File name of GQA's answers: words by head and class.
pub(crate) const ANSWERS: &str = "answers.json";

/// Feature maps that the vision graph may give and the mask graph may take, coarse to fine, and
/// how many pixels of the input lie between two of their cells.
pub(crate) const PYRAMID: [(&str, usize); 4] = [
    ("pyramid_16", 16),
    ("pyramid_8", 8),
    ("pyramid_4", 4),
    ("pyramid_2", 2),
];

const REQUIRED_FILES: [&str; 4] = [TOKENIZER, TEXT_GRAPH, VISION_GRAPH, FUSION_GRAPH];

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
    /// Opens and checks the bundle in `dir`.
    ///
    /// # Errors
    /// See [`BundleError`]: each names the file, what was expected and what was found.
    pub fn open(dir: impl AsRef<Path>) -> Result<Bundle, BundleError> {
        let dir = dir.as_ref();
        if !dir.is_dir() {
            return Err(BundleError::NotADirectory {
                dir: dir.to_owned(),
            });
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
            shared: Arc::new(Shared {
                dir: dir.to_owned(),
                manifest,
            }),
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
        bundle.answering()?;
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

    /// Everything [`open`](Self::open) leaves for later: hashes every file, whatever its size,
    /// reads the tokenizer, and has the engine load every graph and ground a small frame.
    pub fn verify_graphs(&self) -> Result<(), Error> {
        for name in self.manifest().files.keys() {
            self.read(name)?;
        }
        let options = GrounderOptions {
            score_threshold: Some(0.0),
            max_detections: 1,
            ..GrounderOptions::default()
        };
        let grounder = Grounder::from_bundle(self.clone(), options)?;
        grounder.set_queries(vec![Query::parse("check", "is there a red cube?")?])?;
        let (width, height) = (64, 48);
        let gray = vec![128; 3 * width as usize * height as usize];
        grounder.ground(&Frame::rgb(width, height, &gray)?)?;
        Ok(())
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

    /// How answer heads are read, if there are any.
    pub(crate) fn answering(&self) -> Result<Option<Answering>, BundleError> {
        let Some(answers) = &self.manifest().answers else {
            return Ok(None);
        };
        let mut words = BTreeMap::new();
        if self.manifest().files.contains_key(ANSWERS) {
            let bytes = self.read(ANSWERS)?;
            words = serde_json::from_slice(&bytes).map_err(|error| BundleError::Answers {
                path: self.path(ANSWERS),
                message: error.to_string(),
            })?;
        }
        Ok(Some(Answering::new(answers, words)))
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
        Ok(GraphSource {
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

/// An input or output that a graph must have. Dimensions: a number, or a name for any size.
struct Expected {
    name: &'static str,
    element: ElementType,
    shape: Vec<Dimension>,
}

impl Expected {
    fn new<const N: usize>(
        name: &'static str,
        element: ElementType,
        shape: [&dyn ToDimension; N],
    ) -> Expected {
        let shape = shape
            .iter()
            .map(|dimension| dimension.to_dimension())
            .collect();
        Expected {
            name,
            element,
            shape,
        }
    }

    fn allows(&self, info: &TensorInfo) -> bool {
        let shape_allowed = info.shape.as_ref().is_none_or(|shape| {
            shape.len() == self.shape.len()
                && shape
                    .iter()
                    .zip(&self.shape)
                    .all(|dimensions| match dimensions {
                        (Dimension::Fixed(found), Dimension::Fixed(expected)) => found == expected,
                        (Dimension::Fixed(found), Dimension::Open(_)) => *found > 0,
                        (Dimension::Open(_), _) => true,
                    })
        });
        info.element == self.element && shape_allowed
    }
}

trait ToDimension {
    fn to_dimension(&self) -> Dimension;
}

impl ToDimension for &str {
    fn to_dimension(&self) -> Dimension {
        Dimension::Open((*self).to_owned())
    }
}

impl ToDimension for usize {
    fn to_dimension(&self) -> Dimension {
        Dimension::Fixed(*self as i64)
    }
}

/// Inputs and outputs of each graph.
fn expected_interfaces(
    manifest: &Manifest,
    pyramid: &[(&'static str, usize)],
) -> Vec<(&'static str, Vec<Expected>, Vec<Expected>)> {
    let (float, integer) = (ElementType::F32, ElementType::I64);
    let network = &manifest.network;
    let d = network.d_model;
    let levels = |batch: &dyn ToDimension| -> Vec<Expected> {
        let map = |name| Expected::new(name, float, [batch, &"C", &"h", &"w"]);
        pyramid.iter().map(|(name, _)| map(*name)).collect()
    };
    let mut seen = vec![Expected::new("tokens", float, [&"B", &"N", &d])];
    seen.extend(levels(&"B"));
    let mut fused = vec![
        Expected::new("logits", float, [&"B", &network.queries, &network.slots]),
        Expected::new("boxes", float, [&"B", &network.queries, &4]),
    ];
    if manifest.segments() {
        fused.push(Expected::new("hidden", float, [&"B", &network.queries, &d]));
        fused.push(Expected::new("memory", float, [&"B", &"N", &d]));
    }
    if let Some(answers) = &manifest.answers {
        let head = |name: &&'static str| Expected::new(name, float, [&"B", &"K"]);
        fused.extend(answers::heads(answers.kind).iter().map(head));
    }
    let mut interfaces = vec![
        (
            TEXT_GRAPH,
            vec![
                Expected::new("input_ids", integer, [&1, &"L"]),
                Expected::new("attention_mask", integer, [&1, &"L"]),
            ],
            vec![Expected::new("text_memory", float, [&1, &"L", &d])],
        ),
        (
            VISION_GRAPH,
            vec![Expected::new("image", float, [&"B", &3, &"H", &"W"])],
            seen,
        ),
        (
            FUSION_GRAPH,
            vec![
                Expected::new("tokens", float, [&"F", &"N", &d]),
                Expected::new("position", float, [&1, &"N", &d]),
                Expected::new("text_memory", float, [&"B", &"L", &d]),
                Expected::new("text_mask", integer, [&"B", &"L"]),
            ],
            fused,
        ),
    ];
    if manifest.segments() {
        let mut inputs = vec![
            Expected::new("hidden", float, [&1, &"K", &d]),
            Expected::new("memory", float, [&1, &"N", &d]),
            Expected::new("tokens", float, [&1, &"N", &d]),
        ];
        inputs.extend(levels(&1));
        let masks = Expected::new("masks", float, [&1, &"K", &"h", &"w"]);
        interfaces.push((MASK_GRAPH, inputs, vec![masks]));
    }
    interfaces
}

/// The tensor at fault, what was expected of it and what was found.
type Mismatch = (String, String, String);

fn check_tensors(
    direction: &str,
    expected: &[Expected],
    found: &[TensorInfo],
) -> Result<(), Mismatch> {
    let nothing = || "nothing".to_owned();
    for tensor in expected {
        let wanted = TensorInfo {
            name: tensor.name.to_owned(),
            element: tensor.element,
            shape: Some(tensor.shape.clone()),
        };
        let label = format!("{direction} {}", tensor.name);
        match found.iter().find(|info| info.name == tensor.name) {
            None => return Err((label, wanted.to_string(), nothing())),
            Some(info) if !tensor.allows(info) => {
                return Err((label, wanted.to_string(), info.to_string()));
            }
            Some(_) => {}
        }
    }
    // An output too many does no harm; an input too many could not be fed.
    let unknown = found
        .iter()
        .find(|info| !expected.iter().any(|tensor| tensor.name == info.name));
    match unknown {
        Some(info) if direction == "input" => Err((
            format!("{direction} {}", info.name),
            nothing(),
            info.to_string(),
        )),
        _ => Ok(()),
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

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
