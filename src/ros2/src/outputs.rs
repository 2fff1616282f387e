//! What is published of a camera.

use std::time::{Duration, UNIX_EPOCH};

use mdetr::report::{self, FrameInfo};
use mdetr::{Frame, Grounding};
use mdetr_draw::Style;
use mdetr_ros2_messages::Message;
use mdetr_ros2_messages::detections::{detections_2d, label_info, mask_image};
use mdetr_ros2_messages::sensor_msgs::{CompressedImage, Image};
use mdetr_ros2_messages::std_msgs::{self, Header};
use mdetr_ros2_messages::vision_msgs::{Detection2DArray, LabelInfo};
use mdetr_rules::RuleSet;

use crate::bus::{Bus, BusError, Output, latched, reliable};
use crate::picture::Picture;
use crate::rgb;
use crate::rules::Watching;
use crate::taps::{Annotations, Received, Tap};
use crate::topics::{Topics, within};
use crate::viewing::Viewing;

/// Seconds from 1970 to 2000. A stamp before that is of a simulation, or since the machine was switched on.
const YEAR_2000: i64 = 946_684_800;

/// What was found in a picture.
pub(crate) struct Found<'a> {
    /// The camera; empty, if there is one only.
    pub camera: &'a str,
    /// The picture's number, from 0.
    pub frame: u64,
    /// That of the picture.
    pub header: &'a Header,
    /// The result.
    pub grounding: &'a Grounding,
    /// The picture.
    pub pixels: &'a Frame<'a>,
    /// How long ago the picture came.
    pub age: Duration,
    /// The model's, for queries without one.
    pub score_threshold: f32,
}

/// Why there are no outputs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// DDS.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The system.
    #[error("a thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// The topics that results of a camera go to.
pub(crate) struct Outputs {
    detections: Output<Detection2DArray>,
    result: Output<std_msgs::String>,
    debug_image: Output<CompressedImage>,
    masks: Output<Image>,
    label_info: Output<LabelInfo>,
    /// Of the labels that were published last.
    labelled: Option<u64>,
    events: Option<(Output<std_msgs::String>, Watching)>,
    annotations: Option<Annotations>,
    /// For pictures that were answered.
    pictures: Tap,
    viewing: Option<Viewing>,
}

impl Outputs {
    /// Those of `camera`, whose pictures come on `topics`.
    ///
    /// # Errors
    /// DDS refuses, or the system has no more threads.
    pub fn new(
        bus: &Bus,
        camera: &str,
        topics: &Topics,
        rules: Option<RuleSet>,
    ) -> Result<Outputs, OutputError> {
        let name = |topic: &str| within(camera, topic);
        let events = match rules.and_then(|rules| Watching::new(camera, rules)) {
            Some(watching) => Some((bus.output(&name("~/events"), reliable(100))?, watching)),
            None => None,
        };
        let definition = match topics.compressed {
            true => CompressedImage::DEFINITION,
            false => Image::DEFINITION,
        };
        let view = Viewing::topic(&topics.image, topics.compressed);
        let shown = bus.taps.shown(&view, Viewing::DEFINITION);
        Ok(Outputs {
            pictures: bus.taps.input(&topics.image, definition),
            viewing: shown.map(Viewing::start).transpose()?,
            annotations: bus.taps.annotations(&bus.resolve(&name("~/annotations"))?),
            detections: bus.output(&name("~/detections"), reliable(10))?,
            result: bus.output(&name("~/result"), reliable(10))?,
            debug_image: bus.output(&name("~/debug_image/compressed"), reliable(1))?,
            masks: bus.output(&name("~/masks"), reliable(1))?,
            label_info: bus.output(&name("~/label_info"), latched())?,
            labelled: None,
            events,
        })
    }

    /// Ends the events that are open.
    fn end_events(&mut self) {
        if let Some((topic, watching)) = &mut self.events {
            for data in watching.end() {
                topic.publish(std_msgs::String { data });
            }
        }
    }

    /// Keeps a picture that was answered for those who want it.
    pub fn keep(&self, picture: Received<Picture>) {
        match &picture.message {
            Picture::Raw(image) => self.pictures.receive(picture.times, image),
            Picture::Compressed(image) => self.pictures.receive(picture.times, image),
        }
        if let Some(viewing) = &self.viewing {
            viewing.show(picture.message);
        }
    }

    /// Publishes what was found.
    pub fn publish(&mut self, found: &Found<'_>) {
        let stamp = found.header.stamp;
        self.detections
            .publish_of(stamp, detections_2d(found.header, found.grounding));
        let data = line(found);
        self.result.publish_of(stamp, std_msgs::String { data });
        if let Some(annotations) = &self.annotations {
            annotations.send(found.header, found.grounding);
        }
        if self.debug_image.wanted()
            && let Some(image) = drawn(found)
        {
            self.debug_image.publish_of(stamp, image);
        }
        if self.masks.wanted() {
            let masks = mask_image(found.header, found.grounding);
            self.masks.publish_of(stamp, masks);
        }
        // Who listens later gets them too.
        if self.labelled != Some(found.grounding.revision) {
            self.labelled = Some(found.grounding.revision);
            let queries = found
                .grounding
                .queries
                .iter()
                .map(|result| result.query.clone());
            let queries: Vec<_> = queries.collect();
            let labels = label_info(found.header, &queries, found.score_threshold);
            self.label_info.publish_of(stamp, labels);
        }
        if let Some((topic, watching)) = &mut self.events {
            let nanos = found.header.stamp.nanos();
            for data in watching.observe(nanos, found.frame, found.grounding) {
                topic.publish_of(stamp, std_msgs::String { data });
            }
        }
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.end_events();
    }
}

/// The result as JSON, `mdetr/1`. Its `pts_ns` is the picture's stamp.
fn line(found: &Found<'_>) -> String {
    let nanos = u64::try_from(found.header.stamp.nanos()).ok();
    let absolute = i64::from(found.header.stamp.sec) >= YEAR_2000;
    let utc = nanos
        .filter(|_| absolute)
        .map(|nanos| UNIX_EPOCH + Duration::from_nanos(nanos));
    let source = match found.camera {
        "" => &found.header.frame_id,
        camera => camera,
    };
    let info = FrameInfo {
        source: source.to_owned(),
        frame: found.frame,
        pts_ns: nanos,
        utc,
        age_ms: Some(1e3 * found.age.as_secs_f64()),
    };
    report::to_json_line(&info, found.grounding)
}

/// The picture with what was found drawn on it; `None` if it cannot be drawn on.
fn drawn(found: &Found<'_>) -> Option<CompressedImage> {
    let (width, height) = (found.pixels.width(), found.pixels.height());
    let mut pixels = rgb::packed(found.pixels)?;
    let style = Style {
        show_absent: true,
        ..Style::default()
    };
    if let Err(error) =
        mdetr_draw::annotate_rgb(width, height, &mut pixels, found.grounding, &style)
    {
        tracing::debug!("debug image: {error}");
        return None;
    }
    rgb::jpeg(found.header, width, height, &pixels)
}
