//! The weights of a checkpoint by name.

use std::collections::BTreeMap;

use mdetr_checkpoint::{Checkpoint, DType, Tensor, View};

use crate::error::{ImportError, listed};
use crate::options::Averaged;

/// Endings of entries that hold no weights.
const IGNORED: [&str; 2] = [".position_ids", ".num_batches_tracked"];

/// What names of the detector's entries begin with in models with masks.
pub const DETECTOR: &str = "detr.";

/// The weights of a checkpoint, whose values are read when they are asked for.
#[derive(Debug)]
pub struct Entries<'a> {
    checkpoint: &'a Checkpoint,
    tensors: BTreeMap<&'a str, &'a Tensor>,
}

impl<'a> Entries<'a> {
    /// The averaged weights, those of the last step, or, if nothing is said, the first of them that the checkpoint has.
    /// A file of tensors alone is taken as it is.
    pub fn open(
        checkpoint: &'a Checkpoint,
        averaged: Option<Averaged>,
    ) -> Result<Entries<'a>, ImportError> {
        let root = checkpoint.root();
        let state = state(checkpoint, &root, averaged)?;
        let tensors = state.tensors().map_err(|fault| ImportError::Weights {
            path: checkpoint.path().to_owned(),
            message: fault.to_string(),
        })?;
        let tensors: BTreeMap<_, _> = tensors
            .into_iter()
            .filter(|(name, _)| !IGNORED.iter().any(|ending| name.ends_with(ending)))
            .collect();
        for (name, tensor) in &tensors {
            let is_float = matches!(
                tensor.dtype,
                DType::F64 | DType::F32 | DType::F16 | DType::BF16
            );
            if !is_float {
                return Err(ImportError::Weights {
                    path: checkpoint.path().to_owned(),
                    message: format!(
                        "{}: expected weights, found {:?}",
                        name.escape_debug(),
                        tensor.dtype
                    ),
                });
            }
        }
        Ok(Entries {
            checkpoint,
            tensors,
        })
    }

    /// Names and shapes.
    pub fn shapes(&self) -> impl Iterator<Item = (&'a str, &'a [u64])> {
        self.tensors
            .iter()
            .map(|(name, tensor)| (*name, &*tensor.shape))
    }

    /// Bytes of their values in the file.
    pub fn stored_bytes(&self) -> u64 {
        self.checkpoint.stored_bytes(self.tensors.values().copied())
    }

    /// Compares their values with the file's checksums, if it has some. `step` is told the bytes that were read, and says
    /// whether to go on.
    pub fn verify(
        &self,
        step: &mut dyn FnMut(u64) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let mut going = Ok(());
        let tensors = self.tensors.values().copied();
        self.checkpoint.verify(tensors, &mut |bytes| {
            going = step(bytes);
            going.is_ok()
        })?;
        going
    }

    /// Shape of an entry that the structure has.
    pub fn shape(&self, name: &str) -> Result<&'a [u64], ImportError> {
        Ok(&self.tensor(name)?.shape)
    }

    /// Shape of an entry of the detector, which stands below `detr.` in models with masks.
    pub fn detector_shape(&self, name: &str) -> Result<&'a [u64], ImportError> {
        self.shape(name)
            .or_else(|_| self.shape(&format!("{DETECTOR}{name}")))
    }

    /// Values of an entry that the structure has, all of them finite.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, ImportError> {
        let values = self.checkpoint.read(self.tensor(name)?)?;
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(self.wrong(format!("{name}: not every value is finite in 32 bits"))),
        }
    }

    /// That something about the checkpoint is not as expected.
    pub fn wrong(&self, message: String) -> ImportError {
        ImportError::Weights {
            path: self.checkpoint.path().to_owned(),
            message,
        }
    }

    fn tensor(&self, name: &str) -> Result<&'a Tensor, ImportError> {
        let tensor = self.tensors.get(name).copied();
        tensor.ok_or_else(|| self.wrong(format!("{name}: missing")))
    }
}

/// The dictionary of weights in what a checkpoint holds.
fn state<'a>(
    checkpoint: &Checkpoint,
    root: &View<'a>,
    averaged: Option<Averaged>,
) -> Result<View<'a>, ImportError> {
    let wanted: &[&str] = match averaged {
        Some(Averaged::Ema) => &["model_ema"],
        Some(Averaged::Model) => &["model"],
        None => &["model_ema", "model"],
    };
    let found = wanted
        .iter()
        .filter_map(|key| root.get(key))
        .find(|view| !view.is_none());
    if let Some(found) = found {
        return Ok(found);
    }
    // A state dictionary alone, as safetensors always are.
    if averaged.is_none() && root.tensors().is_ok_and(|tensors| !tensors.is_empty()) {
        return Ok(root.clone());
    }
    let keys: Vec<String> = root.keys().map(str::to_owned).collect();
    Err(ImportError::Weights {
        path: checkpoint.path().to_owned(),
        message: format!(
            "expected a checkpoint with {}, found {} with {}",
            wanted.join(" or "),
            root.kind(),
            listed(&keys)
        ),
    })
}
