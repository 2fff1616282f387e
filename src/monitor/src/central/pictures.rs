//! Pictures of events.

use jiff::Timestamp;

use super::database::Central;
use crate::store::StoreError;

impl Central {
    /// Keeps the picture of an event's best view, in the place of an older one.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn keep_picture(&self, event: &str, jpeg: &[u8]) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "INSERT INTO pictures (event_id, received_us, jpeg) VALUES ($1, $2, $3) \
             ON CONFLICT (event_id) DO UPDATE SET received_us = excluded.received_us, jpeg = excluded.jpeg",
        )
        .bind(event)
        .bind(Timestamp::now().as_microsecond())
        .bind(jpeg)
        .execute(&mut *transaction)
        .await?;
        // The event may come behind its picture: `picture` does not ask for it.
        sqlx::query("UPDATE events SET picture_bytes = $2 WHERE id = $1 AND removed = 0")
            .bind(event)
            .bind(i64::try_from(jpeg.len()).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The picture of an event's best view as JPEG, with boxes and words drawn.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn picture(&self, event: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let jpeg = sqlx::query_scalar(
            "SELECT jpeg FROM pictures JOIN events ON events.id = pictures.event_id \
             WHERE event_id = $1 AND removed = 0",
        )
        .bind(event)
        .fetch_optional(&self.pool)
        .await?;
        Ok(jpeg)
    }
}
