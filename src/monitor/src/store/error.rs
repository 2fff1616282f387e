//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

/// Result codes of SQLite.
const SQLITE_FULL: i32 = 13;
const SQLITE_IOERR: i32 = 10;
const SQLITE_CANTOPEN: i32 = 14;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_NOTADB: i32 = 26;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What was asked for cannot be: the question is wrong, not the store.
    #[error("{place}: expected {expected}, found {found:?}")]
    Refused {
        /// Which part of it: `limit`, `id`.
        place: &'static str,
        /// What it can be.
        expected: &'static str,
        /// What it was.
        found: String,
    },
    /// There is no such event.
    #[error("there is no event {0:?}")]
    NoEvent(String),
    /// A newer program made the database.
    #[error(
        "{path} is of a newer version of mdetr-monitor (its schema is {found}, this program knows {known}): use that version, or another directory"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Newest schema that this program knows.
        known: i64,
    },
    /// Another program uses the directory.
    #[error("{0} is in use by another mdetr-monitor: stop it, or use another directory")]
    InUse(PathBuf),
    /// The database cannot be opened.
    #[error("{path} cannot be opened: {source}")]
    Open {
        /// The database.
        path: PathBuf,
        /// What went wrong.
        source: Box<StoreError>,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The database could not be read or written.
    #[error("the database of events: {0}")]
    Database(#[from] sqlx::Error),
    /// The database is damaged.
    #[error("the database of events is damaged: {0}")]
    Damaged(String),
    /// The database could not be brought to the schema of this program.
    #[error("the database of events: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl StoreError {
    /// Of a file.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
        let path = path.to_owned();
        |source| StoreError::File { path, source }
    }

    /// That there is no event behind which a list could begin.
    pub(crate) fn unknown_after(id: &str) -> StoreError {
        StoreError::Refused {
            place: "after",
            expected: "the id of an event that is there",
            found: id.chars().take(100).collect(),
        }
    }

    /// Whether the question is wrong, not the store.
    pub fn is_refusal(&self) -> bool {
        matches!(self, StoreError::Refused { .. })
    }

    /// Whether there is no room on the disk.
    pub fn is_full(&self) -> bool {
        match self {
            StoreError::File { source, .. } => is_full(source),
            _ => self.code() == Some(SQLITE_FULL),
        }
    }

    /// Whether there may be no room on the disk: SQLite says less where it cannot make a file.
    pub(super) fn may_be_full(&self) -> bool {
        self.is_full() || matches!(self.code(), Some(SQLITE_IOERR | SQLITE_CANTOPEN))
    }

    /// Whether trying again cannot help: it is not the disk, it is what was to be written.
    pub(super) fn is_final(&self) -> bool {
        match self {
            StoreError::Refused { .. } | StoreError::NoEvent(_) => true,
            StoreError::Database(sqlx::Error::Database(error)) => {
                error.kind() != sqlx::error::ErrorKind::Other
            }
            _ => false,
        }
    }

    /// Whether the database is none, or a damaged one.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, StoreError::Damaged(_))
            || matches!(self.code(), Some(SQLITE_CORRUPT | SQLITE_NOTADB))
    }

    /// SQLite's primary result code.
    fn code(&self) -> Option<i32> {
        let error = match self {
            StoreError::Database(error) => error,
            StoreError::Migration(
                sqlx::migrate::MigrateError::Execute(error)
                | sqlx::migrate::MigrateError::ExecuteMigration(error, _),
            ) => error,
            _ => return None,
        };
        let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
        Some(code & 0xff)
    }
}

/// Whether there is no room on the disk, or for this user on it.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
