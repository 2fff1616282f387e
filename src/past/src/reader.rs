//! Reads what was kept.

use std::collections::HashMap;
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use crate::error::PastError;
use crate::format::{Kind, MOST_NAME, Record, SegmentHeader};
use crate::key::Key;
use crate::segment::{Contents, numbers, part, segment_path};

/// Segments whose files are open at once.
const OPEN: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// Which frames are wanted.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// From this time on.
    pub from: Option<i64>,
    /// Before this time.
    pub to: Option<i64>,
    /// Of these cameras; none named: of all.
    pub cameras: Vec<String>,
}

impl Selection {
    /// Whether something that holds from `time` until `until` is wanted.
    fn holds(&self, time: i64, until: i64) -> bool {
        self.from.is_none_or(|from| until >= from) && self.to.is_none_or(|to| time < to)
    }
}

/// A frame that was kept.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    camera: u32,
    time: i64,
    until: i64,
    segment: u32,
    offset: u64,
    record: Record,
}

impl Frame {
    /// When it was seen.
    pub fn time(&self) -> i64 {
        self.time
    }

    /// Until when the camera is known to have shown the same.
    pub fn until(&self) -> i64 {
        self.until
    }

    /// Place of its camera among [`Past::cameras`].
    pub fn camera(&self) -> usize {
        self.camera as usize
    }

    /// Whether a picture was kept beside it.
    pub fn has_picture(&self) -> bool {
        self.record.lengths[1] > 0
    }
}

/// What was kept in a directory when it was opened.
#[derive(Debug)]
pub struct Past {
    key: Option<Key>,
    segments: Vec<(PathBuf, SegmentHeader)>,
    cameras: Vec<String>,
    frames: Vec<Frame>,
    problems: Vec<String>,
    open: Mutex<LruCache<u32, Arc<File>>>,
}

impl Past {
    /// What a directory has of the selection. It may be written meanwhile.
    ///
    /// # Errors
    /// The directory cannot be read, or all of its segments are of no use: of another key, say. Where only some are,
    /// [`problems`](Self::problems) tells of them.
    pub fn open(dir: &Path, key: Option<Key>, wanted: &Selection) -> Result<Past, PastError> {
        let mut past = Past {
            key,
            segments: Vec::new(),
            cameras: Vec::new(),
            frames: Vec::new(),
            problems: Vec::new(),
            open: Mutex::new(LruCache::new(OPEN)),
        };
        let mut first = None;
        for number in numbers(dir)? {
            match past.add(&segment_path(dir, number), wanted) {
                Ok(()) => {}
                // A writer has removed it since the directory was listed.
                Err(PastError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    past.problems.push(error.to_string());
                    first.get_or_insert(error);
                }
            }
        }
        if let Some(error) = first.filter(|_| past.segments.is_empty()) {
            return Err(error);
        }
        past.frames.sort_by_key(|frame| (frame.camera, frame.time));
        Ok(past)
    }

    fn add(&mut self, path: &Path, wanted: &Selection) -> Result<(), PastError> {
        let contents = Contents::read(path)?;
        let header = contents.header;
        match (&self.key, header.proof) {
            (None, Some(_)) => {
                return Err(PastError::KeyNeeded {
                    path: path.to_owned(),
                });
            }
            (Some(key), Some(_)) if !header.is_of(key) => {
                return Err(PastError::WrongKey {
                    path: path.to_owned(),
                });
            }
            _ => {}
        }
        if contents.cut > 0 {
            self.problems.push(format!(
                "{}: {} bytes at its end are no whole record, and are left out",
                path.display(),
                contents.cut
            ));
        }
        let segment = self.segments.len() as u32;
        self.segments.push((path.to_owned(), header));
        // Cameras of the segment by number, and the place of the last frame of each.
        let mut cameras: HashMap<u32, Option<u32>> = HashMap::new();
        let mut last: HashMap<u32, usize> = HashMap::new();
        let mut frames: Vec<Frame> = Vec::new();
        for (offset, record) in contents.records {
            match record.kind {
                Kind::Camera => {
                    let name = self.name(segment, offset, &record)?;
                    let is_wanted = wanted.cameras.is_empty() || wanted.cameras.contains(&name);
                    let place = is_wanted.then(|| self.place(name));
                    cameras.insert(record.camera, place);
                }
                Kind::Frame => {
                    last.remove(&record.camera);
                    if let Some(Some(camera)) = cameras.get(&record.camera) {
                        last.insert(record.camera, frames.len());
                        frames.push(Frame {
                            camera: *camera,
                            time: record.time,
                            until: record.time,
                            segment,
                            offset,
                            record,
                        });
                    }
                }
                Kind::Still => {
                    if let Some(place) = last.get(&record.camera) {
                        let until = &mut frames[*place].until;
                        *until = record.time.max(*until);
                    }
                }
            }
        }
        let held = frames.into_iter();
        self.frames
            .extend(held.filter(|frame| wanted.holds(frame.time, frame.until)));
        Ok(())
    }

    fn name(&self, segment: u32, offset: u64, record: &Record) -> Result<String, PastError> {
        let bytes = self.part(segment, offset, record, 0)?;
        let name = String::from_utf8(bytes).ok();
        let name = name.filter(|name| (1..=MOST_NAME).contains(&name.len()));
        name.ok_or_else(|| PastError::Format {
            path: self.segments[segment as usize].0.clone(),
            what: "name of a camera",
            expected: "1 to 256 bytes of UTF-8".to_owned(),
            found: "others".to_owned(),
        })
    }

    /// The place of a camera's name, which is given one when it is new.
    fn place(&mut self, name: String) -> u32 {
        let known = self.cameras.iter().position(|camera| *camera == name);
        known.unwrap_or_else(|| {
            self.cameras.push(name);
            self.cameras.len() - 1
        }) as u32
    }

    /// Names of the cameras that frames were found of.
    pub fn cameras(&self) -> &[String] {
        &self.cameras
    }

    /// The frames that were found, camera by camera and by time.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// What could not be read, in sentences: of the rest nothing is missing.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What [`mdetr::Grounder::restore`] takes of a frame.
    ///
    /// # Errors
    /// The record is damaged, or its segment was removed.
    pub fn tokens(&self, frame: &Frame) -> Result<Vec<u8>, PastError> {
        self.part(frame.segment, frame.offset, &frame.record, 0)
    }

    /// The picture that was kept beside a frame.
    ///
    /// # Errors
    /// As [`tokens`](Self::tokens).
    pub fn picture(&self, frame: &Frame) -> Result<Option<Vec<u8>>, PastError> {
        let picture = || self.part(frame.segment, frame.offset, &frame.record, 1);
        frame.has_picture().then(picture).transpose()
    }

    fn part(
        &self,
        segment: u32,
        offset: u64,
        record: &Record,
        number: usize,
    ) -> Result<Vec<u8>, PastError> {
        let (path, header) = &self.segments[segment as usize];
        let file = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let file = open.try_get_or_insert(segment, || File::open(path).map(Arc::new));
            file.map_err(PastError::io(path, "cannot be read"))?.clone()
        };
        let damaged = || PastError::Damaged {
            path: path.clone(),
            offset,
        };
        let bytes = part(&file, offset, record, number).ok_or_else(damaged)?;
        match (&self.key, header.proof) {
            (Some(key), Some(_)) => {
                let opened = key.open(&bytes, &record.context(header, number));
                opened.ok_or_else(damaged)
            }
            _ => Ok(bytes),
        }
    }
}
