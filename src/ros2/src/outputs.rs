//! What is published of a camera.

use jpeg_encoder::{ColorType, Encoder};
use mdetr::Frame;
use mdetr_draw::Style;
use mdetr_ros2_bus::{Bus, BusError, Found, Output, Results, reliable};
use mdetr_ros2_messages::sensor_msgs::CompressedImage;
use mdetr_ros2_messages::std_msgs;
use mdetr_rules::RuleSet;

use crate::rgb;
use crate::rules::Watching;
use crate::topics::within;

/// Quality of the pictures that are drawn on, of 100.
const QUALITY: u8 = 80;
/// The topics that results of a camera go to.
pub(crate) struct Outputs {
    results: Results,
    debug_image: Output<CompressedImage>,
    events: Option<(Output<std_msgs::String>, Watching)>,
}

impl Outputs {
    /// Those of `camera`.
    ///
    /// # Errors
    /// DDS refuses.
    pub fn new(bus: &Bus, camera: &str, rules: Option<RuleSet>) -> Result<Outputs, BusError> {
        let name = |topic: &str| within(camera, topic);
        let events = match rules.and_then(|rules| Watching::new(camera, rules)) {
            Some(watching) => Some((bus.output(&name("~/events"), reliable(100))?, watching)),
            None => None,
        };
        Ok(Outputs {
            results: Results::new(bus, &name("~"))?,
            debug_image: bus.output(&name("~/debug_image/compressed"), reliable(1))?,
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

    /// Publishes what was found in a picture with these pixels.
    pub fn publish(&mut self, found: &Found<'_>, pixels: &Frame<'_>) {
        self.results.publish(found);
        if self.debug_image.wanted()
            && let Some(image) = drawn(found, pixels)
        {
            self.debug_image.publish(image);
        }
        if let Some((topic, watching)) = &mut self.events {
            let nanos = found.header.stamp.nanos();
            for data in watching.observe(nanos, found.frame, found.grounding) {
                topic.publish(std_msgs::String { data });
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
    let (columns, rows) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    let mut data = Vec::new();
    let encoder = Encoder::new(&mut data, QUALITY);
    encoder
        .encode(&pixels, columns, rows, ColorType::Rgb)
        .ok()?;
    Some(CompressedImage {
        header: found.header.clone(),
        format: "rgb8; jpeg compressed bgr8".to_owned(),
        data,
    })
}
