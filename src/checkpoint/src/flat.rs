//! safetensors.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::contents::{Contents, Place};
use crate::error::Fault;
use crate::node::{Node, Nodes};
use crate::tensor::{DType, Storage, Tensor};

/// Most bytes of a header; that of a checkpoint has some hundred thousand.
const MAX_HEADER: u64 = 16 << 20;
/// Bytes of its length before it.
const LENGTH: u64 = 8;

/// Whether these first bytes may be those of such a file.
pub(crate) fn is_one(start: &[u8], length: u64) -> bool {
    let Some((count, rest)) = start.split_first_chunk::<8>() else {
        return false;
    };
    let header = u64::from_le_bytes(*count);
    rest.starts_with(b"{") && header <= MAX_HEADER && LENGTH + header <= length
}

/// What a file holds: a dictionary of tensors.
pub(crate) fn contents(file: &mut File, length: u64) -> Result<Contents, Fault> {
    let mut count = [0; LENGTH as usize];
    file.read_exact(&mut count)?;
    let header = u64::from_le_bytes(count);
    let mut text = vec![0; header as usize];
    file.read_exact(&mut text)?;
    let metadata: Metadata = serde_json::from_slice(&text)
        .map_err(|error| Fault::Archive(format!("the header of safetensors: {error}")))?;
    let start = LENGTH + header;
    let mut nodes = Nodes::default();
    let mut places = HashMap::new();
    let mut entries = Vec::new();
    for (name, info) in metadata.tensors() {
        let wrong = |message: String| Fault::Tensor {
            name: name.clone(),
            message,
        };
        let dtype = dtype(info.dtype).ok_or_else(|| {
            wrong(format!(
                "values of type {:?}, which is not read",
                info.dtype
            ))
        })?;
        let (from, to) = info.data_offsets;
        let (from, to) = (from as u64, to as u64);
        if from > to || to > length - start {
            return Err(wrong(
                "lies outside of the file: is it complete?".to_owned(),
            ));
        }
        let shape: Vec<u64> = info.shape.iter().map(|size| *size as u64).collect();
        let storage = Storage {
            key: name.clone(),
            len: (to - from) / dtype.size(),
        };
        let strides = contiguous(&shape);
        let tensor = Tensor::new(dtype, shape, strides, 0, storage)?;
        let place = Place {
            offset: start + from,
            bytes: to - from,
            crc32: None,
        };
        places.insert(name.clone(), place);
        let key = nodes.add(Node::Text(name))?;
        entries.push((key, nodes.add(Node::Tensor(tensor))?));
    }
    let root = nodes.add(Node::Dict(entries))?;
    Ok(Contents {
        nodes,
        root,
        places,
    })
}

fn contiguous(shape: &[u64]) -> Vec<u64> {
    let mut stride = 1u64;
    let mut strides: Vec<u64> = shape
        .iter()
        .rev()
        .map(|size| {
            let this = stride;
            stride = stride.saturating_mul((*size).max(1));
            this
        })
        .collect();
    strides.reverse();
    strides
}

fn dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool,
        _ => return None,
    })
}
