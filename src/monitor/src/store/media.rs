//! Files of pictures and clips.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::error::StoreError;

/// Most bytes of a name of a file without its ending; file systems take 255.
const MAX_NAME: usize = 200;
/// Names of the directories of what is kept and of what is being written.
pub(super) const MEDIA: &str = "media";
const PARTS: &str = "parts";
/// Ending of a plain picture.
pub(super) const PICTURE: &str = "jpg";
/// Ending of a picture with boxes and words.
pub(super) const DRAWN: &str = "drawn.jpg";

/// Endings of clips.
pub(super) const CLIPS: [&str; 2] = ["mp4", "webm"];

/// Where files are.
#[derive(Debug, Clone)]
pub(super) struct Media {
    /// What is kept.
    pub root: PathBuf,
    /// What is being written. On the same disk.
    pub parts: PathBuf,
}

/// Sizes of the pictures that were written for a step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pictures {
    pub plain: Option<u64>,
    pub drawn: Option<u64>,
}

impl Media {
    /// Below the directory of all data; makes its directories.
    pub fn new(data: &Path) -> Result<Media, StoreError> {
        let media = Media {
            root: data.join(MEDIA),
            parts: data.join(PARTS),
        };
        for directory in [&media.root, &media.parts] {
            make_directory(directory).map_err(StoreError::file(directory))?;
        }
        Ok(media)
    }

    /// Path of a file of an event. Its names have passed [`check_name`].
    pub fn path(&self, day: &str, camera: &str, id: &str, ending: &str) -> PathBuf {
        let directory = self.root.join(day).join(camera);
        directory.join(format!("{id}.{ending}"))
    }

    /// Writes a file whole or not at all, over one that is there.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<u64, StoreError> {
        let name = path.file_name().expect("files of events have names");
        let part = self.parts.join(name);
        let written = write_synced(&part, bytes).map_err(StoreError::file(&part));
        let moved = written.and_then(|()| self.take(&part, path));
        if moved.is_err() {
            // It may not be there; what is left goes at the next start.
            let _ = fs::remove_file(&part);
        }
        moved.map(|()| bytes.len() as u64)
    }

    /// Moves a synced file to its place.
    pub fn take(&self, part: &Path, path: &Path) -> Result<(), StoreError> {
        let directory = path.parent().expect("files of events have a directory");
        make_directory(directory).map_err(StoreError::file(directory))?;
        let mut moved = fs::rename(part, path);
        if !directory.exists() {
            // An event was removed between, and its empty directory with it.
            make_directory(directory).map_err(StoreError::file(directory))?;
            moved = fs::rename(part, path);
        }
        moved.map_err(StoreError::file(path))?;
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(StoreError::file(directory))
    }
}

/// Makes a directory, and those above it, for this user only.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file for this user only, and syncs it.
pub(super) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Name of the directory of a time: `2026-01-05`.
pub(super) fn day(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).date().to_string()
}

/// Refuses what could lead out of a directory or is no name of a file. An id that ended like a drawn picture could
/// take the place of another event's.
pub(super) fn check_name(place: &'static str, name: &str) -> Result<(), StoreError> {
    let known = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let sound = !name.is_empty()
        && name.len() <= MAX_NAME
        && name.chars().all(known)
        && !name.starts_with('.')
        && !name.ends_with(".drawn");
    if sound {
        return Ok(());
    }
    Err(StoreError::Refused {
        place,
        expected: "letters, digits, -, _ and . (not at its begin), at most 200 bytes",
        found: name.chars().take(MAX_NAME).collect(),
    })
}
