//! Changes of the configuration: the whole is checked, kept, and only then put in force.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::config::{self, ConfigFile, Document, Fault, ReadError};
use crate::fleet::{FleetDocument, FleetState, Refusal, Taken};
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
    base: Mutex<Base>,
}

/// What the configuration in force rests on.
#[derive(Debug)]
struct Base {
    /// SHA-256 of the file that was read last.
    file: String,
    /// What was taken of the fleet.
    fleet: Option<FleetState>,
}

impl Base {
    /// What the fleet says to a configuration, if the configuration is of that fleet.
    fn fleet_of(&self, document: &Document) -> Option<&FleetState> {
        let fleet = self.fleet.as_ref();
        fleet.filter(|state| state.is_of(document.fleet.as_ref()))
    }
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
    let mut current = Current {
        revision: revision + 1,
        document: file.document.clone(),
    };
    if let Some(state) = fleet(store, &current.document).await {
        state.release().apply(&mut current.document);
    }
    let faults = config::check(&current.document);
    if !faults.is_empty() {
        return Err(ApplyError::Refused(faults));
    }
    keep(store, &current, FILE, &file.sha256).await?;
    Ok(current)
}

/// What was taken of the fleet that a configuration names.
async fn fleet(store: &Store, document: &Document) -> Option<FleetState> {
    match store.fleet().await {
        Ok(state) => state.filter(|state| state.is_of(document.fleet.as_ref())),
        Err(error) => {
            tracing::warn!(%error, "what was taken of the fleet cannot be read: it is taken anew from the broker");
            None
        }
    }
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
    pub async fn new(hub: Arc<Hub>, store: Store, file: &ConfigFile) -> Control {
        let base = Base {
            file: file.sha256.clone(),
            fleet: fleet(&store, &hub.config().document).await,
        };
        Control {
            hub,
            store,
            base: Mutex::new(base),
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
        let base = self.base.lock().await;
        let current = self.hub.config();
        if let Some(expected) = expected.filter(|&expected| expected != current.revision) {
            return Err(ApplyError::Conflict {
                expected,
                current: current.revision,
            });
        }
        let document = config::restored(document, &current.document);
        self.change(document, &current.document, origin, &base)
            .await
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
        let base = self.base.lock().await;
        let current = self.hub.config();
        let mut document = current.document.clone();
        change(&mut document).map_err(|message| {
            let place = "change".to_owned();
            ApplyError::Refused(vec![Fault { place, message }])
        })?;
        let document = config::restored(&document, &current.document);
        self.change(document, &current.document, origin, &base)
            .await
    }

    /// Puts somebody's change of `current` in force.
    async fn change(
        &self,
        mut document: Document,
        current: &Document,
        origin: &str,
        base: &Base,
    ) -> Result<u64, ApplyError> {
        if current.hub.is_some() {
            return Err(ApplyError::Refused(vec![Fault {
                place: "hub".to_owned(),
                message: "its cameras are those of its sites: change them there, or what the fleet watches for"
                    .to_owned(),
            }]));
        }
        let mut faults = of_the_file(&document, current);
        if let Some(state) = base.fleet_of(current) {
            faults.extend(of_the_fleet(&mut document, current, state));
        }
        if !faults.is_empty() {
            return Err(ApplyError::Refused(faults));
        }
        self.take(document, origin, &base.file).await
    }

    /// Puts in force what the newest document of the fleet's group says to this program, and keeps it.
    ///
    /// # Errors
    /// The document cannot be read, is older than what was taken, cannot be put in force, or cannot be kept.
    pub async fn take_fleet(&self, json: &[u8]) -> Result<Taken, Refusal> {
        let refused = |document, error: String| Refusal { document, error };
        let document = FleetDocument::parse(json).map_err(|error| refused(None, error))?;
        let revision = document.revision;
        let refused = |error: String| refused(Some(revision), error);
        let mut base = self.base.lock().await;
        let current = self.hub.config();
        let fleet = current.document.fleet.as_ref();
        let Some((fleet, group)) = fleet.and_then(|fleet| Some((fleet, fleet.group.clone()?)))
        else {
            return Err(refused("this program is of no group any more".to_owned()));
        };
        if let Some(known) = base.fleet_of(&current.document) {
            let newest = known.document.revision;
            if revision < newest || (revision == newest && document != known.document) {
                return Err(refused(format!(
                    "expected a revision above {newest}, which was taken, found {revision}: \
                     to go back publish the old content under a new revision"
                )));
            }
        }
        let state = FleetState {
            topic_prefix: fleet.topic_prefix.clone(),
            group,
            device: fleet.device.clone(),
            document,
        };
        let mut changed = current.document.clone();
        state.release().apply(&mut changed);
        let origin = format!("fleet: {} {revision}", state.group);
        let taken = self.take(changed, &origin, &base.file).await;
        let configuration = taken.map_err(|error| refused(error.to_string()))?;
        if base.fleet.as_ref() != Some(&state) {
            let kept = self.store.keep_fleet(&state).await;
            kept.map_err(|error| refused(format!("in force, but it cannot be kept: {error}")))?;
        }
        let taken = state.taken(configuration);
        base.fleet = Some(state);
        Ok(taken)
    }

    /// What was taken of the fleet, if anything.
    pub async fn fleet(&self) -> Option<Taken> {
        let base = self.base.lock().await;
        let current = self.hub.config();
        let state = base.fleet_of(&current.document)?;
        Some(state.taken(current.revision))
    }

    /// Puts in force what the file says. It replaces what was changed elsewhere, which the history keeps.
    ///
    /// # Errors
    /// The file cannot be read, its document is refused, or it cannot be kept.
    pub async fn reload(&self, path: &Path) -> Result<u64, ApplyError> {
        let mut base = self.base.lock().await;
        let mut file = config::read(path)?;
        let current = self.hub.config();
        let fixed = [
            ("data", file.document.data != current.document.data),
            ("hub", file.document.hub != current.document.hub),
            (
                "mqtt",
                current.document.hub.is_some() && file.document.mqtt != current.document.mqtt,
            ),
        ];
        if let Some((place, _)) = fixed.into_iter().find(|(_, changed)| *changed) {
            let message = "cannot change while the program runs: start it anew".to_owned();
            let place = place.to_owned();
            return Err(ApplyError::Refused(vec![Fault { place, message }]));
        }
        if let Some(state) = base.fleet_of(&file.document) {
            state.release().apply(&mut file.document);
        }
        let revision = self.take(file.document, FILE, &file.sha256).await?;
        base.file = file.sha256;
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

/// What only the fleet may change, and a document changes. New cameras are given what the fleet watches for.
fn of_the_fleet(document: &mut Document, current: &Document, state: &FleetState) -> Vec<Fault> {
    let release = state.release();
    let mut expected = document.clone();
    release.apply(&mut expected);
    let mut faults = Vec::new();
    for (camera, expected) in document.cameras.iter_mut().zip(expected.cameras) {
        if !current
            .cameras
            .iter()
            .any(|known| known.name == camera.name)
        {
            *camera = expected;
        } else if *camera != expected {
            faults.push(Fault {
                place: format!("camera {:?}", camera.name),
                message: format!(
                    "its queries, zones, lines and rules are those of the fleet's group {}, revision {}: change them there",
                    state.group, release.revision
                ),
            });
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
