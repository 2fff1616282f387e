//! The format of `torch.save` before PyTorch 1.6: pickles, then storages one behind the other.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::contents::{Contents, Place};
use crate::error::Fault;
use crate::machine;
use crate::node::{Node, Nodes, Value};
use crate::view::View;

/// The integer that all such files begin with.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL: i128 = 1001;

/// Whether these first bytes are those of such a file: a pickle of an integer of ten bytes.
pub(crate) fn is_one(start: &[u8]) -> bool {
    matches!(start, [0x80, _, 0x8a, 0x0a, bytes @ ..] if bytes.starts_with(&MAGIC.to_le_bytes()[..8]))
}

/// What a file holds.
pub(crate) fn contents(file: &mut BufReader<&mut File>, length: u64) -> Result<Contents, Fault> {
    let mut nodes = Nodes::default();
    let magic = machine::read(&mut *file, &mut nodes)?;
    if magic != Value::Int(MAGIC) {
        return Err(Fault::Unknown);
    }
    let protocol = machine::read(&mut *file, &mut nodes)?;
    if protocol != Value::Int(PROTOCOL) {
        return Err(Fault::Archive(format!(
            "expected protocol {PROTOCOL} of the older format"
        )));
    }
    let system = machine::read(&mut *file, &mut nodes)?;
    let little = View::root(&nodes, system)
        .get("little_endian")
        .and_then(|little| little.bool());
    if little == Some(false) {
        let message = "its values are in the byte order big, expected little";
        return Err(Fault::Archive(message.to_owned()));
    }
    let first = nodes.len();
    let root = machine::read(&mut *file, &mut nodes)?;
    let keys = machine::read(&mut *file, &mut nodes)?;
    // Bytes of a value, by storage: the file has numbers of values.
    let sizes: HashMap<String, u64> = nodes
        .from(first)
        .filter_map(|node| match node {
            Node::Storage { dtype, storage } => {
                Some((storage.key.clone(), dtype.map_or(1, |dtype| dtype.size())))
            }
            _ => None,
        })
        .collect();
    let keys = match nodes.get(keys) {
        Some(Node::List(keys)) => keys.clone(),
        _ => return Err(Fault::Missing("the list of storages".to_owned())),
    };
    let mut places = HashMap::new();
    for key in keys {
        let key = nodes
            .text(key)
            .ok_or_else(|| Fault::Missing("the name of a storage".to_owned()))?;
        let mut count = [0; 8];
        file.read_exact(&mut count)?;
        let offset = file.stream_position()?;
        let size = sizes.get(key).copied().unwrap_or(1);
        let bytes = u64::from_le_bytes(count).checked_mul(size);
        let end = bytes.and_then(|bytes| offset.checked_add(bytes));
        let (Some(bytes), Some(end)) = (bytes, end.filter(|end| *end <= length)) else {
            return Err(Fault::Archive(format!(
                "storage {key} lies outside of the file"
            )));
        };
        let crc32 = None;
        places.insert(
            key.to_owned(),
            Place {
                offset,
                bytes,
                crc32,
            },
        );
        file.seek(SeekFrom::Start(end))?;
    }
    Ok(Contents {
        nodes,
        root,
        places,
    })
}
