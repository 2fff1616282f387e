//! What was found in a picture, as messages: boxes with their words, and masks.

use std::sync::Arc;

use mdetr_grounding::{Detection, Grounding, Query, QueryResult, Rle};

use crate::sensor_msgs::Image;
use crate::std_msgs::Header;
use crate::vision_msgs::{
    BoundingBox2D, Detection2D, Detection2DArray, LabelInfo, ObjectHypothesis,
    ObjectHypothesisWithPose, Point2D, Pose2D, VisionClass,
};

/// Most queries that a mask can tell apart.
pub const MAX_LABELS: usize = u16::MAX as usize;

/// The boxes of all queries, in their order. `header` is that of the picture.
///
/// Each phrase of a detection is a result: its words are the `class_id`, with their score. A detection without phrases has
/// the query's text and its own score. `id` is the number of the track, or empty.
pub fn detections_2d(header: &Header, grounding: &Grounding) -> Detection2DArray {
    let found = found(grounding);
    let detections = found.map(|(_, result, detection)| Detection2D {
        header: header.clone(),
        results: hypotheses(&result.query, detection).collect(),
        bbox: bounding_box(detection),
        id: id(detection),
    });
    Detection2DArray {
        header: header.clone(),
        detections: detections.collect(),
    }
}

/// Detections of all queries that are seen, each with the index of its query. What is hidden is where it was last only as far
/// as anybody knows, and no message has a place to say so.
pub(crate) fn found(
    grounding: &Grounding,
) -> impl Iterator<Item = (usize, &QueryResult, &Detection)> {
    let results = grounding.queries.iter().enumerate();
    results.flat_map(|(index, result)| {
        let seen = |detection: &&Detection| detection.hidden_ms.is_none();
        let detections = result.detections.iter().filter(seen);
        detections.map(move |detection| (index, result, detection))
    })
}

/// What an object may be, without a pose.
pub(crate) fn hypotheses<'a>(
    query: &'a Query,
    detection: &'a Detection,
) -> impl Iterator<Item = ObjectHypothesisWithPose> + 'a {
    let phrases = detection.phrases.iter();
    let phrases = phrases.map(|phrase| (phrase.text.as_str(), phrase.score));
    let whole = detection.phrases.is_empty();
    let whole = whole.then(|| (query.text(), detection.score));
    phrases
        .chain(whole)
        .map(|(text, score)| ObjectHypothesisWithPose {
            hypothesis: ObjectHypothesis {
                class_id: text.to_owned(),
                score: score.into(),
            },
            ..ObjectHypothesisWithPose::default()
        })
}

pub(crate) fn id(detection: &Detection) -> String {
    detection
        .track
        .map_or_else(String::new, |track| track.to_string())
}

fn bounding_box(detection: &Detection) -> BoundingBox2D {
    let bbox = detection.bbox;
    let [x, y, width, height] = [bbox.x, bbox.y, bbox.width, bbox.height].map(f64::from);
    BoundingBox2D {
        center: Pose2D {
            position: Point2D {
                x: x + width / 2.0,
                y: y + height / 2.0,
            },
            theta: 0.0,
        },
        size_x: width,
        size_y: height,
    }
}

/// What the values of [`mask_image`] stand for: 0 for nothing, i + 1 for query i, by its text. It changes with the queries
/// only. `threshold` is the lowest score of a detection.
pub fn label_info(header: &Header, queries: &[Arc<Query>], threshold: f32) -> LabelInfo {
    let queries = queries.iter().take(MAX_LABELS);
    let classes = queries.zip(1..).map(|(query, class_id)| VisionClass {
        class_id,
        class_name: query.text().to_owned(),
    });
    LabelInfo {
        header: header.clone(),
        class_map: classes.collect(),
        threshold,
    }
}

/// The masks of all detections in one picture of the frame's size: `mono8`, or `mono16` for more than 255 queries.
/// [`label_info`] says what the values stand for. Where masks overlap, the detection with the higher score shows; queries
/// beyond [`MAX_LABELS`] do not.
pub fn mask_image(header: &Header, grounding: &Grounding) -> Image {
    let (width, height) = (grounding.width, grounding.height);
    let wide = grounding.queries.len() > usize::from(u8::MAX);
    let (encoding, bytes) = if wide { ("mono16", 2) } else { ("mono8", 1) };
    let mut data = vec![0; width as usize * height as usize * bytes];
    let mut masks: Vec<(f32, [u8; 2], &Rle)> = found(grounding)
        .filter_map(|(index, _, detection)| {
            let label = u16::try_from(index + 1).ok()?.to_le_bytes();
            Some((detection.score, label, detection.mask.as_ref()?))
        })
        .collect();
    masks.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, label, mask) in masks {
        paint(&mask.resized(width, height), &label[..bytes], &mut data);
    }
    Image {
        header: header.clone(),
        height,
        width,
        encoding: encoding.to_owned(),
        is_bigendian: 0,
        step: width * bytes as u32,
        data,
    }
}

fn paint(mask: &Rle, label: &[u8], data: &mut [u8]) {
    let (width, height) = (mask.width as usize, mask.height as usize);
    for (start, count) in mask.runs() {
        for at in start as usize..start as usize + count as usize {
            let (column, row) = (at / height, at % height);
            let start = (row * width + column) * label.len();
            if let Some(pixel) = data.get_mut(start..start + label.len()) {
                pixel.copy_from_slice(label);
            }
        }
    }
}
