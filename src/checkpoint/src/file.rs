//! Files of weights of all formats.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::contents::Contents;
use crate::error::{CheckpointError, Fault};
use crate::tensor::Tensor;
use crate::view::View;
use crate::{archive, flat, legacy};

/// First bytes of a zip archive.
const ZIP: &[u8] = b"PK\x03\x04";
/// Most bytes of a tensor.
const MAX_TENSOR: u64 = 8 << 30;

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
