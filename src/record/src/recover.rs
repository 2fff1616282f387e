//! Reads recordings that were not finished.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use mcap::McapError;
use mcap::records::{ChunkHeader, Record, op};
use mcap::sans_io::linear_reader::{LinearReadEvent, LinearReader, LinearReaderOptions};

use crate::error::RecordError;
use crate::recorder::{McapWriter, create, finish};

/// Longest record that is believed.
const MAX_RECORD: usize = 1 << 30;
/// Bytes of messages in a chunk of the new file.
const CHUNK_BYTES: usize = 4 << 20;

/// What was found in a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Messages in the new file.
    pub messages: u64,
    /// Why reading stopped before an end was found; `None` if the recording is whole.
    pub damage: Option<String>,
}

/// Writes the messages of a recording that was not finished to a new file, with an index: as far as the recording can be
/// read. Messages, topics and types are taken; attachments and metadata, which a [`Recorder`](crate::Recorder) does not
/// write, are not. Chunks that are compressed are not read.
///
/// # Errors
/// `from` cannot be read or is no MCAP file, or `to` exists or cannot be written.
pub fn recover(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Recovered, RecordError> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let file = File::open(from).map_err(|source| RecordError::Open {
        path: from.to_owned(),
        source,
    })?;
    let mut records = Records::new(file);
    let profile = match records.next_record() {
        Some(Ok(Record::Header(header))) => header.profile,
        other => {
            let error = other.and_then(Result::err);
            return Err(RecordError::Read {
                path: from.to_owned(),
                source: error.unwrap_or(McapError::BadMagic),
            });
        }
    };
    let mut copy = Copy {
        writer: create(to, &profile)?,
        messages: 0,
        waiting: 0,
    };
    let failed = |source| RecordError::Write {
        path: to.to_owned(),
        source,
    };
    let mut damage = None;
    while let Some(record) = records.next_record() {
        let taken = record.map(|record| copy.take(record));
        match taken {
            Ok(Ok(())) => {}
            // The new file is the one that fails.
            Ok(Err(error @ (McapError::Io(_) | McapError::AttemptedWriteAfterFailure))) => {
                return Err(failed(error));
            }
            Ok(Err(error)) | Err(error) => {
                damage = Some(error.to_string());
                break;
            }
        }
    }
    finish(&mut copy.writer).map_err(failed)?;
    Ok(Recovered {
        messages: copy.messages,
        damage,
    })
}

/// The records of a file that matter, one after the other, also those in chunks.
struct Records {
    file: BufReader<File>,
    reader: LinearReader,
    /// The chunk that is being read, and how far.
    chunk: Vec<u8>,
    at: usize,
}

impl Records {
    fn new(file: File) -> Records {
        // No record is longer than its file, whatever it says of itself.
        let length = file.metadata().ok().filter(|known| known.is_file());
        let length = length.and_then(|known| usize::try_from(known.len()).ok());
        let longest = length.unwrap_or(MAX_RECORD).min(MAX_RECORD);
        // mcap's reader believes what the records in a chunk say of their lengths.
        let options = LinearReaderOptions::default()
            .with_emit_chunks(true)
            .with_record_length_limit(longest);
        Records {
            file: BufReader::new(file),
            reader: LinearReader::new_with_options(options),
            chunk: Vec::new(),
            at: 0,
        }
    }

    /// `None` at the end.
    fn next_record(&mut self) -> Option<Result<Record<'static>, McapError>> {
        loop {
            if self.at < self.chunk.len() {
                match self.next_in_chunk().transpose() {
                    Some(record) => return Some(record),
                    None => continue,
                }
            }
            match self.reader.next_event()? {
                Err(error) => return Some(Err(error)),
                Ok(LinearReadEvent::ReadRequest(need)) => {
                    match self.file.read(self.reader.insert(need)) {
                        Ok(read) => self.reader.notify_read(read),
                        Err(error) => return Some(Err(error.into())),
                    }
                }
                Ok(LinearReadEvent::Record { data, opcode }) => match parsed(opcode, data) {
                    Ok(Some(Record::Chunk { header, data })) => match checked(&header, &data) {
                        Ok(()) => (self.chunk, self.at) = (data.into_owned(), 0),
                        Err(error) => return Some(Err(error)),
                    },
                    record => {
                        if let Some(record) = record.transpose() {
                            return Some(record);
                        }
                    }
                },
            }
        }
    }

    /// `None` for a record that does not matter.
    fn next_in_chunk(&mut self) -> Result<Option<Record<'static>>, McapError> {
        let rest = &self.chunk[self.at..];
        // After a fault in a chunk nothing of it is read.
        self.at = self.chunk.len();
        let [opcode, rest @ ..] = rest else {
            return Ok(None);
        };
        let (length, rest) = rest.split_first_chunk().ok_or(McapError::UnexpectedEoc)?;
        let length = usize::try_from(u64::from_le_bytes(*length));
        let data = length.ok().and_then(|length| rest.get(..length));
        let data = data.ok_or(McapError::UnexpectedEoc)?;
        let record = parsed(*opcode, data);
        self.at -= rest.len() - data.len();
        record
    }
}

/// A record that matters; others may be damaged without loss.
fn parsed(opcode: u8, data: &[u8]) -> Result<Option<Record<'static>>, McapError> {
    match opcode {
        op::HEADER | op::SCHEMA | op::CHANNEL | op::MESSAGE | op::CHUNK => {
            mcap::parse_record(opcode, data).map(|record| Some(record.into_owned()))
        }
        _ => Ok(None),
    }
}

/// Whether a chunk is one that can be read, and whole.
fn checked(header: &ChunkHeader, data: &[u8]) -> Result<(), McapError> {
    if !header.compression.is_empty() {
        let compression = header.compression.chars().take(20).collect();
        return Err(McapError::UnsupportedCompression(compression));
    }
    let calculated = crc32fast::hash(data);
    match header.uncompressed_crc {
        // It was written without one.
        0 => Ok(()),
        saved if saved == calculated => Ok(()),
        saved => Err(McapError::BadChunkCrc { saved, calculated }),
    }
}

/// The new file.
struct Copy {
    writer: McapWriter,
    messages: u64,
    waiting: usize,
}

impl Copy {
    fn take(&mut self, record: Record) -> Result<(), McapError> {
        match record {
            Record::Schema { header, data } => {
                let (name, encoding) = (&header.name, &header.encoding);
                self.writer
                    .add_schema_with_id(header.id, name, encoding, &data)?;
            }
            Record::Channel(channel) => {
                self.writer.add_channel_with_id(
                    channel.id,
                    channel.schema_id,
                    &channel.topic,
                    &channel.message_encoding,
                    &channel.metadata,
                )?;
            }
            Record::Message { header, data } => {
                self.writer.write_to_known_channel(&header, &data)?;
                self.messages += 1;
                self.waiting += data.len();
                if self.waiting >= CHUNK_BYTES {
                    self.waiting = 0;
                    self.writer.flush()?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
