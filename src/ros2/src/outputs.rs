//! What is published of a camera.

use std::thread;

use mdetr::Frame;
use mdetr_draw::Style;
use mdetr_ros2_bus::{Bus, BusError, Found, LINGER, Output, Results, reliable};
use mdetr_ros2_messages::Message;
use mdetr_ros2_messages::sensor_msgs::{CompressedImage, Image};
use mdetr_ros2_messages::std_msgs;
use mdetr_rules::RuleSet;

use crate::picture::Picture;
use crate::rgb;
use crate::rules::Watching;
use crate::taps::{Annotations, Received, Tap, Taps};
use crate::topics::{Topics, within};
use crate::viewing::Viewing;

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
    results: Results,
    debug_image: Output<CompressedImage>,
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
        taps: &Taps,
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
        let shown = taps.shown(&view, Viewing::DEFINITION);
        Ok(Outputs {
            pictures: taps.input(&topics.image, definition),
            viewing: shown.map(Viewing::start).transpose()?,
            annotations: taps.annotations(&bus.resolve(&name("~/annotations"))?),
            results: Results::new(bus, &name("~"))?,
            debug_image: bus.output(&name("~/debug_image/compressed"), reliable(1))?,
            events,
        })
    }

    /// Ends the events that are open.
    fn end_events(&mut self) {
        let Some((topic, watching)) = &mut self.events else {
            return;
        };
        let ends = watching.end();
        let told = !ends.is_empty() && topic.wanted();
        for data in ends {
            topic.publish(std_msgs::String { data });
        }
        if told {
            thread::sleep(LINGER);
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

    /// Publishes what was found in a picture with these pixels.
    pub fn publish(&mut self, found: &Found<'_>, pixels: &Frame<'_>) {
        let stamp = found.header.stamp;
        self.results.publish(found);
        if let Some(annotations) = &self.annotations {
            annotations.send(found.header, found.grounding);
        }
        if self.debug_image.wanted()
            && let Some(image) = drawn(found, pixels)
        {
            self.debug_image.publish_of(stamp, image);
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

/// The picture with what was found drawn on it; `None` if it cannot be drawn on.
fn drawn(found: &Found<'_>, pixels: &Frame<'_>) -> Option<CompressedImage> {
    let (width, height) = (pixels.width(), pixels.height());
    let mut pixels = rgb::packed(pixels)?;
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
