//! Begin of the store.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use super::base::{Inner, Store};
use super::counters::Counters;
use super::database::Database;
use super::error::StoreError;
use super::media::{Media, make_directory};
use crate::config;

/// Name of the database.
const DATABASE: &str = "events.db";
/// Name of the file that is locked while a program uses the directory.
const LOCK: &str = "lock";

impl Store {
    /// Opens the store in the directory `data`, and makes it if it is not there.
    ///
    /// # Errors
    /// The directory cannot be written or another program uses it, or its database is of a newer version.
    pub async fn open(data: &Path, _settings: &config::Store) -> Result<Store, StoreError> {
        make_directory(data).map_err(StoreError::file(data))?;
        let lock = lock(data)?;
        let media = Media::new(data)?;
        let database = Database::open(&data.join(DATABASE)).await?;
        let inner = Inner {
            database,
            media,
            counters: Counters::default(),
            _lock: lock,
        };
        Ok(Store {
            inner: Arc::new(inner),
        })
    }
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
