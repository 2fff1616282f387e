//! From a name to a bundle.

use std::fs;
use std::path::{Path, PathBuf};

use url::Url;

use crate::checksum::{Checksum, Kind};
use crate::client::{Client, shown};
use crate::download::{Remote, download};
use crate::error::PullError;
use crate::home::{Home, Provenance, free_mb, make, megabytes, write_provenance};
use crate::partial::{Partial, finished};
use crate::record;
use crate::registry::{Model, Place, Registry, Tokenizer};
use crate::retry::Limits;
use crate::source::{Offer, Source};
use crate::tokenizer;
use crate::watch::Watch;

/// File name of a tokenizer.
const TOKENIZER: &str = "tokenizer.json";
/// Most bytes of a file with the words of answers.
const MAX_ANSWERS: u64 = 16 << 20;

/// Why a checkpoint was not converted, in the converter's words.
pub type ConvertError = Box<dyn std::error::Error + Send + Sync>;

/// What is pulled, and how.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Name of the model.
    pub name: String,
    /// Where the checkpoint is taken from; from its publisher, if not given.
    pub source: Option<Source>,
    /// The tokenizer; downloaded, if not given.
    pub tokenizer: Option<PathBuf>,
    /// The words of the answers.
    pub answers: Option<PathBuf>,
    /// Whether the downloaded checkpoint stays.
    pub keep: bool,
    /// Whether a model of this name is replaced.
    pub replace: bool,
    /// What is put up with.
    pub limits: Limits,
}

/// What a bundle is made of.
#[derive(Debug)]
#[non_exhaustive]
pub struct Material<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// What is known of it.
    pub model: &'a Model,
    /// The checkpoint.
    pub checkpoint: &'a Path,
    /// The tokenizer, in the format of Hugging Face's tokenizers.
    pub tokenizer: &'a Path,
    /// The words of the answers, if there are any.
    pub answers: Option<&'a Path>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Pulled {
    /// Where the bundle is.
    pub dir: PathBuf,
    /// Whether it was there before.
    pub already: bool,
    /// The downloaded checkpoint, if it was kept.
    pub kept: Option<PathBuf>,
}

/// The checkpoint on this machine.
struct Checkpoint {
    path: PathBuf,
    from: String,
    checksum: Checksum,
    published: bool,
    licence: Option<String>,
}

/// Downloads what a model is made of, has it converted, and puts the bundle into `home`. `convert` writes a
/// bundle into a directory that does not exist yet.
///
/// # Errors
/// See [`PullError`]. There is no model then, or the earlier one.
pub fn pull(
    registry: &Registry,
    home: &Home,
    request: &Request,
    watch: &dyn Watch,
    convert: impl FnOnce(&Material<'_>, &Path) -> Result<(), ConvertError>,
) -> Result<Pulled, PullError> {
    let name = request.name.as_str();
    let model = registry.model(name)?;
    let job = Job {
        name,
        model,
        tokenizer: registry.tokenizer(model),
        home,
        request,
        watch,
    };
    let _lock = home.lock(name, watch)?;
    let dir = home.model(name);
    if dir.exists() && !request.replace {
        return Ok(Pulled {
            dir,
            already: true,
            kept: None,
        });
    }
    let answers = job.answers()?;
    make(&job.downloads())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(PullError::disk(job.downloads()))?;
    let client = Client::new(request.limits.clone());
    let (tokenizer, checkpoint) = runtime.block_on(async {
        let tokenizer = job.fetch_tokenizer(&client).await?;
        Ok::<_, PullError>((tokenizer, job.fetch_checkpoint(&client).await?))
    })?;
    drop(runtime);

    let material = Material {
        name,
        model,
        checkpoint: &checkpoint.path,
        tokenizer: &tokenizer.0,
        answers: answers.as_deref(),
    };
    let dir = job.make_bundle(&material, &checkpoint, tokenizer.1, convert)?;
    Ok(Pulled {
        dir,
        already: false,
        kept: job.clear(&checkpoint.path)?,
    })
}

struct Job<'a> {
    name: &'a str,
    model: &'a Model,
    tokenizer: &'a Tokenizer,
    home: &'a Home,
    request: &'a Request,
    watch: &'a dyn Watch,
}

impl Job<'_> {
    fn downloads(&self) -> PathBuf {
        self.home.downloads(self.name)
    }

    /// The words of the answers that were given, or that lie where the checkpoint is.
    fn answers(&self) -> Result<Option<PathBuf>, PullError> {
        let Some(known) = &self.model.answers else {
            return match &self.request.answers {
                None => Ok(None),
                Some(file) => Err(PullError::Answers {
                    file: file.clone(),
                    message: format!("{} has its answers in the checkpoint", self.name),
                    name: "of another model".to_owned(),
                }),
            };
        };
        if let Some(file) = &self.request.answers {
            let bad = |message: String| PullError::Answers {
                file: file.clone(),
                message,
                name: known.file.clone(),
            };
            let length = fs::metadata(file)
                .map_err(|error| bad(error.to_string()))?
                .len();
            if length > MAX_ANSWERS {
                return Err(bad(format!(
                    "expected at most {MAX_ANSWERS} bytes, found {length}"
                )));
            }
            return Ok(Some(file.clone()));
        }
        let source = self.request.source.as_ref();
        let beside = source.and_then(|source| source.beside(&[&[&known.file]]));
        if beside.is_none() {
            self.watch.say(&format!(
                "{}: answers will be numbers: for words take {} from {} and give it with --answers",
                self.name, known.file, known.page
            ));
        }
        Ok(beside)
    }

    /// The tokenizer's file, and where it comes from.
    async fn fetch_tokenizer(&self, client: &Client) -> Result<(PathBuf, String), PullError> {
        let name = &self.model.tokenizer;
        let source = self.request.source.as_ref();
        let given = self.request.tokenizer.clone().or_else(|| {
            let places: [&[&str]; 2] = [&[name, TOKENIZER], &[TOKENIZER]];
            source?.beside(&places)
        });
        if let Some(path) = given {
            self.check_tokenizer(&path, &path.display().to_string())?;
            let from = path.display().to_string();
            return Ok((path, from));
        }
        let path = self.downloads().join(TOKENIZER);
        let mirrored = source.and_then(|source| source.mirrored(&[name, TOKENIZER]));
        let kept = path.is_file() && self.check_tokenizer(&path, "").is_ok();
        let own = self.tokenizer.url.clone();
        if kept {
            return Ok((path, shown(&own)));
        }
        for url in mirrored.into_iter().chain([own]) {
            let document = client
                .document(&url, tokenizer::MAX_BYTES, self.watch)
                .await?;
            if let Some(document) = document {
                fs::write(&path, document).map_err(PullError::disk(&path))?;
                let checked = self.check_tokenizer(&path, &shown(&url));
                if let Err(error) = checked {
                    fs::remove_file(&path).map_err(PullError::disk(&path))?;
                    return Err(error);
                }
                return Ok((path, shown(&url)));
            }
        }
        Err(self.bad_tokenizer(
            &shown(&self.tokenizer.url),
            "there is no such file".to_owned(),
        ))
    }

    fn check_tokenizer(&self, path: &Path, from: &str) -> Result<(), PullError> {
        let bad = |message: String| self.bad_tokenizer(from, message);
        let length = fs::metadata(path)
            .map_err(|error| bad(error.to_string()))?
            .len();
        if length > tokenizer::MAX_BYTES as u64 {
            let most = tokenizer::MAX_BYTES;
            return Err(bad(format!(
                "expected at most {most} bytes, found {length}"
            )));
        }
        let json = fs::read(path).map_err(|error| bad(error.to_string()))?;
        tokenizer::check(&json, self.tokenizer.vocabulary).map_err(bad)?;
        let Some(expected) = &self.tokenizer.checksum else {
            return Ok(());
        };
        let found = Checksum::of(expected.kind(), path, &crate::watch::Silent);
        let found = found.map_err(PullError::disk(path))?;
        match *expected == found {
            true => Ok(()),
            false => Err(bad(format!("expected {expected}, found {found}"))),
        }
    }

    fn bad_tokenizer(&self, from: &str, message: String) -> PullError {
        PullError::Tokenizer {
            from: from.to_owned(),
            message,
            name: self.model.tokenizer.clone(),
        }
    }

    /// The checkpoint as a file of this machine, checked.
    async fn fetch_checkpoint(&self, client: &Client) -> Result<Checkpoint, PullError> {
        let file = &self.model.file;
        if let Some(source) = &self.request.source {
            return match source.checkpoint(client, file, self.watch).await? {
                Offer::Local(path, expected) => self.check_local(path, expected.as_ref()),
                Offer::Remote(remote) => self.fetch(client, &remote, None).await,
            };
        }
        match &self.model.place {
            Place::Record(record) => {
                let found = record::find(client, record, file, self.watch).await?;
                self.fetch(client, &found.remote, found.licence).await
            }
            Place::File(url, checksum) => {
                let (url, checksum) = (Url::clone(url), checksum.clone());
                let remote = Remote {
                    url,
                    size: None,
                    checksum,
                };
                self.fetch(client, &remote, None).await
            }
        }
    }

    fn check_local(
        &self,
        path: PathBuf,
        expected: Option<&Checksum>,
    ) -> Result<Checkpoint, PullError> {
        let length = fs::metadata(&path).map_err(PullError::disk(&path))?.len();
        self.check_space(0, length)?;
        let kind = expected.map_or(Kind::Sha256, Checksum::kind);
        let found = Checksum::of(kind, &path, self.watch).map_err(PullError::disk(&path))?;
        if let Some(expected) = expected.filter(|expected| **expected != found) {
            return Err(PullError::OwnChecksum {
                file: path,
                expected: expected.clone(),
                found,
            });
        }
        if expected.is_none() {
            self.unchecked(&path.display().to_string());
        }
        Ok(Checkpoint {
            from: path.display().to_string(),
            path,
            checksum: found,
            published: expected.is_some(),
            licence: None,
        })
    }

    async fn fetch(
        &self,
        client: &Client,
        remote: &Remote,
        licence: Option<String>,
    ) -> Result<Checkpoint, PullError> {
        let path = self.downloads().join(&self.model.file);
        let checksum = match self.kept(&path, remote)? {
            Some(checksum) => checksum,
            None => {
                let about = self.model.download_mb * 1_000_000;
                let size = remote.size.unwrap_or(about);
                self.check_space(size.saturating_sub(Partial::length_beside(&path)), size)?;
                download(client, remote, &path, self.watch).await?
            }
        };
        if remote.checksum.is_none() {
            self.unchecked(&shown(&remote.url));
        }
        Ok(Checkpoint {
            path,
            from: shown(&remote.url),
            checksum,
            published: remote.checksum.is_some(),
            licence,
        })
    }

    /// The checksum of the checkpoint that an earlier run left, if it is the published one or, where none is
    /// published, of the same address.
    fn kept(&self, path: &Path, remote: &Remote) -> Result<Option<Checksum>, PullError> {
        let expected = remote.checksum.as_ref();
        let same_address = || finished(path) == Some(shown(&remote.url));
        if !path.is_file() || (expected.is_none() && !same_address()) {
            return Ok(None);
        }
        let kind = expected.map_or(Kind::Sha256, Checksum::kind);
        let found = Checksum::of(kind, path, self.watch).map_err(PullError::disk(path))?;
        Ok(Some(found).filter(|found| expected.is_none_or(|expected| expected == found)))
    }

    /// Nobody says what the checksum should be.
    fn unchecked(&self, from: &str) {
        self.watch.say(&format!(
            "{from}: not checked: there is no checksum; a file of this name with .sha256 or .md5 behind it may hold one"
        ));
    }

    /// Whether there is room for so many more bytes, and for the bundle of a checkpoint of `size` bytes.
    fn check_space(&self, more: u64, size: u64) -> Result<(), PullError> {
        let bundle = (self.model.model_mb * 1_000_000).min(size);
        let needed = megabytes(more.saturating_add(bundle));
        let dir = self.downloads();
        let free = free_mb(&dir)?;
        match needed <= free {
            true => Ok(()),
            false => Err(PullError::Space { dir, needed, free }),
        }
    }

    fn make_bundle(
        &self,
        material: &Material<'_>,
        checkpoint: &Checkpoint,
        tokenizer: String,
        convert: impl FnOnce(&Material<'_>, &Path) -> Result<(), ConvertError>,
    ) -> Result<PathBuf, PullError> {
        let staging = self.home.staging(self.name);
        make(&staging)?;
        let made = staging.join(self.name);
        let converted = convert(material, &made);
        let published = converted
            .map_err(|cause| PullError::Convert {
                cause,
                kept: match checkpoint.path.starts_with(self.downloads()) {
                    true => format!(
                        ". The file is kept: the same command goes on with it, and `mdetr models remove {}` throws it away",
                        self.name
                    ),
                    false => String::new(),
                },
            })
            .and_then(|()| {
                write_provenance(&made, &self.provenance(checkpoint, tokenizer)?)?;
                self.home.publish(self.name, &made)
            });
        crate::home::remove_dir(&staging)?;
        published
    }

    fn provenance(
        &self,
        checkpoint: &Checkpoint,
        tokenizer: String,
    ) -> Result<Provenance, PullError> {
        let path = &checkpoint.path;
        Ok(Provenance {
            title: self.model.title.clone(),
            licence: checkpoint
                .licence
                .as_ref()
                .unwrap_or(&self.model.licence)
                .clone(),
            checkpoint: checkpoint.from.clone(),
            bytes: fs::metadata(path).map_err(PullError::disk(path))?.len(),
            checksum: checkpoint.checksum.clone(),
            published: checkpoint.published,
            tokenizer,
        })
    }

    /// Removes what was downloaded, but the checkpoint if it is to be kept, which is returned.
    fn clear(&self, checkpoint: &Path) -> Result<Option<PathBuf>, PullError> {
        let downloads = self.downloads();
        if self.request.keep && checkpoint.starts_with(&downloads) {
            return Ok(Some(checkpoint.to_owned()));
        }
        crate::home::remove_dir(&downloads)?;
        Ok(None)
    }
}
