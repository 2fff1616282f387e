//! Directories of cached files, which several processes use at once.
//!
//! An entry is written as a whole or not at all; above the bound the longest unused ones go.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::error::CacheError;

const TEMPORARY: &str = ".mdetr-";
/// Temporary files older than this were left by processes that were killed.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Hexadecimal digits of an entry's key, a SHA-256.
const KEY_LENGTH: usize = 64;

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An entry's key: a SHA-256 of a format and parts, hexadecimal.
pub fn key(format: &str, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in [&format].into_iter().chain(parts) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// A directory with entries whose names end in `suffix`; other files in it are left alone.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    suffix: &'static str,
    max_bytes: u64,
}

/// An entry as it lies on disk.
#[derive(Debug)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its file.
    pub path: PathBuf,
    /// Length of the file.
    pub bytes: u64,
    /// When it was last read or written.
    pub used: SystemTime,
}

/// What a cache has under a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup<T> {
    /// A sound entry.
    Found(T),
    /// Nothing.
    Missing,
    /// A file, but not one to trust.
    Damaged,
}

/// The file under a key.
pub enum Found {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// There is none.
    Missing,
    /// A file that cannot be read, or is larger than any entry.
    Unreadable,
}

impl Directory {
    /// Makes the directory if need be, and makes sure that it can be written.
    pub fn open(
        path: &Path,
        suffix: &'static str,
        max_bytes: u64,
    ) -> Result<Directory, CacheError> {
        let dir = path.to_owned();
        fs::create_dir_all(&dir).map_err(|source| CacheError::Create {
            dir: dir.clone(),
            source,
        })?;
        temporary(&dir)
            .and_then(|mut file| file.write_all(b"mdetr"))
            .map_err(|source| CacheError::Write {
                dir: dir.clone(),
                source,
            })?;
        let directory = Directory {
            path: dir,
            suffix,
            max_bytes,
        };
        directory.remove_abandoned();
        Ok(directory)
    }

    /// Where the entry of `key` lies.
    pub fn path(&self, key: &str) -> PathBuf {
        self.path.join(format!("{key}{}", self.suffix))
    }

    /// A file of the directory that is no entry.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads an entry of at most `limit` bytes, and marks it as used.
    pub fn read(&self, key: &str, limit: u64) -> Found {
        let file = match File::open(self.path(key)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Missing,
            Err(_) => return Found::Unreadable,
        };
        let mut bytes = Vec::new();
        let read = (&file)
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes);
        if read.is_err() || bytes.len() as u64 > limit {
            return Found::Unreadable;
        }
        // Only the order of eviction suffers if the time cannot be set.
        let _ = file.set_modified(SystemTime::now());
        Found::Bytes(bytes)
    }

    /// Writes an entry as a whole or not at all, then removes the longest unused ones above the bound.
    pub fn write(&self, key: &str, parts: &[&[u8]]) -> io::Result<()> {
        let mut file = temporary(&self.path)?;
        for part in parts {
            file.write_all(part)?;
        }
        file.persist(self.path(key))?;
        self.evict(key)
    }

    /// The entries, in no order.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path)?.flatten() {
            let name = entry.file_name();
            let key = name
                .to_str()
                .and_then(|name| name.strip_suffix(self.suffix))
                .filter(|key| {
                    key.len() == KEY_LENGTH && key.bytes().all(|b| b.is_ascii_hexdigit())
                });
            // Another process may have removed it since.
            if let (Some(key), Ok(metadata)) = (key, entry.metadata()) {
                entries.push(Entry {
                    key: key.to_owned(),
                    path: entry.path(),
                    bytes: metadata.len(),
                    used: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                });
            }
        }
        Ok(entries)
    }

    /// Removes entries, longest unused first and `newest` last, until the rest fits.
    fn evict(&self, newest: &str) -> io::Result<()> {
        let mut entries = self.entries()?;
        entries.sort_by_key(|entry| (entry.key == newest, entry.used));
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        for entry in entries {
            if total <= self.max_bytes {
                break;
            }
            remove(&entry.path)?;
            total -= entry.bytes;
        }
        Ok(())
    }

    /// Removes what killed processes left behind.
    fn remove_abandoned(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let ours = entry
                .file_name()
                .to_str()
                .is_some_and(|n| n.starts_with(TEMPORARY));
            let age = entry
                .metadata()
                .and_then(|m| m.modified())
                .ok()
                .and_then(|t| t.elapsed().ok());
            if ours && age.is_some_and(|age| age > ABANDONED) {
                // Another process may have been faster; the next opening tries again otherwise.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Removes a file that another process may have removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn temporary(dir: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_processes_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join(".mdetr-old"), dir.path().join(".mdetr-new"));
        fs::write(&old, "x").unwrap();
        fs::write(&new, "x").unwrap();
        let long_ago = SystemTime::now() - 2 * ABANDONED;
        File::options()
            .write(true)
            .open(&old)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
        Directory::open(dir.path(), ".x", 1).unwrap();
        assert!(!old.exists() && new.exists());
    }
}
