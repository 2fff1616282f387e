//! What the fuzz targets in `tests/fuzz` call. Built only with `--cfg fuzzing`, which cargo-fuzz sets.

use std::fs;
use std::path::Path;

use crate::format::{Kind, Record, SegmentHeader};
use crate::segment::{index_path, segment_path};
use crate::{Past, Selection};

/// Reads a directory with these bytes as a segment and as the index of a sound one: as they are, and as records whose checksums
/// fit.
pub fn segment(dir: &Path, bytes: &[u8]) {
    let header = SegmentHeader {
        salt: [0; 16],
        proof: None,
    };
    let records: Vec<u8> = bytes.chunks_exact(20).flat_map(record).collect();
    for (number, body) in [(0, bytes), (1, &records[..])] {
        let path = segment_path(dir, number);
        let _ = fs::write(&path, [&header.to_bytes()[..], body].concat());
        let _ = fs::write(
            index_path(&path),
            [&header.index_header()[..], body].concat(),
        );
    }
    let _ = fs::write(segment_path(dir, 2), bytes);
    if let Ok(past) = Past::open(dir, None, &Selection::default()) {
        for frame in past.frames() {
            let _ = (past.tokens(frame), past.picture(frame));
        }
    }
}

/// A record with a body, from 20 bytes.
fn record(bytes: &[u8]) -> Vec<u8> {
    let (first, second) = (usize::from(bytes[14] % 32), usize::from(bytes[15] % 32));
    let body = vec![bytes[16]; first + second];
    let record = Record {
        kind: [Kind::Camera, Kind::Frame, Kind::Still][usize::from(bytes[0] % 3)],
        camera: u32::from(bytes[1] % 4),
        time: i64::from_le_bytes([
            bytes[2], bytes[3], bytes[4], bytes[5], 0, 0, bytes[6], bytes[7],
        ]),
        lengths: [first as u32, second as u32],
        checksums: [
            crc32fast::hash(&body[..first]),
            crc32fast::hash(&body[first..]),
        ],
    };
    [&record.to_bytes()[..], &body].concat()
}
