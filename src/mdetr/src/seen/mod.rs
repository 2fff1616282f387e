//! Seen frames as bytes, to be kept and asked later.
//!
//! The vision graph never sees a text. So what it gave for a frame, its tokens, answers any query that comes
//! later: [`Grounder::see`](crate::Grounder::see) gives a [`Seen`](crate::Seen) frame, which
//! [`Seen::to_bytes`](crate::Seen::to_bytes) writes and [`Grounder::restore`](crate::Grounder::restore) reads again.
//!
//! | bytes | |
//! |---|---|
//! | 8 | `MDETRSEE` |
//! | 2 | version of the format: 1 |
//! | 1 | precision: 0 for fp16, 1 for int8 |
//! | 1 | 0 |
//! | 4 x 2 | width and height of the frame |
//! | 4 x 2 | width and height of the network's input |
//! | 4 x 3 | rows and columns of tokens, and d |
//! | 32 | SHA-256 of the vision graph |
//! | 32 | SHA-256 of the names and hashes of the bundle's files |
//! | 4 | length of the rest |
//! | 4 | CRC-32 of all bytes but these |
//! | | the tokens, as one zstd frame |
//!
//! Numbers are little-endian. In fp16 the upper bytes of all values come first, then the lower ones. In int8 each
//! token has a scale in fp32; the scales come first, then values from -127 to 127.

mod error;
mod pack;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use mdetr_engine::OptionError;
use mdetr_engine::disk::hex;

use crate::bundle::{Bundle, VISION_GRAPH};
use crate::frame::MAX_SIDE;
pub use error::SeenError;

const MAGIC: &[u8; 8] = b"MDETRSEE";
const VERSION: u16 = 1;
/// Where the checksum lies, and where the header ends.
const CHECKSUM: usize = 108;
const HEADER: usize = 112;
/// Most bytes of tokens before they are compressed: 65,536 of 512 values in fp16.
const MOST_BYTES: usize = 64 << 20;
/// Most values of a token.
const MOST_WIDTH: u32 = 4096;

/// How tokens are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TokenPrecision {
    /// Two bytes a value: answers as those of the live frame.
    #[default]
    Fp16,
    /// One byte a value, and a scale for each token.
    Int8,
}

impl TokenPrecision {
    /// Bytes of so many tokens of `d` values, before they are compressed.
    fn bytes(self, tokens: usize, d: usize) -> usize {
        match self {
            TokenPrecision::Fp16 => 2 * tokens * d,
            TokenPrecision::Int8 => tokens * (4 + d),
        }
    }
}

impl fmt::Display for TokenPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TokenPrecision::Fp16 => "fp16",
            TokenPrecision::Int8 => "int8",
        })
    }
}

impl FromStr for TokenPrecision {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<TokenPrecision, OptionError> {
        match text {
            "fp16" => Ok(TokenPrecision::Fp16),
            "int8" => Ok(TokenPrecision::Int8),
            _ => Err(OptionError {
                option: "precision of tokens",
                expected: "fp16 or int8",
                found: text.to_owned(),
            }),
        }
    }
}

/// What made tokens: the vision graph, and the bundle that it was of. Both SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub vision: [u8; 32],
    pub bundle: [u8; 32],
}

impl Identity {
    pub(crate) fn of(bundle: &Bundle) -> Identity {
        let files = bundle.manifest().files.iter();
        let parts: Vec<&str> = files
            .flat_map(|(name, entry)| [name.as_str(), entry.sha256.as_str()])
            .collect();
        Identity {
            vision: digest(bundle.sha256(VISION_GRAPH)),
            bundle: digest(&mdetr_engine::disk::key("mdetr bundle 1", &parts)),
        }
    }

    /// A number that bundles share by chance only.
    pub(crate) fn number(&self) -> u64 {
        let first = self.bundle[..8].try_into();
        u64::from_le_bytes(first.expect("a digest is longer"))
    }

    /// Refuses tokens of another vision graph than this one's.
    pub(crate) fn check(&self, found: &Identity) -> Result<(), SeenError> {
        if self.vision == found.vision {
            return Ok(());
        }
        Err(SeenError::OtherBundle {
            bundle: hex(&found.bundle),
            vision: hex(&found.vision),
            expected_bundle: hex(&self.bundle),
            expected_vision: hex(&self.vision),
        })
    }
}

/// A SHA-256 that is written in hexadecimal digits, as manifests are checked to have them.
fn digest(text: &str) -> [u8; 32] {
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).unwrap_or(0) as u8;
        *byte = digit(0) << 4 | digit(1);
    }
    digest
}

/// What the bytes of a seen frame say of it, before its tokens are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenHeader {
    frame: (u32, u32),
    pub(crate) input: (u32, u32),
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) d: u32,
    precision: TokenPrecision,
    pub(crate) by: Identity,
}

impl SeenHeader {
    /// Reads the header, once the bytes are found to be whole and undamaged.
    ///
    /// # Errors
    /// They are not those of a seen frame, of another version, cut short or damaged.
    pub fn read(bytes: &[u8]) -> Result<SeenHeader, SeenError> {
        split(bytes).map(|(header, _)| header)
    }

    /// Width and height of the frame that was seen.
    pub fn frame_size(&self) -> (u32, u32) {
        self.frame
    }

    /// How its tokens are kept.
    pub fn precision(&self) -> TokenPrecision {
        self.precision
    }

    /// SHA-256 of the names and hashes of the files of the bundle that saw it, hexadecimal.
    pub fn bundle(&self) -> String {
        hex(&self.by.bundle)
    }

    /// SHA-256 of the vision graph that saw it, hexadecimal.
    pub fn vision_graph(&self) -> String {
        hex(&self.by.vision)
    }

    fn tokens(&self) -> usize {
        self.rows as usize * self.columns as usize
    }

    fn write(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([self.precision as u8, 0]);
        let numbers = [
            self.frame.0,
            self.frame.1,
            self.input.0,
            self.input.1,
            self.rows,
            self.columns,
            self.d,
        ];
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend(self.by.vision);
        bytes.extend(self.by.bundle);
        bytes
    }
}

/// A frame's tokens `[rows * columns, d]` as bytes.
///
/// # Errors
/// A value is too large for the precision or not finite, or there are too many.
pub(crate) fn encode(
    frame: (u32, u32),
    input: (u32, u32),
    (rows, columns): (usize, usize),
    precision: TokenPrecision,
    by: Identity,
    values: &[f32],
) -> Result<Vec<u8>, SeenError> {
    let tokens = rows * columns;
    let d = values.len() / tokens.max(1);
    let size = precision.bytes(tokens, d);
    if size > MOST_BYTES || d > MOST_WIDTH as usize {
        return Err(SeenError::value("tokens", "at most 64 MiB", size));
    }
    let header = SeenHeader {
        frame,
        input,
        rows: rows as u32,
        columns: columns as u32,
        d: d as u32,
        precision,
        by,
    };
    let packed = pack::pack(values, d, precision)?;
    let body = zstd::bulk::compress(&packed, zstd::DEFAULT_COMPRESSION_LEVEL)
        .map_err(SeenError::Compression)?;
    let mut bytes = header.write();
    bytes.extend((body.len() as u32).to_le_bytes());
    let checksum = checksum(&bytes, &body);
    bytes.extend(checksum.to_le_bytes());
    bytes.extend(body);
    Ok(bytes)
}

/// The header and the tokens `[rows * columns, d]`.
///
/// # Errors
/// As [`SeenHeader::read`]; the header is whole, but the tokens are not what it says.
pub(crate) fn decode(bytes: &[u8]) -> Result<(SeenHeader, Vec<f32>), SeenError> {
    let (header, body) = split(bytes)?;
    let (tokens, d) = (header.tokens(), header.d as usize);
    let size = header.precision.bytes(tokens, d);
    let packed = zstd::bulk::decompress(body, size).map_err(SeenError::Compression)?;
    if packed.len() != size {
        return Err(SeenError::value("bytes of tokens", size, packed.len()));
    }
    let values = pack::unpack(&packed, tokens, d, header.precision)?;
    Ok((header, values))
}

/// The header, checked, and what follows it.
fn split(bytes: &[u8]) -> Result<(SeenHeader, &[u8]), SeenError> {
    let magic = bytes.get(..MAGIC.len());
    if magic != Some(MAGIC) {
        return Err(SeenError::NotSeen);
    }
    if bytes.len() < HEADER {
        return Err(SeenError::value("bytes", "at least 112", bytes.len()));
    }
    let version = u16::from_le_bytes([bytes[8], bytes[9]]);
    if version != VERSION {
        return Err(SeenError::Version(version));
    }
    let number =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (header, body) = bytes.split_at(HEADER);
    if body.len() as u64 != u64::from(number(104)) {
        return Err(SeenError::value("bytes of tokens", number(104), body.len()));
    }
    let found = checksum(&header[..CHECKSUM], body);
    if found != number(CHECKSUM) {
        return Err(SeenError::Damaged {
            expected: number(CHECKSUM),
            found,
        });
    }
    let precision = match (bytes[10], bytes[11]) {
        (0, 0) => TokenPrecision::Fp16,
        (1, 0) => TokenPrecision::Int8,
        (found, _) => return Err(SeenError::value("precision", "0 or 1", found)),
    };
    let within = |what: &'static str, at: usize, most: u32| match number(at) {
        found if (1..=most).contains(&found) => Ok(found),
        found => Err(SeenError::value(what, format!("1 to {most}"), found)),
    };
    let sha = |at: usize| {
        let mut sha = [0; 32];
        sha.copy_from_slice(&header[at..at + 32]);
        sha
    };
    let header = SeenHeader {
        frame: (
            within("width", 12, MAX_SIDE)?,
            within("height", 16, MAX_SIDE)?,
        ),
        input: (
            within("width of the input", 20, MAX_SIDE)?,
            within("height of the input", 24, MAX_SIDE)?,
        ),
        rows: within("rows", 28, MAX_SIDE)?,
        columns: within("columns", 32, MAX_SIDE)?,
        d: within("width of tokens", 36, MOST_WIDTH)?,
        precision,
        by: Identity {
            vision: sha(40),
            bundle: sha(72),
        },
    };
    let values = u64::from(header.rows) * u64::from(header.columns) * u64::from(header.d);
    if values > MOST_BYTES as u64 {
        return Err(SeenError::value("values", "at most 64 Mi", values));
    }
    Ok((header, body))
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(body);
    hasher.finalize()
}

/// Bytes with the checksum that belongs to them, so that a fuzzer gets behind it.
#[cfg(any(test, fuzzing))]
pub(crate) fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= HEADER {
        let body = (bytes.len() - HEADER) as u32;
        bytes[CHECKSUM - 4..CHECKSUM].copy_from_slice(&body.to_le_bytes());
        let checksum = checksum(&bytes[..CHECKSUM], &bytes[HEADER..]);
        bytes[CHECKSUM..HEADER].copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}
