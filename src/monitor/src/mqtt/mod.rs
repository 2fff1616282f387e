//! What a broker is told, and what it may tell us.
//!
//! States (cameras, queries, rules) are retained and published at quality 0: after each new connection all of them are
//! published again, so that none is missed. Steps of events are published at quality 1, in order, and stay in the store
//! until the broker has acknowledged them.

mod board;
pub mod commands;
mod discovery;
mod envelope;
pub mod link;
mod onvif;
pub mod options;
mod outbox;
mod session;
mod states;
mod topics;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use self::board::Board;
use self::commands::{Commands, Desk};
use self::discovery::Discovery;
use self::link::{FIRST_WAIT, GOOD, LONGEST_WAIT, Link, Rumqttc};
use self::outbox::Outbox;
use self::session::{Conditions, Session};
use self::states::States;
use self::topics::Topics;
use crate::config::{Broker, Fleet};
use crate::fleet::{FleetTopics, Receipt};
use crate::hub::{BrokerStatus, Current, Hub, Notice};
use crate::retry::Backoff;
use crate::sites::SiteWatch;
use crate::store::{EventFilter, Store};

pub use self::envelope::step_id;
pub use self::outbox::RECEIVER;
pub(crate) use self::session::STORED;

/// How often what queries found is published, if it changed.
const PUBLISH: Duration = Duration::from_millis(500);
/// How often numbers of the program are published.
const STATS: Duration = Duration::from_secs(60);
/// How soon, if they changed and hubs show them.
const SOON: Duration = Duration::from_secs(2);
/// How often waiting events are counted.
const COUNT: Duration = Duration::from_secs(2);
/// Devices of Home Assistant, kept by the broker, that wait to be looked at.
const FOUND: usize = 256;

/// Tells the broker of the configuration in force, if there is one, until `stop` says so.
pub async fn run<C: Commands>(
    hub: Arc<Hub>,
    store: Store,
    commands: Arc<C>,
    mut stop: watch::Receiver<bool>,
) {
    let mut config = hub.watch_config();
    loop {
        let document = config.borrow_and_update().document.clone();
        let Some(broker) = document.mqtt else {
            hub.set_broker(None);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                changed = config.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    continue;
                }
            }
        };
        let teller = Teller::new(&hub, &store, commands.clone(), broker, document.fleet);
        if teller.run::<Rumqttc>(stop.clone()).await == Ended::Stopped {
            return;
        }
    }
}

/// Why telling a broker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The program stops.
    Stopped,
    /// The configuration has another broker, or none.
    Changed,
}

/// All that is needed to tell one broker.
struct Teller<'a, C> {
    hub: &'a Arc<Hub>,
    store: &'a Store,
    broker: Broker,
    fleet: Option<Fleet>,
    topics: Topics,
    board: Arc<Board>,
    outbox: Outbox,
    desk: Desk,
    commands: Arc<C>,
    /// The newest document of the fleet's group.
    released: watch::Sender<Option<Vec<u8>>>,
}

impl<'a, C: Commands> Teller<'a, C> {
    fn new(
        hub: &'a Arc<Hub>,
        store: &'a Store,
        commands: Arc<C>,
        broker: Broker,
        fleet: Option<Fleet>,
    ) -> Teller<'a, C> {
        let topics = Topics::new(&broker.topic_prefix);
        let board = Arc::new(Board::default());
        Teller {
            hub,
            store,
            topics: topics.clone(),
            board: board.clone(),
            outbox: Outbox::new(store.clone(), fleet.as_ref().is_some_and(|fleet| fleet.hub)),
            desk: Desk::open(topics, board, commands.clone()),
            commands,
            released: watch::Sender::new(None),
            broker,
            fleet,
        }
    }

    fn group(&self) -> Option<FleetTopics> {
        FleetTopics::of(self.fleet.as_ref()?)
    }

    fn discovery(&self) -> Option<Discovery> {
        let prefix = self.broker.home_assistant.as_ref()?;
        Some(Discovery::new(prefix, &self.broker.client_id))
    }

    async fn run<L: Link>(&self, stop: watch::Receiver<bool>) -> Ended {
        let (found, devices) = mpsc::channel(FOUND);
        let (end, ending) = watch::channel(false);
        let ended = async {
            let ended = self.ended(stop).await;
            end.send_replace(true);
            ended
        };
        let mut goodbye = ending.clone();
        let connections = async {
            tokio::select! {
                () = self.connections::<L>(found, ending) => {}
                // A broker that does not answer gets no more time.
                () = async {
                    // The sender is there until this ends.
                    let _ = goodbye.wait_for(|end| *end).await;
                    sleep(session::GOODBYE * 2).await;
                } => {}
            }
        };
        tokio::select! {
            (ended, ()) = async { tokio::join!(ended, connections) } => ended,
            () = self.follow(devices) => Ended::Stopped,
            () = self.take_releases() => Ended::Stopped,
            never = self.outbox.fill() => match never {},
            never = self.outbox.file() => match never {},
        }
    }

    /// Waits until the program stops or the configuration has another broker.
    async fn ended(&self, mut stop: watch::Receiver<bool>) -> Ended {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => Ended::Stopped,
            () = self.changed() => Ended::Changed,
        }
    }

    /// Waits until the configuration has another broker, or is of another fleet.
    async fn changed(&self) {
        let mut config = self.hub.watch_config();
        let same = |current: &Arc<Current>| {
            let document = &current.document;
            document.mqtt.as_ref() == Some(&self.broker) && document.fleet == self.fleet
        };
        // The hub is there as long as we are.
        let _ = config.wait_for(|current| !same(current)).await;
    }

    /// Connects again and again, until `stop` says so.
    async fn connections<L: Link>(
        &self,
        found: mpsc::Sender<(String, Vec<u8>)>,
        mut stop: watch::Receiver<bool>,
    ) {
        let conditions = Conditions::default();
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let (begun, acknowledged) = (Instant::now(), self.outbox.acknowledged());
            let connected = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                connected = self.connect::<L>() => connected,
            };
            let error = match connected {
                Ok((link, incoming)) => {
                    self.told(true, None).await;
                    let session = Session {
                        link: &link,
                        topics: &self.topics,
                        broker: &self.broker,
                        hub: self.hub,
                        store: self.store,
                        board: &self.board,
                        outbox: &self.outbox,
                        desk: &self.desk,
                        discovery: self.discovery(),
                        conditions: &conditions,
                        found: found.clone(),
                        fleet: self.group(),
                        released: &self.released,
                    };
                    match session.run(incoming, &mut stop).await {
                        Ok(incoming) => {
                            link.close(incoming).await;
                            return;
                        }
                        Err(error) => error.to_string(),
                    }
                }
                Err(error) => error,
            };
            if begun.elapsed() > GOOD || self.outbox.acknowledged() > acknowledged {
                backoff.reset();
            }
            let wait = backoff.next();
            tracing::warn!(
                error,
                wait_s = wait.as_secs_f32(),
                "no connection to the broker"
            );
            self.told(false, Some(error)).await;
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = sleep(wait) => {}
            }
        }
    }

    async fn connect<L: Link>(&self) -> Result<(L, L::Incoming), String> {
        let options = options::options(&self.broker)?;
        let connected = L::connect(&options).await;
        connected.map_err(|error| error.to_string())
    }

    /// Takes documents of the fleet's group, and says of each what became of it. Goes on for ever.
    async fn take_releases(&self) {
        let Some((fleet, topics)) = self.fleet.as_ref().zip(self.group()) else {
            return pending().await;
        };
        let mut released = self.released.subscribe();
        let mut refused = None;
        loop {
            let taken = self.commands.fleet().await;
            let receipt = Receipt::new(&fleet.device, taken, refused.take());
            let json = serde_json::to_string(&receipt).expect("a receipt always serialises");
            self.board.set(topics.receipt(&fleet.device), json);
            // The sender is there as long as we are.
            let _ = released.changed().await;
            let document = released.borrow_and_update().clone();
            let document = document.unwrap_or_default();
            if document.is_empty() {
                tracing::warn!(
                    "the fleet's document is gone from the broker: what was taken of it stays"
                );
                continue;
            }
            if let Err(refusal) = self.commands.take_fleet(&document).await {
                let (revision, error) = (refusal.document, &refusal.error);
                tracing::warn!(
                    revision,
                    error,
                    "the fleet's document was refused: what was taken before stays"
                );
                refused = Some(refusal);
            }
        }
    }

    /// Tells how the broker does.
    async fn told(&self, connected: bool, message: Option<String>) {
        let waiting = self.outbox.waiting().await;
        self.hub.set_broker(Some(BrokerStatus {
            connected,
            message,
            waiting,
        }));
    }

    /// Follows what happens, connected or not.
    async fn follow(&self, mut devices: mpsc::Receiver<(String, Vec<u8>)>) {
        let mut notices = self.hub.listen();
        let mut states = States::new(self.topics.clone(), self.board.clone(), self.discovery());
        states.configure(&self.hub.config(), &self.hub.cameras());
        self.look_again(&mut states).await;
        let mut publish = interval(PUBLISH);
        publish.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stats = interval(STATS);
        let (mut soon, mut shown) = (None, BTreeMap::new());
        let mut count = interval(COUNT);
        loop {
            tokio::select! {
                notice = notices.recv() => match notice {
                    Ok(notice) => {
                        // Hubs show what is watched for and how cameras do.
                        let is_shown = match &notice {
                            Notice::Config(_) => true,
                            Notice::Camera(status) => {
                                let before = shown.insert(status.name.clone(), status.state);
                                before != Some(status.state)
                            }
                            _ => false,
                        };
                        if is_shown && self.outbox.is_for_hub() {
                            soon.get_or_insert_with(|| Instant::now() + SOON);
                        }
                        self.hear(&mut states, notice);
                    }
                    Err(RecvError::Lagged(missed)) => {
                        tracing::debug!(missed, "MQTT has missed notices");
                        states.configure(&self.hub.config(), &self.hub.cameras());
                        self.look_again(&mut states).await;
                    }
                    Err(RecvError::Closed) => return,
                },
                Some((topic, payload)) = devices.recv() => {
                    states.found_device(&topic, &payload, &self.hub.config().document);
                }
                _ = publish.tick() => states.publish(),
                _ = stats.tick() => self.board.say(self.topics.own("stats"), self.stats()),
                () = sleep_until(soon.unwrap_or_else(Instant::now)), if soon.is_some() => {
                    soon = None;
                    self.board.say(self.topics.own("stats"), self.stats());
                }
                _ = count.tick() => self.count().await,
            }
        }
    }

    fn hear(&self, states: &mut States, notice: Notice) {
        match notice {
            Notice::Report(report) => states.report(&report),
            Notice::Event(event) => {
                self.outbox.wake();
                states.event(&event, &self.hub.config().document);
            }
            Notice::Camera(status) => states.camera(&status, &self.hub.config().document),
            Notice::Config(_) => states.configure(&self.hub.config(), &self.hub.cameras()),
            Notice::Clip(_) | Notice::Broker(_) | Notice::Store(_) => {}
        }
    }

    /// Reads which events go on: no notice told of them.
    async fn look_again(&self, states: &mut States) {
        let filter = EventFilter {
            open: Some(true),
            limit: Some(1000),
            ..EventFilter::default()
        };
        match self.store.events(&filter).await {
            Ok(events) => {
                let events: Vec<_> = events.into_iter().map(|stored| stored.event).collect();
                states.open_events(&events, &self.hub.config().document);
            }
            Err(error) => tracing::warn!(%error, "open events cannot be read"),
        }
        self.outbox.wake();
    }

    async fn count(&self) {
        if let Some(status) = self.hub.broker() {
            let waiting = self.outbox.waiting().await;
            // It may have changed while we counted.
            let status = self.hub.broker().unwrap_or(status);
            self.hub.set_broker(Some(BrokerStatus {
                waiting,
                ..BrokerStatus::clone(&status)
            }));
        }
    }

    fn stats(&self) -> String {
        let cameras = self.hub.cameras();
        let cameras: Vec<_> = cameras.iter().map(|status| &**status).collect();
        let mut stats = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "revision": self.hub.config().revision,
            "cameras": cameras,
            "store": &*self.hub.store(),
            "waiting": self.hub.broker().map(|broker| broker.waiting),
        });
        if self.outbox.is_for_hub() {
            let current = self.hub.config();
            let watch = current.document.cameras.iter().map(SiteWatch::of);
            stats["watch"] = watch.map(|watch| serde_json::json!(watch)).collect();
        }
        stats.to_string()
    }
}
