//! What is written of events.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;

use jiff::Timestamp;
use mdetr_rules::event::EndReason;
use mdetr_rules::{Event, EventKind};
use sqlx::{Row, SqliteConnection};

use super::base::Store;
use super::browse::name;
use super::counters::add;
use super::error::StoreError;
use super::media::{DRAWN, PICTURE, Pictures, check_name, day};
use super::words::words_of;
use crate::hub::{Clip, Step};

/// A step that can be kept.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    event: &'a Event,
    json: String,
    receivers: &'a [String],
    pub pictures: Pictures,
}

impl<'a> Entry<'a> {
    /// Refuses what could not be read back, and what names files that cannot be.
    pub fn new(event: &'a Event, receivers: &'a [String]) -> Result<Entry<'a>, StoreError> {
        check_name("id", &event.id)?;
        check_name("camera", &event.camera)?;
        let json = serde_json::to_string(event).map_err(|error| unreadable(event, &error))?;
        serde_json::from_str::<Event>(&json).map_err(|error| unreadable(event, &error))?;
        Ok(Entry {
            event,
            json,
            receivers,
            pictures: Pictures::default(),
        })
    }
}

fn unreadable(event: &Event, error: &serde_json::Error) -> StoreError {
    StoreError::Refused {
        place: "event",
        expected: "numbers that JSON has",
        found: format!("event {}: {error}", event.id),
    }
}

impl Store {
    /// Keeps a step of an event and a letter to each of `receivers` (`mqtt`, `webhook:ID`, `email`): all or nothing.
    /// A step that is kept already changes nothing. Pictures that cannot be written are left out, with a warning.
    ///
    /// # Errors
    /// The names of the event's camera or its id cannot be names of files, or the database cannot be written.
    pub async fn record(&self, step: &Step, receivers: &[String]) -> Result<(), StoreError> {
        let mut entry = Entry::new(&step.event, receivers)?;
        match self.write_pictures(step).await {
            Ok(pictures) => entry.pictures = pictures,
            Err(error) => {
                let event = &step.event.id;
                tracing::warn!(event, %error, "the event is kept without its picture");
            }
        }
        self.record_all(&[entry]).await
    }

    /// Writes the pictures of a step to their files.
    pub(super) async fn write_pictures(&self, step: &Step) -> Result<Pictures, StoreError> {
        if step.plain.is_none() && step.drawn.is_none() {
            return Ok(Pictures::default());
        }
        let Step {
            event,
            plain,
            drawn,
        } = step;
        let path = |ending| {
            let media = &self.inner.media;
            media.path(&day(event.start), &event.camera, &event.id, ending)
        };
        let (plain_path, drawn_path) = (path(PICTURE), path(DRAWN));
        let (plain, drawn, store) = (plain.clone(), drawn.clone(), self.clone());
        let written = tokio::task::spawn_blocking(move || {
            let media = &store.inner.media;
            let plain = plain.map(|bytes| media.write(&plain_path, &bytes));
            let drawn = drawn.map(|bytes| media.write(&drawn_path, &bytes));
            Ok(Pictures {
                plain: plain.transpose()?,
                drawn: drawn.transpose()?,
            })
        });
        written.await.expect("writing a file does not panic")
    }

    /// Keeps steps: all or nothing.
    pub(super) async fn record_all(&self, entries: &[Entry<'_>]) -> Result<(), StoreError> {
        let mut transaction = self.inner.database.begin().await?;
        for entry in entries {
            insert(transaction.connection(), entry).await?;
        }
        transaction.commit().await?;
        add(&self.inner.counters.steps_written, entries.len() as u64);
        Ok(())
    }

    /// Keeps a clip; its file is moved.
    ///
    /// # Errors
    /// There is no such event (the file is removed then), the file cannot be moved, or the database cannot be written.
    pub async fn keep_clip(&self, clip: &Clip) -> Result<(), StoreError> {
        check_name("clip", clip.extension)?;
        let row = sqlx::query(
            "SELECT number, day, camera, clip_extension FROM events WHERE id = ? AND removed = 0",
        )
        .bind(&clip.event)
        .fetch_optional(self.inner.database.read())
        .await?;
        let Some(row) = row else {
            // What cannot be removed goes at the next start.
            let _ = tokio::fs::remove_file(&clip.path).await;
            return Err(StoreError::NoEvent(clip.event.clone()));
        };
        let (day, camera): (&str, &str) = (row.try_get("day")?, row.try_get("camera")?);
        let media = &self.inner.media;
        let path = media.path(day, camera, &clip.event, clip.extension);
        let before: Option<&str> = row.try_get("clip_extension")?;
        let before = before
            .filter(|&extension| extension != clip.extension)
            .map(|extension| media.path(day, camera, &clip.event, extension));
        let size = self.take_clip(clip.path.clone(), path.clone()).await?;
        let mut transaction = self.inner.database.begin().await?;
        let done = sqlx::query(
            "UPDATE events SET clip_bytes = ?, clip_extension = ?, clip_start_us = ?, clip_seconds = ? \
             WHERE number = ? AND id = ? AND removed = 0",
        )
        .bind(i64::try_from(size).unwrap_or(i64::MAX))
        .bind(clip.extension)
        .bind(clip.start.as_microsecond())
        .bind(clip.seconds)
        .bind(row.try_get::<i64, _>("number")?)
        .bind(&clip.event)
        .execute(transaction.connection())
        .await?;
        transaction.commit().await?;
        if done.rows_affected() == 0 {
            let _ = tokio::fs::remove_file(&path).await;
            return Err(StoreError::NoEvent(clip.event.clone()));
        }
        if let Some(before) = before {
            let _ = tokio::fs::remove_file(&before).await;
        }
        add(&self.inner.counters.clips_written, 1);
        Ok(())
    }

    /// Moves the file of a clip to its place, if that was not done by a try before. Its size.
    async fn take_clip(&self, part: PathBuf, path: PathBuf) -> Result<u64, StoreError> {
        let media = self.inner.media.clone();
        let moved = tokio::task::spawn_blocking(move || {
            if part.exists() || !path.exists() {
                let synced = File::open(&part).and_then(|file| file.sync_all());
                synced.map_err(StoreError::file(&part))?;
                media.take(&part, &path)?;
            }
            Ok(path.metadata().map_err(StoreError::file(&path))?.len())
        });
        moved.await.expect("moving a file does not panic")
    }

    /// Keeps an event until somebody removes it, or no longer. Whether there is such an event.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn set_kept(&self, id: &str, kept: bool) -> Result<bool, StoreError> {
        let mut transaction = self.inner.database.begin().await?;
        let done = sqlx::query("UPDATE events SET kept = ? WHERE id = ? AND removed = 0")
            .bind(i64::from(kept))
            .bind(id)
            .execute(transaction.connection())
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Ends, with the reason `interrupted`, all events that are open since an earlier run of the program. To be
    /// called before the first [`record`](Self::record). An event's end is the time of what is known of it last.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn end_interrupted(&self, receivers: &[String]) -> Result<Vec<Event>, StoreError> {
        self.end_interrupted_for(|_| receivers.to_vec()).await
    }

    /// As [`end_interrupted`](Self::end_interrupted), with the receivers of each event.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn end_interrupted_for(
        &self,
        receivers: impl Fn(&Event) -> Vec<String>,
    ) -> Result<Vec<Event>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT event FROM events WHERE end_us IS NULL ORDER BY start_us, id",
        )
        .fetch_all(self.inner.database.read())
        .await?;
        let mut ended = Vec::with_capacity(rows.len());
        for json in &rows {
            let mut event: Event =
                serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into()))?;
            let end = event.time.max(event.best.utc).max(event.start);
            event.kind = EventKind::End;
            event.time = end;
            event.end = Some(end);
            event.reason = Some(EndReason::Interrupted);
            let receivers = receivers(&event);
            ended.push((event, receivers));
        }
        let entries: Result<Vec<_>, _> = ended
            .iter()
            .map(|(event, receivers)| Entry::new(event, receivers))
            .collect();
        if !ended.is_empty() {
            self.record_all(&entries?).await?;
            let events = ended.len();
            tracing::warn!(events, "ended what an earlier run of the program left open");
        }
        Ok(ended.into_iter().map(|(event, _)| event).collect())
    }
}

async fn insert(connection: &mut SqliteConnection, entry: &Entry<'_>) -> Result<(), StoreError> {
    let event = entry.event;
    let sequence: Option<i64> = sqlx::query_scalar(
        "INSERT INTO steps (event_id, kind, time_us, step) VALUES (?, ?, ?, ?) \
         ON CONFLICT DO NOTHING RETURNING sequence",
    )
    .bind(&event.id)
    .bind(kind(event.kind))
    .bind(event.time.as_microsecond())
    .bind(&entry.json)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(sequence) = sequence else {
        return Ok(());
    };
    let bytes = |size: Option<u64>| size.map(|size| i64::try_from(size).unwrap_or(i64::MAX));
    let number: i64 = sqlx::query_scalar(
        "INSERT INTO events (id, camera, rule, severity, start_us, end_us, step_us, event, day, picture_bytes, drawn_bytes) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, end_us = excluded.end_us, \
         step_us = excluded.step_us, event = excluded.event, \
         picture_bytes = CASE WHEN events.removed = 0 THEN COALESCE(excluded.picture_bytes, events.picture_bytes) END, \
         drawn_bytes = CASE WHEN events.removed = 0 THEN COALESCE(excluded.drawn_bytes, events.drawn_bytes) END \
         RETURNING number",
    )
    .bind(&event.id)
    .bind(&event.camera)
    .bind(&event.rule)
    .bind(name(event.severity))
    .bind(event.start.as_microsecond())
    .bind(event.end.map(Timestamp::as_microsecond))
    .bind(event.time.as_microsecond())
    .bind(&entry.json)
    .bind(day(event.start))
    .bind(bytes(entry.pictures.plain))
    .bind(bytes(entry.pictures.drawn))
    .fetch_one(&mut *connection)
    .await?;
    keep_words(connection, number, &words_of(event)).await?;
    for receiver in entry.receivers {
        sqlx::query(
            "INSERT INTO letters (receiver, sequence) VALUES (?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(receiver)
        .bind(sequence)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn keep_words(
    connection: &mut SqliteConnection,
    number: i64,
    words: &BTreeSet<String>,
) -> Result<(), StoreError> {
    let known: Vec<String> = sqlx::query_scalar("SELECT word FROM words WHERE event = ?")
        .bind(number)
        .fetch_all(&mut *connection)
        .await?;
    // Most steps of an event have the words of the one before.
    if known.len() == words.len() && known.iter().all(|word| words.contains(word)) {
        return Ok(());
    }
    sqlx::query("DELETE FROM words WHERE event = ?")
        .bind(number)
        .execute(&mut *connection)
        .await?;
    for word in words {
        sqlx::query("INSERT INTO words (word, event) VALUES (?, ?)")
            .bind(word)
            .bind(number)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// As the column has it.
pub(crate) fn kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::New => "new",
        EventKind::Update => "update",
        EventKind::End => "end",
    }
}
