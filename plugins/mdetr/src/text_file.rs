//! Files of text from outside.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The text of a file; `None` if it has more than `most` bytes.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn read(path: &Path, most: u64) -> io::Result<Option<String>> {
    let mut text = String::new();
    File::open(path)?
        .take(most.saturating_add(1))
        .read_to_string(&mut text)?;
    Ok(Some(text).filter(|text| text.len() as u64 <= most))
}
