//! A database that cannot be used is put aside: the program must watch.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::error::StoreError;

/// What stands between a name and the time at which it was put aside.
const ASIDE: &str = ".damaged-";
/// `20260105T101503Z`, in UTC.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// A directory of pictures and clips that was put aside.
#[derive(Debug)]
pub(super) struct Aside {
    pub path: PathBuf,
    /// When.
    pub time: Timestamp,
}

/// Puts files aside, under one time. Those that are not there are left out.
pub(super) fn put_aside(data: &Path, names: &[&str]) -> Result<Timestamp, StoreError> {
    let there = |name: &str| data.join(name).exists();
    let mut time = Timestamp::now();
    while names.iter().any(|name| there(&aside(name, time))) {
        time += SignedDuration::from_secs(1);
    }
    for name in names.iter().filter(|name| there(name)) {
        let path = data.join(name);
        fs::rename(&path, data.join(aside(name, time))).map_err(StoreError::file(&path))?;
    }
    Ok(time)
}

/// Name under which something is put aside.
pub(super) fn aside(name: &str, time: Timestamp) -> String {
    let time = time.to_zoned(TimeZone::UTC).strftime(TIME);
    // What SQLite keeps beside a database is found by its ending.
    for ending in ["-wal", "-shm"] {
        if let Some(name) = name.strip_suffix(ending) {
            return format!("{name}{ASIDE}{time}{ending}");
        }
    }
    format!("{name}{ASIDE}{time}")
}

/// Directories that were put aside under a name, oldest first.
pub(super) fn asides(data: &Path, name: &str) -> io::Result<Vec<Aside>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        let file = entry.file_name();
        let time = file
            .to_str()
            .and_then(|file| file.strip_prefix(name)?.strip_prefix(ASIDE))
            .and_then(|time| DateTime::strptime(TIME, time).ok())
            .and_then(|time| time.to_zoned(TimeZone::UTC).ok());
        if let Some(time) = time {
            found.push(Aside {
                path: entry.path(),
                time: time.timestamp(),
            });
        }
    }
    found.sort_by_key(|aside| aside.time);
    Ok(found)
}

/// Bytes of all files below a directory.
pub(super) fn bytes_below(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => bytes_below(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(bytes)
}
