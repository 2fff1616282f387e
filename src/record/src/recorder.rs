//! Writes MCAP files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mcap::records::MessageHeader;
use mcap::write::NoSeek;
use mcap::{McapError, WriteOptions};
use mdetr_ros2_messages::builtin_interfaces::Time;
use mdetr_ros2_messages::{Definition, Message, to_cdr};

use crate::error::RecordError;
use crate::topics::{Topic, Topics};

/// Most chunks of a file: the index of all is kept until the file ends, some 200 bytes each.
const MAX_CHUNKS: u32 = 1 << 16;

pub(crate) type McapWriter = mcap::Writer<NoSeek<BufWriter<File>>>;

/// How a recording is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordOptions {
    /// Bytes of messages that are collected before they are written. The memory that a recorder takes is this and the
    /// size of one message, twice at most.
    pub chunk_bytes: usize,
    /// How long messages wait to be written: what is lost if the program is killed.
    pub flush_interval: Duration,
    /// Size of a file from which on the next one is begun: `run.mcap`, `run_1.mcap`, ...
    pub max_bytes: u64,
}

impl Default for RecordOptions {
    fn default() -> RecordOptions {
        RecordOptions {
            chunk_bytes: 4 << 20,
            flush_interval: Duration::from_secs(1),
            max_bytes: 4 << 30,
        }
    }
}

/// Where a topic is in the file that is being written.
#[derive(Debug, Default)]
struct Place {
    /// Its number there, once there are messages of it.
    channel: Option<u16>,
    sequence: u32,
}

/// Writes messages to an MCAP file, in the form of `ros2 bag`: profile `ros2`, schemas `ros2msg`, messages `cdr`.
///
/// Messages are collected, and written as a whole chunk: what was written is never touched again, so that a program may
/// be killed at any time, and [`recover`](crate::recover()) reads all chunks. They are handed to the system, which may lose
/// them with its power. Dropping a recorder finishes its file; [`finish`](Recorder::finish) says whether that went well.
pub struct Recorder {
    path: PathBuf,
    options: RecordOptions,
    writer: McapWriter,
    topics: Topics,
    /// For each topic.
    places: Vec<Place>,
    /// Files begun before this one.
    files: u32,
    chunks: u32,
    /// Bytes of messages in the file, and of those that wait.
    bytes: u64,
    waiting: usize,
    flushed: Instant,
    failed: bool,
}

impl Recorder {
    /// Begins a recording; the file must not exist.
    ///
    /// # Errors
    /// There is such a file, or it cannot be made.
    pub fn create(path: impl AsRef<Path>, options: RecordOptions) -> Result<Recorder, RecordError> {
        let path = path.as_ref().to_owned();
        Ok(Recorder {
            writer: create(&path, "ros2")?,
            path,
            options,
            topics: Topics::default(),
            places: Vec::new(),
            files: 0,
            chunks: 0,
            bytes: 0,
            waiting: 0,
            flushed: Instant::now(),
            failed: false,
        })
    }

    /// The file that is being written.
    pub fn path(&self) -> PathBuf {
        numbered(&self.path, self.files)
    }

    /// A topic with messages of one type. Asked again, it is the same.
    ///
    /// # Errors
    /// The name is none that ROS allows, or the topic has another type.
    pub fn topic(&mut self, name: &str, definition: &Definition) -> Result<Topic, RecordError> {
        let (topic, new) = self.topics.get(name, definition)?;
        if new {
            self.places.push(Place::default());
        }
        Ok(topic)
    }

    /// Records a message: when it was received, when it was published, and its bytes, the four of the encapsulation
    /// first. Times before 1970 are recorded as that year's beginning.
    ///
    /// # Errors
    /// The bytes are none of CDR, or writing fails: then it fails from now on.
    ///
    /// # Panics
    /// If the topic is another recorder's.
    pub fn write(
        &mut self,
        topic: Topic,
        received: Time,
        published: Time,
        cdr: &[u8],
    ) -> Result<(), RecordError> {
        if !matches!(cdr, [0, 0 | 1, _, _, ..]) {
            return Err(RecordError::Bytes {
                name: self.topics.name(topic).to_owned(),
                bytes: cdr.len(),
                first: cdr[..cdr.len().min(2)].to_vec(),
            });
        }
        if self.bytes >= self.options.max_bytes || self.chunks >= MAX_CHUNKS {
            self.next_file()?;
        }
        let channel_id = match self.places[topic.0].channel {
            Some(channel) => channel,
            None => self.add(topic)?,
        };
        let place = &mut self.places[topic.0];
        let header = MessageHeader {
            channel_id,
            sequence: place.sequence,
            log_time: nanos(received),
            publish_time: nanos(published),
        };
        place.sequence = place.sequence.wrapping_add(1);
        self.attempt(|writer| writer.write_to_known_channel(&header, cdr))?;
        self.waiting += cdr.len();
        self.bytes += cdr.len() as u64;
        let due = self.flushed.elapsed() >= self.options.flush_interval;
        if due || self.waiting >= self.options.chunk_bytes {
            self.flush()?;
        }
        Ok(())
    }

    /// Records a message of a type of this workspace.
    ///
    /// # Errors
    /// The topic has another type, or writing fails.
    ///
    /// # Panics
    /// If the topic is another recorder's.
    pub fn write_message<T: Message>(
        &mut self,
        topic: Topic,
        received: Time,
        published: Time,
        message: &T,
    ) -> Result<(), RecordError> {
        self.topics.check(topic, T::DEFINITION)?;
        self.write(topic, received, published, &to_cdr(message))
    }

    /// Writes the messages that wait. [`write`](Self::write) does so when it is time; where messages may cease to come, call
    /// this from a timer.
    ///
    /// # Errors
    /// Writing fails.
    pub fn flush(&mut self) -> Result<(), RecordError> {
        self.flushed = Instant::now();
        if self.waiting == 0 {
            return Ok(());
        }
        self.waiting = 0;
        self.chunks += 1;
        self.attempt(|writer| writer.flush())
    }

    /// Writes what waits, and the index.
    ///
    /// # Errors
    /// Writing fails.
    pub fn finish(mut self) -> Result<(), RecordError> {
        self.end_file()
    }

    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }

    pub(crate) fn flush_interval(&self) -> Duration {
        self.options.flush_interval
    }

    fn end_file(&mut self) -> Result<(), RecordError> {
        self.attempt(finish)
    }

    fn next_file(&mut self) -> Result<(), RecordError> {
        let path = numbered(&self.path, self.files + 1);
        let next = create(&path, "ros2")?;
        self.end_file()?;
        self.writer = next;
        self.files += 1;
        (self.chunks, self.bytes, self.waiting) = (0, 0, 0);
        self.places
            .iter_mut()
            .for_each(|place| place.channel = None);
        Ok(())
    }

    fn add(&mut self, topic: Topic) -> Result<u16, RecordError> {
        let (name, definition) = (self.topics.name(topic), *self.topics.definition(topic));
        let name = name.to_owned();
        let channel = self.attempt(|writer| {
            let schema = definition.schema();
            let schema = writer.add_schema(definition.name, "ros2msg", schema.as_bytes())?;
            writer.add_channel(schema, &name, "cdr", &BTreeMap::new())
        })?;
        self.places[topic.0].channel = Some(channel);
        Ok(channel)
    }

    fn attempt<T>(
        &mut self,
        what: impl FnOnce(&mut McapWriter) -> Result<T, McapError>,
    ) -> Result<T, RecordError> {
        // Of what was written in part no more is known.
        let done = match self.failed {
            true => Err(McapError::AttemptedWriteAfterFailure),
            false => what(&mut self.writer),
        };
        done.map_err(|source| {
            self.failed = true;
            RecordError::Write {
                path: self.path(),
                source,
            }
        })
    }
}

/// A new file.
pub(crate) fn create(path: &Path, profile: &str) -> Result<McapWriter, RecordError> {
    let file = File::create_new(path).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => RecordError::Exists {
            path: path.to_owned(),
        },
        _ => RecordError::Open {
            path: path.to_owned(),
            source,
        },
    })?;
    // A chunk goes to the file when it is whole: a seek would go back to its beginning then.
    let options = WriteOptions::new()
        .profile(profile)
        .library(concat!("mdetr ", env!("CARGO_PKG_VERSION")))
        .compression(None)
        .chunk_size(None)
        .disable_seeking(true);
    let begun = options.create(NoSeek::new(BufWriter::new(file)));
    let begun = begun.and_then(|mut writer| {
        writer.flush()?;
        Ok(writer)
    });
    begun.map_err(|source| RecordError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Ends a file: the index, and what is still in memory.
pub(crate) fn finish(writer: &mut McapWriter) -> Result<(), McapError> {
    writer.finish()?;
    Ok(())
}

/// The name of the n-th file after the first.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("_{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

fn nanos(time: Time) -> u64 {
    u64::try_from(time.nanos()).unwrap_or(0)
}
