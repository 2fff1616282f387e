//! What was found in pictures, on topics.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use mdetr_grounding::report::{self, FrameInfo, Part};
use mdetr_grounding::{Grounding, Query};
use mdetr_ros2_messages::detections::{detections_2d, label_info, mask_image};
use mdetr_ros2_messages::sensor_msgs::Image;
use mdetr_ros2_messages::std_msgs::{self, Header};
use mdetr_ros2_messages::vision_msgs::{Detection2DArray, LabelInfo};

use crate::bus::{Bus, BusError, Output, latched, reliable};

/// Seconds from 1970 to 2000. A stamp before that is of a simulation, or since the machine was switched on.
const YEAR_2000: i64 = 946_684_800;

/// What was found in a picture.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The camera's name; empty: that of the picture's coordinate frame.
    pub source: &'a str,
    /// The picture's number, from 0.
    pub frame: u64,
    /// That of the picture.
    pub header: &'a Header,
    /// The result, of all who found something.
    pub grounding: &'a Grounding,
    /// What each of them found, if there are several.
    pub parts: &'a [Part<'a>],
    /// How old the result is.
    pub age: Duration,
    /// The model's, for queries without one.
    pub score_threshold: f32,
}

/// The topics `detections`, `result`, `masks` and `label_info` of a camera.
pub struct Results {
    detections: Output<Detection2DArray>,
    result: Output<std_msgs::String>,
    masks: Output<Image>,
    label_info: Output<LabelInfo>,
    /// The revision and texts of the labels that were published last.
    labelled: Option<(u64, Vec<String>)>,
}

impl Results {
    /// Those under `prefix`: `~`, or `~/` and the camera's name.
    ///
    /// # Errors
    /// A name is wrong, or DDS refuses.
    pub fn new(bus: &Bus, prefix: &str) -> Result<Results, BusError> {
        let name = |topic: &str| format!("{prefix}/{topic}");
        Ok(Results {
            detections: bus.output(&name("detections"), reliable(10))?,
            result: bus.output(&name("result"), reliable(10))?,
            masks: bus.output(&name("masks"), reliable(1))?,
            label_info: bus.output(&name("label_info"), latched())?,
            labelled: None,
        })
    }

    /// Publishes what was found; masks, if anybody listens to them, and labels, if they are others than before.
    pub fn publish(&mut self, found: &Found<'_>) {
        let stamp = found.header.stamp;
        self.detections
            .publish_of(stamp, detections_2d(found.header, found.grounding));
        let data = line(found);
        self.result.publish_of(stamp, std_msgs::String { data });
        if self.masks.wanted() {
            let masks = mask_image(found.header, found.grounding);
            self.masks.publish_of(stamp, masks);
        }
        self.label(found);
    }

    /// Publishes the labels, if they are others than before. Who listens later gets them too.
    fn label(&mut self, found: &Found<'_>) {
        let revision = found.grounding.revision;
        let queries = found.grounding.queries.iter();
        let texts = queries.clone().map(|result| result.query.text());
        let same = self.labelled.as_ref().is_some_and(|(of, before)| {
            *of == revision && before.iter().map(String::as_str).eq(texts.clone())
        });
        if same {
            return;
        }
        self.labelled = Some((revision, texts.map(str::to_owned).collect()));
        let queries: Vec<Arc<Query>> = queries.map(|result| result.query.clone()).collect();
        let labels = label_info(found.header, &queries, found.score_threshold);
        self.label_info.publish_of(found.header.stamp, labels);
    }

    /// Whether anybody listens to detections, results or masks.
    pub fn wanted(&self) -> bool {
        self.detections.wanted() || self.result.wanted() || self.masks.wanted()
    }
}

/// The result as JSON, `mdetr/1`. Its `pts_ns` is the picture's stamp.
fn line(found: &Found<'_>) -> String {
    let stamp = found.header.stamp;
    let nanos = u64::try_from(stamp.nanos()).ok();
    let absolute = i64::from(stamp.sec) >= YEAR_2000;
    let utc = nanos
        .filter(|_| absolute)
        .map(|nanos| UNIX_EPOCH + Duration::from_nanos(nanos));
    let source = match found.source {
        "" => &found.header.frame_id,
        source => source,
    };
    let info = FrameInfo {
        source: source.to_owned(),
        frame: found.frame,
        pts_ns: nanos,
        utc,
        age_ms: Some(1e3 * found.age.as_secs_f64()),
    };
    match found.parts {
        [] => report::to_json_line(&info, found.grounding),
        parts => {
            let size = [found.grounding.width, found.grounding.height];
            report::to_json_line_of_parts(&info, size, parts)
        }
    }
}
