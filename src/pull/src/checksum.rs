//! Checksums of files.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::watch::Watch;

/// Bytes read at once.
const BLOCK: usize = 1 << 20;

/// A checksum of a file: `md5:` or `sha256:` and its hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum {
    kind: Kind,
    /// Lower case.
    digits: String,
}

/// How a checksum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What Zenodo publishes. It finds what broke on the way, not what somebody forged.
    Md5,
    Sha256,
}

impl Kind {
    pub(crate) const ALL: [Kind; 2] = [Kind::Sha256, Kind::Md5];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Md5 => "md5",
            Kind::Sha256 => "sha256",
        }
    }

    fn digits(self) -> usize {
        match self {
            Kind::Md5 => 32,
            Kind::Sha256 => 64,
        }
    }
}

impl Checksum {
    pub(crate) fn new(kind: Kind, digits: &str) -> Option<Checksum> {
        let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        (hexadecimal && digits.len() == kind.digits()).then(|| Checksum {
            kind,
            digits: digits.to_ascii_lowercase(),
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Of the file at `path`.
    pub(crate) fn of(kind: Kind, path: &Path, watch: &dyn Watch) -> io::Result<Checksum> {
        let file = File::open(path)?;
        watch.begin("checking", 0, Some(file.metadata()?.len()));
        let digits = match kind {
            Kind::Md5 => digest::<Md5>(file, watch),
            Kind::Sha256 => digest::<Sha256>(file, watch),
        };
        watch.end();
        let digits = digits?;
        Ok(Checksum { kind, digits })
    }
}

fn digest<D: Digest>(mut file: File, watch: &dyn Watch) -> io::Result<String> {
    let mut digest = D::new();
    let mut block = vec![0; BLOCK];
    let mut done = 0;
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            break;
        }
        digest.update(&block[..read]);
        done += read as u64;
        watch.at(done);
    }
    let bytes = digest.finalize();
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.digits)
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> String {
        checksum.to_string()
    }
}

impl TryFrom<String> for Checksum {
    type Error = String;

    fn try_from(text: String) -> Result<Checksum, String> {
        let parsed = text.split_once(':').and_then(|(name, digits)| {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name)?;
            Checksum::new(kind, digits)
        });
        parsed.ok_or_else(|| {
            format!(
                "expected \"sha256:\" and 64 hexadecimal digits, or \"md5:\" and 32, found {text:?}"
            )
        })
    }
}
