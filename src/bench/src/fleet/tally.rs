//! What the database has.

use std::time::Instant;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

/// Counts what is kept.
pub struct Tally {
    connection: PgConnection,
}

/// What is kept.
pub struct Kept {
    pub steps: u64,
    pub events: u64,
    /// Events of which there are two.
    pub doubled: u64,
    pub bytes: u64,
}

impl Tally {
    pub async fn new(database: &str) -> Result<Tally> {
        let connection = PgConnection::connect(database).await?;
        Ok(Tally { connection })
    }

    /// What is kept of what happens while something is done.
    pub async fn part(&mut self, name: &str, done: impl Future<Output = ()>) -> Result<Value> {
        eprintln!("mdetr-bench: {name}");
        let (begin, begun) = (Timestamp::now(), Instant::now());
        done.await;
        let seconds = begun.elapsed().as_secs_f64();
        let (steps, median, p99, longest): (i64, f64, f64, i64) = sqlx::query_as(
            "SELECT COUNT(*), COALESCE(PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY received_us - time_us), 0), \
             COALESCE(PERCENTILE_CONT(0.99) WITHIN GROUP (ORDER BY received_us - time_us), 0), \
             COALESCE(MAX(received_us - time_us), 0) FROM steps WHERE received_us >= $1",
        )
        .bind(begin.as_microsecond())
        .fetch_one(&mut self.connection)
        .await?;
        Ok(json!({
            "part": name,
            "steps_per_s": steps as f64 / seconds,
            "lag_median_ms": median / 1000.0,
            "lag_p99_ms": p99 / 1000.0,
            "lag_longest_ms": longest as f64 / 1000.0,
        }))
    }

    pub async fn kept(&mut self) -> Result<Kept> {
        let (steps, events, distinct, bytes): (i64, i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM steps), COUNT(*), COUNT(DISTINCT id), \
             pg_database_size(current_database()) FROM events",
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(Kept {
            steps: steps.unsigned_abs(),
            events: events.unsigned_abs(),
            doubled: (events - distinct).unsigned_abs(),
            bytes: bytes.unsigned_abs(),
        })
    }
}
