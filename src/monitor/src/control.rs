//! Changes of the configuration: the whole is checked, kept, and only then put in force.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::config::{self, ConfigFile, Document, Fault, ReadError};
use crate::hub::{Current, Hub};
use crate::store::{ConfigEntry, Store, StoreError};

/// Who gave what the file says.
pub const FILE: &str = "file";

/// Why a configuration was not taken. The one in force stays.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Somebody else changed it meanwhile.
    #[error(
        "revision {expected} was changed, {current} is in force: read it again, and change that"
    )]
    Conflict {
        /// What the change was made for.
        expected: u64,
        /// What is in force.
        current: u64,
    },
    /// The document is wrong.
    #[error("refused: {}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Fault>),
    /// The file is wrong.
    #[error(transparent)]
    File(#[from] ReadError),
    /// It cannot be kept.
    #[error("the configuration cannot be kept: {0}")]
    Store(#[from] StoreError),
}

/// Takes changes of the configuration, one at a time.
#[derive(Debug)]
pub struct Control {
    hub: Arc<Hub>,
    store: Store,
    /// SHA-256 of the file that was read last.
    file: Mutex<String>,
}

/// What is in force at the start: the newest configuration that was kept, if the file is still the one that was read
/// before it, else the file.
///
/// # Errors
/// The file's document is refused, or the store cannot be read.
pub async fn first(file: &ConfigFile, store: &Store) -> Result<Current, ApplyError> {
    let kept = store.configs(1).await?.into_iter().next();
    let revision = kept.as_ref().map_or(0, |entry| entry.revision);
    if let Some(entry) = kept.filter(|entry| entry.file_sha256 == file.sha256) {
        match config::parse_json(entry.document.as_bytes()) {
            Ok(document) if config::check(&document).is_empty() => {
                return Ok(Current { revision, document });
            }
            _ => tracing::warn!(
                revision,
                "the configuration that was kept cannot be used: the file is taken"
            ),
        }
    }
    let current = Current {
        revision: revision + 1,
        document: file.document.clone(),
    };
    let faults = config::check(&current.document);
    if !faults.is_empty() {
        return Err(ApplyError::Refused(faults));
    }
    keep(store, &current, FILE, &file.sha256).await?;
    Ok(current)
}

async fn keep(
    store: &Store,
    current: &Current,
    origin: &str,
    file: &str,
) -> Result<(), StoreError> {
    let entry = ConfigEntry {
        revision: current.revision,
        time: Timestamp::now(),
        origin: origin.to_owned(),
        file_sha256: file.to_owned(),
        document: serde_json::to_string(&current.document).expect("a document always serialises"),
    };
    store.keep_config(&entry).await
}

impl Control {
    /// Of what [`first`] found.
    pub fn new(hub: Arc<Hub>, store: Store, file: &ConfigFile) -> Control {
        Control {
            hub,
            store,
            file: Mutex::new(file.sha256.clone()),
        }
    }

    /// Puts a whole document in force, in which passwords may be hidden. `expected` is the revision it was made from;
    /// `origin` says whose it is.
    ///
    /// Only cameras may differ from what is in force: the rest, and where passwords are, is the file's matter, since it
    /// names files that the program may read and programs that may not.
    ///
    /// # Errors
    /// Another revision is in force, the document is refused, or it cannot be kept.
    pub async fn apply(
        &self,
        document: &Document,
        expected: Option<u64>,
        origin: &str,
    ) -> Result<u64, ApplyError> {
        let file = self.file.lock().await;
        let current = self.hub.config();
        if let Some(expected) = expected.filter(|&expected| expected != current.revision) {
            return Err(ApplyError::Conflict {
                expected,
                current: current.revision,
            });
        }
        let document = config::restored(document, &current.document);
        let faults = of_the_file(&document, &current.document);
        if !faults.is_empty() {
            return Err(ApplyError::Refused(faults));
        }
        self.take(document, origin, &file).await
    }

    /// Changes the document in force.
    ///
    /// # Errors
    /// `change` refuses, with its words as the only fault, or as [`apply`](Self::apply).
    pub async fn edit(
        &self,
        origin: &str,
        change: impl FnOnce(&mut Document) -> Result<(), String>,
    ) -> Result<u64, ApplyError> {
        let file = self.file.lock().await;
        let current = self.hub.config();
        let mut document = current.document.clone();
        change(&mut document).map_err(|message| {
            let place = "change".to_owned();
            ApplyError::Refused(vec![Fault { place, message }])
        })?;
        let document = config::restored(&document, &current.document);
        let faults = of_the_file(&document, &current.document);
        if !faults.is_empty() {
            return Err(ApplyError::Refused(faults));
        }
        self.take(document, origin, &file).await
    }

    /// Puts in force what the file says. It replaces what was changed elsewhere, which the history keeps.
    ///
    /// # Errors
    /// The file cannot be read, its document is refused, or it cannot be kept.
    pub async fn reload(&self, path: &Path) -> Result<u64, ApplyError> {
        let mut known = self.file.lock().await;
        let file = config::read(path)?;
        let current = self.hub.config();
        if file.document.data != current.document.data {
            let message = "cannot change while the program runs: start it anew".to_owned();
            let place = "data".to_owned();
            return Err(ApplyError::Refused(vec![Fault { place, message }]));
        }
        let revision = self.take(file.document, FILE, &file.sha256).await?;
        *known = file.sha256;
        Ok(revision)
    }

    async fn take(&self, document: Document, origin: &str, file: &str) -> Result<u64, ApplyError> {
        let faults = config::check(&document);
        if !faults.is_empty() {
            return Err(ApplyError::Refused(faults));
        }
        let current = self.hub.config();
        if document == current.document {
            return Ok(current.revision);
        }
        let current = Current {
            revision: current.revision + 1,
            document,
        };
        keep(&self.store, &current, origin, file).await?;
        let revision = current.revision;
        self.hub.set_config(current);
        tracing::info!(revision, origin, "configuration taken");
        Ok(revision)
    }
}

/// What only the file may change, and a document changes.
fn of_the_file(document: &Document, current: &Document) -> Vec<Fault> {
    let fault = |place: String| Fault {
        place,
        message: "only the file may change it: edit the file, and send SIGHUP to the program"
            .to_owned(),
    };
    let without_cameras = |document: &Document| Document {
        cameras: Vec::new(),
        ..document.clone()
    };
    let mut faults = Vec::new();
    let (new, old) = (without_cameras(document), without_cameras(current));
    if new != old {
        let (new, old) = (serde_json::to_value(&new), serde_json::to_value(&old));
        if let (Ok(serde_json::Value::Object(new)), Ok(serde_json::Value::Object(old))) = (new, old)
        {
            let keys = new
                .keys()
                .chain(old.keys().filter(|key| !new.contains_key(*key)));
            let changed = keys.filter(|key| new.get(*key) != old.get(*key));
            faults.extend(changed.map(|key| fault(key.clone())));
        }
    }
    for camera in document
        .cameras
        .iter()
        .filter(|camera| camera.password.is_some())
    {
        let known = current.cameras.iter().any(|known| {
            known.password == camera.password
                && known.username == camera.username
                && host(&known.url) == host(&camera.url)
        });
        if !known {
            faults.push(fault(format!("camera {:?}, password", camera.name)));
        }
    }
    faults
}

/// Scheme, host and port: a password that is meant for one is not sent to another.
fn host(url: &str) -> Option<(String, Option<String>, Option<u16>)> {
    let url = url::Url::parse(url).ok()?;
    let host = url.host_str().map(str::to_owned);
    Some((url.scheme().to_owned(), host, url.port()))
}
