//! The node on DDS: topics and services under the names that they are remapped to.

use std::cell::RefCell;
use std::fmt::Display;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mdetr_ros2_messages::builtin_interfaces::Time;
use mdetr_ros2_messages::{Definition, Message, Service, to_cdr};
use ros2_client::dds::rustdds::{DomainParticipantBuilder, GUID, QosPolicies, Topic, TopicKind};
use ros2_client::qos::{Durability, History, Reliability, WhenFull};
use ros2_client::{
    Context, MessageTypeName, Name, Node, NodeName, NodeOptions, Publisher, QosProfile,
    Subscription,
};
use serde::Serialize;

use crate::listeners::Listeners;
use crate::names::{self, Remap};
use crate::server::{Marking, Server};

/// A DDS entity that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// A name is wrong.
    #[error("{0}")]
    Name(String),
    /// An environment variable is wrong.
    #[error("{variable}={found}: expected {expected}")]
    Environment {
        /// The variable.
        variable: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// DDS refuses.
    #[error("{what}: DDS refuses: {message}")]
    Dds {
        /// What was to be made.
        what: String,
        /// Why not.
        message: String,
    },
}

/// How long an [`Output`] must live on for its last message to be sent, which rustdds does not when its writer is gone, and
/// for subscribers to ask again for what they missed.
pub const LINGER: Duration = Duration::from_millis(200);

/// What is published on a topic. Threads share it.
#[derive(Clone)]
pub struct Output<M: Message> {
    publisher: Arc<Publisher<M>>,
    guid: GUID,
    listeners: Listeners,
    topic: Arc<str>,
    tap: Option<Arc<dyn Tap>>,
    /// The last failure that was logged, so that one that lasts is logged once.
    failed: Arc<Mutex<Option<String>>>,
}

impl<M: Message> Output<M> {
    /// Sends a message to those who listen. Does not wait for them: where one that asked for reliable delivery is
    /// too far behind, the message is lost and that is logged.
    pub fn publish(&self, message: M) {
        self.send(None, message);
    }

    /// As [`publish`](Self::publish), for a message on what was at the time `stamp`.
    pub fn publish_of(&self, stamp: Time, message: M) {
        self.send(Some(stamp), message);
    }

    fn send(&self, stamp: Option<Time>, message: M) {
        if let Some(tap) = self.tap.as_ref().filter(|tap| tap.takes()) {
            tap.take(stamp, to_cdr(&message));
        }
        let sent = self.publisher.publish(message);
        let failure = sent.err().map(|error| error.to_string());
        let mut last = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != failure {
            if let Some(failure) = &failure {
                tracing::warn!("{}: messages are lost: {failure}", self.topic);
            }
            *last = failure;
        }
    }

    /// Whether anybody listens.
    pub fn wanted(&self) -> bool {
        self.listeners.count(self.guid) > 0 || self.tap.as_ref().is_some_and(|tap| tap.wanted())
    }
}

/// Takes what is published on a topic beside DDS, as a recording does. Nobody waits for it.
pub trait Tap: Send + Sync {
    /// Whether it takes messages now.
    fn takes(&self) -> bool;

    /// Whether messages are to be made for it, if nobody else listens.
    fn wanted(&self) -> bool;

    /// Takes a message in CDR. It is on what was at the time `stamp`; none: on what is now.
    fn take(&self, stamp: Option<Time>, cdr: Vec<u8>);
}

/// Makes the taps of topics, by their whole names and the types of their messages.
pub type Tapping = Box<dyn Fn(&str, &'static Definition) -> Option<Arc<dyn Tap>>>;

/// The ranges that discovery can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Discovery {
    /// All networks.
    Subnet,
    /// This machine.
    Localhost,
}

/// What the environment says of the network.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings {
    domain: u16,
    discovery: Discovery,
    marking: Marking,
}

impl Surroundings {
    /// Reads it.
    ///
    /// # Errors
    /// It asks for what is not there.
    pub fn of_environment() -> Result<Surroundings, BusError> {
        Ok(Surroundings {
            domain: domain()?,
            discovery: discovery()?,
            marking: marking(),
        })
    }
}

/// The node, its context and its names.
pub struct Bus {
    context: Context,
    node: RefCell<Node>,
    name: NodeName,
    remaps: Vec<Remap>,
    marking: Marking,
    listeners: Listeners,
    tapping: Option<Tapping>,
}

impl Bus {
    /// Joins a domain.
    ///
    /// # Errors
    /// DDS refuses.
    pub fn new(
        surroundings: Surroundings,
        name: &NodeName,
        remaps: &[Remap],
    ) -> Result<Bus, BusError> {
        let mut builder = DomainParticipantBuilder::new(surroundings.domain);
        if surroundings.discovery == Discovery::Localhost {
            builder = builder.with_only_networks([Ipv4Addr::LOCALHOST]);
        }
        let participant = builder.build();
        let participant = participant.map_err(|error| refused("the participant", error))?;
        let context = Context::from_domain_participant(participant);
        let context = context.map_err(|error| refused("the context", error))?;
        // Parameters and /rosout have services and a publisher of their own here.
        let options = NodeOptions::new()
            .enable_rosout(false)
            .start_parameter_services(false);
        let node = context.new_node(name.clone(), options);
        let node = node.map_err(|error| refused("the node", error))?;
        Ok(Bus {
            context,
            node: RefCell::new(node),
            name: name.clone(),
            remaps: remaps.to_vec(),
            marking: surroundings.marking,
            listeners: Listeners::default(),
            tapping: None,
        })
    }

    /// The same, with taps of what is published on topics that are made from now on.
    #[must_use]
    pub fn tapped(self, tapping: Tapping) -> Bus {
        let tapping = Some(tapping);
        Bus { tapping, ..self }
    }

    /// Keeps count of listeners, as long as it is polled.
    pub async fn follow_listeners(&self) {
        let participant = self.context.domain_participant();
        self.listeners.follow(&participant).await;
    }

    /// The whole name of a topic or service after remapping.
    pub fn resolve(&self, name: &str) -> Result<String, BusError> {
        names::resolve(name, &self.name, &self.remaps).map_err(BusError::Name)
    }

    /// The whole name of a topic or service before remapping.
    pub fn expand(&self, name: &str) -> Result<String, BusError> {
        names::expand(name, &self.name).map_err(BusError::Name)
    }

    /// The node's name with its namespace.
    pub fn own_name(&self) -> String {
        self.name.fully_qualified_name()
    }

    fn topic(&self, whole: &str, type_name: &str, qos: &QosProfile) -> Result<Topic, BusError> {
        let (package, message) = package_and_name(type_name);
        let name = parsed(whole)?;
        let type_name = MessageTypeName::new(package, message);
        let topic = self.node.borrow().create_topic(&name, type_name, qos);
        topic.map_err(|error| refused(whole, error))
    }

    /// Publishes on a topic.
    pub fn output<M: Message>(&self, name: &str, qos: QosProfile) -> Result<Output<M>, BusError> {
        let topic = self.resolve(name)?;
        let dds = self.topic(&topic, M::DEFINITION.name, &qos)?;
        let publisher = self.node.borrow_mut().create_publisher(&dds, Some(qos));
        let publisher = publisher.map_err(|error| refused(&topic, error))?;
        self.listeners.name(publisher.guid(), &topic);
        let tapping = self.tapping.as_ref();
        Ok(Output {
            guid: publisher.guid(),
            publisher: Arc::new(publisher),
            listeners: self.listeners.clone(),
            tap: tapping.and_then(|tapping| tapping(&topic, M::DEFINITION)),
            topic: topic.into(),
            failed: Arc::default(),
        })
    }

    /// Listens to the topic of a whole name, which is not remapped any more.
    pub fn input<M: Message + 'static>(
        &self,
        whole: &str,
        qos: QosProfile,
    ) -> Result<Subscription<M>, BusError> {
        self.input_of(whole, M::DEFINITION.name, qos)
    }

    /// As [`input`](Self::input), for messages of the type `type_name`.
    pub fn input_of<M: 'static>(
        &self,
        whole: &str,
        type_name: &str,
        qos: QosProfile,
    ) -> Result<Subscription<M>, BusError> {
        let topic = self.topic(whole, type_name, &qos)?;
        let subscription = self
            .node
            .borrow_mut()
            .create_subscription(&topic, Some(qos));
        let subscription = subscription.map_err(|error| refused(whole, error))?;
        self.listeners.name(subscription.guid(), whole);
        Ok(subscription)
    }

    /// Offers a service.
    pub fn service<S: Service>(
        &self,
        name: &str,
    ) -> Result<Server<S::Request, S::Response>, BusError>
    where
        S::Request: 'static,
    {
        self.server(name, S::NAME)
    }

    /// Offers a service of the type `type_name`.
    pub fn server<T: 'static, U: Serialize>(
        &self,
        name: &str,
        type_name: &str,
    ) -> Result<Server<T, U>, BusError> {
        let whole = self.resolve(name)?;
        let (package, service) = package_and_name(type_name);
        let qos = QosPolicies::from(&reliable(10));
        let participant = self.context.domain_participant();
        let topic = |prefix: &str, suffix: &str, part: &str| {
            let kind = format!("{package}::srv::dds_::{service}_{part}_");
            let name = format!("{prefix}{whole}{suffix}");
            let topic = participant.create_topic(name, kind, &qos, TopicKind::NoKey);
            topic.map_err(|error| refused(&whole, error))
        };
        let asked = topic("rq", "Request", "Request")?;
        let answered = topic("rr", "Reply", "Response")?;
        let requests = self.node.borrow_mut().create_subscription(&asked, None);
        let publisher = participant.create_publisher(&qos);
        let publisher = publisher.map_err(|error| refused(&whole, error))?;
        let answers = publisher.create_datawriter_no_key_cdr(&answered, None);
        Ok(Server {
            marking: self.marking,
            requests: requests.map_err(|error| refused(&whole, error))?,
            answers: answers.map_err(|error| refused(&whole, error))?,
            listeners: self.listeners.clone(),
            name: whole,
        })
    }
}

fn refused(what: &str, error: impl Display) -> BusError {
    BusError::Dds {
        what: what.to_owned(),
        message: error.to_string(),
    }
}

fn parsed(whole: &str) -> Result<Name, BusError> {
    Name::parse(whole).map_err(|error| BusError::Name(format!("{whole}: {error}")))
}

/// Of `package/msg/Name` or `package/srv/Name`.
fn package_and_name(type_name: &str) -> (&str, &str) {
    let package = type_name.split('/').next().unwrap_or_default();
    let name = type_name.rsplit('/').next().unwrap_or_default();
    (package, name)
}

fn variable(name: &'static str) -> Option<String> {
    let value = std::env::var_os(name)?;
    let value = value.to_string_lossy().trim().to_owned();
    (!value.is_empty()).then_some(value)
}

/// The most that ROS allows: above, ports of DDS would be ephemeral ones.
const MAX_DOMAIN: u16 = 232;

fn domain() -> Result<u16, BusError> {
    let Some(found) = variable("ROS_DOMAIN_ID") else {
        return Ok(0);
    };
    match found.parse() {
        Ok(domain) if domain <= MAX_DOMAIN => Ok(domain),
        _ => Err(BusError::Environment {
            variable: "ROS_DOMAIN_ID",
            found,
            expected: "a whole number from 0 to 232",
        }),
    }
}

/// `ROS_LOCALHOST_ONLY` wins, where it is set, as it does in ROS.
fn discovery() -> Result<Discovery, BusError> {
    match variable("ROS_LOCALHOST_ONLY").as_deref() {
        Some("1") => return Ok(Discovery::Localhost),
        Some("0") | None => (),
        Some(found) => {
            return Err(BusError::Environment {
                variable: "ROS_LOCALHOST_ONLY",
                found: found.to_owned(),
                expected: "0 or 1",
            });
        }
    }
    match variable("ROS_AUTOMATIC_DISCOVERY_RANGE").as_deref() {
        None | Some("SUBNET" | "SYSTEM_DEFAULT") => Ok(Discovery::Subnet),
        Some("LOCALHOST") => Ok(Discovery::Localhost),
        Some(found) => Err(BusError::Environment {
            variable: "ROS_AUTOMATIC_DISCOVERY_RANGE",
            found: found.to_owned(),
            expected: "SUBNET, LOCALHOST or SYSTEM_DEFAULT (OFF is not supported: start no node instead)",
        }),
    }
}

/// How answers are told apart: CycloneDDS's layer of ROS has a way of its own.
fn marking() -> Marking {
    match variable("RMW_IMPLEMENTATION").as_deref() {
        Some("rmw_cyclonedds_cpp") => Marking::Before,
        _ => Marking::Beside,
    }
}

/// Reliable delivery to those who ask for it; a writer never waits.
pub const fn reliable(depth: usize) -> QosProfile {
    QosProfile::publisher_default()
        .reliability(Reliability::Reliable {
            when_full: WhenFull::Fail,
        })
        .history(History::KeepLast { depth })
}

/// As [`reliable`], with the last message for those who come later.
pub const fn latched() -> QosProfile {
    reliable(1).durability(Durability::TransientLocal)
}

/// What a subscriber to sensors asks for: no delivery twice.
pub const fn best_effort(depth: usize) -> QosProfile {
    QosProfile::subscription_default().history(History::KeepLast { depth })
}
