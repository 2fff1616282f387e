//! One connection to the broker, from its beginning to its end.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mdetr_rules::{Condition, Event, EventKind};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::board::{Board, Payload, Posting};
use super::commands::Desk;
use super::discovery::Discovery;
use super::link::{Happening, Incoming, Link, LinkError, MAX_PACKET, Message, Subscription};
use super::outbox::{Change, Outbox, REMEMBERED};
use super::topics::Topics;
use super::{envelope, onvif};
use crate::config::Broker;
use crate::fleet::FleetTopics;
use crate::hub::Hub;
use crate::store::Store;

/// How long the last events get to go out when the program stops.
pub const GOODBYE: Duration = Duration::from_millis(700);

/// One connection.
pub struct Session<'a, L: Link> {
    pub link: &'a L,
    pub topics: &'a Topics,
    pub broker: &'a Broker,
    pub hub: &'a Arc<Hub>,
    pub store: &'a Store,
    pub board: &'a Board,
    pub outbox: &'a Outbox,
    pub desk: &'a Desk,
    pub discovery: Option<Discovery>,
    pub conditions: &'a Conditions,
    /// Takes devices of Home Assistant that the broker has kept.
    pub found: mpsc::Sender<(String, Vec<u8>)>,
    /// Topics of the fleet's group, if the program is of one.
    pub fleet: Option<FleetTopics>,
    /// Takes the group's document.
    pub released: &'a watch::Sender<Option<Vec<u8>>>,
}

/// Last part of the topic on which a hub says which steps it has: a list of their numbers.
pub const STORED: &str = "stored";

/// Conditions of the rules of the newest events: when a rule is gone or another one, its events end, and their ends must
/// be told as their beginnings were.
#[derive(Debug, Default)]
pub struct Conditions(Mutex<BTreeMap<String, Condition>>);

impl Conditions {
    fn of(&self, event: &Event, now: Option<&Condition>) -> Option<Condition> {
        let mut known = self.0.lock().expect("no code panics with the lock");
        if event.kind == EventKind::End {
            return known.get(&event.id).or(now).cloned();
        }
        let condition = now?;
        if known.len() >= REMEMBERED && !known.contains_key(&event.id) {
            // The oldest: ids begin with the time.
            known.pop_first();
        }
        known.insert(event.id.clone(), condition.clone());
        Some(condition.clone())
    }
}

/// Something to send.
enum Next {
    State(Posting),
    Event(Change),
}

impl<L: Link> Session<'_, L> {
    /// Tells the broker everything until the connection breaks or the program stops; then the broker knows that it is
    /// stopped, and the connection can be closed.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn run(
        &self,
        mut incoming: L::Incoming,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<L::Incoming, LinkError> {
        self.outbox.restart();
        self.board.renew();
        self.available("online").await?;
        self.link.subscribe(self.subscriptions()).await?;
        let stopped = async {
            // The sender is gone only when the program is.
            let _ = stop.wait_for(|stop| *stop).await;
            // What does not go out now goes out at the next start.
            let _ = timeout(GOODBYE, self.outbox.drained()).await;
        };
        let ended = tokio::select! {
            () = stopped => Ok(()),
            error = self.write() => Err(error),
            error = self.read(&mut incoming) => Err(error),
        };
        ended?;
        self.available("stopped").await?;
        Ok(incoming)
    }

    async fn available(&self, word: &str) -> Result<(), LinkError> {
        let message = Message {
            topic: self.topics.own("available"),
            payload: word.into(),
            retain: true,
            acknowledge: true,
            ..Message::default()
        };
        self.link.publish(message).await
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        let wanted = |filter, retained| Subscription { filter, retained };
        let commands = self.topics.commands().into_iter();
        let mut all: Vec<_> = commands.map(|filter| wanted(filter, false)).collect();
        if let Some(discovery) = &self.discovery {
            all.push(wanted(discovery.birth(), false));
            all.push(wanted(discovery.filter(), true));
        }
        if let Some(fleet) = &self.fleet {
            all.push(wanted(fleet.document(), true));
        }
        if self.outbox.is_for_hub() {
            all.push(wanted(self.topics.own(STORED), false));
        }
        all
    }

    async fn write(&self) -> LinkError {
        let written = async {
            loop {
                // Events first: a picture may take long, and as long as the broker acknowledges, there is room for both.
                let next = tokio::select! {
                    biased;
                    change = self.outbox.next() => Next::Event(change),
                    posting = self.board.next() => Next::State(posting),
                };
                match next {
                    Next::State(posting) => self.post(posting).await?,
                    Next::Event(change) => self.tell(change).await?,
                }
            }
        };
        let written: Result<Infallible, LinkError> = written.await;
        let Err(error) = written;
        error
    }

    async fn post(&self, posting: Posting) -> Result<(), LinkError> {
        let mut event = None;
        let payload = match posting.payload {
            Payload::Bytes(bytes) => bytes.to_vec(),
            Payload::Gone => Vec::new(),
            Payload::Picture(of) => match self.picture(&of).await {
                Some(picture) => {
                    event = Some(of.to_string());
                    picture
                }
                None => return Ok(()),
            },
        };
        let message = Message {
            topic: posting.topic,
            payload,
            retain: posting.retain,
            event,
            ..Message::default()
        };
        if !self.link.fits(&message) {
            let bytes = message.payload.len();
            tracing::warn!(
                topic = message.topic,
                bytes,
                "more than the broker takes: not published"
            );
            return Ok(());
        }
        self.link.publish(message).await
    }

    /// The picture of an event, if there is one that can be sent.
    async fn picture(&self, event: &str) -> Option<Vec<u8>> {
        let path = self.store.picture(event, true).await.ok().flatten()?;
        let bytes = tokio::fs::metadata(&path).await.ok()?.len();
        if bytes > u64::from(MAX_PACKET) {
            return None;
        }
        tokio::fs::read(&path).await.ok()
    }

    async fn tell(&self, change: Change) -> Result<(), LinkError> {
        let Change {
            sequence,
            before,
            after,
        } = change;
        if let Some(onvif) = &self.broker.onvif
            && let Some(condition) = self.condition(&after)
            && let Some(message) = onvif::message(&onvif.topic_prefix, &condition, &after)
        {
            let message = Message {
                topic: message.topic,
                payload: message.payload,
                retain: message.retain,
                acknowledge: true,
                ..Message::default()
            };
            self.link.publish(message).await?;
        }
        let cloudevents = self.broker.cloudevents;
        let (payload, content_type) = envelope::message(before.as_deref(), &after, cloudevents);
        let stored = self.outbox.is_for_hub();
        let message = Message {
            topic: self.topics.own("events"),
            payload,
            acknowledge: true,
            content_type: Some(content_type),
            ticket: Some(sequence),
            answer: stored.then(|| (self.topics.own(STORED), sequence.to_string())),
            ..Message::default()
        };
        if self.link.fits(&message) {
            return self.link.publish(message).await;
        }
        let bytes = message.payload.len();
        let event = &after.id;
        tracing::error!(
            event,
            bytes,
            "the broker takes no message of this size: the step is dropped"
        );
        self.outbox.acknowledge(sequence);
        Ok(())
    }

    /// What the rule of an event watches for, or watched for while it was there.
    fn condition(&self, event: &Event) -> Option<Condition> {
        let current = self.hub.config();
        let mut cameras = current.document.cameras.iter();
        let camera = cameras.find(|known| known.name == event.camera);
        let rule = camera.and_then(|camera| {
            let mut rules = camera.rules.iter();
            rules.find(|known| known.id == event.rule)
        });
        self.conditions.of(event, rule.map(|rule| &rule.when))
    }

    async fn read(&self, incoming: &mut L::Incoming) -> LinkError {
        loop {
            match incoming.next().await {
                // That the broker has it is not enough where a hub must have it.
                Ok(Happening::Acknowledged(_)) if self.outbox.is_for_hub() => {}
                Ok(Happening::Acknowledged(sequence)) => self.outbox.acknowledge(sequence),
                Ok(Happening::Refused(sequence, reason)) => {
                    self.outbox.failed(sequence).await;
                    let topic = self.topics.own("events");
                    return LinkError(format!(
                        "the broker does not take messages on {topic} ({reason}): allow it to our user"
                    ));
                }
                Ok(Happening::Message {
                    topic,
                    payload,
                    retained,
                    ..
                }) => self.hear(topic, payload, retained),
                Err(error) => return error,
            }
        }
    }

    fn hear(&self, topic: String, payload: Vec<u8>, retained: bool) {
        if let Some(discovery) = &self.discovery {
            if topic == discovery.birth() {
                if payload == b"online" {
                    self.board.renew();
                }
                return;
            }
            if discovery.is_device(&topic) {
                // Others' devices come here as well.
                if retained && discovery.camera_of(&topic).is_some() {
                    // One too many is looked at at the next connection.
                    let _ = self.found.try_send((topic, payload));
                }
                return;
            }
        }
        if let Some(fleet) = &self.fleet
            && topic == fleet.document()
        {
            // The newest is looked at, whenever that is.
            self.released.send_replace(Some(payload));
            return;
        }
        if topic == self.topics.own(STORED) {
            // What is no such list says nothing.
            for sequence in serde_json::from_slice::<Vec<i64>>(&payload).unwrap_or_default() {
                self.outbox.acknowledge(sequence);
            }
            return;
        }
        if retained {
            tracing::debug!(topic, "a command that the broker has kept is none");
            return;
        }
        self.desk.take(topic, payload);
    }
}
