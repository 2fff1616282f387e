//! Reading annotation files, bounded.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use mdetr_grounding::lines::{BYTE_ORDER_MARK, field};
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Largest annotation file that is read: 4 GiB, above the largest released one.
const MAX_BYTES: u64 = 4 << 30;
/// Longest side of a picture.
pub(crate) const MAX_SIDE: u32 = 1 << 14;
/// Largest coordinate of a box, in pixels, by its absolute value.
pub(crate) const MAX_COORDINATE: f64 = 1e7;
/// Most pixels of a picture or canvas.
pub(crate) const MAX_PIXELS: u64 = 1 << 26;

/// The whole of a text file of at most `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, Error> {
    let mut text = String::new();
    let read = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    let bytes = file
        .take(limit + 1)
        .read_to_string(&mut text)
        .map_err(read)?;
    if bytes as u64 > limit {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(text)
}

/// A JSON file; an error names the field.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let read = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    if file.metadata().map_err(read)?.len() > MAX_BYTES {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            limit: MAX_BYTES,
        });
    }
    let mut reader = BufReader::new(file.take(MAX_BYTES));
    if reader
        .fill_buf()
        .map_err(read)?
        .starts_with(BYTE_ORDER_MARK)
    {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    let mut json = serde_json::Deserializer::from_reader(reader);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| Error::Format {
        path: path.to_owned(),
        place: field(error.path()),
        message: error.inner().to_string(),
    })?;
    json.end().map_err(|error| Error::Format {
        path: path.to_owned(),
        place: "after the value".to_owned(),
        message: error.to_string(),
    })?;
    Ok(value)
}

/// A value of a file; an error names the field.
pub(crate) fn parse<T: DeserializeOwned>(
    path: &Path,
    value: serde_json::Value,
) -> Result<T, Error> {
    serde_path_to_error::deserialize(value).map_err(|error| Error::Format {
        path: path.to_owned(),
        place: field(error.path()),
        message: error.inner().to_string(),
    })
}

/// An error about one value of a file.
pub(crate) fn value_error(
    path: &Path,
    place: impl Display,
    field: impl Display,
    expected: impl Display,
    found: impl Display,
) -> Error {
    Error::Value {
        path: path.to_owned(),
        place: place.to_string(),
        field: field.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

/// Whether a picture may be this large.
pub(crate) fn is_size(width: u32, height: u32) -> bool {
    let side = 1..=MAX_SIDE;
    side.contains(&width)
        && side.contains(&height)
        && u64::from(width) * u64::from(height) <= MAX_PIXELS
}
