//! History of the configuration, and what was taken of the fleet.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::base::Store;
use super::error::StoreError;
use super::types::ConfigEntry;
use crate::fleet::FleetState;

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

impl Store {
    /// Keeps what was taken of the fleet, in the place of what was taken before.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn keep_fleet(&self, state: &FleetState) -> Result<(), StoreError> {
        let json = serde_json::to_string(state).expect("a document always serialises");
        let mut transaction = self.inner.database.begin().await?;
        sqlx::query(
            "INSERT INTO fleet (one, state) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET state = excluded.state",
        )
        .bind(json)
        .execute(transaction.connection())
        .await?;
        transaction.commit().await
    }

    /// What was taken of the fleet last.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn fleet(&self) -> Result<Option<FleetState>, StoreError> {
        let json: Option<String> = sqlx::query_scalar("SELECT state FROM fleet")
            .fetch_optional(self.inner.database.read())
            .await?;
        let Some(json) = json else {
            return Ok(None);
        };
        let state =
            serde_json::from_str(&json).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Some(state))
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
