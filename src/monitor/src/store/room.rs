//! Room on the disk.

use std::fs;
use std::io;
use std::path::Path;

use super::base::Store;
use super::error::StoreError;
use super::media::write_synced;
use crate::config;

/// A file that is there to be removed: without some room SQLite cannot even open a database.
const SPARE: &str = "spare";
const SPARE_BYTES: usize = 1 << 20;

/// Bytes that are made free where the disk is full, if the configuration asks for fewer: no more than one in so many
/// of the disk's own, or a small one would lose most of its events.
const LEAST_FREE: u64 = 16 << 20;
const LEAST_SHARE: u64 = 8;

/// What the store takes, and what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes of pictures and clips.
    pub bytes: u64,
    /// Free bytes on the disk, for this user.
    pub free_bytes: u64,
}

impl Store {
    /// What it takes, and what is left.
    ///
    /// # Errors
    /// The database or the disk cannot be asked.
    pub async fn usage(&self) -> Result<Usage, StoreError> {
        let bytes: i64 = sqlx::query_scalar(
            "SELECT COALESCE(SUM(COALESCE(picture_bytes, 0) + COALESCE(drawn_bytes, 0) + COALESCE(clip_bytes, 0)), 0) \
             FROM events",
        )
        .fetch_one(self.inner.database.read())
        .await?;
        let free_bytes =
            free_bytes(&self.inner.data).map_err(StoreError::file(&self.inner.data))?;
        Ok(Usage {
            bytes: bytes.unsigned_abs(),
            free_bytes,
        })
    }
}

/// Bytes that this user may still write to the disk of a path.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Settings that leave some room even where none is asked for.
pub(super) fn with_room(settings: config::Store, data: &Path) -> config::Store {
    let size = rustix::fs::statvfs(data)
        .map_or(u64::MAX, |disk| disk.f_blocks.saturating_mul(disk.f_frsize));
    config::Store {
        free_bytes: settings.free_bytes.max(LEAST_FREE.min(size / LEAST_SHARE)),
        ..settings
    }
}

/// Makes the spare file where there is plenty of room for it. It is no fault if it cannot be made.
pub(super) fn keep_spare(data: &Path) {
    let path = data.join(SPARE);
    let known = path
        .metadata()
        .is_ok_and(|found| found.len() == SPARE_BYTES as u64);
    if known || free_bytes(data).is_ok_and(|free| free < 8 * SPARE_BYTES as u64) {
        return;
    }
    // Not zeros: some disks keep those without taking room.
    let block: Vec<u8> = (0..SPARE_BYTES).map(|i| (i * 31 % 251) as u8).collect();
    let written = write_synced(&path, &block);
    if let Err(error) = written {
        tracing::debug!(%error, "no spare file");
        let _ = fs::remove_file(&path);
    }
}

/// Removes the spare file. Whether there was one.
pub(super) fn use_spare(data: &Path) -> bool {
    fs::remove_file(data.join(SPARE)).is_ok()
}
