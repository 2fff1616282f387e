//! Where the page's events are: in the store of this program, or, on a hub, in the database of all sites.

use std::path::PathBuf;

use crate::central::Central;
use crate::store::{EventFilter, Store, StoreError, StoredEvent};

/// Events, for those who look at them.
#[derive(Debug, Clone)]
pub enum Events {
    /// Of this program's cameras.
    Own(Store),
    /// Of many sites.
    Sites(Central),
}

/// A picture of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredPicture {
    /// A file.
    File(PathBuf),
    /// JPEG.
    Bytes(Vec<u8>),
}

impl Events {
    /// Events, newest first.
    ///
    /// # Errors
    /// As [`Store::events`].
    pub async fn events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>, StoreError> {
        match self {
            Events::Own(store) => store.events(filter).await,
            Events::Sites(central) => central.events(filter).await,
        }
    }

    /// One event.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub async fn event(&self, id: &str) -> Result<Option<StoredEvent>, StoreError> {
        match self {
            Events::Own(store) => store.event(id).await,
            Events::Sites(central) => central.event(id).await,
        }
    }

    /// The picture of an event's best view, plain or with boxes and words drawn. Sites send only the latter, so there it
    /// is both.
    ///
    /// # Errors
    /// As [`Store::picture`].
    pub async fn picture(
        &self,
        id: &str,
        drawn: bool,
    ) -> Result<Option<StoredPicture>, StoreError> {
        match self {
            Events::Own(store) => {
                let path = store.picture(id, drawn).await?;
                Ok(path.map(StoredPicture::File))
            }
            Events::Sites(central) => {
                let jpeg = central.picture(id).await?;
                Ok(jpeg.map(StoredPicture::Bytes))
            }
        }
    }

    /// Path of the clip of an event. Those of sites stay where they were made.
    ///
    /// # Errors
    /// As [`Store::clip`].
    pub async fn clip(&self, id: &str) -> Result<Option<PathBuf>, StoreError> {
        match self {
            Events::Own(store) => store.clip(id).await,
            Events::Sites(_) => Ok(None),
        }
    }

    /// Keeps an event until somebody removes it, or no longer. Whether there is such an event.
    ///
    /// # Errors
    /// As [`Store::set_kept`].
    pub async fn set_kept(&self, id: &str, kept: bool) -> Result<bool, StoreError> {
        match self {
            Events::Own(store) => store.set_kept(id, kept).await,
            Events::Sites(central) => central.set_kept(id, kept).await,
        }
    }

    /// Removes an event with its picture and clip. Whether there was such an event.
    ///
    /// # Errors
    /// As [`Store::remove`].
    pub async fn remove(&self, id: &str) -> Result<bool, StoreError> {
        match self {
            Events::Own(store) => store.remove(id).await,
            Events::Sites(central) => central.remove(id).await,
        }
    }
}
