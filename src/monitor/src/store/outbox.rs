//! Letters that wait for their receivers.

use sqlx::Row;

use super::base::Store;
use super::error::StoreError;
use super::types::Letter;

impl Store {
    /// The next letters to a receiver, in order.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn letters(&self, receiver: &str, limit: u32) -> Result<Vec<Letter>, StoreError> {
        let rows = sqlx::query(
            "SELECT letters.sequence, letters.attempts, steps.step \
             FROM letters JOIN steps ON steps.sequence = letters.sequence \
             WHERE letters.receiver = ? ORDER BY letters.sequence LIMIT ?",
        )
        .bind(receiver)
        .bind(limit)
        .fetch_all(self.inner.database.read())
        .await?;
        let mut letters = Vec::with_capacity(rows.len());
        for row in &rows {
            let step: &str = row.try_get("step")?;
            letters.push(Letter {
                sequence: row.try_get("sequence")?,
                // A step is read back before it is kept.
                event: serde_json::from_str(step)
                    .map_err(|error| sqlx::Error::Decode(error.into()))?,
                attempts: row.try_get("attempts")?,
            });
        }
        Ok(letters)
    }

    /// How many letters wait for a receiver.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn waiting(&self, receiver: &str) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM letters WHERE receiver = ?")
            .bind(receiver)
            .fetch_one(self.inner.database.read())
            .await?;
        Ok(count.unsigned_abs())
    }

    /// A letter has arrived: it is forgotten.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn delivered(&self, receiver: &str, sequence: i64) -> Result<(), StoreError> {
        let mut transaction = self.inner.database.begin().await?;
        let connection = transaction.connection();
        sqlx::query("DELETE FROM letters WHERE receiver = ? AND sequence = ?")
            .bind(receiver)
            .bind(sequence)
            .execute(&mut *connection)
            .await?;
        // The step of an event that was removed was there for its letters only.
        sqlx::query(
            "DELETE FROM steps WHERE sequence = ? \
             AND NOT EXISTS (SELECT 1 FROM letters WHERE letters.sequence = steps.sequence) \
             AND NOT EXISTS (SELECT 1 FROM events WHERE events.id = steps.event_id)",
        )
        .bind(sequence)
        .execute(connection)
        .await?;
        transaction.commit().await
    }

    /// Sending a letter failed.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn failed(&self, receiver: &str, sequence: i64) -> Result<(), StoreError> {
        let mut transaction = self.inner.database.begin().await?;
        sqlx::query(
            "UPDATE letters SET attempts = attempts + 1 WHERE receiver = ? AND sequence = ?",
        )
        .bind(receiver)
        .bind(sequence)
        .execute(transaction.connection())
        .await?;
        transaction.commit().await
    }

    /// Forgets letters to all but these receivers. To be called with all receivers of a configuration, or letters to
    /// one that is gone wait for ever. How many there were.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn keep_receivers(&self, receivers: &[String]) -> Result<u64, StoreError> {
        let known: Vec<String> = sqlx::query_scalar("SELECT DISTINCT receiver FROM letters")
            .fetch_all(self.inner.database.read())
            .await?;
        let mut forgotten = 0;
        for receiver in known.iter().filter(|known| !receivers.contains(known)) {
            let mut transaction = self.inner.database.begin().await?;
            let connection = transaction.connection();
            let done = sqlx::query("DELETE FROM letters WHERE receiver = ?")
                .bind(receiver)
                .execute(&mut *connection)
                .await?;
            sqlx::query(
                "DELETE FROM steps \
                 WHERE NOT EXISTS (SELECT 1 FROM letters WHERE letters.sequence = steps.sequence) \
                 AND NOT EXISTS (SELECT 1 FROM events WHERE events.id = steps.event_id)",
            )
            .execute(connection)
            .await?;
            transaction.commit().await?;
            tracing::warn!(
                receiver,
                letters = done.rows_affected(),
                "letters to a receiver that is gone are forgotten"
            );
            forgotten += done.rows_affected();
        }
        Ok(forgotten)
    }
}
