//! Pictures, results and queries in Foxglove, over its WebSocket: for looking at a robot without ROS on the machine that
//! looks.
//!
//! A [`LiveView`] sends messages of ROS as they are, and boxes with their words as `foxglove.ImageAnnotations`; the
//! standing queries are the parameter `queries`, which viewers may change.

mod annotations;
mod queries;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foxglove::messages::ImageAnnotations;
use foxglove::websocket::Capability;
use foxglove::{
    Channel, ChannelBuilder, Context, FoxgloveError, PartialMetadata, RawChannel, Schema,
    WebSocketServer, WebSocketServerHandle,
};
use mdetr_grounding::Grounding;
use mdetr_ros2_messages::builtin_interfaces::Time;
use mdetr_ros2_messages::std_msgs::Header;
use mdetr_ros2_messages::{Definition, Message, to_cdr};
use tokio::runtime::{Builder, Runtime};

pub use annotations::annotations;
use queries::Parameters;
pub use queries::Queries;

/// Messages that wait for a slow viewer; further ones replace the oldest.
const BACKLOG: usize = 32;

/// The type of boxes with words.
const ANNOTATIONS: &str = "foxglove.ImageAnnotations";

/// Where the port is that Foxglove looks at first, on this machine only.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8765);

/// Why there is no view, or a message is not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveViewError {
    /// Nobody can connect.
    #[error("Foxglove at {address}: {source}; choose another port, or 0 for any that is free")]
    Start {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why it does not.
        source: FoxgloveError,
    },
    /// There are no threads for it.
    #[error("Foxglove: cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// A topic has another type.
    #[error("Foxglove: topic {topic} has messages of {known}, so it cannot have {found} too")]
    Type {
        /// The topic.
        topic: String,
        /// The type of its messages so far.
        known: String,
        /// The other type.
        found: String,
    },
    /// A topic cannot be offered.
    #[error("Foxglove: topic {topic}: {source}")]
    Topic {
        /// The topic.
        topic: String,
        /// Why.
        source: FoxgloveError,
    },
}

/// A server that Foxglove connects to.
///
/// Who can connect can read what is sent, and change the queries: there is no password. On this machine that is every
/// program, and every web page that a browser here shows. Dropping it ends the connections.
pub struct LiveView {
    context: Arc<Context>,
    address: SocketAddr,
    raw: Mutex<HashMap<String, (&'static str, Arc<RawChannel>)>>,
    annotated: Mutex<HashMap<String, Channel<ImageAnnotations>>>,
    parameters: Arc<Parameters>,
    server: Option<Arc<WebSocketServerHandle>>,
    /// Ends after the server, with all that runs on it.
    runtime: Option<Runtime>,
}

impl LiveView {
    /// Listens at an address; port 0 is any that is free. `name` is shown to viewers.
    ///
    /// # Errors
    /// The address cannot be listened at.
    pub fn start(
        address: SocketAddr,
        name: &str,
        queries: Box<dyn Queries>,
    ) -> Result<LiveView, LiveViewError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("foxglove")
            .enable_all()
            .build()
            .map_err(LiveViewError::Thread)?;
        let context = Context::new();
        let parameters = Arc::new(Parameters::new(queries));
        let server = WebSocketServer::new()
            .name(name)
            .bind(address.ip().to_string(), address.port())
            .context(&context)
            .capabilities([Capability::Parameters])
            .parameter_handler(parameters.clone())
            .message_backlog_size(BACKLOG)
            .tokio_runtime(runtime.handle());
        let started = runtime.block_on(server.start());
        let started = started.map_err(|source| LiveViewError::Start { address, source });
        let server = Arc::new(started?);
        parameters.publish_through(&server);
        Ok(LiveView {
            context,
            address: SocketAddr::new(address.ip(), server.port()),
            raw: Mutex::default(),
            annotated: Mutex::default(),
            parameters,
            server: Some(server),
            runtime: Some(runtime),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Offers a topic before there are messages of it.
    ///
    /// # Errors
    /// The topic has another type.
    pub fn offer(&self, topic: &str, definition: &Definition) -> Result<(), LiveViewError> {
        self.raw_channel(topic, definition).map(drop)
    }

    /// Offers a topic of [`annotate`](Self::annotate) before there are messages of it.
    ///
    /// # Errors
    /// The topic has another type.
    pub fn offer_annotations(&self, topic: &str) -> Result<(), LiveViewError> {
        if let Some((known, _)) = lock(&self.raw).get(topic) {
            return Err(other_type(topic, known, ANNOTATIONS));
        }
        lock(&self.annotated)
            .entry(topic.to_owned())
            .or_insert_with(|| {
                let builder = ChannelBuilder::new(topic).context(&self.context);
                builder.build::<ImageAnnotations>()
            });
        Ok(())
    }

    /// Offers a topic no longer.
    pub fn withdraw(&self, topic: &str) {
        if let Some((_, channel)) = lock(&self.raw).remove(topic) {
            channel.close();
        }
        if let Some(channel) = lock(&self.annotated).remove(topic) {
            channel.close();
        }
    }

    /// Whether a viewer wants the messages of a topic. A topic is offered from its first message on, if not
    /// [before](Self::offer); this is true before.
    pub fn is_wanted(&self, topic: &str) -> bool {
        let raw = lock(&self.raw)
            .get(topic)
            .map(|(_, channel)| channel.has_sinks());
        let annotated = lock(&self.annotated).get(topic).map(Channel::has_sinks);
        raw.or(annotated).unwrap_or(true)
    }

    /// Sends a message of ROS.
    ///
    /// # Errors
    /// The topic has another type.
    pub fn send<T: Message>(
        &self,
        topic: &str,
        stamp: Time,
        message: &T,
    ) -> Result<(), LiveViewError> {
        let channel = self.raw_channel(topic, T::DEFINITION)?;
        if channel.has_sinks() {
            channel.log_with_meta(&to_cdr(message), at(stamp));
        }
        Ok(())
    }

    /// Sends the bytes of a message of ROS, the four of the encapsulation first.
    ///
    /// # Errors
    /// The topic has another type.
    pub fn send_cdr(
        &self,
        topic: &str,
        definition: &Definition,
        stamp: Time,
        cdr: &[u8],
    ) -> Result<(), LiveViewError> {
        let channel = self.raw_channel(topic, definition)?;
        channel.log_with_meta(cdr, at(stamp));
        Ok(())
    }

    /// Sends what was found in a picture as boxes with words. `header` is that of the picture.
    ///
    /// # Errors
    /// The topic has another type.
    pub fn annotate(
        &self,
        topic: &str,
        header: &Header,
        grounding: &Grounding,
    ) -> Result<(), LiveViewError> {
        self.offer_annotations(topic)?;
        let annotated = lock(&self.annotated);
        let Some(channel) = annotated.get(topic) else {
            // It was withdrawn meanwhile.
            return Ok(());
        };
        if channel.has_sinks() {
            channel.log_with_meta(&annotations(header, grounding), at(header.stamp));
        }
        Ok(())
    }

    /// Tells viewers of the queries in force, when they changed by another way than through this view.
    pub fn queries_changed(&self) {
        self.parameters.publish();
    }

    fn raw_channel(
        &self,
        topic: &str,
        definition: &Definition,
    ) -> Result<Arc<RawChannel>, LiveViewError> {
        if lock(&self.annotated).contains_key(topic) {
            return Err(other_type(topic, ANNOTATIONS, definition.name));
        }
        let mut raw = lock(&self.raw);
        if let Some((known, channel)) = raw.get(topic) {
            return match *known == definition.name {
                true => Ok(channel.clone()),
                false => Err(other_type(topic, known, definition.name)),
            };
        }
        let schema = definition.schema().into_bytes();
        let channel = ChannelBuilder::new(topic)
            .context(&self.context)
            .schema(Schema::new(definition.name, "ros2msg", schema))
            .message_encoding("cdr")
            .build_raw();
        let channel = channel.map_err(|source| LiveViewError::Topic {
            topic: topic.to_owned(),
            source,
        })?;
        raw.insert(topic.to_owned(), (definition.name, channel.clone()));
        Ok(channel)
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        // A change of the queries that publishes right now has it too; its connections end with the runtime.
        if let Some(server) = self.server.take().and_then(Arc::into_inner) {
            drop(server.stop());
        }
        // A query that is being encoded ends by itself.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn other_type(topic: &str, known: &str, found: &str) -> LiveViewError {
    LiveViewError::Type {
        topic: topic.to_owned(),
        known: known.to_owned(),
        found: found.to_owned(),
    }
}

fn at(stamp: Time) -> PartialMetadata {
    PartialMetadata::with_log_time(u64::try_from(stamp.nanos()).unwrap_or(0))
}

/// A map is whole after a panic too: entries are added and read only.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
