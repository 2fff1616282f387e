//! What a PNG file holds beside its pixels (PNG specification, third edition).

use anyhow::{Context, Result, ensure};

const SIGNATURE: usize = 8;
/// Length and type before a chunk's data, and the checksum behind them.
const BEFORE: usize = 8;
const BEHIND: usize = 4;
/// Checksum of the chunk IEND, which has no data.
const IEND_CHECKSUM: [u8; BEHIND] = [0xae, 0x42, 0x60, 0x82];

/// What stands beside the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// The chunk eXIf, which may stand anywhere.
    pub exif: Option<&'a [u8]>,
}

/// Follows the chunks to the last one, which decoders do not read. What lies behind it is not looked at.
///
/// # Errors
/// The file ends before its last chunk does.
pub fn check(file: &[u8]) -> Result<Header<'_>> {
    let mut size = (0, 0);
    let mut exif = None;
    let mut rest = file.get(SIGNATURE..).unwrap_or_default();
    loop {
        let at = file.len() - rest.len();
        let cut =
            || format!("the PNG is cut short or damaged: its chunk at byte {at} is not whole");
        let chunk = rest.split_first_chunk::<BEFORE>();
        let (header, data) = chunk.with_context(cut)?;
        let (length, kind) = header.split_at(BEFORE / 2);
        let length = length
            .iter()
            .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        ensure!(data.len() >= length.saturating_add(BEHIND), cut());
        let (data, after) = data.split_at(length);
        match kind {
            b"IEND" => {
                ensure!(after.starts_with(&IEND_CHECKSUM), cut());
                return Ok(Header { size, exif });
            }
            b"IHDR" => {
                let side = |at: usize| {
                    data.get(at..)?
                        .first_chunk()
                        .map(|b| u32::from_be_bytes(*b))
                };
                size = (side(0).unwrap_or(0), side(4).unwrap_or(0));
            }
            b"eXIf" => exif = exif.or(Some(data)),
            _ => {}
        }
        rest = &after[BEHIND..];
    }
}
