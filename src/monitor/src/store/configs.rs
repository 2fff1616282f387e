//! History of the configuration.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::base::Store;
use super::error::StoreError;
use super::types::ConfigEntry;

impl Store {
    /// Keeps a configuration.
    ///
    /// # Errors
    /// There is one with its revision, or the database cannot be written.
    pub async fn keep_config(&self, entry: &ConfigEntry) -> Result<(), StoreError> {
        let mut transaction = self.inner.database.begin().await?;
        sqlx::query(
            "INSERT INTO configs (revision, time_us, origin, file_sha256, document) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(i64::try_from(entry.revision).unwrap_or(i64::MAX))
        .bind(entry.time.as_microsecond())
        .bind(&entry.origin)
        .bind(&entry.file_sha256)
        .bind(&entry.document)
        .execute(transaction.connection())
        .await?;
        transaction.commit().await
    }

    /// Configurations, newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn configs(&self, limit: u32) -> Result<Vec<ConfigEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT revision, time_us, origin, file_sha256, document FROM configs ORDER BY revision DESC LIMIT ?",
        )
        .bind(limit)
        .fetch_all(self.inner.database.read())
        .await?;
        rows.iter().map(entry).collect()
    }
}

fn entry(row: &SqliteRow) -> Result<ConfigEntry, StoreError> {
    Ok(ConfigEntry {
        revision: row.try_get::<i64, _>("revision")?.unsigned_abs(),
        time: Timestamp::from_microsecond(row.try_get("time_us")?).unwrap_or_default(),
        origin: row.try_get("origin")?,
        file_sha256: row.try_get("file_sha256")?,
        document: row.try_get("document")?,
    })
}
