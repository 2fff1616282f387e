//! Retention: what is older, or takes more room, than the configuration says.

use std::fs;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use mdetr_rules::document::Severity;
use sqlx::{AssertSqlSafe, QueryBuilder, Sqlite};

use super::base::Store;
use super::browse::name;
use super::counters::add;
use super::damage::{asides, bytes_below};
use super::error::StoreError;
use super::media::{MEDIA, Media};
use super::remove::{DOOMED, Doomed, remove_file};
use super::room::{free_bytes, keep_spare};
use crate::config::{self, Keep};

/// Events that are removed at once.
const BATCH: u32 = 100;
/// Configurations that are kept.
const CONFIGS: u32 = 1000;
/// How long a file that is being written may rest.
const PART: Duration = Duration::from_secs(3600);
/// Pages of the database that are free before some go back to the disk, and most that go at once.
const FREE_PAGES: i64 = 1000;

/// What retention removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Events.
    pub events: u64,
    /// Bytes of pictures and clips.
    pub bytes: u64,
}

/// Events to which the same days and bytes apply: those of the first of the configuration's exceptions that names
/// them, or those that none names.
#[derive(Debug, Clone, Copy)]
enum Group<'a> {
    All,
    Exception(&'a [Keep], usize),
    Rest(&'a [Keep]),
}

impl Store {
    /// Removes what is not to be kept any more. Oldest go first, and those that want somebody to look stay longest;
    /// what goes on, what somebody keeps and letters that wait always stay.
    ///
    /// # Errors
    /// Files cannot be removed, or the database cannot be read or written. Some may have gone by then.
    pub async fn sweep(
        &self,
        settings: &config::Store,
        now: Timestamp,
    ) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        let done = self.sweep_all(settings, now, &mut swept).await;
        if swept != Swept::default() {
            let Swept { events, bytes } = swept;
            tracing::info!(events, bytes, "retention removed old events");
        }
        done.map(|()| swept)
    }

    async fn sweep_all(
        &self,
        settings: &config::Store,
        now: Timestamp,
        swept: &mut Swept,
    ) -> Result<(), StoreError> {
        self.sweep_files(settings, now, swept).await?;
        self.sweep_removed().await?;
        let keeps = &settings.keeps;
        for (i, keep) in keeps.iter().enumerate() {
            let group = Group::Exception(keeps, i);
            self.remove_before(group, days_before(now, keep.days), swept)
                .await?;
        }
        let rest = Group::Rest(keeps);
        self.remove_before(rest, days_before(now, settings.days), swept)
            .await?;
        for (i, keep) in keeps.iter().enumerate() {
            if let Some(most) = keep.bytes {
                let group = Group::Exception(keeps, i);
                let excess = self.bytes(group).await?.saturating_sub(most);
                self.remove_bytes(group, excess, swept).await?;
            }
        }
        let excess = self.bytes(Group::All).await?.saturating_sub(settings.bytes);
        self.remove_bytes(Group::All, excess, swept).await?;
        // Measured once: some disks take a while to give room back, and each event would go for it.
        let free = free_bytes(&self.inner.data).map_err(StoreError::file(&self.inner.data))?;
        let missing = settings.free_bytes.saturating_sub(free);
        self.remove_bytes(Group::All, missing, swept).await?;
        self.sweep_configs().await?;
        if swept.events > 0 {
            self.shrink().await?;
        }
        keep_spare(&self.inner.data);
        Ok(())
    }

    /// Files that no row of the database knows.
    async fn sweep_files(
        &self,
        settings: &config::Store,
        now: Timestamp,
        swept: &mut Swept,
    ) -> Result<(), StoreError> {
        let (data, media, settings) = (
            self.inner.data.clone(),
            self.inner.media.clone(),
            settings.clone(),
        );
        let removed = tokio::task::spawn_blocking(move || {
            remove_parts(&media, PART)?;
            let before = days_before(now, settings.days);
            let mut bytes = 0;
            for aside in asides(&data, MEDIA).map_err(StoreError::file(&data))? {
                let free = free_bytes(&data).map_err(StoreError::file(&data))?;
                if aside.time < before || free < settings.free_bytes {
                    let path = &aside.path;
                    bytes += bytes_below(path).map_err(StoreError::file(path))?;
                    fs::remove_dir_all(path).map_err(StoreError::file(path))?;
                    tracing::warn!(path = %path.display(), "removed pictures and clips that were put aside");
                }
            }
            Ok::<_, StoreError>(bytes)
        });
        let bytes = removed.await.expect("removing files does not panic")?;
        swept.bytes += bytes;
        add(&self.inner.counters.bytes_deleted, bytes);
        Ok(())
    }

    /// Events that were removed while they went on, and have ended since.
    async fn sweep_removed(&self) -> Result<(), StoreError> {
        loop {
            let mut query = select();
            query.push(" WHERE removed = 1 AND end_us IS NOT NULL LIMIT ");
            query.push_bind(BATCH);
            let events = self.doomed(query).await?;
            if events.is_empty() {
                return Ok(());
            }
            self.remove_all(events).await?;
        }
    }

    async fn remove_before(
        &self,
        group: Group<'_>,
        before: Timestamp,
        swept: &mut Swept,
    ) -> Result<(), StoreError> {
        loop {
            let mut query = select();
            query.push(" WHERE kept = 0 AND end_us < ");
            query.push_bind(before.as_microsecond());
            group.push(&mut query);
            query.push(" ORDER BY end_us LIMIT ").push_bind(BATCH);
            let events = self.doomed(query).await?;
            if events.is_empty() {
                return Ok(());
            }
            self.remove_batch(events, swept).await?;
        }
    }

    /// Removes events with at least so many bytes of files, if there are.
    async fn remove_bytes(
        &self,
        group: Group<'_>,
        mut excess: u64,
        swept: &mut Swept,
    ) -> Result<(), StoreError> {
        for severity in [Severity::Detection, Severity::Alert] {
            while excess > 0 {
                let mut query = select();
                query.push(" WHERE kept = 0 AND end_us IS NOT NULL AND severity = ");
                query.push_bind(name(severity));
                // Others make no room.
                query.push(" AND (picture_bytes > 0 OR drawn_bytes > 0 OR clip_bytes > 0)");
                group.push(&mut query);
                query.push(" ORDER BY end_us LIMIT ").push_bind(BATCH);
                let mut events = self.doomed(query).await?;
                if events.is_empty() {
                    break;
                }
                let needed = events.iter().position(|event| {
                    excess = excess.saturating_sub(event.bytes);
                    excess == 0
                });
                events.truncate(needed.map_or(events.len(), |last| last + 1));
                self.remove_batch(events, swept).await?;
            }
        }
        Ok(())
    }

    async fn remove_batch(&self, events: Vec<Doomed>, swept: &mut Swept) -> Result<(), StoreError> {
        let count = events.len() as u64;
        let bytes: u64 = events.iter().map(|event| event.bytes).sum();
        self.remove_all(events).await?;
        swept.events += count;
        swept.bytes += bytes;
        add(&self.inner.counters.events_deleted, count);
        add(&self.inner.counters.bytes_deleted, bytes);
        Ok(())
    }

    async fn doomed(&self, mut query: QueryBuilder<Sqlite>) -> Result<Vec<Doomed>, StoreError> {
        let rows = query.build().fetch_all(self.inner.database.read()).await?;
        rows.iter().map(Doomed::of).collect()
    }

    async fn bytes(&self, group: Group<'_>) -> Result<u64, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT COALESCE(SUM(COALESCE(picture_bytes, 0) + COALESCE(drawn_bytes, 0) + COALESCE(clip_bytes, 0)), 0) \
             FROM events WHERE 1 = 1",
        );
        group.push(&mut query);
        let query = query.build_query_scalar();
        let bytes: i64 = query.fetch_one(self.inner.database.read()).await?;
        Ok(bytes.unsigned_abs())
    }

    async fn sweep_configs(&self) -> Result<(), StoreError> {
        const OLD: &str = "FROM configs WHERE revision <= (SELECT MAX(revision) FROM configs) - ?";
        let old: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT COUNT(*) {OLD}")))
            .bind(CONFIGS)
            .fetch_one(self.inner.database.read())
            .await?;
        if old == 0 {
            return Ok(());
        }
        let mut transaction = self.inner.database.begin().await?;
        sqlx::query(AssertSqlSafe(format!("DELETE {OLD}")))
            .bind(CONFIGS)
            .execute(transaction.connection())
            .await?;
        transaction.commit().await
    }

    /// Gives pages of the database that are free back to the disk, some at a time.
    async fn shrink(&self) -> Result<(), StoreError> {
        loop {
            let free: i64 = sqlx::query_scalar("PRAGMA freelist_count")
                .fetch_one(self.inner.database.read())
                .await?;
            if free < FREE_PAGES {
                return Ok(());
            }
            let mut transaction = self.inner.database.begin().await?;
            let vacuum = format!("PRAGMA incremental_vacuum({FREE_PAGES})");
            sqlx::query(AssertSqlSafe(vacuum))
                .fetch_all(transaction.connection())
                .await?;
            transaction.commit().await?;
        }
    }
}

impl Group<'_> {
    /// Adds its condition.
    fn push(self, query: &mut QueryBuilder<Sqlite>) {
        let others = match self {
            Group::All => return,
            Group::Exception(keeps, i) => {
                query.push(" AND ");
                push_keep(query, &keeps[i]);
                &keeps[..i]
            }
            Group::Rest(keeps) => keeps,
        };
        for keep in others {
            query.push(" AND NOT ");
            push_keep(query, keep);
        }
    }
}

fn push_keep(query: &mut QueryBuilder<Sqlite>, keep: &Keep) {
    query.push("(1 = 1");
    if keep.rule != "*" {
        query.push(" AND rule = ").push_bind(keep.rule.clone());
    }
    if let Some(camera) = &keep.camera {
        query.push(" AND camera = ").push_bind(camera.clone());
    }
    query.push(")");
}

fn select() -> QueryBuilder<Sqlite> {
    QueryBuilder::new(format!("SELECT {DOOMED} FROM events"))
}

fn days_before(now: Timestamp, days: u32) -> Timestamp {
    let span = SignedDuration::from_hours(24 * i64::from(days));
    now.saturating_sub(span).unwrap_or(Timestamp::MIN)
}

/// Removes files that are not written any more. How many.
pub(super) fn remove_parts(media: &Media, age: Duration) -> Result<u64, StoreError> {
    let parts = &media.parts;
    let mut removed = 0;
    for entry in fs::read_dir(parts).map_err(StoreError::file(parts))? {
        let path = entry.map_err(StoreError::file(parts))?.path();
        // What vanished meanwhile is of no concern.
        let Ok(metadata) = path.metadata() else {
            continue;
        };
        let time = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let rested = SystemTime::now().duration_since(time).unwrap_or_default();
        if metadata.is_file() && rested >= age {
            remove_file(&path).map_err(StoreError::file(&path))?;
            removed += 1;
        }
    }
    Ok(removed)
}
