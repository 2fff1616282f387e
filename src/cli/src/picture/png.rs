//! What a PNG file holds beside its pixels (PNG specification, third edition).

use anyhow::{Context, Result, ensure};

const SIGNATURE: usize = 8;
/// Length and type before a chunk's data, and the checksum behind them.
const BEFORE: usize = 8;
const BEHIND: usize = 4;
/// Checksum of the chunk IEND, which has no data.
const IEND_CHECKSUM: [u8; BEHIND] = [0xae, 0x42, 0x60, 0x82];

/// Follows the chunks to the last one, which decoders do not read, and gives the chunk eXIf, which may
/// stand anywhere. What lies behind the last chunk is not looked at.
///
/// # Errors
/// The file ends before its last chunk does.
pub fn check(file: &[u8]) -> Result<Option<&[u8]>> {
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
                return Ok(exif);
            }
            b"eXIf" => exif = exif.or(Some(data)),
            _ => {}
        }
        rest = &after[BEHIND..];
    }
}
