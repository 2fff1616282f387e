//! What was found in a frame, whole: every query with its detections, absent ones too.
//!
//! The metadata is copied with its buffer and kept when the frame is scaled or converted: boxes are in
//! pixels of the frame that was grounded, whose size [`Grounding`] holds. What moves pixels in other
//! ways (cropping, rotating) drops it.
//!
//! Its structure has `element`, `revision`, `age`, and the whole as `grounding`, a boxed value that GLib transforms to
//! `GBytes` with JSON: that of [`Carried`].

use std::borrow::Cow;
use std::sync::{Arc, Once};

use gst::glib;
use mdetr_grounding::{Carried, Grounding};

use crate::custom_meta::{self, Shared};

/// Name of the metadata.
pub const NAME: &str = "GstMdetrGroundingMeta";

/// Field with the boxed [`FrameGrounding`].
const GROUNDING: &str = "grounding";

/// What was found, and how long before the frame that carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameGrounding {
    /// The queries with their detections.
    pub grounding: Arc<Grounding>,
    /// Running time from the frame that was grounded to the one that carries the result; 0 if they are the
    /// same.
    pub age: gst::ClockTime,
    /// Name of the element that grounded it, unique on a buffer.
    pub element: Arc<str>,
}

impl FrameGrounding {
    /// The queries with their detections in pixels of a frame of this size.
    pub fn scaled(&self, width: u32, height: u32) -> Grounding {
        self.grounding.scaled(width, height)
    }
}

#[derive(Debug, Clone, glib::Boxed)]
#[boxed_type(name = "GstMdetrGrounding", allow_name_conflict)]
struct Boxed(FrameGrounding);

impl Shared for Boxed {
    fn to_json(&self) -> Option<Vec<u8>> {
        let carried = Carried {
            grounding: Cow::Borrowed(&self.0.grounding),
            age_ns: self.0.age.nseconds(),
            element: Cow::Borrowed(&self.0.element),
        };
        serde_json::to_vec(&carried).ok()
    }

    fn from_json(json: &[u8]) -> Option<Boxed> {
        let carried: Carried = serde_json::from_slice(json).ok()?;
        Some(Boxed(FrameGrounding {
            grounding: Arc::new(carried.grounding.into_owned()),
            age: gst::ClockTime::from_nseconds(carried.age_ns),
            element: carried.element.into(),
        }))
    }
}

static REGISTERED: Once = Once::new();

/// Makes the metadata known to GStreamer. Loading a plugin that attaches it does this.
pub fn register() {
    REGISTERED.call_once(|| {
        custom_meta::register::<Boxed, _>(NAME, content, add);
    });
}

fn add(buffer: &mut gst::BufferRef, found: FrameGrounding) -> bool {
    match gst::meta::CustomMeta::add(buffer, NAME) {
        Ok(mut meta) => {
            let structure = meta.mut_structure();
            structure.set("revision", found.grounding.revision);
            structure.set("age", found.age);
            structure.set("element", &*found.element);
            structure.set(GROUNDING, Boxed(found));
            true
        }
        Err(_) => false,
    }
}

fn content(meta: &gst::meta::CustomMeta) -> Option<FrameGrounding> {
    let value = meta.structure().value(GROUNDING).ok()?;
    let boxed: Boxed = custom_meta::content(value, REGISTERED.is_completed())?;
    Some(boxed.0)
}

/// Attaches a result. Other results on the buffer stay; if one of them is of an element with the same
/// name, in another bin, this one's name gets a number.
pub fn attach(buffer: &mut gst::BufferRef, mut found: FrameGrounding) {
    register();
    found.element = unique(found.element, &read(buffer));
    let added = add(buffer, found);
    debug_assert!(added, "{NAME} is registered");
}

fn unique(element: Arc<str>, others: &[FrameGrounding]) -> Arc<str> {
    let free = |name: &str| others.iter().all(|other| &*other.element != name);
    if free(&element) {
        return element;
    }
    let numbered = |number: usize| format!("{element}-{number}");
    let name = (2..).map(numbered).find(|name| free(name));
    name.map_or(element, Arc::from)
}

/// The results on a buffer, one for each `mdetr` element it came through, in their order.
pub fn read(buffer: &gst::BufferRef) -> Vec<FrameGrounding> {
    custom_meta::read(buffer, NAME, content)
}

/// What a result is known by, without reading the whole of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// As [`FrameGrounding::element`].
    pub element: String,
    /// As [`Grounding::revision`].
    pub revision: u64,
    /// As [`FrameGrounding::age`].
    pub age: gst::ClockTime,
}

/// What the results on a buffer are known by, in their order.
pub fn summaries(buffer: &gst::BufferRef) -> Vec<Summary> {
    custom_meta::read(buffer, NAME, |meta| {
        let structure = meta.structure();
        Some(Summary {
            element: structure.get("element").ok()?,
            revision: structure.get("revision").ok()?,
            age: structure.get("age").ok()?,
        })
    })
}

/// Takes all results off a buffer.
pub fn remove(buffer: &mut gst::BufferRef) {
    custom_meta::remove(buffer, NAME);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(revision: u64) -> FrameGrounding {
        FrameGrounding {
            grounding: Arc::new(Grounding {
                revision,
                width: 64,
                height: 48,
                queries: vec![],
            }),
            age: gst::ClockTime::from_mseconds(40),
            element: "mdetr0".into(),
        }
    }

    #[test]
    fn results_come_back_and_survive_copies() {
        gst::init().expect("GStreamer is installed");
        let mut buffer = gst::Buffer::with_size(8).expect("8 bytes");
        assert!(read(&buffer).is_empty());
        let writable = buffer.get_mut().expect("the only reference");
        attach(writable, found(3));
        let other = FrameGrounding {
            element: "other".into(),
            ..found(4)
        };
        attach(writable, other.clone());
        assert_eq!(read(&buffer), [found(3), other.clone()]);
        let copy = buffer.copy_deep().expect("8 bytes");
        drop(buffer);
        assert_eq!(read(&copy), [found(3), other]);
        let mut copy = copy;
        remove(copy.get_mut().expect("the only reference"));
        assert!(read(&copy).is_empty());
    }

    #[test]
    fn other_libraries_read_results_as_json() {
        gst::init().expect("GStreamer is installed");
        let mut buffer = gst::Buffer::new();
        attach(buffer.get_mut().expect("the only reference"), found(3));
        let meta = gst::meta::CustomMeta::from_buffer(&buffer, NAME).expect("attached");
        let value = meta.structure().value(GROUNDING).expect("a field");
        let read: Boxed = custom_meta::content(value, false).expect("JSON");
        assert_eq!(read.0, found(3));
        let summary = Summary {
            element: "mdetr0".into(),
            revision: 3,
            age: gst::ClockTime::from_mseconds(40),
        };
        assert_eq!(summaries(&buffer), [summary]);
    }

    #[test]
    fn what_is_no_result_is_not_read() {
        gst::init().expect("GStreamer is installed");
        register();
        let mut buffer = gst::Buffer::new();
        let writable = buffer.get_mut().expect("the only reference");
        let mut meta = gst::meta::CustomMeta::add(writable, NAME).expect("registered");
        meta.mut_structure()
            .set(GROUNDING, glib::Bytes::from_static(b"{}"));
        assert!(read(&buffer).is_empty());
        assert!(summaries(&buffer).is_empty());
    }

    #[test]
    fn elements_of_the_same_name_are_told_apart() {
        gst::init().expect("GStreamer is installed");
        let mut buffer = gst::Buffer::with_size(8).expect("8 bytes");
        let writable = buffer.get_mut().expect("the only reference");
        for revision in 1..4 {
            attach(writable, found(revision));
        }
        let results = read(&buffer);
        let names: Vec<&str> = results.iter().map(|found| &*found.element).collect();
        assert_eq!(names, ["mdetr0", "mdetr0-2", "mdetr0-3"]);
    }

    #[test]
    fn scaling_keeps_results_and_cropping_drops_them() {
        gst::init().expect("GStreamer is installed");
        for (element, kept) in [
            ("videoscale", 1),
            ("videoconvert", 1),
            ("videocrop left=4", 0),
        ] {
            let caps = "video/x-raw,format=RGB,width=64,height=48,framerate=30/1";
            let other = "video/x-raw,format=RGB,width=32,height=24,framerate=30/1";
            let target = if element == "videoscale" { other } else { caps };
            let mut harness = if kept == 1 {
                let mut harness = gst_check::Harness::new_parse(element);
                harness.set_caps_str(caps, target);
                harness
            } else {
                let mut harness = gst_check::Harness::new_parse(element);
                harness.set_src_caps_str(caps);
                harness
            };
            let mut buffer = gst::Buffer::with_size(64 * 48 * 3).expect("a small frame");
            attach(buffer.get_mut().expect("the only reference"), found(1));
            let pushed = harness.push_and_pull(buffer).expect(element);
            assert_eq!(read(&pushed).len(), kept, "{element}");
        }
    }
}
