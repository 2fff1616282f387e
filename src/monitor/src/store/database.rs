//! The database: connections, transactions, schema.

use std::fs::{OpenOptions, Permissions, set_permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqlSafeStr, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};

use super::error::StoreError;

/// Schemas by version, oldest first.
const MIGRATIONS: [(i64, &str, &str); 2] = [
    (
        1,
        "events",
        include_str!("../../migrations/0001_events.sql"),
    ),
    (2, "fleet", include_str!("../../migrations/0002_fleet.sql")),
];
/// Connections that read at once.
const READERS: u32 = 4;
/// How long a connection waits for another program that writes.
const BUSY: Duration = Duration::from_secs(5);

/// Bytes that the journal keeps on the disk when it is empty.
const JOURNAL: u32 = 16 << 20;

/// One connection that writes, some that read.
#[derive(Debug)]
pub(super) struct Database {
    options: SqliteConnectOptions,
    /// Empty before its first use and where a transaction was not finished.
    writer: Mutex<Option<SqliteConnection>>,
    readers: SqlitePool,
    /// Most pages of the file in tests of a full disk; 0 for all.
    #[cfg(test)]
    pub max_pages: std::sync::atomic::AtomicU32,
}

/// A transaction that writes. Dropped without [`commit`](Self::commit) it leaves no trace: its connection is closed.
///
/// SQLite ends a transaction by itself where the disk is full, whereupon a transaction of sqlx cannot be rolled back,
/// and its connection begins none any more.
pub(super) struct Transaction<'a> {
    slot: MutexGuard<'a, Option<SqliteConnection>>,
    connection: SqliteConnection,
}

impl Database {
    /// Opens a database, makes it if there is none, and brings it to the newest schema.
    pub async fn open(path: &Path) -> Result<Database, StoreError> {
        make_private(path).map_err(StoreError::file(path))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .pragma("journal_size_limit", JOURNAL.to_string())
            .thread_name(|_| "store".to_owned())
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        migrate(&mut connection, path).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(options.clone().pragma("query_only", "ON"));
        Ok(Database {
            options,
            writer: Mutex::new(Some(connection)),
            readers,
            #[cfg(test)]
            max_pages: Default::default(),
        })
    }

    /// For queries.
    pub fn read(&self) -> &SqlitePool {
        &self.readers
    }

    /// Waits for its turn, and begins to write.
    pub async fn begin(&self) -> Result<Transaction<'_>, StoreError> {
        let mut slot = self.writer.lock().await;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        #[cfg(test)]
        self.limit(&mut connection).await?;
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await?;
        Ok(Transaction { slot, connection })
    }

    #[cfg(test)]
    async fn limit(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let pages = match self.max_pages.load(std::sync::atomic::Ordering::Relaxed) {
            0 => u32::MAX >> 2,
            pages => pages,
        };
        let limit = format!("PRAGMA max_page_count = {pages}");
        sqlx::query(sqlx::AssertSqlSafe(limit))
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.readers.close().await;
        if let Some(connection) = self.writer.lock().await.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database of events was not closed well");
        }
    }
}

impl Transaction<'_> {
    /// Where statements go.
    pub fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Makes what was written last.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        *self.slot = Some(self.connection);
        Ok(())
    }
}

/// What SQLite makes beside has the same mode.
fn make_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path)?;
    set_permissions(path, Permissions::from_mode(0o600))
}

/// Whether a file is a sound database, or none yet. Nothing holds it afterwards.
///
/// # Errors
/// It is damaged or something else, or cannot be read.
pub(super) async fn check(path: &Path) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    // With no more settings than it takes to open it: a connection that fails while it is made closes some time later,
    // and would remove the journal of a database that has taken the name meanwhile.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    let found = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(&mut connection)
        .await;
    connection.close().await?;
    match found {
        Ok(found) if found == "ok" => Ok(()),
        Ok(found) => Err(StoreError::Damaged(found)),
        Err(error) => Err(error.into()),
    }
}

async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let migrations = MIGRATIONS.map(|(version, name, sql)| {
        let sql = sql.into_sql_str();
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    });
    let migrator = Migrator::with_migrations(migrations.to_vec());
    match migrator.run_direct(None, connection, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: MIGRATIONS.len() as i64,
        }),
        Err(error) => Err(error.into()),
    }
}
