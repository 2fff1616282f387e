//! Messages in, frames out.
//!
//! Lock order: `settings` and `state` are never held together, nor while a picture is waited for or pushed.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::StreamExt;
use gst::glib;
use gst::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use mdetr_gst::element::{self, TYPE_CHECKED};
use mdetr_ros2_bus::{Bus, BusError, Mailbox, Subscription};
use mdetr_ros2_messages::Message;
use tokio::task::spawn_local;

use super::times::Times;
use super::{Timestamps, Transport};
use crate::node::Node;
use crate::picture::{self, Picture};
use crate::settings::{self, Identity, Reliability, text_of};
use crate::{log, stamp};

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| element::debug_category("mdetrros2src", "Pictures from ROS 2"));

/// Messages that DDS keeps until they are taken, which is at once.
const DEPTH: usize = 5;
/// What a compressed topic's name ends in.
const COMPRESSED: &str = "/compressed";

#[derive(Debug, Clone)]
struct Settings {
    identity: Identity,
    topic: String,
    frame_id: String,
    init_caps: String,
    transport: Transport,
    reliability: Reliability,
    queue_size: u32,
    timestamps: Timestamps,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            identity: Identity {
                name: "mdetrros2src".into(),
                namespace: String::new(),
            },
            topic: "image".into(),
            frame_id: String::new(),
            init_caps: String::new(),
            transport: Transport::Auto,
            reliability: Reliability::BestEffort,
            queue_size: 1,
            timestamps: Timestamps::Arrival,
        }
    }
}

impl Settings {
    fn compressed(&self) -> bool {
        match self.transport {
            Transport::Auto => self.topic.ends_with(COMPRESSED),
            Transport::Raw => false,
            Transport::Compressed => true,
        }
    }

    /// The caps before the first picture, if some are set.
    fn init_caps(&self) -> Result<Option<gst::Caps>, gst::ErrorMessage> {
        if self.init_caps.is_empty() {
            return Ok(None);
        }
        let caps: Option<gst::Caps> = self.init_caps.parse().ok();
        match caps.filter(|caps| caps.is_fixed()) {
            Some(caps) => Ok(Some(caps)),
            None => Err(gst::error_msg!(
                gst::ResourceError::Settings,
                (
                    "init-caps={}: expected fixed caps, such as video/x-raw,format=RGB,width=640,height=480,framerate=0/1",
                    self.init_caps
                )
            )),
        }
    }
}

/// A message that waits.
struct Arrived {
    picture: Result<Picture, String>,
    at: Instant,
}

/// What the node's thread and the element share.
struct Inbox {
    mailbox: Mailbox<Arrived>,
    received: AtomicU64,
    dropped: AtomicU64,
    malformed: AtomicU64,
}

impl Inbox {
    fn put(&self, picture: Result<Picture, String>) {
        self.received.fetch_add(1, Ordering::Relaxed);
        let at = Instant::now();
        if self.mailbox.put(Arrived { picture, at }).is_some() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// From start to stop.
struct Running {
    node: Node,
    topic: String,
    times: Times,
    /// Caps of references to pictures of the last coordinate frame.
    reference: Option<(String, gst::Caps)>,
    /// The caps that were set last.
    caps: Option<gst::Caps>,
    /// The last failure that was told, so that one that lasts is told once.
    failure: Option<String>,
    pushed: u64,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    inbox: Option<Arc<Inbox>>,
    /// Of the last picture.
    encoding: String,
}

#[derive(Default)]
pub struct Ros2Src {
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for Ros2Src {
    const NAME: &'static str = "GstMdetrRos2Src";
    type Type = super::Ros2Src;
    type ParentType = gst_base::PushSrc;
}

impl ObjectImpl for Ros2Src {
    fn properties() -> &'static [glib::ParamSpec] {
        static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
            vec![
                settings::text(
                    "ros-name",
                    "Node name",
                    "Name of the ROS node",
                    &defaults.identity.name,
                ),
                settings::text(
                    "ros-namespace",
                    "Node namespace",
                    "Namespace of the ROS node",
                    &defaults.identity.namespace,
                ),
                settings::text(
                    "ros-topic",
                    "Topic",
                    "Topic of the pictures",
                    &defaults.topic,
                ),
                settings::text(
                    "ros-frame-id",
                    "Coordinate frame",
                    "Coordinate frame (frame_id) that pictures are said to be of; empty: what their messages say",
                    &defaults.frame_id,
                ),
                glib::ParamSpecString::builder("ros-encoding")
                    .nick("Encoding")
                    .blurb("Encoding, or format of the file, of the last picture")
                    .read_only()
                    .build(),
                settings::text(
                    "init-caps",
                    "Initial caps",
                    "Caps that are told before the first picture comes, whose own follow; empty: none",
                    &defaults.init_caps,
                ),
                glib::ParamSpecEnum::builder_with_default("image-transport", defaults.transport)
                    .nick("Image transport")
                    .blurb("In what form pictures come")
                    .mutable_ready()
                    .build(),
                settings::reliability(
                    "How messages are asked for; best-effort hears every publisher",
                    defaults.reliability,
                ),
                glib::ParamSpecUInt::builder("queue-size")
                    .nick("Queue size")
                    .blurb("Pictures that may wait; the oldest is dropped. With 1, the newest picture wins")
                    .minimum(1)
                    .maximum(1000)
                    .default_value(defaults.queue_size)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("timestamps", defaults.timestamps)
                    .nick("Timestamps")
                    .blurb("What timestamps of buffers follow; the stamps are reference timestamps in any case")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Messages so far: received, dropped for newer ones, malformed, pushed")
                    .read_only()
                    .build(),
            ]
        });
        &SPECS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = self.settings();
        match pspec.name() {
            "ros-name" => settings.identity.name = text_of(value),
            "ros-namespace" => settings.identity.namespace = text_of(value),
            "ros-topic" => settings.topic = text_of(value),
            "ros-frame-id" => settings.frame_id = text_of(value),
            "init-caps" => settings.init_caps = text_of(value),
            "image-transport" => settings.transport = value.get().expect(TYPE_CHECKED),
            "reliability" => settings.reliability = value.get().expect(TYPE_CHECKED),
            "queue-size" => settings.queue_size = value.get().expect(TYPE_CHECKED),
            "timestamps" => settings.timestamps = value.get().expect(TYPE_CHECKED),
            _ => unreachable!("GObject knows only the properties above"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "ros-encoding" => return self.state().encoding.to_value(),
            "stats" => return self.stats().to_value(),
            _ => (),
        }
        let settings = self.settings();
        match pspec.name() {
            "ros-name" => settings.identity.name.to_value(),
            "ros-namespace" => settings.identity.namespace.to_value(),
            "ros-topic" => settings.topic.to_value(),
            "ros-frame-id" => settings.frame_id.to_value(),
            "init-caps" => settings.init_caps.to_value(),
            "image-transport" => settings.transport.to_value(),
            "reliability" => settings.reliability.to_value(),
            "queue-size" => settings.queue_size.to_value(),
            "timestamps" => settings.timestamps.to_value(),
            _ => unreachable!("GObject knows only the properties above"),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        self.obj().set_live(true);
        self.obj().set_format(gst::Format::Time);
    }
}

impl GstObjectImpl for Ros2Src {}

impl ElementImpl for Ros2Src {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            element::metadata(
                "Pictures from ROS 2",
                "Source/Video/Network",
                "Takes pictures from a topic of ROS 2, raw or as JPEG and PNG files, with their stamps as reference timestamps",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let mut caps = picture::raw_caps();
            caps.merge(picture::file_caps());
            vec![element::pad_template("src", gst::PadDirection::Src, &caps)]
        });
        &TEMPLATES
    }
}

impl BaseSrcImpl for Ros2Src {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = self.settings().clone();
        settings.init_caps()?;
        let name = settings.identity.node()?;
        let inbox = Arc::new(Inbox {
            mailbox: Mailbox::new(settings.queue_size as usize),
            received: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
        });
        let log = log::of(self.obj().upcast_ref(), *CAT);
        let into = inbox.clone();
        let make = move |bus: &Bus| subscribe(bus, &settings, into);
        let (node, topic) = Node::start(name, log, make)
            .map_err(|error| gst::error_msg!(gst::ResourceError::OpenRead, ("{error}")))?;
        gst::info!(CAT, imp = self, "listening to {topic}");
        let mut state = self.state();
        state.inbox = Some(inbox);
        state.running = Some(Running {
            node,
            topic,
            times: Times::default(),
            reference: None,
            caps: None,
            failure: None,
            pushed: 0,
        });
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let running = self.state().running.take();
        if let Some(running) = running {
            running.node.stop(false);
        }
        // What was counted stays readable until the next start.
        Ok(())
    }

    fn negotiate(&self) -> Result<(), gst::LoggableError> {
        // The caps are those of the pictures, the first of which has not come yet.
        let obj = self.obj();
        if obj
            .static_pad("src")
            .is_some_and(|pad| pad.has_current_caps())
        {
            return Ok(());
        }
        match self.settings().init_caps() {
            Ok(Some(caps)) => obj
                .set_caps(&caps)
                .map_err(|_| gst::loggable_error!(CAT, "init-caps {caps}: not taken downstream")),
            _ => Ok(()),
        }
    }

    fn decide_allocation(
        &self,
        _query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        // Buffers are the messages' own memory.
        Ok(())
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Latency(latency) = query.view_mut() {
            // A picture can wait as long as it likes: newer ones are dropped meanwhile, or take its place.
            latency.set(true, gst::ClockTime::ZERO, gst::ClockTime::NONE);
            return true;
        }
        BaseSrcImplExt::parent_query(self, query)
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(inbox) = self.inbox() {
            inbox.mailbox.close();
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(inbox) = self.inbox() {
            inbox.mailbox.reopen();
        }
        Ok(())
    }
}

impl PushSrcImpl for Ros2Src {
    fn create(
        &self,
        _buffer: Option<&mut gst::BufferRef>,
    ) -> Result<CreateSuccess, gst::FlowError> {
        let inbox = self.inbox().ok_or(gst::FlowError::Flushing)?;
        loop {
            let arrived = inbox.mailbox.take().ok_or(gst::FlowError::Flushing)?;
            let pushed = arrived.picture.and_then(|picture| {
                let header = picture.header().clone();
                let encoding = picture.encoding().to_owned();
                let (caps, buffer) = picture.into_buffer()?;
                Ok((header, encoding, caps, buffer))
            });
            let (header, encoding, caps, mut buffer) = match pushed {
                Ok(pushed) => pushed,
                Err(failure) => {
                    inbox.malformed.fetch_add(1, Ordering::Relaxed);
                    self.failed(failure);
                    continue;
                }
            };
            self.change_caps(caps)?;
            let arrival = self.arrival(arrived.at);
            let Settings {
                frame_id,
                timestamps,
                ..
            } = self.settings().clone();
            let frame_id = match frame_id.as_str() {
                "" => header.frame_id,
                _ => frame_id,
            };
            let mut state = self.state();
            let State {
                running,
                encoding: last_encoding,
                ..
            } = &mut *state;
            let running = running.as_mut().ok_or(gst::FlowError::Flushing)?;
            *last_encoding = encoding;
            running.failure = None;
            let (time, anew) = running.times.next(timestamps, header.stamp, arrival);
            let writable = buffer.get_mut().expect("the only reference");
            writable.set_pts(time);
            writable.set_offset(running.pushed);
            writable.set_offset_end(running.pushed + 1);
            if anew {
                writable.set_flags(gst::BufferFlags::DISCONT);
            }
            stamp::attach(writable, running.reference(frame_id), header.stamp);
            running.pushed += 1;
            return Ok(CreateSuccess::NewBuffer(buffer));
        }
    }
}

impl Ros2Src {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inbox(&self) -> Option<Arc<Inbox>> {
        self.state().inbox.clone()
    }

    fn stats(&self) -> gst::Structure {
        let state = self.state();
        let count = |of: fn(&Inbox) -> &AtomicU64| {
            let inbox = state.inbox.as_ref();
            inbox.map_or(0, |inbox| of(inbox).load(Ordering::Relaxed))
        };
        gst::Structure::builder("mdetrros2src-stats")
            .field("received", count(|inbox| &inbox.received))
            .field("dropped", count(|inbox| &inbox.dropped))
            .field("malformed", count(|inbox| &inbox.malformed))
            .field("pushed", state.running.as_ref().map_or(0, |r| r.pushed))
            .build()
    }

    /// Warns of a message that was left out.
    fn failed(&self, failure: String) {
        let told = {
            let mut state = self.state();
            let Some(running) = &mut state.running else {
                return;
            };
            let new = running.failure.as_ref() != Some(&failure);
            let text = format!("{}: {failure}", running.topic);
            running.failure = Some(failure);
            new.then_some(text)
        };
        if let Some(text) = told {
            gst::element_imp_warning!(self, gst::StreamError::Decode, ("{text}"));
        }
    }

    /// Tells downstream of caps, if they are others than before.
    fn change_caps(&self, caps: gst::Caps) -> Result<(), gst::FlowError> {
        let topic = {
            let state = self.state();
            let running = state.running.as_ref().ok_or(gst::FlowError::Flushing)?;
            if running.caps.as_ref() == Some(&caps) {
                return Ok(());
            }
            running.topic.clone()
        };
        let pad = self.obj().static_pad("src").expect("a source has one");
        // An event with caps that are refused is no failure before the next buffer.
        if pad.is_linked() && !pad.peer_query_accept_caps(&caps) {
            if pad.pad_flags().contains(gst::PadFlags::FLUSHING) {
                return Err(gst::FlowError::Flushing);
            }
            gst::element_imp_error!(
                self,
                gst::CoreError::Negotiation,
                (
                    "{topic} has pictures of {caps}, which the next element does not take; put {} behind this one",
                    remedy(&caps)
                )
            );
            return Err(gst::FlowError::NotNegotiated);
        }
        self.obj()
            .set_caps(&caps)
            .map_err(|_| gst::FlowError::Flushing)?;
        if let Some(running) = &mut self.state().running {
            running.caps = Some(caps);
        }
        Ok(())
    }

    /// The running time at which a message came.
    fn arrival(&self, at: Instant) -> gst::ClockTime {
        let now = self.obj().current_running_time().unwrap_or_default();
        let waited = u64::try_from(at.elapsed().as_nanos()).unwrap_or(u64::MAX - 1);
        now.saturating_sub(gst::ClockTime::from_nseconds(waited))
    }
}

/// The element that makes of caps what others take.
fn remedy(caps: &gst::Caps) -> &'static str {
    match caps.structure(0).map(|s| s.name().as_str()) {
        Some("image/jpeg") => "jpegdec and videoconvert",
        Some("image/png") => "pngdec and videoconvert",
        _ => "videoconvert",
    }
}

impl Running {
    /// The caps of references to pictures of a coordinate frame.
    fn reference(&mut self, frame_id: String) -> &gst::Caps {
        let same = self.reference.take().filter(|(last, _)| *last == frame_id);
        let made = same.unwrap_or_else(|| {
            let caps = stamp::reference(&frame_id);
            (frame_id, caps)
        });
        &self.reference.insert(made).1
    }
}

/// Subscribes to the topic, and gives its whole name.
fn subscribe(bus: &Bus, settings: &Settings, inbox: Arc<Inbox>) -> Result<String, BusError> {
    let topic = bus.resolve(&settings.topic)?;
    let qos = settings.reliability.qos(DEPTH);
    match settings.compressed() {
        true => {
            let messages = bus.input(&topic, qos)?;
            spawn_local(take(messages, inbox, Picture::Compressed));
        }
        false => {
            let messages = bus.input(&topic, qos)?;
            spawn_local(take(messages, inbox, Picture::Raw));
        }
    }
    Ok(topic)
}

/// Hands over what comes.
async fn take<M: Message + 'static>(
    messages: Subscription<M>,
    inbox: Arc<Inbox>,
    picture: fn(M) -> Picture,
) {
    let mut stream = pin!(messages.async_stream());
    while let Some(message) = stream.next().await {
        inbox.put(match message {
            Ok((message, _)) => Ok(picture(message)),
            Err(error) => Err(error.to_string()),
        });
    }
}
