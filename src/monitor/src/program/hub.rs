//! The program as a hub.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{self, Instant};

use super::{CLOSE, RunError, STOP, until_end};
use crate::central::Central;
use crate::config::{self, ConfigFile};
use crate::control::{self, Control};
use crate::events::Events;
use crate::http;
use crate::hub::{Hub, StoreStatus};
use crate::metrics::Metrics;
use crate::sites::{self, Counts, Sites};
use crate::store::Store;

/// Takes what sites say, and serves the page, until a signal ends it.
///
/// # Errors
/// It cannot begin. Once it has begun, it goes on, whatever becomes of broker and database.
pub(super) async fn run(
    path: &Path,
    file: ConfigFile,
    own: &config::Central,
) -> Result<(), RunError> {
    let store = Store::open(&file.document.data, &file.document.store).await?;
    let current = control::first(&file, &store)
        .await
        .map_err(RunError::Refused)?;
    let central = Central::new(own)?;
    let (hub, _deliveries) = Hub::new(current);
    hub.set_store(StoreStatus {
        message: Some("the hubs' database was not reached yet".to_owned()),
        ..StoreStatus::default()
    });
    let control = Arc::new(Control::new(hub.clone(), store.clone(), &file).await);
    let counts = Arc::new(Counts::default());
    let state = http::HttpState {
        hub: hub.clone(),
        control: control.clone(),
        events: Events::Sites(central.clone()),
        store: store.clone(),
        metrics: Arc::new(Metrics::default()),
        counts: Some(counts.clone()),
        past: None,
        about: http::About {
            started: Timestamp::now(),
            model: "none".to_owned(),
            engine: "none".to_owned(),
        },
        limits: http::Limits::default(),
    };
    let (stop, stopped) = watch::channel(false);
    let server = http::Server::bind(state).map_err(RunError::Http)?;
    let mut served = tokio::spawn(server.run(stopped.clone()));
    let sites = Sites::new(hub, central.clone(), counts);
    let taken = tokio::spawn(sites::run(sites, stopped));
    let outcome = until_end(path, &control, &mut served).await;
    let deadline = Instant::now() + STOP;
    stop.send_replace(true);
    let _ = time::timeout_at(deadline, taken).await;
    let _ = time::timeout_at(deadline, served).await;
    let closed = async { tokio::join!(central.close(), store.close()) };
    let _ = time::timeout_at(deadline + CLOSE, closed).await;
    outcome
}
