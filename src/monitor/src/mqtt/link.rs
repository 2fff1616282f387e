//! A connection to a broker. What the rest needs of a library for MQTT stands in the trait [`Link`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, Filter, LastWill, Packet, PubAckReason, PublishProperties, RetainForwardRule,
};
use rumqttc::v5::mqttbytes::{Error as PacketError, QoS};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};
use rumqttc::{NetworkOptions, Outgoing, TlsConfiguration, Transport};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Largest message to the broker in bytes: pictures go through.
pub const MAX_PACKET: u32 = 16 << 20;
/// Largest message from the broker in bytes, usually: commands and descriptions of devices are small.
pub const MAX_INCOMING: u32 = 1 << 20;
/// How often the broker must be heard of.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Bytes that the system keeps for us until they are sent. A ping waits behind them: on a slow network more of them
/// would look like a broker that does not answer.
const SEND_BUFFER: u32 = 128 << 10;
/// How long connecting may take.
const CONNECT_SECONDS: u64 = 10;
/// Messages that are on their way from us to the connection.
const QUEUE: usize = 8;
/// Happenings that wait to be looked at.
const HAPPENINGS: usize = 64;
/// Most messages that the broker may leave unacknowledged.
const UNACKNOWLEDGED: u16 = 100;
/// Name of the property that says to which event a message belongs.
const EVENT: &str = "event";
/// Bytes of a message beside its topic and payload, at most.
const OVERHEAD: usize = 256;

/// First wait before the next try to connect.
pub const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A connection that lasted that long was a good one, as is one that an event went through.
pub const GOOD: Duration = Duration::from_secs(10);

/// Where and how to connect.
#[derive(Clone)]
pub struct Options {
    /// Name or address of the broker.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// TLS, if the connection is encrypted.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Name of the client.
    pub client_id: String,
    /// Name and password of the user.
    pub user: Option<(String, String)>,
    /// Topic on which the broker says `offline`, retained, when we are gone; nothing is said without.
    pub will: Option<String>,
    /// Largest message from the broker in bytes; it leaves out larger ones.
    pub max_incoming: u32,
}

/// A message to the broker.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// Whether the broker must acknowledge it.
    pub acknowledge: bool,
    /// Its content type, if it is said.
    pub content_type: Option<&'static str>,
    /// What [`Happening::Acknowledged`] says of it; nothing is said without.
    pub ticket: Option<i64>,
    /// Topic of an answer, and what the answer names to say which message it is to.
    pub answer: Option<(String, String)>,
    /// The event that it belongs to, as a property `event` of the message.
    pub event: Option<String>,
}

/// What comes from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// The message with this ticket has arrived.
    Acknowledged(i64),
    /// The broker does not take the message with this ticket.
    Refused(i64, String),
    /// A message of somebody else.
    Message {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Vec<u8>,
        /// Whether it is an old one that the broker kept.
        retained: bool,
        /// Topic of the answer that is expected, and what it is to name.
        answer: Option<(String, String)>,
        /// The event that it belongs to.
        event: Option<String>,
    },
}

/// What somebody else's messages are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Filter of topics.
    pub filter: String,
    /// Whether those that the broker kept are wanted, too.
    pub retained: bool,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LinkError(pub String);

/// A connection.
pub trait Link: Sized + Send + Sync {
    /// What comes in.
    type Incoming: Incoming + Send;

    /// Connects.
    fn connect(
        options: &Options,
    ) -> impl Future<Output = Result<(Self, Self::Incoming), LinkError>> + Send;

    /// Whether the broker takes a message of this size.
    fn fits(&self, message: &Message) -> bool;

    /// Sends a message; waits while the connection is slow. Must not be given up halfway.
    fn publish(&self, message: Message) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Asks for messages.
    fn subscribe(
        &self,
        subscriptions: Vec<Subscription>,
    ) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Says goodbye, so that the broker does not say that we are gone, and waits for that.
    fn close(self, incoming: Self::Incoming) -> impl Future<Output = ()> + Send;
}

/// What comes in on a connection.
pub trait Incoming {
    /// Waits for what happens next.
    fn next(&mut self) -> impl Future<Output = Result<Happening, LinkError>> + Send;
}

/// Tickets of messages in the order in which they were given to the library.
type Tickets = Arc<Mutex<VecDeque<Option<i64>>>>;

/// A connection through the crate rumqttc.
pub struct Rumqttc {
    client: AsyncClient,
    tickets: Tickets,
    max_packet: usize,
}

/// What comes in through it.
pub struct RumqttcIncoming {
    happenings: mpsc::Receiver<Result<Happening, LinkError>>,
    task: JoinHandle<()>,
}

impl Drop for RumqttcIncoming {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link for Rumqttc {
    type Incoming = RumqttcIncoming;

    async fn connect(options: &Options) -> Result<(Rumqttc, RumqttcIncoming), LinkError> {
        let place = format!("{}:{}", options.host, options.port);
        let told = |error: String| LinkError(format!("broker {place}: {error}"));
        let (client, mut events) = AsyncClient::new(settings(options), QUEUE);
        let connected = loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(packet))) => break packet,
                Ok(_) => {}
                Err(error) => return Err(told(words(&error))),
            }
        };
        let properties = connected.properties;
        let limits = properties.as_ref();
        let max_packet = limits.and_then(|limits| limits.max_packet_size);
        let keep_alive = limits
            .and_then(|limits| limits.server_keep_alive)
            .map_or(KEEP_ALIVE, |seconds| Duration::from_secs(seconds.into()));
        let tickets = Tickets::default();
        let (sender, happenings) = mpsc::channel(HAPPENINGS);
        let pump = Pump {
            events,
            tickets: tickets.clone(),
            sent: HashMap::new(),
            held: None,
            sender,
            // A ping goes out that often at least; a connection that does not even take it is dead.
            patience: keep_alive * 2 + Duration::from_secs(5),
            place,
        };
        let link = Rumqttc {
            client,
            tickets,
            max_packet: max_packet.unwrap_or(MAX_PACKET).min(MAX_PACKET) as usize,
        };
        let task = tokio::spawn(pump.run());
        Ok((link, RumqttcIncoming { happenings, task }))
    }

    fn fits(&self, message: &Message) -> bool {
        message.topic.len() + message.payload.len() + OVERHEAD <= self.max_packet
    }

    async fn publish(&self, message: Message) -> Result<(), LinkError> {
        let quality = if message.acknowledge {
            QoS::AtLeastOnce
        } else {
            QoS::AtMostOnce
        };
        let (response_topic, correlation) = message.answer.unzip();
        let properties = PublishProperties {
            content_type: message.content_type.map(str::to_owned),
            response_topic,
            correlation_data: correlation.map(Into::into),
            user_properties: message
                .event
                .map(|event| (EVENT.to_owned(), event))
                .into_iter()
                .collect(),
            ..PublishProperties::default()
        };
        self.tickets
            .lock()
            .expect("no code panics with the lock")
            .push_back(message.ticket);
        let Message { topic, payload, .. } = message;
        self.client
            .publish_with_properties(topic, quality, message.retain, payload, properties)
            .await
            .map_err(|_| LinkError("the connection is closed".to_owned()))
    }

    async fn subscribe(&self, subscriptions: Vec<Subscription>) -> Result<(), LinkError> {
        let filters = subscriptions.into_iter().map(|subscription| Filter {
            qos: QoS::AtLeastOnce,
            // Our own messages need not come back; MQTT does not allow to say so where others share.
            nolocal: !subscription.filter.starts_with("$share/"),
            preserve_retain: false,
            retain_forward_rule: if subscription.retained {
                RetainForwardRule::OnEverySubscribe
            } else {
                RetainForwardRule::Never
            },
            path: subscription.filter,
        });
        self.client
            .subscribe_many(filters)
            .await
            .map_err(|_| LinkError("the connection is closed".to_owned()))
    }

    async fn close(self, mut incoming: RumqttcIncoming) {
        if self.client.disconnect().await.is_ok() {
            // The broker closes the connection, and with it ends what comes in.
            while incoming.next().await.is_ok() {}
        }
    }
}

impl Incoming for RumqttcIncoming {
    async fn next(&mut self) -> Result<Happening, LinkError> {
        let closed = || Err(LinkError("the connection is closed".to_owned()));
        self.happenings.recv().await.unwrap_or_else(closed)
    }
}

fn settings(options: &Options) -> MqttOptions {
    let mut settings = MqttOptions::new(&options.client_id, &options.host, options.port);
    settings
        .set_keep_alive(KEEP_ALIVE)
        .set_connection_timeout(CONNECT_SECONDS)
        // What is not acknowledged comes from the store again.
        .set_clean_start(true)
        .set_max_packet_size(Some(options.max_incoming))
        .set_outgoing_inflight_upper_limit(UNACKNOWLEDGED);
    if let Some(will) = &options.will {
        let will = LastWill::new(will, "offline", QoS::AtLeastOnce, true, None);
        settings.set_last_will(will);
    }
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_tcp_send_buffer_size(SEND_BUFFER);
    network.set_connection_timeout(CONNECT_SECONDS);
    settings.set_network_options(network);
    if let Some((name, password)) = &options.user {
        settings.set_credentials(name, password);
    }
    if let Some(tls) = &options.tls {
        settings.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(
            tls.clone(),
        )));
    }
    settings
}

/// What went wrong, and what to do about it.
fn words(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => "it refuses the user: check username and password".to_owned(),
        ConnectionError::ConnectionRefused(code) => format!("it refuses the connection: {code:?}"),
        ConnectionError::Timeout(_) => format!("no answer within {CONNECT_SECONDS} s"),
        ConnectionError::MqttState(StateError::ConnectionAborted) => {
            "it closed the connection".to_owned()
        }
        ConnectionError::MqttState(StateError::AwaitPingResp) => {
            "it does not answer any more".to_owned()
        }
        ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(PacketError::Io(error)),
        ) => error.to_string(),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            format!("it ended the connection: {reason_code:?}")
        }
        ConnectionError::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// Moves packets, and tells what happens.
struct Pump {
    events: EventLoop,
    tickets: Tickets,
    /// Tickets of messages that the broker has not acknowledged, by their numbers.
    sent: HashMap<u16, i64>,
    /// A message that waits until its number is free.
    held: Option<(u16, Option<i64>)>,
    sender: mpsc::Sender<Result<Happening, LinkError>>,
    patience: Duration,
    place: String,
}

impl Pump {
    async fn run(mut self) {
        loop {
            let happening = match timeout(self.patience, self.events.poll()).await {
                Ok(Ok(event)) => match self.happening(event) {
                    Some(happening) => Ok(happening),
                    None => continue,
                },
                Ok(Err(error)) => Err(words(&error)),
                Err(_) => Err("it takes nothing any more".to_owned()),
            };
            let last = happening.is_err();
            let told = |error| LinkError(format!("broker {}: {error}", self.place));
            if self.sender.send(happening.map_err(told)).await.is_err() || last {
                break;
            }
        }
    }

    fn happening(&mut self, event: Event) -> Option<Happening> {
        match event {
            Event::Outgoing(Outgoing::Publish(number)) => {
                let ticket = match self.held.take_if(|(held, _)| *held == number) {
                    Some((_, ticket)) => ticket,
                    None => self.next_ticket(),
                };
                if let Some(ticket) = ticket.filter(|_| number != 0) {
                    self.sent.insert(number, ticket);
                }
                None
            }
            Event::Outgoing(Outgoing::AwaitAck(number)) => {
                self.held = Some((number, self.next_ticket()));
                None
            }
            Event::Incoming(Packet::PubAck(packet)) => {
                let ticket = self.sent.remove(&packet.pkid)?;
                Some(match packet.reason {
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {
                        Happening::Acknowledged(ticket)
                    }
                    reason => Happening::Refused(ticket, format!("{reason:?}")),
                })
            }
            Event::Incoming(Packet::Publish(packet)) => {
                let properties = packet.properties.unwrap_or_default();
                let correlation = properties.correlation_data.map(|bytes| bytes.to_vec());
                let correlation = correlation.and_then(|bytes| String::from_utf8(bytes).ok());
                let mut named = properties.user_properties.into_iter();
                Some(Happening::Message {
                    topic: String::from_utf8(packet.topic.to_vec()).ok()?,
                    payload: packet.payload.to_vec(),
                    retained: packet.retain,
                    answer: properties.response_topic.zip(correlation),
                    event: named
                        .find(|(name, _)| name == EVENT)
                        .map(|(_, event)| event),
                })
            }
            _ => None,
        }
    }

    fn next_ticket(&self) -> Option<i64> {
        let mut tickets = self.tickets.lock().expect("no code panics with the lock");
        tickets.pop_front().flatten()
    }
}
