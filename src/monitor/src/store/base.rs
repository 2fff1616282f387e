//! The store itself.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::counters::Counters;
use super::database::Database;
use super::media::Media;

/// The store. Its clones are the same store.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    /// The directory of everything.
    pub data: PathBuf,
    pub database: Database,
    pub media: Media,
    pub counters: Counters,
    /// Locked as long as it is open, so that no other program uses the directory.
    pub _lock: File,
}

impl Store {
    /// The directory of pictures and clips: files are at `YYYY-MM-DD/CAMERA/EVENT.jpg` and the like.
    pub fn media(&self) -> PathBuf {
        self.inner.media.root.clone()
    }

    /// The directory in which clips are written until [`keep_clip`](Self::keep_clip) takes them. On the same disk.
    pub fn parts(&self) -> PathBuf {
        self.inner.media.parts.clone()
    }

    /// What it has done since the program began.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Closes the database. The last thing to do with the store; what is asked later is an error.
    pub async fn close(&self) {
        self.inner.database.close().await;
    }
}
