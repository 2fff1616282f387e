//! What the formats say of a file.

use std::collections::HashMap;
use std::io::Read;

use crate::machine::MAX_PICKLE;
use crate::node::{Nodes, Value};

/// Where the values of a storage are in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub offset: u64,
    pub bytes: u64,
    /// Checksum of the bytes, if the format has one.
    pub crc32: Option<u32>,
}

/// What a format says of a file.
#[derive(Debug)]
pub(crate) struct Contents {
    pub nodes: Nodes,
    pub root: Value,
    pub places: HashMap<String, Place>,
}

/// Reads at most as much as a pickle may have.
pub(crate) fn limited(file: impl Read) -> impl Read {
    file.take(MAX_PICKLE + 1)
}
