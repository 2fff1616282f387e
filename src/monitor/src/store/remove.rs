//! Removal of events.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::base::Store;
use super::error::StoreError;
use super::media::{DRAWN, Media, PICTURE, check_name};

/// An event that goes.
#[derive(Debug, Clone)]
pub(super) struct Doomed {
    number: i64,
    id: String,
    day: String,
    camera: String,
    clip_extension: Option<String>,
    /// Bytes of its files.
    pub bytes: u64,
}

/// What [`Doomed::of`] needs.
pub(super) const DOOMED: &str = "number, id, day, camera, clip_extension, \
     COALESCE(picture_bytes, 0) + COALESCE(drawn_bytes, 0) + COALESCE(clip_bytes, 0) AS bytes";

impl Doomed {
    pub fn of(row: &SqliteRow) -> Result<Doomed, StoreError> {
        Ok(Doomed {
            number: row.try_get("number")?,
            id: row.try_get("id")?,
            day: row.try_get("day")?,
            camera: row.try_get("camera")?,
            clip_extension: row.try_get("clip_extension")?,
            bytes: row.try_get::<i64, _>("bytes")?.unsigned_abs(),
        })
    }

    /// Paths of its files; none where the database was changed by hand to lead elsewhere.
    fn paths(&self, media: &Media) -> Vec<PathBuf> {
        let names = [
            ("day", &self.day),
            ("camera", &self.camera),
            ("id", &self.id),
        ];
        if names
            .iter()
            .any(|(place, name)| check_name(place, name).is_err())
        {
            return Vec::new();
        }
        let endings = [PICTURE, DRAWN]
            .into_iter()
            .chain(self.clip_extension.as_deref());
        endings
            .map(|ending| media.path(&self.day, &self.camera, &self.id, ending))
            .collect()
    }
}

impl Store {
    /// Removes an event with its picture and clip. Whether there was such an event. One that goes on is not seen any
    /// more; its further steps go to receivers only.
    ///
    /// # Errors
    /// Its files cannot be removed, or the database cannot be written.
    pub async fn remove(&self, id: &str) -> Result<bool, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {DOOMED}, end_us FROM events WHERE id = ? AND removed = 0"
        )))
        .bind(id)
        .fetch_optional(self.inner.database.read())
        .await?;
        let Some(row) = row else {
            return Ok(false);
        };
        let event = Doomed::of(&row)?;
        if row.try_get::<Option<i64>, _>("end_us")?.is_some() {
            self.remove_all(vec![event]).await?;
            return Ok(true);
        }
        let mut transaction = self.inner.database.begin().await?;
        sqlx::query(
            "UPDATE events SET removed = 1, kept = 0, picture_bytes = NULL, drawn_bytes = NULL, clip_bytes = NULL \
             WHERE number = ?",
        )
        .bind(event.number)
        .execute(transaction.connection())
        .await?;
        transaction.commit().await?;
        self.remove_files(vec![event]).await?;
        Ok(true)
    }

    /// Removes events: first their files, which makes room for what the database needs to forget them.
    pub(super) async fn remove_all(&self, events: Vec<Doomed>) -> Result<(), StoreError> {
        let events = self.remove_files(events).await?;
        let mut transaction = self.inner.database.begin().await?;
        for event in &events {
            remove_rows(transaction.connection(), event).await?;
        }
        transaction.commit().await
    }

    async fn remove_files(&self, events: Vec<Doomed>) -> Result<Vec<Doomed>, StoreError> {
        let media = self.inner.media.clone();
        let removed = tokio::task::spawn_blocking(move || {
            for path in events.iter().flat_map(|event| event.paths(&media)) {
                remove_file(&path).map_err(StoreError::file(&path))?;
                // The directories of its camera and its day, if nothing is left in them.
                for directory in path.ancestors().skip(1).take(2) {
                    let _ = fs::remove_dir(directory);
                }
            }
            Ok(events)
        });
        removed.await.expect("removing files does not panic")
    }
}

/// Removes a file that may not be there.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Steps with letters stay until the letters have arrived.
async fn remove_rows(connection: &mut SqliteConnection, event: &Doomed) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM steps WHERE event_id = ? \
         AND NOT EXISTS (SELECT 1 FROM letters WHERE letters.sequence = steps.sequence)",
    )
    .bind(&event.id)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM events WHERE number = ?")
        .bind(event.number)
        .execute(connection)
        .await?;
    Ok(())
}
