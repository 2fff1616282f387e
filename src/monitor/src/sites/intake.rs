//! The connection to the sites' broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};

use super::counts::Outcome;
use super::message::event_of;
use super::overview;
use super::shared::Sites;
use super::topics::SiteTopics;
use crate::central::{Arrival, SiteName, of_site};
use crate::config::{Broker, Central};
use crate::hub::BrokerStatus;
use crate::mqtt::STORED;
use crate::mqtt::link::{
    FIRST_WAIT, GOOD, Happening, Incoming, LONGEST_WAIT, Link, LinkError, Message, Rumqttc,
    Subscription,
};
use crate::mqtt::options::options;
use crate::retry::Backoff;

/// Largest message from the broker in bytes: pictures go through.
const LARGEST: u32 = 4 << 20;
/// Kilobytes of messages that wait to be kept; what comes when so many wait is not acknowledged.
const ROOM: usize = 96 << 10;
/// How long what was kept waits for more, so that one message tells of many.
const GATHER: Duration = Duration::from_millis(50);

/// Something that came, and the memory that it may take until it is kept.
#[derive(Debug)]
pub(super) struct Arrived {
    pub came: Came,
    pub _room: OwnedSemaphorePermit,
}

/// What came.
#[derive(Debug)]
pub(super) enum Came {
    /// A step of an event, and the number under which the site wants to hear that it is kept.
    Step {
        site: SiteName,
        arrival: Box<Arrival>,
        sequence: Option<i64>,
    },
    /// A picture of an event.
    Picture { event: String, jpeg: Vec<u8> },
    /// What a site says of itself.
    State { site: SiteName, state: String },
}

/// A step that is kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub site: SiteName,
    pub sequence: i64,
}

struct Intake<'a> {
    sites: &'a Sites,
    topics: SiteTopics,
    arrivals: mpsc::UnboundedSender<Arrived>,
    /// Kilobytes that may wait.
    room: Arc<Semaphore>,
}

/// Connects again and again.
pub(super) async fn run(
    sites: &Sites,
    broker: &Broker,
    own: &Central,
    arrivals: mpsc::UnboundedSender<Arrived>,
    mut stored: mpsc::Receiver<Kept>,
) {
    let Some(topics) = SiteTopics::new(&own.sites) else {
        return;
    };
    let intake = Intake {
        sites,
        topics,
        arrivals,
        room: Arc::new(Semaphore::new(ROOM)),
    };
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let begun = Instant::now();
        let error = match intake.connect(broker).await {
            Ok((link, incoming)) => {
                intake.told(true, None);
                intake
                    .session(&link, incoming, own, &mut stored)
                    .await
                    .to_string()
            }
            Err(error) => error,
        };
        if begun.elapsed() > GOOD {
            backoff.reset();
        }
        let wait = backoff.next();
        let wait_s = wait.as_secs_f32();
        tracing::warn!(error, wait_s, "no connection to the sites' broker");
        intake.told(false, Some(error));
        sleep(wait).await;
        // Sites send again what they have not heard of.
        while stored.try_recv().is_ok() {}
    }
}

impl Intake<'_> {
    fn told(&self, connected: bool, message: Option<String>) {
        self.sites.hub.set_broker(Some(BrokerStatus {
            connected,
            message,
            waiting: 0,
        }));
    }

    async fn connect(
        &self,
        broker: &Broker,
    ) -> Result<(Rumqttc, <Rumqttc as Link>::Incoming), String> {
        let mut options = options(broker)?;
        options.max_incoming = LARGEST;
        // Hubs of one configuration are many.
        options.client_id = format!("{}-{:08x}", broker.client_id, rand::random::<u32>());
        options.will = None;
        let connected = Rumqttc::connect(&options).await;
        connected.map_err(|error| error.to_string())
    }

    async fn session(
        &self,
        link: &Rumqttc,
        mut incoming: <Rumqttc as Link>::Incoming,
        own: &Central,
        stored: &mut mpsc::Receiver<Kept>,
    ) -> LinkError {
        let shared = |leaf: &str| Subscription {
            filter: format!("$share/{}/{}", own.share, self.topics.all(leaf)),
            retained: false,
        };
        let mut all: Vec<_> = ["events", "stats", "+/+/snapshot"].map(shared).into();
        all.push(Subscription {
            filter: self.topics.all("available"),
            retained: true,
        });
        if let Err(error) = link.subscribe(all).await {
            return error;
        }
        tokio::select! {
            error = self.tell(link, stored) => error,
            error = self.read(&mut incoming) => error,
        }
    }

    /// Tells sites which steps are kept.
    async fn tell(&self, link: &Rumqttc, stored: &mut mpsc::Receiver<Kept>) -> LinkError {
        loop {
            let mut kept: BTreeMap<SiteName, Vec<i64>> = BTreeMap::new();
            let mut add = |Kept { site, sequence }| kept.entry(site).or_default().push(sequence);
            let Some(first) = stored.recv().await else {
                return LinkError("the hub stops".to_owned());
            };
            add(first);
            let more = async {
                while let Some(next) = stored.recv().await {
                    add(next);
                }
            };
            let _ = timeout(GATHER, more).await;
            for (site, sequences) in kept {
                let message = Message {
                    topic: self.topics.own(&site, STORED),
                    payload: serde_json::to_vec(&sequences).expect("numbers always serialise"),
                    ..Message::default()
                };
                if let Err(error) = link.publish(message).await {
                    return error;
                }
            }
        }
    }

    async fn read(&self, incoming: &mut <Rumqttc as Link>::Incoming) -> LinkError {
        loop {
            match incoming.next().await {
                Ok(Happening::Message {
                    topic,
                    payload,
                    answer,
                    event,
                    ..
                }) => self.hear(&topic, payload, answer, event),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    fn hear(
        &self,
        topic: &str,
        payload: Vec<u8>,
        answer: Option<(String, String)>,
        event: Option<String>,
    ) {
        let counts = &self.sites.counts;
        let kilobytes = u32::try_from(payload.len() / 1024 + 1).unwrap_or(u32::MAX);
        let Some((site, rest)) = self.topics.split(topic) else {
            return;
        };
        let came = match rest {
            "available" => return overview::set_available(self.sites, &site, &payload),
            "stats" => match String::from_utf8(payload) {
                Ok(state) => Came::State { site, state },
                Err(_) => return,
            },
            "events" => match event_of(&payload).and_then(|event| of_site(&site, event)) {
                Ok(event) => {
                    // Nothing is said on a topic that is not the site's own.
                    let own = self.topics.own(&site, STORED);
                    let answer = answer.filter(|(topic, _)| *topic == own);
                    let sequence = answer.and_then(|(_, number)| number.parse().ok());
                    let received = Timestamp::now();
                    Came::Step {
                        site,
                        arrival: Box::new(Arrival { event, received }),
                        sequence,
                    }
                }
                Err(error) => {
                    counts.add(Outcome::Refused, 1);
                    let site = site.as_str();
                    tracing::warn!(site, error, "what a site says is no event");
                    return;
                }
            },
            _ if rest.ends_with("/snapshot") => match event {
                Some(event) if payload.starts_with(&[0xff, 0xd8]) => Came::Picture {
                    event: site.own(&event),
                    jpeg: payload,
                },
                _ => return,
            },
            _ => return,
        };
        match self.room.clone().try_acquire_many_owned(kilobytes) {
            Ok(_room) => {
                // Who takes it is there as long as we are.
                let _ = self.arrivals.send(Arrived { came, _room });
            }
            Err(_) if matches!(came, Came::Step { .. }) => counts.add(Outcome::Left, 1),
            Err(_) => {}
        }
    }
}
