//! Segment files and their indexes.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::PastError;
use crate::format::{INDEX_HEADER, RECORD_HEADER, Record, SEGMENT_HEADER, SegmentHeader};

const SEGMENT: &str = "seg";
const INDEX: &str = "idx";

/// Path of a segment.
pub(crate) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}.{SEGMENT}"))
}

/// Path of its index.
pub(crate) fn index_path(segment: &Path) -> PathBuf {
    segment.with_extension(INDEX)
}

/// Numbers of the segments of a directory, oldest first. Other files are left alone.
pub(crate) fn numbers(dir: &Path) -> Result<Vec<u64>, PastError> {
    let read = fs::read_dir(dir).map_err(PastError::io(dir, "cannot be read"))?;
    let mut numbers = Vec::new();
    for entry in read {
        let name = entry
            .map_err(PastError::io(dir, "cannot be read"))?
            .file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        let number = number.filter(|number| number.len() == 12);
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A segment's records.
#[derive(Debug)]
pub(crate) struct Contents {
    pub path: PathBuf,
    pub header: SegmentHeader,
    /// With where each begins.
    pub records: Vec<(u64, Record)>,
    /// Bytes at the end that are no whole record.
    pub cut: u64,
}

impl Contents {
    /// Reads the index, and of the segment what the index does not have.
    pub(crate) fn read(path: &Path) -> Result<Contents, PastError> {
        let io = |source| PastError::Io {
            path: path.to_owned(),
            doing: "cannot be read",
            source,
        };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut bytes = [0; SEGMENT_HEADER];
        if length < SEGMENT_HEADER as u64 {
            return Err(PastError::Format {
                path: path.to_owned(),
                what: "bytes",
                expected: format!("at least {SEGMENT_HEADER}"),
                found: length.to_string(),
            });
        }
        file.read_exact_at(&mut bytes, 0).map_err(io)?;
        let header =
            SegmentHeader::parse(&bytes).map_err(|(what, expected, found)| PastError::Format {
                path: path.to_owned(),
                what,
                expected,
                found,
            })?;
        let mut contents = Contents {
            path: path.to_owned(),
            header,
            records: Vec::new(),
            cut: 0,
        };
        let mut offset = contents.read_index(length);
        while let Some(record) = record_at(&file, offset, length) {
            contents.records.push((offset, record));
            offset += record.bytes();
        }
        contents.cut = length - offset;
        Ok(contents)
    }

    /// Takes what a sound index has of the segment of this length, and gives where that ends.
    fn read_index(&mut self, length: u64) -> u64 {
        let mut offset = SEGMENT_HEADER as u64;
        let Ok(mut file) = File::open(index_path(&self.path)) else {
            return offset;
        };
        let mut header = [0; INDEX_HEADER];
        let is_of_this =
            file.read_exact(&mut header).is_ok() && header == self.header.index_header();
        if !is_of_this {
            return offset;
        }
        // Each record takes as many bytes of the segment at least.
        let mut bytes = Vec::new();
        if file.take(length).read_to_end(&mut bytes).is_err() {
            return offset;
        }
        for header in bytes.chunks_exact(RECORD_HEADER) {
            let record = header.try_into().ok().and_then(Record::parse);
            match record.filter(|record| offset + record.bytes() <= length) {
                Some(record) => {
                    self.records.push((offset, record));
                    offset += record.bytes();
                }
                None => break,
            }
        }
        offset
    }
}

/// The whole and undamaged record at an offset.
fn record_at(file: &File, offset: u64, length: u64) -> Option<Record> {
    let mut header = [0; RECORD_HEADER];
    file.read_exact_at(&mut header, offset).ok()?;
    let record = Record::parse(&header)?;
    if offset + record.bytes() > length {
        return None;
    }
    part(file, offset, &record, 0)?;
    part(file, offset, &record, 1)?;
    Some(record)
}

/// A part of a record as it lies in the file; nothing if it is damaged.
pub(crate) fn part(file: &File, offset: u64, record: &Record, part: usize) -> Option<Vec<u8>> {
    let before = if part == 0 { 0 } else { record.lengths[0] };
    let mut bytes = vec![0; record.lengths[part] as usize];
    let at = offset + RECORD_HEADER as u64 + u64::from(before);
    file.read_exact_at(&mut bytes, at).ok()?;
    (crc32fast::hash(&bytes) == record.checksums[part]).then_some(bytes)
}
