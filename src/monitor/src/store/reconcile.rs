//! Files and rows are brought together at the start: a program that is killed between the two leaves one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Date;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::base::Store;
use super::error::StoreError;
use super::media::{CLIPS, DRAWN, PICTURE};
use super::remove::remove_file;
use super::sweep::remove_parts;

/// What was found and done.
#[derive(Debug, Default)]
struct Report {
    /// Files without an event, which were removed.
    orphans: u64,
    /// Files that rows did not know, or with another size.
    adopted: u64,
    /// Files that rows knew, and which are not there.
    missing: u64,
}

/// A file of a day.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    bytes: u64,
}

/// Files of a day by camera and name.
type Files = BTreeMap<(String, String), Found>;

impl Store {
    /// Removes files of no event, and corrects rows whose files are others than they say.
    pub(super) async fn reconcile(&self) -> Result<(), StoreError> {
        let media = self.inner.media.clone();
        let days = tokio::task::spawn_blocking(move || {
            let parts = remove_parts(&media, Duration::ZERO)?;
            let days = days(&media.root).map_err(StoreError::file(&media.root))?;
            Ok::<_, StoreError>((parts, days))
        });
        let (parts, mut days) = days.await.expect("reading directories does not panic")?;
        let known: Vec<String> = sqlx::query_scalar("SELECT DISTINCT day FROM events")
            .fetch_all(self.inner.database.read())
            .await?;
        days.extend(known);
        let mut report = Report::default();
        for day in days {
            self.reconcile_day(&day, &mut report).await?;
        }
        let Report {
            orphans,
            adopted,
            missing,
        } = report;
        if parts + orphans + adopted + missing > 0 {
            tracing::warn!(
                parts,
                orphans,
                adopted,
                missing,
                "the program was not stopped well: removed unfinished files and files of no event, took over \
                 files that the database did not know, and forgot files that are not there"
            );
        }
        Ok(())
    }

    async fn reconcile_day(&self, day: &str, report: &mut Report) -> Result<(), StoreError> {
        let directory = self.inner.media.root.join(day);
        let listed = tokio::task::spawn_blocking(move || {
            files(&directory).map_err(StoreError::file(&directory))
        });
        let mut files = listed.await.expect("reading directories does not panic")?;
        let rows = sqlx::query(
            "SELECT number, id, camera, picture_bytes, drawn_bytes, clip_bytes, clip_extension FROM events \
             WHERE day = ? AND removed = 0",
        )
        .bind(day)
        .fetch_all(self.inner.database.read())
        .await?;
        let mut transaction = None;
        for row in &rows {
            let truth = Truth::of(row, &mut files)?;
            if truth.is_told(row, report)? {
                continue;
            }
            let transaction = match &mut transaction {
                Some(transaction) => transaction,
                None => transaction.insert(self.inner.database.begin().await?),
            };
            truth.tell(row, transaction.connection()).await?;
        }
        if let Some(transaction) = transaction {
            transaction.commit().await?;
        }
        let orphans: Vec<PathBuf> = files.into_values().map(|file| file.path).collect();
        report.orphans += orphans.len() as u64;
        let removed = tokio::task::spawn_blocking(move || {
            for path in &orphans {
                remove_file(path).map_err(StoreError::file(path))?;
                for directory in path.ancestors().skip(1).take(2) {
                    let _ = fs::remove_dir(directory);
                }
            }
            Ok(())
        });
        removed.await.expect("removing files does not panic")
    }
}

/// What there is of an event.
struct Truth {
    picture: Option<i64>,
    drawn: Option<i64>,
    clip: Option<i64>,
    clip_extension: Option<String>,
}

impl Truth {
    /// Takes the files of an event.
    fn of(row: &SqliteRow, files: &mut Files) -> Result<Truth, StoreError> {
        let (id, camera): (&str, &str) = (row.try_get("id")?, row.try_get("camera")?);
        let mut take = |ending: &str| {
            let file = files.remove(&(camera.to_owned(), format!("{id}.{ending}")))?;
            Some(i64::try_from(file.bytes).unwrap_or(i64::MAX))
        };
        let mut truth = Truth {
            picture: take(PICTURE),
            drawn: take(DRAWN),
            clip: None,
            clip_extension: None,
        };
        let known: Option<&str> = row.try_get("clip_extension")?;
        for extension in known.into_iter().chain(CLIPS) {
            if let Some(bytes) = take(extension) {
                truth.clip = Some(bytes);
                truth.clip_extension = Some(extension.to_owned());
                break;
            }
        }
        Ok(truth)
    }

    /// Whether a row says it already; counts where not.
    fn is_told(&self, row: &SqliteRow, report: &mut Report) -> Result<bool, StoreError> {
        let mut told = true;
        let columns = [
            ("picture_bytes", self.picture),
            ("drawn_bytes", self.drawn),
            ("clip_bytes", self.clip),
        ];
        for (column, truth) in columns {
            let said: Option<i64> = row.try_get(column)?;
            match (said, truth) {
                _ if said == truth => continue,
                (_, Some(_)) => report.adopted += 1,
                (_, None) => report.missing += 1,
            }
            told = false;
        }
        Ok(told)
    }

    async fn tell(
        &self,
        row: &SqliteRow,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE events SET picture_bytes = ?, drawn_bytes = ?, clip_bytes = ?, clip_extension = ? \
             WHERE number = ?",
        )
        .bind(self.picture)
        .bind(self.drawn)
        .bind(self.clip)
        .bind(&self.clip_extension)
        .bind(row.try_get::<i64, _>("number")?)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Names of directories that are days. What else lies there is somebody's.
fn days(media: &Path) -> io::Result<BTreeSet<String>> {
    let mut days = BTreeSet::new();
    for entry in fs::read_dir(media)? {
        let name = entry?.file_name();
        let day = name.to_str().filter(|name| name.parse::<Date>().is_ok());
        days.extend(day.map(str::to_owned));
    }
    Ok(days)
}

fn files(day: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    let cameras = match fs::read_dir(day) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        cameras => cameras?,
    };
    for camera in cameras {
        let camera = camera?;
        if !camera.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(camera.path())? {
            let file = file?;
            if file.file_type()?.is_file() {
                let name = |name: std::ffi::OsString| name.to_string_lossy().into_owned();
                let found = Found {
                    path: file.path(),
                    bytes: file.metadata()?.len(),
                };
                files.insert((name(camera.file_name()), name(file.file_name())), found);
            }
        }
    }
    Ok(files)
}
