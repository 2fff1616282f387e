//! What is written of events.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mdetr_rules::Event;
use sqlx::PgConnection;

use super::database::Central;
use super::notices::CHANNEL;
use crate::store::{StoreError, kind_name, severity_name, words_of};

/// A step of an event as it came.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The step, as [`of_site`](super::of_site) gives it.
    pub event: Event,
    /// When it came.
    pub received: Timestamp,
}

impl Central {
    /// Keeps steps: all or none. Those that are kept already change nothing, and of an event the latest step counts, in
    /// whatever order they come. Gives how many are new.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn record(&self, arrivals: &[Arrival]) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let new = insert_steps(&mut transaction, arrivals).await?;
        // Of two that write at once, both write events in the same order, so that neither waits for the other for ever.
        let mut latest: BTreeMap<&str, &Event> = BTreeMap::new();
        for Arrival { event, .. } in arrivals {
            let known = latest.entry(&event.id).or_insert(event);
            if (event.time, event.end.is_some()) >= (known.time, known.end.is_some()) {
                *known = event;
            }
        }
        let numbers = upsert_events(&mut transaction, &latest).await?;
        insert_words(&mut transaction, &latest, &numbers).await?;
        let changed: Vec<&str> = numbers.keys().map(String::as_str).collect();
        sqlx::query("SELECT pg_notify($1, id) FROM UNNEST($2::text[]) AS changed (id)")
            .bind(CHANNEL)
            .bind(changed)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(new)
    }
}

async fn insert_steps(
    connection: &mut PgConnection,
    arrivals: &[Arrival],
) -> Result<u64, StoreError> {
    let (mut ids, mut kinds, mut times, mut received) = (vec![], vec![], vec![], vec![]);
    for arrival in arrivals {
        ids.push(arrival.event.id.clone());
        kinds.push(kind_name(arrival.event.kind));
        times.push(arrival.event.time.as_microsecond());
        received.push(arrival.received.as_microsecond());
    }
    let done = sqlx::query(
        "INSERT INTO steps (event_id, kind, time_us, received_us) \
         SELECT DISTINCT ON (1, 2, 3) * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::bigint[]) \
         ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING",
    )
    .bind(ids)
    .bind(kinds)
    .bind(times)
    .bind(received)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Numbers of the events that changed, by their ids.
async fn upsert_events(
    connection: &mut PgConnection,
    latest: &BTreeMap<&str, &Event>,
) -> Result<BTreeMap<String, i64>, StoreError> {
    let events = || latest.values();
    let texts = |of: fn(&Event) -> &str| -> Vec<String> {
        events().map(|event| of(event).to_owned()).collect()
    };
    let json: Result<Vec<String>, _> = events().map(serde_json::to_string).collect();
    let times = |of: fn(&Event) -> Timestamp| -> Vec<i64> {
        events().map(|event| of(event).as_microsecond()).collect()
    };
    let ends: Vec<Option<i64>> = events()
        .map(|event| event.end.map(Timestamp::as_microsecond))
        .collect();
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "INSERT INTO events (id, camera, rule, severity, start_us, end_us, step_us, event) \
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], \
         $7::bigint[], $8::text[]) \
         ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, end_us = excluded.end_us, \
         step_us = excluded.step_us, event = excluded.event \
         WHERE events.removed = 0 AND (events.end_us IS NULL OR excluded.end_us IS NOT NULL) \
         AND events.step_us <= excluded.step_us AND events.event <> excluded.event \
         RETURNING id, number",
    )
    .bind(texts(|event| &event.id))
    .bind(texts(|event| &event.camera))
    .bind(texts(|event| &event.rule))
    .bind(texts(|event| severity_name(event.severity)))
    .bind(times(|event| event.start))
    .bind(ends)
    .bind(times(|event| event.time))
    .bind(json.map_err(|error| sqlx::Error::Encode(error.into()))?)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().collect())
}

async fn insert_words(
    connection: &mut PgConnection,
    latest: &BTreeMap<&str, &Event>,
    numbers: &BTreeMap<String, i64>,
) -> Result<(), StoreError> {
    let mut pairs = BTreeSet::new();
    for (id, number) in numbers {
        if let Some(event) = latest.get(id.as_str()) {
            pairs.extend(words_of(event).into_iter().map(|word| (word, *number)));
        }
    }
    let (words, events): (Vec<String>, Vec<i64>) = pairs.into_iter().unzip();
    sqlx::query(
        "INSERT INTO words (word, event) SELECT * FROM UNNEST($1::text[], $2::bigint[]) ON CONFLICT DO NOTHING",
    )
    .bind(words)
    .bind(events)
    .execute(connection)
    .await?;
    Ok(())
}
