//! Questions about events, and what a user does to one.

use sqlx::{Postgres, QueryBuilder};

use super::database::Central;
use crate::store::{
    EventFilter, StoreError, StoredEvent, push_conditions, push_order, stored, words_of_filter,
};

/// What is read of an event. Clips stay where they were made.
const COLUMNS: &str = "SELECT event, (SELECT LENGTH(jpeg)::bigint FROM pictures WHERE event_id = id) AS picture_bytes, \
                       NULL::bigint AS clip_bytes, kept FROM events WHERE removed = 0";

impl Central {
    /// Events, newest first.
    ///
    /// # Errors
    /// As [`Store::events`](crate::store::Store::events).
    pub async fn events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>, StoreError> {
        let mut query = QueryBuilder::<Postgres>::new(COLUMNS);
        push_conditions(&mut query, filter)?;
        for word in words_of_filter(filter)? {
            query.push(" AND number IN (SELECT event FROM words WHERE word = ");
            query.push_bind(word).push(")");
        }
        let start = match &filter.after {
            Some(after) => Some(self.start_of(after).await?),
            None => None,
        };
        push_order(&mut query, filter, start);
        let rows = query.build().fetch_all(&self.pool).await?;
        rows.iter().map(stored).collect()
    }

    async fn start_of(&self, id: &str) -> Result<i64, StoreError> {
        let start = sqlx::query_scalar("SELECT start_us FROM events WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        start.ok_or_else(|| StoreError::unknown_after(id))
    }

    /// One event.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn event(&self, id: &str) -> Result<Option<StoredEvent>, StoreError> {
        let mut query = QueryBuilder::<Postgres>::new(COLUMNS);
        query.push(" AND id = ").push_bind(id);
        let row = query.build().fetch_optional(&self.pool).await?;
        row.as_ref().map(stored).transpose()
    }

    /// Keeps an event until somebody removes it, or no longer. Whether there is such an event.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn set_kept(&self, id: &str, kept: bool) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE events SET kept = $2 WHERE id = $1 AND removed = 0")
            .bind(id)
            .bind(i64::from(kept))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Removes an event with its picture. Whether there was such an event. Its site keeps what it has.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn remove(&self, id: &str) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let done = sqlx::query("UPDATE events SET removed = 1 WHERE id = $1 AND removed = 0")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM pictures WHERE event_id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}
