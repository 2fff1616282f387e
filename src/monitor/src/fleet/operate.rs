//! What an operator does with a group's document: reads it from the broker, changes it, and sees who has taken it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::change::Change;
use super::document::FleetDocument;
use super::member::Receipt;
use super::topics::FleetTopics;
use crate::config::Broker;
use crate::mqtt::link::{Happening, Incoming, Link, Message, Rumqttc, Subscription};
use crate::mqtt::options::options;

/// Tickets of the message behind a subscription, and of a document.
const MARK: i64 = 0;
const DOCUMENT: i64 = 1;
/// How long the broker is silent when it has told all that it has kept.
const SILENCE: Duration = Duration::from_secs(1);
/// Longest time in which it has to tell that.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest time for its answer to a message.
const ANSWER: Duration = Duration::from_secs(10);

/// What is known of a group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Group {
    /// Its document, if there is one.
    pub document: Option<FleetDocument>,
    /// What its programs said last, by their names.
    pub receipts: BTreeMap<String, Receipt>,
}

/// A connection of an operator.
pub struct Operator {
    link: Rumqttc,
    incoming: <Rumqttc as Link>::Incoming,
    topics: FleetTopics,
}

impl Operator {
    /// Connects to the broker of a configuration.
    ///
    /// # Errors
    /// In words.
    pub async fn connect(broker: &Broker, topics: FleetTopics) -> Result<Operator, String> {
        let mut options = options(broker)?;
        // Beside the program that has this name.
        options.client_id = format!(
            "{}-operator-{:08x}",
            broker.client_id,
            rand::random::<u32>()
        );
        options.will = None;
        let connected = Rumqttc::connect(&options).await;
        let (link, incoming) = connected.map_err(|error| error.to_string())?;
        Ok(Operator {
            link,
            incoming,
            topics,
        })
    }

    /// What the broker has kept of the group.
    ///
    /// # Errors
    /// In words: the connection broke, or the document is none.
    pub async fn read(&mut self) -> Result<Group, String> {
        let filters = [self.topics.document(), self.topics.receipts()];
        let wanted = |filter| Subscription {
            filter,
            retained: true,
        };
        let subscribed = self.link.subscribe(filters.map(wanted).to_vec()).await;
        subscribed.map_err(|error| error.to_string())?;
        // The broker answers in order: what it acknowledges behind the subscription comes behind what it has kept.
        let mark = Message {
            topic: self.topics.operators(),
            acknowledge: true,
            ticket: Some(MARK),
            ..Message::default()
        };
        let marked = self.link.publish(mark).await;
        marked.map_err(|error| error.to_string())?;
        let mut group = Group::default();
        let end = Instant::now() + PATIENCE;
        let mut has_answered = false;
        loop {
            let wait = match has_answered {
                true => end.min(Instant::now() + SILENCE),
                false => end,
            };
            let happening = match timeout_at(wait, self.incoming.next()).await {
                Ok(happening) => happening.map_err(|error| error.to_string())?,
                Err(_) if has_answered => return Ok(group),
                Err(_) => {
                    let seconds = PATIENCE.as_secs();
                    return Err(format!("no answer of the broker within {seconds} s"));
                }
            };
            let (topic, payload) = match happening {
                Happening::Message { topic, payload, .. } => (topic, payload),
                Happening::Acknowledged(ticket) => {
                    has_answered |= ticket == MARK;
                    continue;
                }
                Happening::Refused(_, reason) => {
                    let topic = self.topics.operators();
                    return Err(format!(
                        "the broker does not take messages on {topic} ({reason}): allow it to this user"
                    ));
                }
            };
            if topic == self.topics.document() {
                group.document = match payload.is_empty() {
                    true => None,
                    false => Some(
                        FleetDocument::parse(&payload)
                            .map_err(|error| format!("what is retained on {topic}: {error}"))?,
                    ),
                };
            } else if let Ok(receipt) = serde_json::from_slice::<Receipt>(&payload) {
                group.receipts.insert(receipt.device.clone(), receipt);
            }
        }
    }

    /// Changes the document, and waits until the broker has it.
    ///
    /// # Errors
    /// In words: the change cannot be, or the broker does not take it.
    pub async fn change(&mut self, change: Change) -> Result<FleetDocument, String> {
        let document = change.of(self.read().await?.document)?;
        let message = Message {
            topic: self.topics.document(),
            payload: document.to_json(),
            retain: true,
            acknowledge: true,
            content_type: Some("application/json"),
            ticket: Some(DOCUMENT),
            ..Message::default()
        };
        if !self.link.fits(&message) {
            let bytes = message.payload.len();
            return Err(format!("the broker takes no message of {bytes} bytes"));
        }
        let sent = self.link.publish(message).await;
        sent.map_err(|error| error.to_string())?;
        let answered = async {
            loop {
                match self.incoming.next().await {
                    Ok(Happening::Acknowledged(DOCUMENT)) => return Ok(()),
                    Ok(Happening::Refused(_, reason)) => {
                        return Err(format!(
                            "the broker does not take it ({reason}): allow it to this user"
                        ));
                    }
                    Ok(_) => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
        };
        match timeout(ANSWER, answered).await {
            Ok(answered) => answered.map(|()| document),
            Err(_) => Err(format!(
                "no answer of the broker within {} s",
                ANSWER.as_secs()
            )),
        }
    }

    /// Says goodbye.
    pub async fn close(self) {
        self.link.close(self.incoming).await;
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(document) = &self.document else {
            return writeln!(f, "no document");
        };
        writeln!(f, "document {}", document.revision)?;
        writeln!(f, "  stable     {}", document.stable.revision)?;
        if let Some(candidate) = &document.candidate {
            let (revision, percent) = (candidate.revision, candidate.share * 100.0);
            writeln!(f, "  candidate  {revision}, tried by {percent} %")?;
        }
        let count = self.receipts.len();
        let receipts = self.receipts.values();
        let current = receipts.clone().filter(|receipt| {
            let taken = receipt.taken.as_ref();
            taken.is_some_and(|taken| taken.document == document.revision)
        });
        let tried = receipts
            .clone()
            .filter(|receipt| receipt.taken.as_ref().is_some_and(|taken| taken.candidate));
        writeln!(
            f,
            "{count} programs: {} have taken it, {} try the candidate",
            current.count(),
            tried.count()
        )?;
        for receipt in receipts {
            let taken = receipt.taken.as_ref();
            let behind = taken.is_none_or(|taken| taken.document != document.revision);
            if let Some(refusal) = &receipt.refused {
                writeln!(f, "  {} refused it: {}", receipt.device, refusal.error)?;
            } else if behind {
                let found = taken.map_or("nothing".to_owned(), |taken| taken.document.to_string());
                writeln!(
                    f,
                    "  {} has {found}, since {}",
                    receipt.device, receipt.time
                )?;
            }
        }
        Ok(())
    }
}
