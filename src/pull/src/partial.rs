//! A file that is not there as a whole yet.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::checksum::Checksum;
use crate::error::PullError;

/// Most bytes of what is kept beside a partial file.
const MAX_IDENTITY: u64 = 1 << 16;

/// What a download is of: by this its beginning is known again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// Where it comes from, without passwords.
    pub url: String,
    /// All its bytes, if known.
    pub size: Option<u64>,
    /// Its checksum, if known.
    pub checksum: Option<Checksum>,
    /// What the server calls this version of it: a strong `ETag`, else `Last-Modified`.
    pub version: Option<String>,
}

impl Identity {
    /// Whether what began as `self` can go on as `now`, whose version is not known yet.
    fn goes_on_as(&self, now: &Identity) -> bool {
        if self.checksum.is_some() && now.checksum.is_some() {
            let sizes = self.size.zip(now.size);
            return self.checksum == now.checksum && sizes.is_none_or(|(was, is)| was == is);
        }
        // The server has to compare versions.
        self.checksum == now.checksum && self.url == now.url && self.version.is_some()
    }
}

/// The beginning of a file, and what it is the beginning of.
#[derive(Debug)]
pub(crate) struct Partial {
    path: PathBuf,
    file: File,
    pub length: u64,
    pub identity: Identity,
}

impl Partial {
    /// The beginning of what will be at `target`: what was kept of this, or nothing.
    pub(crate) fn open(target: &Path, wanted: Identity) -> Result<Partial, PullError> {
        let path = beside(target, ".part");
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let file = opened.map_err(PullError::disk(&path))?;
        let mut partial = Partial {
            length: file.metadata().map_err(PullError::disk(&path))?.len(),
            file,
            identity: wanted,
            path,
        };
        match read_identity(&partial.path) {
            Some(kept) if kept.goes_on_as(&partial.identity) => {
                // Another server calls it something else.
                let same_server = kept.url == partial.identity.url;
                partial.identity.version = kept.version.filter(|_| same_server);
                partial.identity.size = partial.identity.size.or(kept.size);
                let end = io::Seek::seek(&mut partial.file, io::SeekFrom::End(0));
                partial.length = end.map_err(PullError::disk(&partial.path))?;
                if partial
                    .identity
                    .size
                    .is_some_and(|size| partial.length > size)
                {
                    partial.clear()?;
                }
            }
            _ => partial.clear()?,
        }
        Ok(partial)
    }

    /// How much of what will be at `target` there is.
    pub(crate) fn length_beside(target: &Path) -> u64 {
        fs::metadata(beside(target, ".part")).map_or(0, |metadata| metadata.len())
    }

    /// The directory it is in.
    pub(crate) fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Begins again.
    pub(crate) fn clear(&mut self) -> Result<(), PullError> {
        let emptied = self.file.set_len(0);
        emptied
            .and_then(|()| io::Seek::seek(&mut self.file, io::SeekFrom::Start(0)))
            .map_err(PullError::disk(&self.path))?;
        self.length = 0;
        self.identity.version = None;
        Ok(())
    }

    /// Keeps what this is the beginning of, before its first byte.
    pub(crate) fn identify(&mut self) -> Result<(), PullError> {
        let path = identity_of(&self.path);
        let text = toml::to_string(&self.identity).expect("strings and numbers");
        fs::write(&path, text).map_err(PullError::disk(path))
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        let written = self.file.write_all(bytes);
        written.map_err(PullError::disk(&self.path))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Makes it the whole file. What it is stays beside it.
    pub(crate) fn finish(self, target: &Path) -> Result<(), PullError> {
        let moved = self.file.sync_all();
        moved
            .and_then(|()| fs::rename(identity_of(&self.path), identity_of(target)))
            .and_then(|()| fs::rename(&self.path, target))
            .map_err(PullError::disk(target))
    }
}

/// Where a whole file was downloaded from; `None` if it is not known, or not whole.
pub(crate) fn finished(target: &Path) -> Option<String> {
    let length = fs::metadata(target).ok()?.len();
    let identity = read_identity(target)?;
    (identity.size == Some(length)).then_some(identity.url)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn identity_of(file: &Path) -> PathBuf {
    beside(file, ".toml")
}

/// What is written beside; `None` if there is nothing that can be read.
fn read_identity(file: &Path) -> Option<Identity> {
    let path = identity_of(file);
    let bounded = fs::metadata(&path).ok()?.len() <= MAX_IDENTITY;
    let text = bounded.then(|| fs::read_to_string(&path).ok())??;
    toml::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(checksum: Option<&str>, version: Option<&str>) -> Identity {
        let checksum = checksum.map(|digit| format!("md5:{}", digit.repeat(32)));
        Identity {
            url: "https://example.org/a".to_owned(),
            size: Some(10),
            checksum: checksum.map(|text| text.try_into().unwrap()),
            version: version.map(str::to_owned),
        }
    }

    /// How much of five bytes, kept as one thing, is there when it is opened as another.
    fn kept(was: Identity, now: Identity) -> u64 {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a");
        let mut partial = Partial::open(&target, Identity::default()).unwrap();
        partial.identity = was;
        partial.identify().unwrap();
        partial.append(b"12345").unwrap();
        assert_eq!(Partial::length_beside(&target), 5);
        let partial = Partial::open(&target, now).unwrap();
        assert_eq!(partial.length, Partial::length_beside(&target));
        partial.length
    }

    #[test]
    fn the_same_file_goes_on_and_another_begins_again() {
        let one = || identity(Some("1"), None);
        assert_eq!(kept(one(), one()), 5);
        let mirrored = Identity {
            url: "https://mirror.example.org/a".to_owned(),
            ..one()
        };
        assert_eq!(kept(one(), mirrored), 5);
        assert_eq!(kept(one(), identity(Some("2"), None)), 0);
        assert_eq!(
            kept(
                one(),
                Identity {
                    size: Some(11),
                    ..one()
                }
            ),
            0
        );
        let unknown = || Identity {
            size: None,
            ..one()
        };
        assert_eq!(kept(one(), unknown()), 5);
        assert_eq!(kept(unknown(), one()), 5);
        // More than there should be.
        let short = || Identity {
            size: Some(4),
            ..one()
        };
        assert_eq!(kept(short(), short()), 0);
    }

    #[test]
    fn without_a_checksum_a_version_is_needed() {
        let one = || identity(None, Some("\"v1\""));
        assert_eq!(kept(one(), identity(None, None)), 5);
        assert_eq!(kept(identity(None, None), identity(None, None)), 0);
        let elsewhere = Identity {
            url: "https://mirror.example.org/a".to_owned(),
            ..identity(None, None)
        };
        assert_eq!(kept(one(), elsewhere), 0);
        assert_eq!(kept(one(), identity(Some("1"), None)), 0);
    }

    #[test]
    fn a_beginning_of_unknown_origin_is_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a");
        for text in ["", "size = 10", "\u{0}", &"#".repeat(1 << 17)] {
            fs::write(beside(&target, ".part"), "12345").unwrap();
            fs::write(beside(&target, ".part.toml"), text).unwrap();
            let partial = Partial::open(&target, identity(Some("1"), None)).unwrap();
            assert_eq!(partial.length, 0, "{text:.10}");
        }
    }
}
