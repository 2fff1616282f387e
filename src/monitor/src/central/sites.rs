//! What sites said of themselves.

use jiff::Timestamp;

use super::database::Central;
use super::site::SiteName;
use crate::store::StoreError;

/// What a site said of itself last.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteState {
    /// The site.
    pub site: SiteName,
    /// What it said, as JSON.
    pub state: String,
    /// When that came.
    pub seen: Timestamp,
}

impl Central {
    /// Keeps what a site said of itself, in the place of what it said before.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn keep_site(&self, site: &SiteName, state: &str) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO sites (site, state, seen_us) VALUES ($1, $2, $3) \
             ON CONFLICT (site) DO UPDATE SET state = excluded.state, seen_us = excluded.seen_us \
             WHERE sites.seen_us <= excluded.seen_us",
        )
        .bind(site.as_str())
        .bind(state)
        .bind(Timestamp::now().as_microsecond())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What sites said at a time or behind it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn sites(&self, since: Timestamp) -> Result<Vec<SiteState>, StoreError> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT site, state, seen_us FROM sites WHERE seen_us >= $1 ORDER BY seen_us",
        )
        .bind(since.as_microsecond())
        .fetch_all(&self.pool)
        .await?;
        let state = |(site, state, seen): (String, String, i64)| {
            Some(SiteState {
                site: SiteName::new(&site)?,
                state,
                seen: Timestamp::from_microsecond(seen).ok()?,
            })
        };
        Ok(rows.into_iter().filter_map(state).collect())
    }
}
