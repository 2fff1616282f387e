//! Whether a JPEG file holds all of its picture.

use anyhow::{Result, bail};
use jpeg_decoder::{CodingProcess, Decoder, Error};

/// Decodes a file a second time, by a decoder that wants all data: zune-jpeg, which `image` decodes with, fills in
/// what is missing and tells nobody, and in a gray part nothing is found.
///
/// What lies behind the end-of-image marker, such as the video of a motion photo, is not looked at. Where the data
/// of a scan end early at a marker, this decoder too fills in zeros.
///
/// # Errors
/// The file ends before the picture does, or makes no sense.
pub fn check(file: &[u8], max_bytes: u64) -> Result<()> {
    let mut decoder = Decoder::new(file);
    decoder.set_max_decoding_buffer_size(usize::try_from(max_bytes).unwrap_or(usize::MAX));
    match decoder.decode() {
        // What only this decoder does not know is as good as it was.
        Ok(_) | Err(Error::Unsupported(_)) => Ok(()),
        Err(Error::Io(_)) => {
            bail!("the JPEG is cut short: the file ends before its end-of-image marker")
        }
        Err(error) => bail!("the JPEG is cut short or damaged: {error}"),
    }
}

/// What [`is_of_rare_kind`] finds.
pub const RARE: &str = "a lossless, hierarchical, arithmetically coded or otherwise rare JPEG";

/// Whether the header says that `image`'s decoder does not know this kind of JPEG.
pub fn is_of_rare_kind(file: &[u8]) -> bool {
    let mut decoder = Decoder::new(file);
    match decoder.read_info() {
        Ok(()) => {
            let info = decoder.info();
            info.is_some_and(|info| info.coding_process == CodingProcess::Lossless)
        }
        Err(error) => matches!(error, Error::Unsupported(_)),
    }
}
