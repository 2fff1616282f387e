//! Questions about events.

use std::collections::BTreeSet;
use std::path::PathBuf;

use mdetr_rules::document::Severity;
use sqlx::sqlite::SqliteRow;
use sqlx::{ColumnIndex, Database, Decode, Encode, QueryBuilder, Row, Sqlite, Type};

use super::base::Store;
use super::error::StoreError;
use super::media::{DRAWN, PICTURE, check_name};
use super::types::{EventFilter, StoredEvent};
use super::words::words;

/// Events in a list, if nothing else is said, and at most.
const USUAL_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
/// Events that have a rare word, at most.
const RARE: i64 = 2000;
/// Most words that are looked for at once.
const MAX_WORDS: usize = 32;

impl Store {
    /// Events, newest first.
    ///
    /// # Errors
    /// The limit, the words or the event behind which they are cannot be, or the database cannot be read.
    pub async fn events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT event, picture_bytes, clip_bytes, kept FROM events WHERE removed = 0",
        );
        push_conditions(&mut query, filter)?;
        self.push_words(&mut query, filter).await?;
        let start = match &filter.after {
            Some(after) => Some(self.start_of(after).await?),
            None => None,
        };
        push_order(&mut query, filter, start);
        let rows = query.build().fetch_all(self.inner.database.read()).await?;
        rows.iter().map(stored).collect()
    }

    async fn push_words(
        &self,
        query: &mut QueryBuilder<Sqlite>,
        filter: &EventFilter,
    ) -> Result<(), StoreError> {
        let words = words_of_filter(filter)?;
        // Events with a rare word are fetched, those with a common one are come across.
        let mut rarest = (RARE + 1, None);
        for word in &words {
            let count = self.count(word).await?;
            if count < rarest.0 {
                rarest = (count, Some(word));
            }
        }
        for word in &words {
            match rarest.1 == Some(word) {
                true => query.push(" AND number IN (SELECT event FROM words WHERE word = "),
                false => query.push(
                    " AND EXISTS (SELECT 1 FROM words WHERE words.event = events.number AND words.word = ",
                ),
            };
            query.push_bind(word.clone()).push(")");
        }
        Ok(())
    }

    /// How many events have a word, up to one more than are few.
    async fn count(&self, word: &str) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar(
            "SELECT COUNT(*) FROM (SELECT 1 FROM words WHERE word = ? LIMIT ?) AS found",
        )
        .bind(word)
        .bind(RARE + 1)
        .fetch_one(self.inner.database.read())
        .await?;
        Ok(count)
    }

    async fn start_of(&self, id: &str) -> Result<i64, StoreError> {
        let start = sqlx::query_scalar("SELECT start_us FROM events WHERE id = ?")
            .bind(id)
            .fetch_optional(self.inner.database.read())
            .await?;
        start.ok_or_else(|| StoreError::unknown_after(id))
    }

    /// One event.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn event(&self, id: &str) -> Result<Option<StoredEvent>, StoreError> {
        let row = sqlx::query(
            "SELECT event, picture_bytes, clip_bytes, kept FROM events WHERE id = ? AND removed = 0",
        )
        .bind(id)
        .fetch_optional(self.inner.database.read())
        .await?;
        row.as_ref().map(stored).transpose()
    }

    /// Path of the picture of an event's best view, plain or with boxes and words drawn.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn picture(&self, id: &str, drawn: bool) -> Result<Option<PathBuf>, StoreError> {
        let Some(row) = self.files(id).await? else {
            return Ok(None);
        };
        let (column, ending) = match drawn {
            true => ("drawn_bytes", DRAWN),
            false => ("picture_bytes", PICTURE),
        };
        match row.try_get::<Option<i64>, _>(column)? {
            Some(_) => self.path_of(&row, id, ending).map(Some),
            None => Ok(None),
        }
    }

    /// Path of the clip of an event.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn clip(&self, id: &str) -> Result<Option<PathBuf>, StoreError> {
        let Some(row) = self.files(id).await? else {
            return Ok(None);
        };
        match row.try_get::<Option<String>, _>("clip_extension")? {
            Some(extension) => self.path_of(&row, id, &extension).map(Some),
            None => Ok(None),
        }
    }

    async fn files(&self, id: &str) -> Result<Option<SqliteRow>, StoreError> {
        let row = sqlx::query(
            "SELECT day, camera, picture_bytes, drawn_bytes, clip_extension FROM events \
             WHERE id = ? AND removed = 0",
        )
        .bind(id)
        .fetch_optional(self.inner.database.read())
        .await?;
        Ok(row)
    }

    fn path_of(&self, row: &SqliteRow, id: &str, ending: &str) -> Result<PathBuf, StoreError> {
        let (day, camera): (&str, &str) = (row.try_get("day")?, row.try_get("camera")?);
        // Checked when they came; the database may have been changed by hand since.
        for (place, name) in [("day", day), ("camera", camera), ("id", id)] {
            check_name(place, name)?;
        }
        Ok(self.inner.media.path(day, camera, id, ending))
    }
}

/// Adds all conditions of a filter but its words and `after`.
///
/// # Errors
/// The limit cannot be.
pub(crate) fn push_conditions<DB: Database>(
    query: &mut QueryBuilder<DB>,
    filter: &EventFilter,
) -> Result<(), StoreError>
where
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
{
    limit(filter)?;
    if let Some(from) = filter.from {
        query.push(" AND (end_us IS NULL OR end_us >= ");
        query.push_bind(from.as_microsecond()).push(")");
    }
    if let Some(to) = filter.to {
        query
            .push(" AND start_us < ")
            .push_bind(to.as_microsecond());
    }
    if let Some(camera) = &filter.camera {
        query.push(" AND camera = ").push_bind(camera.clone());
    }
    if let Some(rule) = &filter.rule {
        query.push(" AND rule = ").push_bind(rule.clone());
    }
    if let Some(severity) = filter.severity {
        query.push(" AND severity = ").push_bind(name(severity));
    }
    match filter.open {
        Some(true) => drop(query.push(" AND end_us IS NULL")),
        Some(false) => drop(query.push(" AND end_us IS NOT NULL")),
        None => {}
    }
    Ok(())
}

/// Adds the order of a list, its limit, and, if the list is behind an event, that: `start` is when that began.
pub(crate) fn push_order<DB: Database>(
    query: &mut QueryBuilder<DB>,
    filter: &EventFilter,
    start: Option<i64>,
) where
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    if let Some((start, after)) = start.zip(filter.after.as_ref()) {
        query.push(" AND (start_us < ").push_bind(start);
        query.push(" OR (start_us = ").push_bind(start);
        query.push(" AND id < ").push_bind(after.clone()).push("))");
    }
    query.push(" ORDER BY start_us DESC, id DESC LIMIT ");
    query.push_bind(i64::from(filter.limit.unwrap_or(USUAL_LIMIT)));
}

fn limit(filter: &EventFilter) -> Result<(), StoreError> {
    let limit = filter.limit.unwrap_or(USUAL_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(());
    }
    Err(StoreError::Refused {
        place: "limit",
        expected: "1 to 1000",
        found: limit.to_string(),
    })
}

/// The words that a filter looks for.
///
/// # Errors
/// There are too many.
pub(crate) fn words_of_filter(filter: &EventFilter) -> Result<BTreeSet<String>, StoreError> {
    let text = filter.words.as_deref().unwrap_or_default();
    let words = words(text);
    if words.len() <= MAX_WORDS {
        return Ok(words);
    }
    Err(StoreError::Refused {
        place: "words",
        expected: "at most 32 words",
        found: text.chars().take(100).collect(),
    })
}

/// As the column has it.
pub(crate) fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Alert => "alert",
        Severity::Detection => "detection",
    }
}

/// An event from the columns `event`, `picture_bytes`, `clip_bytes` and `kept`.
pub(crate) fn stored<R: Row>(row: &R) -> Result<StoredEvent, StoreError>
where
    for<'r> &'r str: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'i> &'i str: ColumnIndex<R>,
{
    let event: &str = row.try_get("event")?;
    Ok(StoredEvent {
        // A step is read back before it is kept.
        event: serde_json::from_str(event).map_err(|error| sqlx::Error::Decode(error.into()))?,
        has_picture: row.try_get::<Option<i64>, _>("picture_bytes")?.is_some(),
        has_clip: row.try_get::<Option<i64>, _>("clip_bytes")?.is_some(),
        kept: row.try_get::<i64, _>("kept")? != 0,
    })
}
