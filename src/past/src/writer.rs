//! Adds frames to a directory.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::error::PastError;
use crate::format::{
    INDEX_HEADER, Kind, MOST_BYTES, MOST_NAME, RECORD_HEADER, Record, SEGMENT_HEADER, SegmentHeader,
};
use crate::key::Key;
use crate::segment::{Contents, index_path, numbers, segment_path};

/// A still scene is written down as often.
const STILL: i64 = 60_000_000_000;
const LOCK: &str = "lock";

/// How frames are kept.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// What to encrypt with; none: not encrypted.
    pub key: Option<Key>,
    /// Segments whose frames are all older are removed.
    pub keep: Option<Duration>,
    /// The oldest segments are removed while there are more bytes.
    pub keep_bytes: Option<u64>,
    /// A segment is ended when it has as many bytes.
    pub segment_bytes: u64,
    /// A segment is ended when its frames span this time.
    pub segment_time: Duration,
    /// A crash of the machine loses frames of this time at most; a crash of the program loses the one that it writes.
    pub sync: Duration,
}

impl Default for WriterOptions {
    fn default() -> WriterOptions {
        WriterOptions {
            key: None,
            keep: None,
            keep_bytes: None,
            segment_bytes: 64 << 20,
            segment_time: Duration::from_secs(3600),
            sync: Duration::from_secs(5),
        }
    }
}

/// The one that adds frames to a directory.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    options: WriterOptions,
    /// Locked as long as the writer lives.
    _lock: File,
    current: Option<Segment>,
    /// Those that were ended, oldest first.
    ended: VecDeque<Ended>,
    next: u64,
    /// What was found at the ends of segments and is no whole record, in bytes.
    cut: u64,
}

#[derive(Debug)]
struct Ended {
    number: u64,
    bytes: u64,
    latest: i64,
}

/// The segment that is written.
#[derive(Debug)]
struct Segment {
    number: u64,
    path: PathBuf,
    file: File,
    index: File,
    header: SegmentHeader,
    length: u64,
    index_length: u64,
    earliest: i64,
    latest: i64,
    cameras: HashMap<String, Camera>,
    synced: Instant,
    is_synced: bool,
}

#[derive(Debug)]
struct Camera {
    number: u32,
    /// Until when its last frame holds, as written and as known.
    written: i64,
    still: i64,
    has_frame: bool,
}

impl Writer {
    /// Opens a directory, which is made if need be, so that its owner alone may read it. Segments that are there stay as they
    /// are, but for those that are too old or too many.
    ///
    /// # Errors
    /// The directory cannot be written, or another program writes it.
    pub fn open(dir: &Path, options: WriterOptions) -> Result<Writer, PastError> {
        if !dir.is_dir() {
            let mut builder = fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(dir);
            made.map_err(PastError::io(dir, "cannot be made"))?;
        }
        let path = dir.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path);
        let lock = lock.map_err(PastError::io(&path, "cannot be written"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(PastError::Busy {
                    dir: dir.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(PastError::io(path, "cannot be locked")(source));
            }
        }
        let mut writer = Writer {
            dir: dir.to_owned(),
            options,
            _lock: lock,
            current: None,
            ended: VecDeque::new(),
            next: 0,
            cut: 0,
        };
        for number in numbers(dir)? {
            writer.next = number + 1;
            let path = segment_path(dir, number);
            let bytes = size(&path) + size(&index_path(&path));
            let latest = match Contents::read(&path) {
                Ok(contents) => {
                    writer.cut += contents.cut;
                    let times = contents.records.iter().map(|(_, record)| record.time);
                    times.max().unwrap_or(i64::MIN)
                }
                // It takes room, and goes when its turn comes.
                Err(_) => i64::MIN,
            };
            writer.ended.push_back(Ended {
                number,
                bytes,
                latest,
            });
        }
        writer.retain()?;
        Ok(writer)
    }

    /// Bytes at the ends of segments that were found when the directory was opened and are no whole record: what was written
    /// last when the program or the machine crashed.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// Bytes of all segments and indexes.
    pub fn bytes(&self) -> u64 {
        let current = self.current.as_ref();
        let current = current.map_or(0, |current| current.length + current.index_length);
        current + self.ended.iter().map(|ended| ended.bytes).sum::<u64>()
    }

    /// Adds a frame: its time, what [`mdetr::Seen::to_bytes`] gave, and a picture in any format.
    ///
    /// # Errors
    /// It cannot be written, or is none that can be. What was written before stays whole.
    pub fn frame(
        &mut self,
        camera: &str,
        time: i64,
        tokens: &[u8],
        picture: Option<&[u8]>,
    ) -> Result<(), PastError> {
        check_name(camera)?;
        let picture = picture.unwrap_or_default();
        if tokens.is_empty() {
            return Err(PastError::Value {
                what: "bytes of a frame",
                expected: "what Seen::to_bytes wrote",
                found: "none".to_owned(),
            });
        }
        if tokens.len().max(picture.len()) as u64 > u64::from(MOST_BYTES) - 1024 {
            return Err(PastError::Value {
                what: "bytes of a frame",
                expected: "less than 68 MiB",
                found: tokens.len().max(picture.len()).to_string(),
            });
        }
        self.write_still(camera)?;
        self.begin_segment_if_due(time)?;
        let key = self.options.key.as_ref();
        let segment = self.current.as_mut().expect("a segment was begun");
        let number = segment.camera(camera, time, key)?;
        segment.append(Kind::Frame, number, time, [tokens, picture], key)?;
        if let Some(camera) = segment.cameras.get_mut(camera) {
            (camera.written, camera.still, camera.has_frame) = (time, time, true);
        }
        segment.sync_if_due(self.options.sync)
    }

    /// Notes that the camera still shows what its last frame shows. Where that is not in the segment that is written, false is
    /// given and nothing noted: the frame is to be added then, as older segments may be removed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn still(&mut self, camera: &str, time: i64) -> Result<bool, PastError> {
        if self.is_due(time) {
            return Ok(false);
        }
        let segment = self.current.as_mut();
        let known = segment.and_then(|segment| segment.cameras.get_mut(camera));
        let Some(known) = known.filter(|known| known.has_frame) else {
            return Ok(false);
        };
        known.still = known.still.max(time);
        if known.still.saturating_sub(known.written) >= STILL {
            self.write_still(camera)?;
        }
        let sync = self.options.sync;
        self.current
            .as_mut()
            .map_or(Ok(()), |segment| segment.sync_if_due(sync))?;
        Ok(true)
    }

    /// Writes down what is known of still scenes, and waits until all is on disk.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn flush(&mut self) -> Result<(), PastError> {
        let cameras = self
            .current
            .iter()
            .flat_map(|segment| segment.cameras.keys());
        for camera in cameras.cloned().collect::<Vec<String>>() {
            self.write_still(&camera)?;
        }
        self.current.as_mut().map_or(Ok(()), Segment::sync)
    }

    fn write_still(&mut self, camera: &str) -> Result<(), PastError> {
        let key = self.options.key.as_ref();
        let Some(segment) = &mut self.current else {
            return Ok(());
        };
        let Some(known) = segment.cameras.get(camera) else {
            return Ok(());
        };
        let (number, written, still) = (known.number, known.written, known.still);
        if still > written {
            segment.append(Kind::Still, number, still, [b"", b""], key)?;
            if let Some(known) = segment.cameras.get_mut(camera) {
                known.written = still;
            }
        }
        Ok(())
    }

    /// Whether the segment is to be ended before a record of this time.
    fn is_due(&self, time: i64) -> bool {
        let most = i64::try_from(self.options.segment_time.as_nanos()).unwrap_or(i64::MAX);
        self.current.as_ref().is_some_and(|segment| {
            segment.length >= self.options.segment_bytes
                || time.saturating_sub(segment.earliest) >= most
        })
    }

    fn begin_segment_if_due(&mut self, time: i64) -> Result<(), PastError> {
        if self.is_due(time) {
            self.end_segment()?;
            self.retain()?;
        }
        if self.current.is_none() {
            let number = self.next;
            let begun = Segment::begin(&self.dir, number, time, self.options.key.as_ref())?;
            self.current = Some(begun);
            self.next += 1;
        }
        Ok(())
    }

    fn end_segment(&mut self) -> Result<(), PastError> {
        self.flush()?;
        if let Some(segment) = self.current.take() {
            self.ended.push_back(Ended {
                number: segment.number,
                bytes: segment.length + segment.index_length,
                latest: segment.latest,
            });
        }
        Ok(())
    }

    /// Removes segments that are too old or too many. The one that is written stays.
    fn retain(&mut self) -> Result<(), PastError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_nanos()).unwrap_or(i64::MAX));
        let keep = self
            .options
            .keep
            .map(|keep| i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX));
        while let Some(oldest) = self.ended.front() {
            let is_old = keep.is_some_and(|keep| oldest.latest < now.saturating_sub(keep));
            let are_many = self
                .options
                .keep_bytes
                .is_some_and(|most| self.bytes() > most);
            if !is_old && !are_many {
                break;
            }
            let path = segment_path(&self.dir, oldest.number);
            fs::remove_file(&path).map_err(PastError::io(&path, "cannot be removed"))?;
            // An index without a segment is of no use, and one that stays does no harm.
            let _ = fs::remove_file(index_path(&path));
            self.ended.pop_front();
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What fails here was going to be lost in any case.
        let _ = self.flush();
    }
}

impl Segment {
    fn begin(dir: &Path, number: u64, time: i64, key: Option<&Key>) -> Result<Segment, PastError> {
        let path = segment_path(dir, number);
        let fault = |source| PastError::io(&path, "cannot be written")(source);
        let create = |path: &Path| {
            let mut options = OpenOptions::new();
            options.create_new(true).write(true).mode(0o600).open(path)
        };
        let header = SegmentHeader::new(key).map_err(fault)?;
        let file = create(&path).map_err(fault)?;
        file.write_all_at(&header.to_bytes(), 0).map_err(fault)?;
        // One that is left of a segment that was removed is of no use.
        let index = index_path(&path);
        let _ = fs::remove_file(&index);
        let index = create(&index).map_err(fault)?;
        index
            .write_all_at(&header.index_header(), 0)
            .map_err(fault)?;
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(fault)?;
        Ok(Segment {
            number,
            path,
            file,
            index,
            header,
            length: SEGMENT_HEADER as u64,
            index_length: INDEX_HEADER as u64,
            earliest: time,
            latest: time,
            cameras: HashMap::new(),
            synced: Instant::now(),
            is_synced: false,
        })
    }

    /// The camera's number, which is written down when it is new.
    fn camera(&mut self, name: &str, time: i64, key: Option<&Key>) -> Result<u32, PastError> {
        if let Some(camera) = self.cameras.get(name) {
            return Ok(camera.number);
        }
        let number = self.cameras.len() as u32;
        self.append(Kind::Camera, number, time, [name.as_bytes(), b""], key)?;
        let camera = Camera {
            number,
            written: time,
            still: time,
            has_frame: false,
        };
        self.cameras.insert(name.to_owned(), camera);
        Ok(number)
    }

    /// Adds a record as a whole; what is written of one that fails is overwritten by the next.
    fn append(
        &mut self,
        kind: Kind,
        camera: u32,
        time: i64,
        parts: [&[u8]; 2],
        key: Option<&Key>,
    ) -> Result<(), PastError> {
        let fault = |source| PastError::io(&self.path, "cannot be written")(source);
        let mut record = Record {
            kind,
            camera,
            time,
            lengths: [0; 2],
            checksums: [0; 2],
        };
        let mut body = Vec::new();
        for (number, part) in parts.into_iter().enumerate() {
            let sealed = match key.filter(|_| !part.is_empty()) {
                Some(key) => &key
                    .seal(part, &record.context(&self.header, number))
                    .map_err(fault)?,
                None => part,
            };
            record.lengths[number] = sealed.len() as u32;
            record.checksums[number] = crc32fast::hash(sealed);
            body.extend_from_slice(sealed);
        }
        let header = record.to_bytes();
        let bytes = [&header[..], &body].concat();
        self.file.write_all_at(&bytes, self.length).map_err(fault)?;
        self.length += bytes.len() as u64;
        self.earliest = self.earliest.min(time);
        self.latest = self.latest.max(time);
        self.is_synced = false;
        // Whoever reads makes good what an index lacks.
        if self.index.write_all_at(&header, self.index_length).is_ok() {
            self.index_length += RECORD_HEADER as u64;
        }
        Ok(())
    }

    fn sync_if_due(&mut self, every: Duration) -> Result<(), PastError> {
        match self.synced.elapsed() >= every {
            true => self.sync(),
            false => Ok(()),
        }
    }

    fn sync(&mut self) -> Result<(), PastError> {
        if !self.is_synced {
            let synced = self.file.sync_data();
            synced.map_err(PastError::io(&self.path, "cannot be written"))?;
            self.is_synced = true;
        }
        self.synced = Instant::now();
        Ok(())
    }
}

fn check_name(camera: &str) -> Result<(), PastError> {
    let is_sound = (1..=MOST_NAME).contains(&camera.len()) && !camera.contains(char::is_control);
    match is_sound {
        true => Ok(()),
        false => Err(PastError::Value {
            what: "name of a camera",
            expected: "1 to 256 bytes without control characters",
            found: format!("{:?}", camera.chars().take(40).collect::<String>()),
        }),
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}
