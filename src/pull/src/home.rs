//! Where a user's models are, and what is on its way there.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::checksum::Checksum;
use crate::error::PullError;
use crate::watch::Watch;

/// What says where a bundle comes from, in its directory.
const PROVENANCE: &str = "source.toml";
/// Most bytes of it.
const MAX_PROVENANCE: u64 = 1 << 16;

/// A user's models, and downloads that are not models yet, in a directory beside them.
#[derive(Debug, Clone)]
pub struct Home {
    models: PathBuf,
    downloads: PathBuf,
}

/// A download that is not a model yet.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Unfinished {
    /// Name of the model.
    pub name: String,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Where they are.
    pub dir: PathBuf,
}

/// Where a bundle comes from: `source.toml` in its directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Provenance {
    /// What it is, in words.
    pub title: String,
    /// SPDX expression of the weights' licence.
    pub licence: String,
    /// Address or path of the checkpoint.
    pub checkpoint: String,
    /// Bytes of the checkpoint.
    pub bytes: u64,
    /// Checksum of the checkpoint.
    pub checksum: Checksum,
    /// Whether somebody published this checksum; else it was only computed.
    pub published: bool,
    /// Address or path of the tokenizer.
    pub tokenizer: String,
}

impl Provenance {
    /// Where the bundle in `dir` comes from; `None` if it does not say.
    pub fn read(dir: &Path) -> Option<Provenance> {
        let mut text = String::new();
        let file = File::open(dir.join(PROVENANCE)).ok()?;
        file.take(MAX_PROVENANCE).read_to_string(&mut text).ok()?;
        toml::from_str(&text).ok()
    }
}

/// Nobody else pulls or removes this model as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Home {
    /// With the models in `models`, as [`mdetr::bundle::Models::own_dir`] says, and downloads beside.
    ///
    /// [`mdetr::bundle::Models::own_dir`]: ../mdetr/bundle/struct.Models.html#method.own_dir
    ///
    /// # Errors
    /// It is not known where the models are.
    pub fn new(models: Option<&Path>) -> Result<Home, PullError> {
        let models = models.ok_or(PullError::NoHome)?.to_owned();
        let downloads = models.with_file_name("downloads");
        Ok(Home { models, downloads })
    }

    /// The directory of a model, whether or not it is there.
    pub fn model(&self, name: &str) -> PathBuf {
        self.models.join(name)
    }

    /// The directory of a model's downloads.
    pub(crate) fn downloads(&self, name: &str) -> PathBuf {
        self.downloads.join(name)
    }

    /// Where a bundle is made before it is seen.
    pub(crate) fn staging(&self, name: &str) -> PathBuf {
        self.models.join(format!(".{name}.new"))
    }

    /// Where a bundle is that is no longer seen.
    fn discarded(&self, name: &str) -> PathBuf {
        self.models.join(format!(".{name}.old"))
    }

    /// Makes the directories, and waits until nobody else pulls or removes this model. What those left who were
    /// killed is cleared away.
    pub(crate) fn lock(&self, name: &str, watch: &dyn Watch) -> Result<Lock, PullError> {
        make(&self.models)?;
        make(&self.downloads)?;
        let path = self.downloads.join(format!(".{name}.lock"));
        let fault = |error| PullError::disk(&path)(error);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = opened.map_err(fault)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&mut file);
                watch.say(&format!(
                    "{name} is being pulled by process {holder}: waiting for it"
                ));
                file.lock().map_err(fault)?;
            }
            Err(TryLockError::Error(error)) => return Err(fault(error)),
        }
        file.set_len(0).map_err(fault)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(0)).map_err(fault)?;
        write!(file, "{}", std::process::id()).map_err(fault)?;
        for left in [self.staging(name), self.discarded(name)] {
            remove_dir(&left)?;
        }
        Ok(Lock { _file: file })
    }

    /// Puts the bundle in `made` in its place, in one step; whoever looks finds the old one or the new one.
    pub(crate) fn publish(&self, name: &str, made: &Path) -> Result<PathBuf, PullError> {
        sync(made)?;
        let dir = self.model(name);
        if dir.exists() {
            match renameat_with(CWD, made, CWD, &dir, RenameFlags::EXCHANGE) {
                // The old one is where the new one was made, and goes with that.
                Ok(()) => return Ok(dir),
                // This file system cannot exchange.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => drop(self.discard(name)?),
                Err(error) => return Err(PullError::disk(&dir)(error.into())),
            }
        }
        fs::rename(made, &dir).map_err(PullError::disk(&dir))?;
        remove_dir(&self.discarded(name))?;
        Ok(dir)
    }

    /// Moves a model out of sight, if it is there.
    fn discard(&self, name: &str) -> Result<bool, PullError> {
        let dir = self.model(name);
        match fs::rename(&dir, self.discarded(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            moved => moved.map(|()| true).map_err(PullError::disk(dir)),
        }
    }

    /// Removes a model and what was downloaded of it. Returns whether there was a model.
    ///
    /// # Errors
    /// There is nothing of this name, or it cannot be removed.
    pub fn remove(&self, name: &str, watch: &dyn Watch) -> Result<bool, PullError> {
        let there = self.model(name).exists() || self.downloads(name).exists();
        if !there {
            return Err(PullError::NotRemoved {
                name: name.to_owned(),
                found: format!(
                    "no such model in {}, where your models are; `mdetr models` lists those there are",
                    self.models.display()
                ),
            });
        }
        let _lock = self.lock(name, watch)?;
        let removed = self.discard(name)?;
        remove_dir(&self.discarded(name))?;
        remove_dir(&self.downloads(name))?;
        Ok(removed)
    }

    /// Downloads that are not models yet, or were kept.
    pub fn unfinished(&self) -> Vec<Unfinished> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.downloads)
            .into_iter()
            .flatten()
            .flatten()
        {
            let files = fs::read_dir(entry.path()).into_iter().flatten().flatten();
            let lengths = files.filter_map(|file| Some(file.metadata().ok()?.len()));
            let bytes = lengths.sum();
            if let Ok(name) = entry.file_name().into_string()
                && bytes > 0
            {
                let dir = entry.path();
                found.push(Unfinished { name, bytes, dir });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }
}

/// Writes where a bundle comes from into its directory.
pub(crate) fn write_provenance(dir: &Path, provenance: &Provenance) -> Result<(), PullError> {
    let text = toml::to_string(provenance).expect("strings and numbers");
    let path = dir.join(PROVENANCE);
    fs::write(&path, text).map_err(PullError::disk(path))
}

/// The process that holds the lock, as it says.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(20).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(process) if read.is_ok() => process.to_string(),
        _ => "(unknown)".to_owned(),
    }
}

pub(crate) fn make(dir: &Path) -> Result<(), PullError> {
    fs::create_dir_all(dir).map_err(PullError::disk(dir))
}

pub(crate) fn remove_dir(dir: &Path) -> Result<(), PullError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(PullError::disk(dir)),
    }
}

/// Writes the files of a directory to the disk, so that no power cut leaves a model of empty files.
fn sync(dir: &Path) -> Result<(), PullError> {
    let sync = || {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                File::open(entry.path())?.sync_all()?;
            }
        }
        File::open(dir)?.sync_all()
    };
    sync().map_err(PullError::disk(dir))
}

/// Megabytes free for this user on the disk of `dir`.
pub(crate) fn free_mb(dir: &Path) -> Result<u64, PullError> {
    let stat = rustix::fs::statvfs(dir).map_err(io::Error::from);
    let stat = stat.map_err(PullError::disk(dir))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize) / 1_000_000)
}

/// Bytes in megabytes, rounded up.
pub(crate) fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}
