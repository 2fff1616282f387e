//! Detections as regions of interest, the metadata that elements of any origin exchange.
//!
//! For each detection the region's type is the id of its query and there are two parameters:
//!
//! | structure | fields |
//! |---|---|
//! | `detection` | `label` (the phrases), `label_id` (index of the query among all on the frame), `confidence`, `x_min`, `y_min`, `x_max`, `y_max` (0 to 1), `track` if known |
//! | `mdetr` | `element` (name of the `mdetr`), `query` (the text), `revision`, `phrases`, `spans` (`[start, end]` in code points), `scores` (of the phrases), `age`, `hidden_ms` if it is hidden |
//!
//! A region's id is unique on its buffer, whoever attached the others. With [`analytics`] it is also the number of the
//! same detection there, as DL Streamer has it, unless a region of somebody else has that id.
//!
//! A region's type becomes a GQuark, which is never freed: it is an id, never free text.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use gst_video::VideoRegionOfInterestMeta;
use mdetr_grounding::{BBox, Detection, Grounding, Phrase, Query, QueryResult, Span};

use crate::analytics::{self, Found, Object, Writer};
use crate::meta::{self, FrameGrounding};

const DETECTION: &str = "detection";
const MDETR: &str = "mdetr";

/// Attaches a result, and one region for each of its detections, scaled to a frame of `width` x `height`
/// pixels; with `writer` also to the frame's [`analytics`].
pub fn attach(
    buffer: &mut gst::BufferRef,
    found: FrameGrounding,
    width: u32,
    height: u32,
    writer: Option<Writer>,
) {
    meta::attach(buffer, found);
    let mut results = meta::read(buffer);
    let Some(found) = results.pop() else { return };
    let grounding = &found.grounding;
    let size = (grounding.width, grounding.height);
    let first: usize = results.iter().map(|r| r.grounding.queries.len()).sum();
    let detections = (first..)
        .zip(&grounding.queries)
        .flat_map(|(index, result)| {
            let detections = result.detections.iter();
            detections.map(move |detection| (index, result, detection))
        });
    let detections: Vec<(usize, &QueryResult, &Detection)> = detections.collect();
    let sides = (size.0 as f32, size.1 as f32);
    let objects: Vec<Found> = detections
        .iter()
        .map(|(_, result, detection)| Found {
            query: result.query.id(),
            rect: pixels(relative(detection, sides), width, height),
            detection,
        })
        .collect();
    let numbers = writer.map(|writer| writer.attach(buffer, &objects, size, (width, height)));
    let mut id = first_id(buffer, objects.len(), numbers);
    for ((index, result, detection), object) in detections.into_iter().zip(&objects) {
        let corners = relative(detection, sides);
        let mut meta = VideoRegionOfInterestMeta::add(buffer, object.query, object.rect);
        meta.set_id(id);
        meta.add_param(detection_structure(result, detection, index, corners));
        meta.add_param(mdetr_structure(result, detection, &found));
        id = id.wrapping_add(1);
    }
}

/// The first of `count` ids in a row: the numbers that the detections have among the frame's analytics, if no region has one
/// of them; else the lowest that no region has, above all numbers.
fn first_id(buffer: &gst::BufferRef, count: usize, numbers: Option<Range<u32>>) -> i32 {
    let regions = buffer.iter_meta::<VideoRegionOfInterestMeta>();
    let ids = regions.filter_map(|region| u32::try_from(region.id()).ok());
    let mut ids: Vec<u32> = ids.collect();
    ids.sort_unstable();
    let id = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let numbers = numbers.filter(|numbers| !numbers.is_empty());
    let least = match numbers {
        None => 0,
        Some(numbers) if !ids.iter().any(|id| numbers.contains(id)) => return id(numbers.start),
        Some(_) => analytics::length(buffer) as u32,
    };
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    id(ids.into_iter().fold(least, |first, taken| {
        match (first..first.saturating_add(count)).contains(&taken) {
            true => taken.saturating_add(1),
            false => first,
        }
    }))
}

/// Left, top, right, bottom from 0 to 1.
type Corners = [f64; 4];

fn relative(detection: &Detection, (width, height): (f32, f32)) -> Corners {
    let bbox = detection.bbox;
    let unit = |value: f32, side: f32| f64::from((value / side).clamp(0.0, 1.0));
    [
        unit(bbox.x, width),
        unit(bbox.y, height),
        unit(bbox.x + bbox.width, width),
        unit(bbox.y + bbox.height, height),
    ]
}

/// The smallest rectangle of whole pixels around a box, at least one pixel inside the frame.
fn pixels([left, top, right, bottom]: Corners, width: u32, height: u32) -> (u32, u32, u32, u32) {
    // Corners went through 32-bit floats: what is this close to a whole pixel is one.
    const SLACK: f64 = 1e-3;
    let span = |low: f64, high: f64, side: u32| {
        let limit = f64::from(side);
        let start = (low * limit + SLACK).floor().clamp(0.0, limit - 1.0);
        let end = (high * limit - SLACK).ceil().clamp(start + 1.0, limit);
        (start as u32, (end - start) as u32)
    };
    let (x, w) = span(left, right, width.max(1));
    let (y, h) = span(top, bottom, height.max(1));
    (x, y, w, h)
}

/// The phrases of a detection, or its query's text if none stands out.
pub fn label(result: &QueryResult, detection: &Detection) -> String {
    if detection.phrases.is_empty() {
        return result.query.text().to_owned();
    }
    let phrases: Vec<&str> = detection.phrases.iter().map(|p| p.text.as_str()).collect();
    phrases.join(", ")
}

fn detection_structure(
    result: &QueryResult,
    detection: &Detection,
    index: usize,
    [x_min, y_min, x_max, y_max]: Corners,
) -> gst::Structure {
    gst::Structure::builder(DETECTION)
        .field("label", label(result, detection))
        .field("label_id", i32::try_from(index).unwrap_or(i32::MAX))
        .field("confidence", f64::from(detection.score))
        .field("x_min", x_min)
        .field("y_min", y_min)
        .field("x_max", x_max)
        .field("y_max", y_max)
        .field_if_some("track", detection.track)
        .build()
}

fn mdetr_structure(
    result: &QueryResult,
    detection: &Detection,
    found: &FrameGrounding,
) -> gst::Structure {
    let phrases = detection.phrases.iter();
    let spans = phrases
        .clone()
        .map(|p| gst::Array::new([p.span.start, p.span.end]));
    let structure = gst::Structure::builder(MDETR)
        .field("element", &*found.element)
        .field("query", result.query.text())
        .field("revision", found.grounding.revision)
        .field("phrases", gst::Array::new(phrases.clone().map(|p| &p.text)))
        .field("spans", gst::Array::new(spans))
        .field(
            "scores",
            gst::Array::new(phrases.map(|p| f64::from(p.score))),
        )
        .field("age", found.age);
    match detection.hidden_ms {
        Some(hidden) => structure.field("hidden_ms", f64::from(hidden)).build(),
        None => structure.build(),
    }
}

/// A region that some other element attached.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// What it says it is: `label` of a parameter, else the region's type.
    pub label: String,
    /// `confidence` of a parameter.
    pub score: Option<f32>,
    /// Track id, if a parameter has one.
    pub track: Option<u64>,
    /// x, y, width, height in pixels of the frame.
    pub rect: (u32, u32, u32, u32),
}

/// The regions on a buffer that do not come from the element `mdetr`, and detections of its [`analytics`] that are no
/// regions at the same time.
///
/// Ours are known by their parameter or, as GStreamer before 1.24 loses parameters where it converts
/// or scales frames, by the id of a query that the buffer's results answer.
pub fn foreign(buffer: &gst::BufferRef) -> Vec<Region> {
    let results = meta::read(buffer);
    let objects = analytics::objects(buffer);
    let metas = || buffer.iter_meta::<VideoRegionOfInterestMeta>();
    let regions = metas().filter(|meta| !is_ours(meta, &results)).map(|meta| {
        let text = |name| meta.params().find_map(|p| p.get::<String>(name).ok());
        let number = |name| meta.params().find_map(|p| p.get::<f64>(name).ok());
        let track = meta.params().find_map(|p| p.get::<u64>("track").ok());
        let twin = || objects.iter().find(|object| are_one(&meta, object));
        Region {
            label: text("label")
                .filter(|label| !label.trim().is_empty())
                .unwrap_or_else(|| meta.roi_type().to_owned()),
            score: number("confidence").map(|score| score as f32),
            track: track.or_else(|| twin()?.track),
            rect: meta.rect(),
        }
    });
    let only_objects = objects
        .iter()
        .filter(|object| !is_our_object(object, &results))
        .filter(|object| !metas().any(|meta| are_one(&meta, object)))
        .map(Region::from);
    regions.chain(only_objects).collect()
}

/// The detections among a buffer's [`analytics`] that do not come from the element `mdetr`.
pub fn foreign_objects(buffer: &gst::BufferRef) -> Vec<Object> {
    let results = meta::read(buffer);
    let ours = |object: &Object| {
        let mut metas = buffer.iter_meta::<VideoRegionOfInterestMeta>();
        is_our_object(object, &results)
            || metas.any(|meta| is_ours(&meta, &results) && are_one(&meta, object))
    };
    let mut objects = analytics::objects(buffer);
    objects.retain(|object| !ours(object));
    objects
}

fn is_ours(meta: &VideoRegionOfInterestMeta, results: &[FrameGrounding]) -> bool {
    let mut queries = results.iter().flat_map(|found| &found.grounding.queries);
    meta.param(MDETR).is_some() || queries.any(|result| result.query.id() == meta.roi_type())
}

/// Another element's type may be called as a query is; that its score is the same to the last bit, too, is no chance.
fn is_our_object(object: &Object, results: &[FrameGrounding]) -> bool {
    let mut queries = results.iter().flat_map(|found| &found.grounding.queries);
    queries.any(|result| {
        let mut scores = result.detections.iter().map(|found| found.score);
        result.query.id() == object.label && scores.any(|score| score == object.score)
    })
}

/// Whether a region and a detection are the same object, as DL Streamer and `mdetr` attach it in both forms.
fn are_one(meta: &VideoRegionOfInterestMeta, object: &Object) -> bool {
    // Scaling rounds them apart.
    const SLACK: u32 = 2;
    let (a, b) = (meta.rect(), object.rect);
    let sides = [(a.0, b.0), (a.1, b.1), (a.2, b.2), (a.3, b.3)];
    let same_place = sides.iter().all(|(a, b)| a.abs_diff(*b) <= SLACK);
    let same_id = i64::from(meta.id()) == i64::from(object.id);
    same_place && (same_id || meta.roi_type() == object.label)
}

/// Takes the regions off a buffer that come from the element `mdetr`, and the same detections among its [`analytics`].
pub fn remove(buffer: &mut gst::BufferRef) {
    let results = meta::read(buffer);
    analytics::remove(buffer, |object| is_our_object(object, &results));
    buffer.foreach_meta_mut(|mut meta| {
        let region = meta.downcast_ref::<VideoRegionOfInterestMeta>();
        match region.is_some_and(|region| is_ours(region, &results)) {
            true => ControlFlow::Continue(gst::buffer::BufferMetaForeachAction::Remove),
            false => ControlFlow::Continue(gst::buffer::BufferMetaForeachAction::Keep),
        }
    });
}

impl From<&Object> for Region {
    fn from(object: &Object) -> Region {
        Region {
            label: object.label.clone(),
            score: Some(object.score),
            track: object.track,
            rect: object.rect,
        }
    }
}

/// What other elements found, as [`foreign`] has it, as a result of a frame of this size.
pub fn grounding(buffer: &gst::BufferRef, width: u32, height: u32) -> Grounding {
    grounding_of(foreign(buffer), width, height)
}

/// Regions as a result of a frame of this size: each label is a query, with its words as its id. Boxes end where the frame
/// does.
pub fn grounding_of(
    regions: impl IntoIterator<Item = Region>,
    width: u32,
    height: u32,
) -> Grounding {
    let mut grounding = Grounding {
        revision: 0,
        width,
        height,
        queries: Vec::new(),
    };
    for region in regions {
        let Ok(query) = Query::literal(id_of(&region.label), &text_of(&region.label)) else {
            continue;
        };
        let index = grounding
            .queries
            .iter()
            .position(|r| r.query.id() == query.id());
        let index = index.unwrap_or_else(|| {
            grounding.queries.push(QueryResult {
                query: Arc::new(query),
                detections: Vec::new(),
                answer: None,
            });
            grounding.queries.len() - 1
        });
        let result = &mut grounding.queries[index];
        let mut detection = detection_of(&region, &result.query);
        detection.bbox = detection.bbox.clamp(width as f32, height as f32);
        result.detections.push(detection);
    }
    for result in &mut grounding.queries {
        result
            .detections
            .sort_by(|a, b| b.score.total_cmp(&a.score));
    }
    grounding
}

fn detection_of(region: &Region, query: &Query) -> Detection {
    let (x, y, width, height) = region.rect;
    // A region without a confidence is one its element is sure of.
    let score = region.score.unwrap_or(1.0).clamp(0.0, 1.0);
    Detection {
        bbox: BBox {
            x: x as f32,
            y: y as f32,
            width: width as f32,
            height: height as f32,
        },
        score,
        phrases: vec![Phrase {
            text: query.text().to_owned(),
            span: Span {
                start: 0,
                end: query.text().chars().count() as u32,
            },
            score,
        }],
        track: region.track,
        hidden_ms: None,
        identity: None,
        mask: None,
    }
}

/// Letters and digits of a label, joined by hyphens.
fn id_of(label: &str) -> String {
    let words = label
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    let id = words.collect::<Vec<_>>().join("-");
    let short: String = id
        .chars()
        .take(mdetr_grounding::query::MAX_ID_CHARS)
        .collect();
    if short.is_empty() {
        "region".to_owned()
    } else {
        short
    }
}

/// A label on one line.
fn text_of(label: &str) -> String {
    let one_line = label.chars().map(|c| if c.is_control() { ' ' } else { c });
    one_line.collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_enclose_the_box_and_stay_in_the_frame() {
        assert_eq!(pixels([0.1, 0.2, 0.5, 0.6], 100, 100), (10, 20, 40, 40));
        assert_eq!(pixels([0.101, 0.2, 0.499, 0.6], 100, 10), (10, 2, 40, 4));
        assert_eq!(pixels([1.0, 1.0, 1.0, 1.0], 640, 480), (639, 479, 1, 1));
        assert_eq!(pixels([0.0, 0.0, 1.0, 1.0], 1, 1), (0, 0, 1, 1));
    }

    #[test]
    fn ids_are_the_lowest_that_are_free() {
        gst::init().expect("GStreamer is installed");
        let mut buffer = gst::Buffer::new();
        let writable = buffer.get_mut().expect("the only reference");
        assert_eq!(first_id(writable, 3, None), 0);
        assert_eq!(first_id(writable, 3, Some(5..8)), 5);
        for id in [-1, 1 << 20, 7, 2] {
            let mut meta = VideoRegionOfInterestMeta::add(writable, "object", (1, 2, 3, 4));
            meta.set_id(id);
        }
        assert_eq!(first_id(writable, 2, None), 0);
        assert_eq!(first_id(writable, 3, None), 3);
        assert_eq!(first_id(writable, 5, None), 8);
        assert_eq!(first_id(writable, 2, Some(8..10)), 8);
        // A region has one of the numbers; no analytics are on this buffer.
        assert_eq!(first_id(writable, 2, Some(6..8)), 0);
    }

    #[test]
    fn any_label_makes_a_query() {
        gst::init().expect("GStreamer is installed");
        let mut buffer = gst::Buffer::new();
        let writable = buffer.get_mut().expect("the only reference");
        let long = "x".repeat(9000);
        for label in [
            "a dog",
            "[odd] \n\0 label]",
            "***",
            "a dog",
            "犬",
            long.as_str(),
        ] {
            let mut meta = VideoRegionOfInterestMeta::add(writable, "object", (1, 2, 3, 4));
            let label = label.replace('\0', "");
            meta.add_param(
                gst::Structure::builder(DETECTION)
                    .field("label", label)
                    .build(),
            );
        }
        let grounding = grounding(&buffer, 64, 48);
        let found: Vec<_> = grounding
            .queries
            .iter()
            .map(|r| (r.query.id(), r.query.text(), r.detections.len()))
            .collect();
        let expected = [
            ("a-dog", "a dog", 2),
            ("odd-label", "[odd]   label]", 1),
            ("region", "***", 1),
            ("犬", "犬", 1),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn our_regions_are_known_without_their_parameters() {
        gst::init().expect("GStreamer is installed");
        let query = Query::parse("q1", "a cube").expect("valid");
        let found = FrameGrounding {
            grounding: Arc::new(Grounding {
                revision: 1,
                width: 64,
                height: 48,
                queries: vec![QueryResult {
                    query: Arc::new(query),
                    detections: vec![],
                    answer: None,
                }],
            }),
            age: gst::ClockTime::ZERO,
            element: "mdetr0".into(),
        };
        let mut buffer = gst::Buffer::new();
        let writable = buffer.get_mut().expect("the only reference");
        VideoRegionOfInterestMeta::add(writable, "q1", (1, 2, 3, 4));
        assert_eq!(foreign(writable).len(), 1);
        meta::attach(writable, found);
        assert!(foreign(writable).is_empty());
    }

    #[test]
    fn regions_of_other_detectors_are_read_with_what_they_say() {
        gst::init().expect("GStreamer is installed");
        let mut buffer = gst::Buffer::new();
        let writable = buffer.get_mut().expect("the only reference");
        VideoRegionOfInterestMeta::add(writable, "face", (1, 2, 3, 4));
        let mut meta = VideoRegionOfInterestMeta::add(writable, "object", (5, 6, 7, 8));
        meta.add_param(
            gst::Structure::builder(DETECTION)
                .field("label", "a dog")
                .field("confidence", 0.5)
                .build(),
        );
        let mut ours = VideoRegionOfInterestMeta::add(writable, "q1", (5, 6, 7, 8));
        ours.add_param(gst::Structure::new_empty(MDETR));
        let regions = foreign(&buffer);
        assert_eq!(regions.len(), 2);
        assert_eq!(
            (regions[0].label.as_str(), regions[0].score),
            ("face", None)
        );
        assert_eq!(
            (regions[1].label.as_str(), regions[1].score),
            ("a dog", Some(0.5))
        );
        assert_eq!(regions[1].rect, (5, 6, 7, 8));
    }
}
