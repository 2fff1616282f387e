//! Files from outside, which may be of any size.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::ImportError;

/// The bytes of a file, unless they are more than `most`: `wrong` says what that is an error of.
pub fn read(
    path: &Path,
    most: u64,
    wrong: impl FnOnce(String) -> ImportError,
) -> Result<Vec<u8>, ImportError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(ImportError::io(path))?;
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(ImportError::io(path))?;
    match bytes.len() as u64 > most {
        true => Err(wrong(format!("at most {most} bytes are read"))),
        false => Ok(bytes),
    }
}
