//! The program from its start to its end.

mod hub;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mdetr::Bundle;
use mdetr::bundle::Models;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{self, Instant};

use crate::camera::{Cameras, Context};
use crate::config::{Broker, ConfigFile, Document};
use crate::control::{self, ApplyError, Control};
use crate::events::Events;
use crate::fleet::operate::Operator;
use crate::fleet::{Change, FleetTopics};
use crate::hub::{Hub, StoreStatus};
use crate::metrics::Metrics;
use crate::past::Archive;
use crate::store::{Store, StoreError};
use crate::{http, mqtt, notify, store};

/// Longest time from being told to stop to the end; the cameras' pipelines have most of it.
const STOP: Duration = Duration::from_millis(1900);

/// Longest time in which the database is closed behind that.
const CLOSE: Duration = Duration::from_millis(300);

/// Why the program ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is wrong.
    #[error("{0}")]
    Refused(ApplyError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system does not give what is needed.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] mdetr::bundle::BundleError),
    /// GStreamer cannot be used.
    #[error("GStreamer: {0}")]
    GStreamer(#[from] glib::Error),
    /// The plugin cannot be used.
    #[error("the elements of mdetr: {0}")]
    Plugin(#[from] glib::BoolError),
    /// The page cannot be served.
    #[error("{0:#}")]
    Http(anyhow::Error),
}

/// Watches as the configuration says, which was read from `path`, until a signal ends it.
///
/// # Errors
/// It cannot begin. Once it has begun, it goes on.
pub fn run(path: &Path, file: ConfigFile) -> Result<(), RunError> {
    gst::init()?;
    gstmdetr::plugin_register_static()?;
    install_cryptography();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let outcome = match file.document.hub.clone() {
        Some(central) => runtime.block_on(hub::run(path, file, &central)),
        None => runtime.block_on(watch_cameras(path, file)),
    };
    // A pipeline or a host that hangs must not hold the end up.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

/// Changes a group's document, or says what is known of the group if nothing is to be changed.
///
/// # Errors
/// In words.
pub fn operate(
    broker: &Broker,
    topics: FleetTopics,
    change: Option<Change>,
) -> Result<String, String> {
    install_cryptography();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut operator = Operator::connect(broker, topics).await?;
        let said = match change {
            None => operator.read().await.map(|group| group.to_string()),
            Some(change) => {
                let changed = operator.change(change).await;
                changed.map(|document| format!("document {} is published\n", document.revision))
            }
        };
        operator.close().await;
        said
    })
}

fn install_cryptography() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap_or_else(|_| tracing::debug!("another provider of cryptography is installed"));
}

async fn watch_cameras(path: &Path, file: ConfigFile) -> Result<(), RunError> {
    let store = Store::open(&file.document.data, &file.document.store).await?;
    let current = control::first(&file, &store)
        .await
        .map_err(RunError::Refused)?;
    let ended = store
        .end_interrupted_for(|event| notify::receivers(&current, event))
        .await?;
    if !ended.is_empty() {
        tracing::warn!(
            events = ended.len(),
            "ended: the program was interrupted while they went on"
        );
    }
    let (hub, deliveries) = Hub::new(current);
    hub.set_store(StoreStatus {
        writable: true,
        ..StoreStatus::default()
    });
    let control = Arc::new(Control::new(hub.clone(), store.clone(), &file).await);
    let metrics = Arc::new(Metrics::default());
    let (stop_cameras, cameras_stop) = watch::channel(false);
    let (stop_store, store_stop) = watch::channel(false);
    let (stop_rest, rest_stop) = watch::channel(false);

    let program = std::env::current_exe().ok();
    let models = Models::of_program(program.as_deref());
    let past = Archive::start(hub.clone(), metrics.clone(), models.clone())?;
    let state = http::HttpState {
        hub: hub.clone(),
        control: control.clone(),
        events: Events::Own(store.clone()),
        store: store.clone(),
        metrics: metrics.clone(),
        counts: None,
        past: Some(past.clone()),
        about: about(&hub.config().document, &models)?,
        limits: http::Limits::default(),
    };
    let server = http::Server::bind(state).map_err(RunError::Http)?;
    let served = server.run(rest_stop.clone());
    let mut served = tokio::spawn(served);
    let written = tokio::spawn(store::worker::run(
        store.clone(),
        hub.clone(),
        deliveries,
        notify::receivers,
        store_stop,
    ));
    let rest: Vec<JoinHandle<()>> = vec![
        tokio::spawn(mqtt::run(
            hub.clone(),
            store.clone(),
            control.clone(),
            rest_stop.clone(),
        )),
        tokio::spawn(notify::run(
            hub.clone(),
            store.clone(),
            Arc::default(),
            rest_stop,
        )),
    ];
    let context = Context {
        hub,
        metrics,
        models,
        past: past.clone(),
        parts: store.parts(),
    };
    let cameras = tokio::spawn(Cameras::run(context, cameras_stop));
    let outcome = until_end(path, &control, &mut served).await;
    let deadline = Instant::now() + STOP;
    // Cameras end their events, then the store has them, then those who send them.
    stop_cameras.send_replace(true);
    let _ = time::timeout_at(deadline - Duration::from_millis(700), cameras).await;
    let kept = tokio::task::spawn_blocking(move || past.stop());
    stop_store.send_replace(true);
    let _ = time::timeout_at(deadline - Duration::from_millis(400), written).await;
    stop_rest.send_replace(true);
    for task in rest {
        let _ = time::timeout_at(deadline, task).await;
    }
    let _ = time::timeout_at(deadline, served).await;
    let _ = time::timeout_at(deadline, kept).await;
    let _ = time::timeout_at(deadline + CLOSE, store.close()).await;
    outcome
}

/// Says that the program works, until a signal ends it or the page cannot be served any more.
async fn until_end(
    path: &Path,
    control: &Control,
    served: &mut JoinHandle<anyhow::Result<()>>,
) -> Result<(), RunError> {
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let outcome = tokio::select! {
        outcome = signals(path, control) => outcome.map_err(RunError::from),
        served = served => match served {
            Ok(Err(error)) => Err(RunError::Http(error)),
            _ => Ok(()),
        },
    };
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    outcome
}

/// Answers signals until one of them ends the program.
async fn signals(path: &Path, control: &Control) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut reload = signal(SignalKind::hangup())?;
    let every = watchdog();
    let mut alive = time::interval(every.unwrap_or(Duration::from_secs(3600)));
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = reload.recv() => {
                let _ = sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?]);
                match control.reload(path).await {
                    Ok(revision) => tracing::info!(revision, "{} was read again", path.display()),
                    Err(error) => tracing::error!("{} was not taken, the configuration in force stays: {error}", path.display()),
                }
                let _ = sd_notify::notify(&[NotifyState::Ready]);
            }
            _ = alive.tick(), if every.is_some() => {
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            }
        }
    }
}

/// How often systemd wants to hear that the program lives.
fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 3)
}

/// What is told of the program; opens the bundle to see that it is one.
fn about(document: &Document, models: &Models) -> Result<http::About, RunError> {
    let model = document.model.clone();
    let model = model.unwrap_or_else(|| models.default_model());
    let bundle = Bundle::open(models.find(model)?)?;
    Ok(http::About {
        started: Timestamp::now(),
        model: bundle.manifest().name.clone(),
        engine: document.engine.clone(),
    })
}
