//! The events of many sites, in PostgreSQL.
//!
//! Several hubs may use one database: steps of events are told apart by what they are, so that one which comes twice,
//! or to two hubs, is kept once.

mod browse;
mod database;
mod notices;
mod pictures;
mod record;
mod site;
mod sites;
mod sweep;

pub use database::Central;
pub use notices::Notices;
pub use record::Arrival;
pub use site::{SiteName, of_site};
pub use sites::SiteState;
