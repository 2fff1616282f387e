//! Where a checkpoint is taken from, if not from its publisher.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{env, fs};

use url::Url;

use crate::checksum::{Checksum, Kind};
use crate::client::{Client, shown};
use crate::download::Remote;
use crate::error::PullError;
use crate::watch::Watch;

/// Names a source for all models.
const VARIABLE: &str = "MDETR_MIRROR";
/// Ends of checkpoints' names.
const EXTENSIONS: [&str; 3] = ["pth", "pt", "safetensors"];
/// Most bytes of a file with a checksum.
const MAX_CHECKSUM: usize = 1 << 12;

/// Where a checkpoint is taken from, instead of its publisher.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// This checkpoint.
    File(PathBuf),
    /// The files of the publisher's names in this directory.
    Directory(PathBuf),
    /// The checkpoint of this address.
    Address(Url),
    /// The files of the publisher's names below this address.
    Mirror(Url),
}

/// A checkpoint to take.
#[derive(Debug)]
pub(crate) enum Offer {
    /// A file of this machine, and its checksum if one lies beside it.
    Local(PathBuf, Option<Checksum>),
    Remote(Remote),
}

impl Source {
    /// What `MDETR_MIRROR` names, if it is set.
    ///
    /// # Errors
    /// It names nothing to take files from.
    pub fn from_environment() -> Result<Option<Source>, PullError> {
        let value = env::var_os(VARIABLE).filter(|value| !value.is_empty());
        value.map(|value| Source::parse(&value)).transpose()
    }

    /// An address with `http://` or `https://`, of a checkpoint (by the end of its name) or of a directory,
    /// or the path of a file or a directory that exists.
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(given: &OsStr) -> Result<Source, PullError> {
        let refused = |expected: &str, found: String| PullError::Source {
            given: given.to_string_lossy().into_owned(),
            expected: expected.to_owned(),
            found,
        };
        let text = given.to_str().filter(|text| text.contains("://"));
        if let Some(text) = text {
            let web = "an address such as https://example.org/models/";
            // The text may have a password.
            let url = Url::parse(text).map_err(|error| PullError::Source {
                given: "the source's address".to_owned(),
                expected: web.to_owned(),
                found: error.to_string(),
            })?;
            if !["http", "https"].contains(&url.scheme()) {
                return Err(refused(web, format!("{}:", url.scheme())));
            }
            let last = Path::new(url.path()).extension();
            let checkpoint = last.is_some_and(|last| EXTENSIONS.iter().any(|end| last == *end));
            return Ok(match checkpoint {
                true => Source::Address(url),
                false => Source::Mirror(url),
            });
        }
        let path = PathBuf::from(given);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Source::File(path)),
            Ok(metadata) if metadata.is_dir() => Ok(Source::Directory(path)),
            Ok(_) => Err(refused(
                "a file, a directory or an address",
                "something else".to_owned(),
            )),
            Err(error) => Err(refused(
                "a file or a directory, or an address with https://",
                error.to_string(),
            )),
        }
    }

    /// The checkpoint whose name at the publisher is `file`.
    pub(crate) async fn checkpoint(
        &self,
        client: &Client,
        file: &str,
        watch: &dyn Watch,
    ) -> Result<Offer, PullError> {
        match self {
            Source::File(path) => local(path.clone()),
            Source::Directory(dir) if dir.join(file).is_file() => local(dir.join(file)),
            Source::Directory(dir) => Err(PullError::Source {
                given: dir.display().to_string(),
                expected: format!("the file {file} in it"),
                found: "none of this name".to_owned(),
            }),
            Source::Address(url) => remote(client, url.clone(), watch).await,
            Source::Mirror(base) => remote(client, below(base, &[file]), watch).await,
        }
    }

    /// Files of this machine that may be one of this name, in this directory or beside this file.
    pub(crate) fn beside(&self, parts: &[&[&str]]) -> Option<PathBuf> {
        let dir = match self {
            Source::File(path) => path.parent()?,
            Source::Directory(dir) => dir,
            Source::Address(_) | Source::Mirror(_) => return None,
        };
        let places = parts.iter().map(|parts| {
            let mut path = dir.to_owned();
            path.extend(*parts);
            path
        });
        places.into_iter().find(|path| path.is_file())
    }

    /// The address of a file below a mirror's.
    pub(crate) fn mirrored(&self, parts: &[&str]) -> Option<Url> {
        match self {
            Source::Mirror(base) => Some(below(base, parts)),
            _ => None,
        }
    }
}

fn below(base: &Url, parts: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(parts);
    }
    url
}

/// A file, and the checksum in `FILE.sha256` or `FILE.md5`.
fn local(path: PathBuf) -> Result<Offer, PullError> {
    for kind in Kind::ALL {
        let mut name = path.clone().into_os_string();
        name.push(format!(".{}", kind.name()));
        let beside = PathBuf::from(name);
        let small = fs::metadata(&beside).is_ok_and(|m| m.len() <= MAX_CHECKSUM as u64);
        if beside.is_file() {
            let text = small.then(|| fs::read_to_string(&beside).ok()).flatten();
            let given = beside.display().to_string();
            let checksum = first_digits(kind, text.unwrap_or_default(), given)?;
            return Ok(Offer::Local(path, Some(checksum)));
        }
    }
    Ok(Offer::Local(path, None))
}

/// A file of a server, and the checksum in `FILE.sha256` or `FILE.md5`.
async fn remote(client: &Client, url: Url, watch: &dyn Watch) -> Result<Offer, PullError> {
    for kind in Kind::ALL {
        let mut beside = url.clone();
        beside.set_path(&format!("{}.{}", url.path(), kind.name()));
        if let Some(text) = client.document(&beside, MAX_CHECKSUM, watch).await? {
            let text = String::from_utf8(text).unwrap_or_default();
            let checksum = first_digits(kind, text, shown(&beside))?;
            return Ok(Offer::Remote(Remote {
                url,
                size: None,
                checksum: Some(checksum),
            }));
        }
    }
    Ok(Offer::Remote(Remote {
        url,
        size: None,
        checksum: None,
    }))
}

/// The checksum that begins a file written by `md5sum` or `sha256sum`.
fn first_digits(kind: Kind, text: String, given: String) -> Result<Checksum, PullError> {
    let digits = text.split_ascii_whitespace().next().unwrap_or_default();
    Checksum::new(kind, digits).ok_or_else(|| PullError::Source {
        given,
        expected: format!("what {}sum writes", kind.name()),
        found: format!("{digits:.80?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.pth");
        fs::write(&file, "").unwrap();
        let parse = |given: &OsStr| Source::parse(given);
        assert_eq!(parse(file.as_os_str()).unwrap(), Source::File(file.clone()));
        let path = dir.path();
        assert_eq!(
            parse(path.as_os_str()).unwrap(),
            Source::Directory(path.to_owned())
        );
        let address = |text: &str| Url::parse(text).unwrap();
        for text in [
            "https://a.org/b.pth",
            "http://a.org/b.safetensors?download=1",
        ] {
            assert_eq!(
                parse(text.as_ref()).unwrap(),
                Source::Address(address(text))
            );
        }
        for text in [
            "https://a.org",
            "https://a.org/models/",
            "http://a.org/v1.2",
        ] {
            assert_eq!(parse(text.as_ref()).unwrap(), Source::Mirror(address(text)));
        }
        for (text, said) in [
            ("/no/such", "a file or a directory"),
            ("ftp://a.org/b.pth", "found ftp:"),
            ("https://:secret@", "expected an address"),
            ("/dev/null", "something else"),
        ] {
            let error = parse(text.as_ref()).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn mirrors_hold_the_publishers_names() {
        for base in ["https://a.org/m", "https://a.org/m/"] {
            let source = Source::parse(base.as_ref()).unwrap();
            let url = source
                .mirrored(&["roberta-base", "refcoco+_x.pth"])
                .unwrap();
            assert_eq!(url.as_str(), "https://a.org/m/roberta-base/refcoco+_x.pth");
        }
    }
}
