//! Structures of networks: their entries, and their graphs without weights.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::bounded;
use crate::error::ImportError;
use crate::options::Precision;

const MANIFEST: &str = "structure.toml";
const ENTRIES: &str = "entries.txt";
const GRAPH_ENDING: &str = ".onnx.gz";
/// Most bytes of a template's file; the largest that there are have a hundredth of it.
const MAX_FILE: u64 = 8 << 20;

/// A structure of networks: their entries, and their graphs without weights.
#[derive(Debug, Clone)]
pub struct Structure {
    name: String,
    /// Where it comes from, for errors.
    place: PathBuf,
    pub(crate) manifest: toml::Table,
    pub(crate) entries: Vec<Entry>,
    /// By name and precision: `text.fp32`.
    graphs: BTreeMap<String, Cow<'static, [u8]>>,
}

/// An entry of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub name: String,
    /// Sizes, 0 where any will do.
    pub shape: Vec<u64>,
}

type Files = BTreeMap<String, Cow<'static, [u8]>>;

/// Names and contents.
type BuiltIn = &'static [(&'static str, &'static [u8])];

macro_rules! built_in {
    ($($name:literal: $($file:literal)*;)*) => {
        [$((
            $name,
            &[$(($file, include_bytes!(concat!("../templates/", $name, "/", $file)).as_slice())),*]
                as BuiltIn,
        )),*]
    };
}

macro_rules! structures {
    (plain: $($plain:literal)*; masks: $($masks:literal)*) => {
        built_in! {
            $($plain: "structure.toml" "entries.txt"
                "text.fp32.onnx.gz" "text.fp16.onnx.gz" "text.int8.onnx.gz"
                "vision.fp32.onnx.gz" "vision.fp16.onnx.gz"
                "fusion.fp32.onnx.gz" "fusion.fp16.onnx.gz" "fusion.int8.onnx.gz";)*
            $($masks: "structure.toml" "entries.txt"
                "text.fp32.onnx.gz" "text.fp16.onnx.gz" "text.int8.onnx.gz"
                "vision.fp32.onnx.gz" "vision.fp16.onnx.gz"
                "fusion.fp32.onnx.gz" "fusion.fp16.onnx.gz" "fusion.int8.onnx.gz"
                "mask.fp32.onnx.gz" "mask.fp16.onnx.gz";)*
        }
    };
}

/// Name and files of the released structures.
static RELEASED: [(&str, BuiltIn); 8] = structures! {
    plain: "resnet101" "efficientnetB3" "efficientnetB5" "clevr" "resnet101_gqa" "efficientnetB5_gqa";
    masks: "resnet101_phrasecut" "efficientnetB3_phrasecut"
};

impl Structure {
    /// The structures of the released checkpoints.
    pub fn released() -> Vec<Structure> {
        let read = |(name, files): &(&str, BuiltIn)| {
            let files = files
                .iter()
                .map(|(file, bytes)| ((*file).to_owned(), Cow::Borrowed(*bytes)));
            let place = Path::new("the released structure").join(name);
            Structure::of(name, &place, files.collect())
        };
        RELEASED
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .expect("the tests have read them")
    }

    /// Those in a directory, one in each directory there, as `python -m mdetr_training templates` writes them.
    ///
    /// # Errors
    /// There are none, or one cannot be read.
    pub fn read_all(dir: &Path) -> Result<Vec<Structure>, ImportError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).map_err(ImportError::io(dir))? {
            let path = entry.map_err(ImportError::io(dir))?.path();
            if path.join(MANIFEST).is_file() {
                found.push(Structure::read(&path)?);
            }
        }
        if found.is_empty() {
            return Err(ImportError::Template {
                path: dir.to_owned(),
                message: format!(
                    "expected directories of structures, each with {MANIFEST}, found none"
                ),
            });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn read(dir: &Path) -> Result<Structure, ImportError> {
        let mut files = Files::new();
        for entry in fs::read_dir(dir).map_err(ImportError::io(dir))? {
            let path = entry.map_err(ImportError::io(dir))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(name) = name
                .filter(|name| [MANIFEST, ENTRIES].contains(name) || name.ends_with(GRAPH_ENDING))
            else {
                continue;
            };
            let bytes = bounded::read(&path, MAX_FILE, |message| ImportError::Template {
                path: path.clone(),
                message,
            })?;
            files.insert(name.to_owned(), Cow::Owned(bytes));
        }
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        Structure::of(&name, dir, files)
    }

    fn of(name: &str, place: &Path, mut files: Files) -> Result<Structure, ImportError> {
        let mut text = |file: &str| {
            let wrong = |message: &str| ImportError::Template {
                path: place.join(file),
                message: message.to_owned(),
            };
            let bytes = files.remove(file).ok_or_else(|| wrong("missing"))?;
            String::from_utf8(bytes.into_owned()).map_err(|_| wrong("not UTF-8"))
        };
        let manifest = text(MANIFEST)?;
        let entries = text(ENTRIES)?;
        let manifest =
            manifest
                .parse()
                .map_err(|error: toml::de::Error| ImportError::Template {
                    path: place.join(MANIFEST),
                    message: error.to_string(),
                })?;
        let entry = |(number, line): (usize, &str)| {
            entry(line).ok_or_else(|| ImportError::Template {
                path: place.join(ENTRIES),
                message: format!("line {}: expected a name and sizes", number + 1),
            })
        };
        let entries = entries
            .lines()
            .enumerate()
            .map(entry)
            .collect::<Result<_, _>>()?;
        let graphs = files.into_iter().filter_map(|(file, bytes)| {
            let name = file.strip_suffix(GRAPH_ENDING)?.to_owned();
            Some((name, bytes))
        });
        Ok(Structure {
            name: name.to_owned(),
            place: place.to_owned(),
            manifest,
            entries,
            graphs: graphs.collect(),
        })
    }

    /// Its name, as in `efficientnetB3`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where a graph's template comes from, and its packed bytes: in fp32 where precision changes nothing.
    pub(crate) fn graph(&self, name: &str, precision: Precision) -> Option<(PathBuf, &[u8])> {
        [precision, Precision::Fp32]
            .into_iter()
            .find_map(|precision| {
                let key = format!("{name}.{}", precision.name());
                let bytes = self.graphs.get(&key)?;
                Some((self.place.join(key + GRAPH_ENDING), &**bytes))
            })
    }
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let name = words.next().filter(|name| !name.is_empty())?.to_owned();
    let shape = words.map(|size| size.parse().ok()).collect::<Option<_>>()?;
    Some(Entry { name, shape })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_structures_are_read() {
        let found = Structure::released();
        let counts: BTreeMap<_, _> = found
            .iter()
            .map(|structure| (structure.name(), structure.entries.len()))
            .collect();
        let expected = [
            ("clevr", 417),
            ("efficientnetB3", 889),
            ("efficientnetB3_phrasecut", 917),
            ("efficientnetB5", 1131),
            ("efficientnetB5_gqa", 1140),
            ("resnet101", 920),
            ("resnet101_gqa", 929),
            ("resnet101_phrasecut", 948),
        ];
        assert_eq!(counts, BTreeMap::from(expected));
        for structure in &found {
            let has_masks = structure.name().ends_with("phrasecut");
            assert_eq!(
                structure.graph("mask", Precision::Int8).is_some(),
                has_masks
            );
            let open: Vec<_> = structure
                .entries
                .iter()
                .filter(|entry| entry.shape.contains(&0))
                .collect();
            assert!(
                open.iter()
                    .any(|entry| entry.name.ends_with("query_embed.weight"))
            );
        }
    }
}
