//! Messages as bytes: CDR, after four bytes that say in which byte order.

use byteorder::{BigEndian, LittleEndian};
use serde::Serialize;

use crate::definition::Message;

/// Most bytes of a message that is read: a picture of 16384 x 8192 pixels of 4 bytes, and some more.
pub const MAX_BYTES: usize = (1 << 29) + (1 << 16);

const BIG_ENDIAN: u8 = 0;
const LITTLE_ENDIAN: u8 = 1;

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CdrError {
    /// There are too few bytes for the first four.
    #[error("{name}: expected at least 4 bytes of CDR, found {found}")]
    Header {
        /// The message.
        name: &'static str,
        /// Bytes found.
        found: usize,
    },
    /// It is more than a message may be.
    #[error("{name}: expected at most {MAX_BYTES} bytes, found {found}")]
    TooLong {
        /// The message.
        name: &'static str,
        /// Bytes found.
        found: usize,
    },
    /// It is in another encoding.
    #[error(
        "{name}: expected plain CDR (0 0 or 0 1 as its first bytes), found {} {}",
        found[0], found[1]
    )]
    Encoding {
        /// The message.
        name: &'static str,
        /// The first two bytes.
        found: [u8; 2],
    },
    /// The bytes after the first four are not those of the message.
    #[error("{name}: the {bytes} bytes are not those of this message: {source}")]
    Body {
        /// The message.
        name: &'static str,
        /// Bytes found.
        bytes: usize,
        /// What does not fit.
        source: cdr_encoding::Error,
    },
}

/// The bytes of a message in little-endian byte order, the first four included.
///
/// # Panics
/// If a string or list has more than 2^32 - 1 elements.
pub fn to_cdr<T: Message>(message: &T) -> Vec<u8> {
    let mut bytes = vec![0, LITTLE_ENDIAN, 0, 0];
    append(message, &mut bytes);
    bytes
}

fn append(message: &impl Serialize, bytes: &mut Vec<u8>) {
    let written = cdr_encoding::to_writer::<_, LittleEndian, _>(bytes, message);
    written.expect("lists know their lengths, and vectors take all bytes");
}

/// Reads the bytes of a message, the first four included. Further bytes after it are ignored, as ROS pads messages.
///
/// # Errors
/// They are not plain CDR, or not those of this message, or more than [`MAX_BYTES`].
pub fn from_cdr<T: Message>(bytes: &[u8]) -> Result<T, CdrError> {
    let name = T::DEFINITION.name;
    let found = bytes.len();
    if found > MAX_BYTES {
        return Err(CdrError::TooLong { name, found });
    }
    let Some((header, body)) = bytes.split_first_chunk::<4>() else {
        return Err(CdrError::Header { name, found });
    };
    let read = match [header[0], header[1]] {
        [0, LITTLE_ENDIAN] => cdr_encoding::from_bytes::<T, LittleEndian>(body),
        [0, BIG_ENDIAN] => cdr_encoding::from_bytes::<T, BigEndian>(body),
        found => return Err(CdrError::Encoding { name, found }),
    };
    let bytes = found;
    let failed = |source| CdrError::Body {
        name,
        bytes,
        source,
    };
    read.map(|(message, _)| message).map_err(failed)
}
