//! Frames in, messages out.
//!
//! Lock order: `settings` and `state` are never held together.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gst::glib;
use gst::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::{VideoCapsBuilder, VideoInfo, VideoMeta};
use mdetr_grounding::Grounding;
use mdetr_grounding::report::Part;
use mdetr_gst::element::{self, TYPE_CHECKED};
use mdetr_gst::meta::{self, FrameGrounding, Summary};
use mdetr_gst::{events, regions, time};
use mdetr_ros2_bus::{Bus, BusError, Found, Output, Results, reliable};
use mdetr_ros2_messages::builtin_interfaces::Time;
use mdetr_ros2_messages::sensor_msgs::Image;
use mdetr_ros2_messages::std_msgs::{self, Header};
use tracing::Dispatch;

use super::results::{self, Seen};
use crate::node::Node;
use crate::settings::{self, Identity, Reliability, text_of};
use crate::{log, picture, stamp};

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| element::debug_category("mdetrros2sink", "Detections to ROS 2"));

/// Pictures that wait for a subscriber who asked for reliable delivery.
const PICTURES: usize = 5;

#[derive(Debug, Clone)]
struct Settings {
    identity: Identity,
    topic: String,
    frame_id: String,
    encoding: String,
    reliability: Reliability,
    repeat: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            identity: Identity {
                // As the node mdetr-ros2, whose topics these are.
                name: "mdetr".into(),
                namespace: String::new(),
            },
            topic: String::new(),
            frame_id: String::new(),
            encoding: String::new(),
            reliability: Reliability::Reliable,
            repeat: false,
        }
    }
}

/// The topics.
struct Topics {
    results: Results,
    events: Output<std_msgs::String>,
    pictures: Option<Output<Image>>,
}

impl Topics {
    fn new(bus: &Bus, settings: &Settings) -> Result<Topics, BusError> {
        let pictures = match settings.topic.as_str() {
            "" => None,
            topic => Some(bus.output(topic, settings.reliability.qos(PICTURES))?),
        };
        Ok(Topics {
            results: Results::new(bus, "~")?,
            events: bus.output("~/events", reliable(100))?,
            pictures,
        })
    }

    fn wanted(&self) -> bool {
        let pictures = self.pictures.as_ref();
        self.results.wanted() || self.events.wanted() || pictures.is_some_and(Output::wanted)
    }
}

/// From start to stop.
struct Running {
    node: Node,
    topics: Topics,
    log: Dispatch,
    stream: Stream,
    /// Frames so far.
    frames: u64,
    /// The results whose labels were published last.
    labelled: Vec<(String, u64)>,
    /// The last failure to publish a picture, so that one that lasts is told once.
    failure: Option<String>,
}

/// What a new segment or a flush ends.
#[derive(Default)]
struct Stream {
    /// ROS time at running time 0, for frames without a reference timestamp.
    begin: Option<SystemTime>,
    seen: Seen,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    /// Of the caps.
    size: Option<(u32, u32)>,
    info: Option<VideoInfo>,
}

#[derive(Default)]
pub struct Ros2Sink {
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for Ros2Sink {
    const NAME: &'static str = "GstMdetrRos2Sink";
    type Type = super::Ros2Sink;
    type ParentType = gst_base::BaseSink;
}

impl ObjectImpl for Ros2Sink {
    fn properties() -> &'static [glib::ParamSpec] {
        static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
            vec![
                settings::text(
                    "ros-name",
                    "Node name",
                    "Name of the ROS node; ~ in the names of topics stands for it",
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
                    "Topic of pictures",
                    "Topic that the frames themselves are published on (sensor_msgs/Image); empty: they are not",
                    &defaults.topic,
                ),
                settings::text(
                    "ros-frame-id",
                    "Coordinate frame",
                    "Coordinate frame (frame_id) of the messages; empty: that of the picture from mdetrros2src, or none",
                    &defaults.frame_id,
                ),
                settings::text(
                    "ros-encoding",
                    "Encoding",
                    "What the encoding of pictures is called; empty: the name that ROS has for the format",
                    &defaults.encoding,
                ),
                settings::reliability(
                    "How pictures are delivered; results always reliably to those who ask for that",
                    defaults.reliability,
                ),
                glib::ParamSpecBoolean::builder("repeat")
                    .nick("Repeat results")
                    .blurb(
                        "Publish the results on every frame, with its stamp, not each result once with the stamp of the frame that it was found in",
                    )
                    .default_value(defaults.repeat)
                    .mutable_playing()
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
            "ros-encoding" => settings.encoding = text_of(value),
            "reliability" => settings.reliability = value.get().expect(TYPE_CHECKED),
            "repeat" => settings.repeat = value.get().expect(TYPE_CHECKED),
            _ => unreachable!("GObject knows only the properties above"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings();
        match pspec.name() {
            "ros-name" => settings.identity.name.to_value(),
            "ros-namespace" => settings.identity.namespace.to_value(),
            "ros-topic" => settings.topic.to_value(),
            "ros-frame-id" => settings.frame_id.to_value(),
            "ros-encoding" => settings.encoding.to_value(),
            "reliability" => settings.reliability.to_value(),
            "repeat" => settings.repeat.to_value(),
            _ => unreachable!("GObject knows only the properties above"),
        }
    }
}

impl GstObjectImpl for Ros2Sink {}

impl ElementImpl for Ros2Sink {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            element::metadata(
                "Detections to ROS 2",
                "Sink/Video/Network",
                "Publishes what mdetr or another detector found as vision_msgs and JSON on topics of ROS 2",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let video = VideoCapsBuilder::new().any_features().build();
            vec![element::pad_template(
                "sink",
                gst::PadDirection::Sink,
                &video,
            )]
        });
        &TEMPLATES
    }
}

impl BaseSinkImpl for Ros2Sink {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = self.settings().clone();
        let log = log::of(self.obj().upcast_ref(), *CAT);
        let name = settings.identity.node()?;
        let make = move |bus: &Bus| Topics::new(bus, &settings);
        let (node, topics) = Node::start(name, log.clone(), make)
            .map_err(|error| gst::error_msg!(gst::ResourceError::OpenWrite, ("{error}")))?;
        self.state().running = Some(Running {
            node,
            topics,
            log,
            stream: Stream::default(),
            frames: 0,
            labelled: Vec::new(),
            failure: None,
        });
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let state = std::mem::take(&mut *self.state());
        if let Some(running) = state.running {
            let listens = running.topics.wanted();
            running.node.stop(listens);
        }
        Ok(())
    }

    fn caps(&self, filter: Option<&gst::Caps>) -> Option<gst::Caps> {
        // Pixels are looked at only if they are published.
        let caps = match self.settings().topic.is_empty() {
            true => VideoCapsBuilder::new().any_features().build(),
            false => picture::raw_caps(),
        };
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First),
            None => caps,
        })
    }

    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let structure = caps.structure(0);
        let side = |name| {
            let side = structure.and_then(|s| s.get::<i32>(name).ok());
            side.and_then(|side| u32::try_from(side).ok())
                .filter(|side| *side > 0)
        };
        let Some(size) = side("width").zip(side("height")) else {
            return Err(gst::loggable_error!(CAT, "caps {caps}: no size"));
        };
        let mut state = self.state();
        state.size = Some(size);
        state.info = VideoInfo::from_caps(caps).ok();
        Ok(())
    }

    fn propose_allocation(
        &self,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        query.add_allocation_meta::<VideoMeta>(None);
        self.parent_propose_allocation(query)
    }

    fn event(&self, event: gst::Event) -> bool {
        let anew = matches!(
            event.type_(),
            gst::EventType::Segment | gst::EventType::FlushStop
        );
        if anew && let Some(running) = &mut self.state().running {
            running.stream = Stream::default();
        }
        self.parent_event(event)
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let settings = self.settings().clone();
        let running_time = self.running_time(buffer);
        let mut state = self.state();
        let State {
            running,
            size,
            info,
        } = &mut *state;
        let Some((running, size)) = running.as_mut().zip(*size) else {
            return Err(gst::FlowError::NotNegotiated);
        };
        let header = self.header(&mut running.stream, &settings, buffer, running_time);
        let log = running.log.clone();
        tracing::dispatcher::with_default(&log, || {
            if let Some(info) = info {
                self.publish_picture(running, &settings, buffer, info, &header);
            }
            running.publish_events(buffer);
            running.publish_results(&settings, buffer, size, running_time, &header);
        });
        running.frames += 1;
        Ok(gst::FlowSuccess::Ok)
    }
}

impl Ros2Sink {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running_time(&self, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
        let segment = self.obj().segment().downcast::<gst::ClockTime>().ok()?;
        segment.to_running_time(buffer.pts()?)
    }

    /// When and where a frame was taken.
    fn header(
        &self,
        stream: &mut Stream,
        settings: &Settings,
        buffer: &gst::BufferRef,
        running_time: Option<gst::ClockTime>,
    ) -> Header {
        let mut header = stamp::read(buffer).unwrap_or_else(|| Header {
            stamp: self.ros_time(stream, running_time),
            frame_id: String::new(),
        });
        if !settings.frame_id.is_empty() {
            header.frame_id.clone_from(&settings.frame_id);
        }
        header
    }

    /// The system's time at a running time. What one is to the other stays the same within a segment.
    fn ros_time(&self, stream: &mut Stream, running_time: Option<gst::ClockTime>) -> Time {
        let at = running_time.and_then(|running_time| {
            let begin = match stream.begin {
                Some(begin) => begin,
                None => *stream
                    .begin
                    .insert(time::captured(&*self.obj(), gst::ClockTime::ZERO)?),
            };
            begin.checked_add(Duration::from_nanos(running_time.nseconds()))
        });
        let at = at.unwrap_or_else(SystemTime::now);
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Time::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    fn publish_picture(
        &self,
        running: &mut Running,
        settings: &Settings,
        buffer: &gst::BufferRef,
        info: &VideoInfo,
        header: &Header,
    ) {
        let Some(pictures) = running.topics.pictures.as_ref().filter(|p| p.wanted()) else {
            return;
        };
        let failure = match picture::image(buffer, info, header.clone(), &settings.encoding) {
            Ok(image) => {
                pictures.publish(image);
                None
            }
            Err(error) => Some(error.to_string()),
        };
        if running.failure != failure {
            if let Some(failure) = &failure {
                gst::element_imp_warning!(self, gst::StreamError::Format, ("{failure}"));
            }
            running.failure = failure;
        }
    }
}

impl Running {
    /// Publishes the steps of events on a frame.
    fn publish_events(&self, buffer: &gst::BufferRef) {
        if !self.topics.events.wanted() {
            return;
        }
        for of in events::read(buffer) {
            for event in &of.events {
                let data = events::json(event);
                self.topics.events.publish(std_msgs::String { data });
            }
        }
    }

    /// Publishes what was found, if it is new and anybody listens. Labels are kept for who comes later.
    fn publish_results(
        &mut self,
        settings: &Settings,
        buffer: &gst::BufferRef,
        size: (u32, u32),
        running_time: Option<gst::ClockTime>,
        header: &Header,
    ) {
        if let Some(running_time) = running_time {
            // A frame without results may be the one that later ones are of.
            self.stream.seen.frame(running_time, header.stamp);
        }
        let summaries = meta::summaries(buffer);
        if summaries.is_empty() {
            self.publish_regions(buffer, size, header);
            return;
        }
        let seen = &mut self.stream.seen;
        let mut header = header.clone();
        if let Some(running_time) = running_time {
            let newest = seen.newest(running_time, &summaries);
            match (settings.repeat, newest) {
                (true, _) => (),
                (false, Some(age)) => header.stamp = seen.stamp(running_time, header.stamp, age),
                (false, None) => return,
            }
        }
        let of = |Summary {
                      element, revision, ..
                  }: &Summary| (element.clone(), *revision);
        let labels: Vec<_> = summaries.iter().map(of).collect();
        if !self.topics.results.wanted() && self.labelled == labels {
            return;
        }
        self.labelled = labels;
        let found = meta::read(buffer);
        self.publish(&header, &found, size);
    }

    fn publish(&mut self, header: &Header, found: &[FrameGrounding], (width, height): (u32, u32)) {
        let scaled: Vec<Grounding> = found.iter().map(|f| f.scaled(width, height)).collect();
        let parts = found.iter().zip(&scaled).map(|(found, grounding)| Part {
            element: &found.element,
            age_ms: found.age.nseconds() as f64 / 1e6,
            grounding,
        });
        let mut parts: Vec<Part> = parts.collect();
        let together;
        let grounding = match scaled.as_slice() {
            [only] => {
                parts.clear();
                only
            }
            several => {
                together = results::together(width, height, several);
                &together
            }
        };
        self.topics.results.publish(&Found {
            source: "",
            frame: self.frames,
            header,
            grounding,
            parts: &parts,
            age: Duration::from_nanos(results::oldest(found).nseconds()),
            score_threshold: results::score_threshold(grounding),
        });
    }

    /// Publishes the regions of other detectors. They do not say that nothing was found.
    fn publish_regions(&mut self, buffer: &gst::BufferRef, size: (u32, u32), header: &Header) {
        if !self.topics.results.wanted() {
            return;
        }
        let grounding = regions::grounding(buffer, size.0, size.1);
        if grounding.queries.is_empty() {
            return;
        }
        self.topics.results.publish(&Found {
            source: "",
            frame: self.frames,
            header,
            grounding: &grounding,
            parts: &[],
            age: Duration::ZERO,
            score_threshold: 0.0,
        });
    }
}
