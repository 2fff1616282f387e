//! Begin of the store.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};

use super::base::{Inner, Store};
use super::counters::Counters;
use super::damage::{aside, put_aside};
use super::database::{Database, check};
use super::error::StoreError;
use super::media::{MEDIA, Media, make_directory};
use super::room::use_spare;
use crate::config;

/// Name of the database.
const DATABASE: &str = "events.db";
/// What SQLite keeps beside it.
const JOURNALS: [&str; 2] = ["-wal", "-shm"];
/// Name of the file that is locked while a program uses the directory.
const LOCK: &str = "lock";

impl Store {
    /// Opens the store in the directory `data`, and makes it if it is not there. What an earlier run of the program
    /// left unfinished is cleared away, and what `settings` do not keep any more is removed.
    ///
    /// A database that is damaged is put aside, with the pictures and clips that only it knew, and a new one is made.
    ///
    /// # Errors
    /// The directory cannot be written or another program uses it, or its database is of a newer version.
    pub async fn open(data: &Path, settings: &config::Store) -> Result<Store, StoreError> {
        make_directory(data).map_err(StoreError::file(data))?;
        let lock = lock(data)?;
        let database = match database(data).await {
            Err(error) if error.may_be_full() && use_spare(data) => {
                tracing::warn!(%error, "the store could not be opened: tried again with the spare file removed");
                database(data).await
            }
            database => database,
        };
        let database = database.map_err(|error| with_path(data, error))?;
        let inner = Inner {
            data: data.to_owned(),
            database,
            media: Media::new(data)?,
            counters: Counters::default(),
            _lock: lock,
        };
        let store = Store {
            inner: Arc::new(inner),
        };
        // It watches even so: whoever writes tells of it, and goes on trying.
        if let Err(error) = store.sweep(settings, Timestamp::now()).await {
            tracing::error!(%error, "old events cannot be removed");
        }
        if let Err(error) = store.reconcile().await {
            tracing::error!(%error, "pictures and clips cannot be compared with the database");
        }
        Ok(store)
    }
}

/// SQLite does not say which file it is.
fn with_path(data: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Database(_) | StoreError::Migration(_) => StoreError::Open {
            path: data.join(DATABASE),
            source: Box::new(error),
        },
        error => error,
    }
}

/// The database, sound and of this version.
async fn database(data: &Path) -> Result<Database, StoreError> {
    let path = data.join(DATABASE);
    match check(&path).await {
        Err(error) if error.is_damage() => {
            let journals = JOURNALS.map(|ending| format!("{DATABASE}{ending}"));
            let [wal, shm] = &journals;
            let time = put_aside(data, &[DATABASE, wal, shm])?;
            let aside = data.join(aside(DATABASE, time));
            tracing::error!(%error, aside = %aside.display(), "the database is damaged: put aside, and a new one begun");
        }
        checked => checked?,
    }
    let is_new = path.metadata().map_or(true, |found| found.len() == 0);
    let media = data.join(MEDIA);
    let is_empty = fs::read_dir(&media).map_or(true, |mut found| found.next().is_none());
    if is_new && !is_empty {
        let time = put_aside(data, &[MEDIA])?;
        let aside = data.join(aside(MEDIA, time));
        tracing::error!(
            aside = %aside.display(),
            "no database knows the pictures and clips that are here: put aside, and removed in time"
        );
    }
    Database::open(&path).await
}

fn lock(data: &Path) -> Result<File, StoreError> {
    let path = data.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(StoreError::file(&path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse(data.to_owned())),
        Err(error) => Err(StoreError::file(&path)(error.into())),
    }
}
