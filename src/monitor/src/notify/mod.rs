//! Webhooks and mail: who is told of an event besides the broker.

mod carrier;
mod counts;
mod mail;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;

use mdetr_rules::{Event, EventKind};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::carrier::Carrier;
use self::mail::Mail;
use self::webhook::Hook;
use crate::config::{Document, Email, Webhook};
use crate::hub::{Current, Hub, Notice};
use crate::mqtt;
use crate::store::Store;

pub use self::counts::{Count, Counts};

/// Name of the receiver of mail in the store.
const EMAIL: &str = "email";

fn webhook_receiver(id: &str) -> String {
    format!("webhook:{id}")
}

/// Who gets a letter of this step.
pub fn receivers(current: &Current, event: &Event) -> Vec<String> {
    let document = &current.document;
    let wanted = |rules: &[String]| rules.is_empty() || rules.contains(&event.rule);
    let mut receivers = Vec::new();
    if document.mqtt.is_some() {
        receivers.push(mqtt::RECEIVER.to_owned());
    }
    for webhook in &document.webhooks {
        let kinds: &[EventKind] = match &webhook.kinds[..] {
            [] => &[EventKind::New, EventKind::End],
            kinds => kinds,
        };
        if wanted(&webhook.rules) && kinds.contains(&event.kind) {
            receivers.push(webhook_receiver(&webhook.id));
        }
    }
    let mail = document.email.as_ref();
    if event.kind == EventKind::New && mail.is_some_and(|mail| wanted(&mail.rules)) {
        receivers.push(EMAIL.to_owned());
    }
    receivers
}

/// All that may get letters.
fn all_receivers(document: &Document) -> Vec<String> {
    let mqtt = document.mqtt.iter().map(|_| mqtt::RECEIVER.to_owned());
    mqtt.chain(ways(document).into_keys()).collect()
}

/// How a receiver is reached.
#[derive(Debug, Clone, PartialEq)]
enum Way {
    Webhook(Webhook),
    Email(Email),
}

/// All receivers of a configuration by their names in the store.
fn ways(document: &Document) -> BTreeMap<String, Way> {
    let webhooks = document.webhooks.iter();
    let webhooks =
        webhooks.map(|webhook| (webhook_receiver(&webhook.id), Way::Webhook(webhook.clone())));
    let email = document.email.iter();
    let email = email.map(|email| (EMAIL.to_owned(), Way::Email(email.clone())));
    webhooks.chain(email).collect()
}

/// A task that sends letters to one receiver.
struct Running {
    way: Way,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells webhooks and mail of the configuration in force, until `stop` says so.
pub async fn run(
    hub: Arc<Hub>,
    store: Store,
    counts: Arc<Counts>,
    mut stop: watch::Receiver<bool>,
) {
    let mut config = hub.watch_config();
    let mut notices = hub.listen();
    let news = watch::Sender::new(());
    let mut running: BTreeMap<String, Running> = BTreeMap::new();
    loop {
        let current = config.borrow_and_update().clone();
        let ways = ways(&current.document);
        // A task that goes on in another way ends here; its letter is sent again by the next one.
        running.retain(|receiver, task| ways.get(receiver) == Some(&task.way));
        for (receiver, way) in ways {
            running.entry(receiver.clone()).or_insert_with(|| {
                let carrier = Carrier {
                    store: store.clone(),
                    receiver,
                    counts: counts.clone(),
                    news: news.subscribe(),
                };
                let task = match way.clone() {
                    Way::Webhook(webhook) => tokio::spawn(carrier.run(Hook::new(webhook))),
                    Way::Email(email) => tokio::spawn(carrier.run(Mail::new(email, store.clone()))),
                };
                Running { way, task }
            });
        }
        let receivers = all_receivers(&current.document);
        if let Err(error) = store.keep_receivers(&receivers).await {
            tracing::warn!(%error, "letters to receivers that are gone cannot be removed");
        }
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                changed = config.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                notice = notices.recv() => match notice {
                    Ok(Notice::Event(_)) | Err(RecvError::Lagged(_)) => news.send_modify(|()| ()),
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }
}
