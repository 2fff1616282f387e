//! A directory that appears at once or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use mdetr_engine::disk::hex;
use rustix::fs::{FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::error::ImportError;
use crate::manifest::Written;

/// Bytes that stay free beside what is written.
const SPARE: u64 = 16 << 20;

/// A directory beside the one that it becomes. What a program that was killed left there is removed.
#[derive(Debug)]
pub struct Staging {
    out: PathBuf,
    dir: PathBuf,
    /// Open, and locked, while this is there.
    _lock: File,
}

impl Staging {
    /// Begins a directory; `replaces`: one that is there already, and holds a bundle, goes.
    pub fn begin(out: &Path, replaces: bool) -> Result<Staging, ImportError> {
        let wrong = |message: &str| ImportError::Out {
            path: out.to_owned(),
            message: message.to_owned(),
        };
        let name = out
            .file_name()
            .ok_or_else(|| wrong("expected the name of a directory to write"))?;
        check_target(out, replaces)?;
        let parent = parent(out);
        fs::create_dir_all(parent).map_err(ImportError::io(parent))?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(".partial");
        let dir = parent.join(hidden);
        fs::create_dir_all(&dir).map_err(ImportError::io(&dir))?;
        let lock = File::open(&dir).map_err(ImportError::io(&dir))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(wrong(
                "another program is writing it at this moment; wait for it, or give another directory",
            ));
        }
        let staging = Staging {
            out: out.to_owned(),
            dir,
            _lock: lock,
        };
        staging.clear()?;
        Ok(staging)
    }

    /// Where files are written.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Checks that there is room for so many bytes.
    pub fn need(&self, bytes: u64) -> Result<(), ImportError> {
        let io = |error: rustix::io::Errno| ImportError::io(&self.dir)(error.into());
        let disk = rustix::fs::statvfs(&self.dir).map_err(io)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < bytes.saturating_add(SPARE) {
            return Err(ImportError::Out {
                path: self.out.clone(),
                message: format!(
                    "expected {} MB free on the disk, found {}; make room, or give a directory on another disk",
                    (bytes + SPARE).div_ceil(1_000_000),
                    free / 1_000_000
                ),
            });
        }
        Ok(())
    }

    /// Writes a file; gives its length and hash.
    pub fn write<T>(
        &self,
        name: &str,
        write: impl FnOnce(&mut HashingFile, &Path) -> Result<T, ImportError>,
    ) -> Result<Written, ImportError> {
        let path = self.dir.join(name);
        let file = File::create(&path).map_err(ImportError::io(&path))?;
        let mut file = HashingFile {
            file: BufWriter::new(file),
            hash: Sha256::new(),
            bytes: 0,
        };
        write(&mut file, &path)?;
        let mut end = || {
            file.file.flush()?;
            file.file.get_ref().sync_all()
        };
        end().map_err(ImportError::io(&path))?;
        let hash = file.hash.finalize();
        Ok(Written {
            name: name.to_owned(),
            bytes: file.bytes,
            sha256: hex(&hash),
        })
    }

    /// Puts the directory in its place.
    pub fn finish(self) -> Result<(), ImportError> {
        let parent = parent(&self.out);
        let place = || -> io::Result<()> {
            if self.out.exists() {
                let cwd = rustix::fs::CWD;
                match renameat_with(cwd, &self.dir, cwd, &self.out, RenameFlags::EXCHANGE) {
                    Ok(()) => return fs::remove_dir_all(&self.dir),
                    // This file system cannot exchange.
                    Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                        fs::remove_dir_all(&self.out)?;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            fs::rename(&self.dir, &self.out)
        };
        place().map_err(ImportError::io(&self.out))?;
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(ImportError::io(parent))
    }

    fn clear(&self) -> Result<(), ImportError> {
        let io = ImportError::io;
        for entry in fs::read_dir(&self.dir).map_err(io(&self.dir))? {
            let path = entry.map_err(io(&self.dir))?.path();
            let removed = match path.is_dir() && !path.is_symlink() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            removed.map_err(io(&path))?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    /// Nothing is left of what was not finished.
    fn drop(&mut self) {
        if self.dir.exists() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Nothing that is there is lost: only an empty directory, or, if it may go, a bundle.
fn check_target(out: &Path, replaces: bool) -> Result<(), ImportError> {
    let wrong = |message: &str| ImportError::Out {
        path: out.to_owned(),
        message: message.to_owned(),
    };
    let entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ImportError::io(out)(error)),
    };
    let is_bundle = out.join("model.toml").is_file();
    match (entries.count(), is_bundle, replaces) {
        (0, ..) | (_, true, true) => Ok(()),
        (_, true, false) => Err(wrong("there is a bundle already; --replace replaces it")),
        (_, false, _) => Err(wrong(
            "expected no directory, an empty one or a bundle, found other files; give another name",
        )),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// A file whose bytes are counted and hashed as they are written.
#[derive(Debug)]
pub struct HashingFile {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
