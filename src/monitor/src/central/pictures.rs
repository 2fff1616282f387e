//! Pictures of events.

use jiff::Timestamp;

use super::database::Central;
use crate::store::StoreError;

impl Central {
    /// Keeps the picture of an event's best view, in the place of an older one. It may come before its event.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn keep_picture(&self, event: &str, jpeg: &[u8]) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO pictures (event_id, received_us, jpeg) VALUES ($1, $2, $3) \
             ON CONFLICT (event_id) DO UPDATE SET received_us = excluded.received_us, jpeg = excluded.jpeg",
        )
        .bind(event)
        .bind(Timestamp::now().as_microsecond())
        .bind(jpeg)
        .execute(&self.pool)
        .await?;
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
