//! Files of weights of all formats.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::contents::{Contents, Place};
use crate::error::{CheckpointError, Fault};
use crate::tensor::Tensor;
use crate::view::View;
use crate::{archive, flat, legacy};

/// First bytes of a zip archive.
const ZIP: &[u8] = b"PK\x03\x04";
/// Most bytes of a tensor.
const MAX_TENSOR: u64 = 8 << 30;
/// Bytes that are read at once for a checksum.
const PIECE: usize = 1 << 20;

/// An open file of weights. Values are read when they are asked for.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    file: File,
    contents: Contents,
}

impl Checkpoint {
    /// Opens a file, and reads what it holds but for values.
    ///
    /// # Errors
    /// It cannot be read, is of no format that is known, is damaged, or holds what is not read.
    pub fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
        let open = || -> Result<(File, Contents), Fault> {
            let mut file = File::open(path)?;
            let contents = contents(&mut file)?;
            Ok((file, contents))
        };
        match open() {
            Ok((file, contents)) => Ok(Checkpoint {
                path: path.to_owned(),
                file,
                contents,
            }),
            Err(fault) => Err(CheckpointError {
                path: path.to_owned(),
                fault,
            }),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds.
    pub fn root(&self) -> View<'_> {
        View::root(&self.contents.nodes, self.contents.root)
    }

    /// Values of a tensor of this file, in the order of its shape.
    ///
    /// # Errors
    /// The file ends before them, or cannot be read.
    pub fn read(&self, tensor: &Tensor) -> Result<Vec<f32>, CheckpointError> {
        self.values(tensor).map_err(|fault| CheckpointError {
            path: self.path.clone(),
            fault,
        })
    }

    /// Bytes of the storages of these tensors.
    pub fn stored_bytes<'a>(&self, tensors: impl IntoIterator<Item = &'a Tensor>) -> u64 {
        let storages = self.storages(tensors);
        storages.values().map(|place| place.bytes).sum()
    }

    /// Compares the storages of these tensors with their checksums, where the format has them: archives do. `step` is told
    /// the bytes that were read, and returns false to stop.
    ///
    /// # Errors
    /// The file is damaged, or cannot be read.
    pub fn verify<'a>(
        &self,
        tensors: impl IntoIterator<Item = &'a Tensor>,
        step: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(), CheckpointError> {
        self.verify_storages(self.storages(tensors), step)
            .map_err(|fault| CheckpointError {
                path: self.path.clone(),
                fault,
            })
    }

    fn verify_storages(
        &self,
        storages: BTreeMap<&str, Place>,
        step: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(), Fault> {
        let mut piece = vec![0; PIECE];
        let mut file = &self.file;
        for (key, place) in storages {
            let Some(expected) = place.crc32 else {
                step(place.bytes);
                continue;
            };
            let mut found = crc32fast::Hasher::new();
            let mut left = place.bytes;
            file.seek(SeekFrom::Start(place.offset))?;
            while left > 0 {
                let piece = &mut piece[..left.min(PIECE as u64) as usize];
                file.read_exact(piece)?;
                found.update(piece);
                left -= piece.len() as u64;
                if !step(piece.len() as u64) {
                    return Ok(());
                }
            }
            let found = found.finalize();
            if found != expected {
                return Err(Fault::Archive(format!(
                    "storage {key} has the checksum {found:08x}, expected {expected:08x}"
                )));
            }
        }
        Ok(())
    }

    /// Storages of tensors, each once, by name.
    fn storages<'a>(
        &self,
        tensors: impl IntoIterator<Item = &'a Tensor>,
    ) -> BTreeMap<&'a str, Place> {
        let keys = tensors.into_iter().map(|tensor| &*tensor.storage.key);
        keys.filter_map(|key| Some((key, *self.contents.places.get(key)?)))
            .collect()
    }

    fn values(&self, tensor: &Tensor) -> Result<Vec<f32>, Fault> {
        let key = &tensor.storage.key;
        let wrong = |message: String| Fault::Tensor {
            name: format!("of storage {key}"),
            message,
        };
        let place = self.contents.places.get(key);
        let place = place.ok_or_else(|| wrong("its values are not in the file".to_owned()))?;
        let (first, end) = tensor.range();
        let size = tensor.dtype.size();
        // No overflow: storages lie in the file, and tensors in storages.
        let end = end.checked_mul(size).filter(|end| *end <= place.bytes);
        let end = end.ok_or_else(|| {
            wrong(format!(
                "expected {} values of {size} bytes, found {} bytes: is the file complete?",
                tensor.storage.len, place.bytes
            ))
        })?;
        let first = first * size;
        if end - first > MAX_TENSOR {
            return Err(Fault::TooMuch {
                what: "bytes of a tensor",
                most: MAX_TENSOR,
            });
        }
        let mut bytes = vec![0; (end - first) as usize];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(place.offset + first))?;
        file.read_exact(&mut bytes)?;
        Ok(tensor.gather(&bytes))
    }
}

fn contents(file: &mut File) -> Result<Contents, Fault> {
    let length = file.metadata()?.len();
    let mut start = [0; 16];
    let mut read = 0;
    while read < start.len() {
        match file.read(&mut start[read..])? {
            0 => break,
            more => read += more,
        }
    }
    file.rewind()?;
    let start = &start[..read];
    if start.starts_with(ZIP) {
        return archive::contents(file, length);
    }
    if legacy::is_one(start) {
        return legacy::contents(&mut BufReader::new(file), length);
    }
    if flat::is_one(start, length) {
        return flat::contents(file, length);
    }
    Err(Fault::Unknown)
}
