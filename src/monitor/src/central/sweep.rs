//! What is too old goes.

use jiff::{SignedDuration, Timestamp};

use super::database::Central;
use crate::store::StoreError;

/// Rows that one statement removes: others wait for it.
const ROWS: i64 = 5000;

impl Central {
    /// Removes what ended, or if it goes on was heard of last, more than so many days ago, and is not kept. How many
    /// events that were.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn sweep(&self, days: u32, now: Timestamp) -> Result<u64, StoreError> {
        let oldest = now - SignedDuration::from_hours(24 * i64::from(days));
        let oldest = oldest.as_microsecond();
        let statements = [
            "DELETE FROM events WHERE number IN (SELECT number FROM events \
             WHERE step_us < $1 AND kept = 0 LIMIT $2)",
            "DELETE FROM pictures WHERE event_id IN (SELECT event_id FROM pictures \
             WHERE received_us < $1 AND NOT EXISTS (SELECT 1 FROM events WHERE id = event_id) LIMIT $2)",
            "DELETE FROM steps WHERE (event_id, kind, time_us) IN (SELECT event_id, kind, time_us FROM steps \
             WHERE received_us < $1 AND NOT EXISTS (SELECT 1 FROM events WHERE id = event_id) LIMIT $2)",
        ];
        let mut removed = 0;
        for (place, statement) in statements.into_iter().enumerate() {
            loop {
                let done = sqlx::query(statement)
                    .bind(oldest)
                    .bind(ROWS)
                    .execute(&self.pool)
                    .await?;
                let rows = done.rows_affected();
                removed += if place == 0 { rows } else { 0 };
                if rows < ROWS.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(removed)
    }
}
