//! The database: connections and schema.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, SqlSafeStr};

use crate::config;
use crate::store::StoreError;

/// Schemas by version, oldest first.
const MIGRATIONS: [(i64, &str, &str); 1] = [(
    1,
    "events",
    include_str!("../../migrations/postgres/0001_events.sql"),
)];
/// Connections at once.
const CONNECTIONS: u32 = 8;
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time of a statement.
const STATEMENT: &str = "30s";

/// The database. Its clones are the same.
#[derive(Debug, Clone)]
pub struct Central {
    pub(super) pool: PgPool,
}

impl Central {
    /// What connects to the database of a configuration. Connects when something is asked.
    ///
    /// # Errors
    /// The address is none, or the password cannot be read.
    pub fn new(hub: &config::Central) -> Result<Central, StoreError> {
        let refused = |place, found: String| StoreError::Refused {
            place,
            expected: "postgres://user@host/database, and a password that can be read",
            found,
        };
        let mut options = PgConnectOptions::from_str(&hub.database)
            // What sqlx says may have the password in it.
            .map_err(|_| refused("hub.database", config::redacted_url(&hub.database)))?
            .application_name("mdetr-monitor")
            .options([("statement_timeout", STATEMENT)])
            .disable_statement_logging();
        if let Some(password) = &hub.password {
            let password = password.read();
            let password = password.map_err(|error| refused("hub.password", error.to_string()))?;
            options = options.password(&password);
        }
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .connect_lazy_with(options);
        Ok(Central { pool })
    }

    /// Brings the database to the newest schema. Of several hubs that do so at once one does it, and the others wait.
    ///
    /// # Errors
    /// It cannot be reached, or is of a newer version.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let migrations = MIGRATIONS.map(|(version, name, sql)| {
            let sql = sql.into_sql_str();
            Migration::new(version, name.into(), MigrationType::Simple, sql, false)
        });
        let migrator = Migrator::with_migrations(migrations.to_vec());
        match migrator.run(&self.pool).await {
            Ok(()) => Ok(()),
            Err(MigrateError::VersionMissing(found)) => Err(StoreError::Newer {
                path: "the hubs' database".into(),
                found,
                known: MIGRATIONS.len() as i64,
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
