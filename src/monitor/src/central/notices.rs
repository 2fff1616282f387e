//! What other hubs have written.

use sqlx::postgres::PgListener;

use super::database::Central;
use crate::store::StoreError;

/// Name of PostgreSQL's channel.
pub(super) const CHANNEL: &str = "mdetr_events";

/// Ids of events that some hub has written something of.
pub struct Notices(PgListener);

impl Central {
    /// Listens from now on.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn listen(&self) -> Result<Notices, StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Notices(listener))
    }
}

impl Notices {
    /// Waits for the next.
    ///
    /// # Errors
    /// The connection broke: some may have been missed.
    pub async fn next(&mut self) -> Result<String, StoreError> {
        match self.0.try_recv().await? {
            Some(notice) => Ok(notice.payload().to_owned()),
            None => Err(sqlx::Error::PoolClosed.into()),
        }
    }
}
