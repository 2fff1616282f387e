//! Bytes of segments.
//!
//! A segment begins with its header, and goes on with records: a header and two parts, either of which may be empty.
//! All that is known of a record without its key is in its header: kind, camera's number, time and lengths.
//! Numbers are little-endian. An index has the headers of a segment's records, one after the other.

use crate::key::{Key, NONCE, TAG};

const MAGIC: &[u8; 8] = b"MDETRPST";
const INDEX_MAGIC: &[u8; 8] = b"MDETRIDX";
const RECORD_MAGIC: &[u8; 4] = b"REC1";
const VERSION: u16 = 1;

/// Bytes of a segment's header.
pub(crate) const SEGMENT_HEADER: usize = 72;
/// Bytes of an index's header.
pub(crate) const INDEX_HEADER: usize = 24;
/// Bytes of a record's header.
pub(crate) const RECORD_HEADER: usize = 48;
/// Most bytes of a part: those of a seen frame, and a little.
pub(crate) const MOST_BYTES: u32 = 68 << 20;
/// Most bytes of a camera's name.
pub(crate) const MOST_NAME: usize = 256;

/// What a segment begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Random, so that no record is taken for one of another segment.
    pub salt: [u8; 16],
    /// Sealed nothing, to tell the key by, if it is encrypted.
    pub proof: Option<[u8; NONCE + TAG]>,
}

/// Why bytes are no header of a segment: what is wrong, what was expected and found.
pub(crate) type Fault = (&'static str, String, String);

impl SegmentHeader {
    pub(crate) fn new(key: Option<&Key>) -> std::io::Result<SegmentHeader> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(std::io::Error::other)?;
        let proof = key.map(|key| key.seal(b"", &salt)).transpose()?;
        let proof = proof.and_then(|proof| proof.try_into().ok());
        Ok(SegmentHeader { salt, proof })
    }

    pub(crate) fn to_bytes(self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10] = self.proof.is_some().into();
        bytes[12..28].copy_from_slice(&self.salt);
        bytes[28..68].copy_from_slice(&self.proof.unwrap_or([0; NONCE + TAG]));
        let checksum = crc32fast::hash(&bytes[..68]);
        bytes[68..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8; SEGMENT_HEADER]) -> Result<SegmentHeader, Fault> {
        let fault = |what, expected: &str, found: String| Err((what, expected.to_owned(), found));
        if &bytes[..8] != MAGIC {
            return fault(
                "beginning",
                "MDETRPST",
                format!("{:?}", bytes[..8].escape_ascii()),
            );
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != VERSION {
            return fault("version", "1", version.to_string());
        }
        let checksum = crc32fast::hash(&bytes[..68]);
        if checksum.to_le_bytes() != bytes[68..] || bytes[10] > 1 || bytes[11] != 0 {
            return fault("header", "a sound one", "a damaged one".to_owned());
        }
        Ok(SegmentHeader {
            salt: array(&bytes[12..28]),
            proof: (bytes[10] == 1).then(|| array(&bytes[28..68])),
        })
    }

    /// Whether the segment was encrypted with this key.
    pub(crate) fn is_of(&self, key: &Key) -> bool {
        let proof = self.proof.as_ref();
        proof.is_some_and(|proof| key.open(proof, &self.salt).is_some())
    }

    /// What the index of the segment begins with.
    pub(crate) fn index_header(&self) -> [u8; INDEX_HEADER] {
        let mut bytes = [0; INDEX_HEADER];
        bytes[..8].copy_from_slice(INDEX_MAGIC);
        bytes[8..].copy_from_slice(&self.salt);
        bytes
    }
}

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The name that a number stands for in this segment.
    Camera = 1,
    /// Tokens, and a picture or none.
    Frame = 2,
    /// The camera's last frame is as it was.
    Still = 3,
}

/// What a record begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub kind: Kind,
    pub camera: u32,
    pub time: i64,
    /// Bytes of each part as they lie in the file.
    pub lengths: [u32; 2],
    /// CRC-32 of each.
    pub checksums: [u32; 2],
}

impl Record {
    /// Bytes of the record with its header.
    pub(crate) fn bytes(&self) -> u64 {
        let [first, second] = self.lengths.map(u64::from);
        RECORD_HEADER as u64 + first + second
    }

    pub(crate) fn to_bytes(self) -> [u8; RECORD_HEADER] {
        let mut bytes = [0; RECORD_HEADER];
        bytes[..4].copy_from_slice(RECORD_MAGIC);
        bytes[4] = self.kind as u8;
        bytes[8..12].copy_from_slice(&self.camera.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.time.to_le_bytes());
        let numbers = [self.lengths, self.checksums].concat();
        for (at, number) in numbers.iter().enumerate() {
            bytes[20 + 4 * at..24 + 4 * at].copy_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32fast::hash(&bytes[..44]);
        bytes[44..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Nothing if the bytes are no sound header.
    pub(crate) fn parse(bytes: &[u8; RECORD_HEADER]) -> Option<Record> {
        let number = |at: usize| u32::from_le_bytes(array(&bytes[at..at + 4]));
        let sound = &bytes[..4] == RECORD_MAGIC
            && bytes[5..8] == [0; 3]
            && bytes[36..44] == [0; 8]
            && number(44) == crc32fast::hash(&bytes[..44]);
        let record = Record {
            kind: match bytes[4] {
                1 => Kind::Camera,
                2 => Kind::Frame,
                3 => Kind::Still,
                _ => return None,
            },
            camera: number(8),
            time: i64::from_le_bytes(array(&bytes[12..20])),
            lengths: [number(20), number(24)],
            checksums: [number(28), number(32)],
        };
        let fits = record.lengths.iter().all(|length| *length <= MOST_BYTES);
        (sound && fits).then_some(record)
    }

    /// What a part is sealed with, beside the key: it opens nowhere else.
    pub(crate) fn context(&self, segment: &SegmentHeader, part: usize) -> Vec<u8> {
        let mut context = segment.salt.to_vec();
        context.extend([self.kind as u8, part as u8]);
        context.extend(self.camera.to_le_bytes());
        context.extend(self.time.to_le_bytes());
        context
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the slice has this length")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RECORD: Record = Record {
        kind: Kind::Frame,
        camera: 3,
        time: -5,
        lengths: [1000, 7],
        checksums: [1, u32::MAX],
    };

    #[test]
    fn headers_come_back_and_every_flipped_bit_is_seen() {
        let key = Key::new(&[3; 32]);
        for key in [None, Some(&key)] {
            let header = SegmentHeader::new(key).unwrap();
            let bytes = header.to_bytes();
            assert_eq!(SegmentHeader::parse(&bytes), Ok(header));
            assert_eq!(key.is_some_and(|key| header.is_of(key)), key.is_some());
            assert!(!header.is_of(&Key::new(&[4; 32])));
            for bit in 0..8 * bytes.len() {
                let mut bytes = bytes;
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(SegmentHeader::parse(&bytes).is_err(), "bit {bit}");
            }
        }
        let bytes = RECORD.to_bytes();
        assert_eq!(Record::parse(&bytes), Some(RECORD));
        assert_eq!(RECORD.bytes(), 48 + 1007);
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::parse(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn a_record_of_absurd_length_is_refused() {
        let record = Record {
            lengths: [0, MOST_BYTES + 1],
            ..RECORD
        };
        assert_eq!(Record::parse(&record.to_bytes()), None);
    }

    proptest! {
        #[test]
        fn bytes_that_are_none_are_refused(bytes in prop::array::uniform32(any::<u8>())) {
            let mut record = [0; RECORD_HEADER];
            record[..32].copy_from_slice(&bytes);
            prop_assert_eq!(Record::parse(&record), None);
            let mut segment = [0; SEGMENT_HEADER];
            segment[..32].copy_from_slice(&bytes);
            prop_assert!(SegmentHeader::parse(&segment).is_err());
        }
    }
}
