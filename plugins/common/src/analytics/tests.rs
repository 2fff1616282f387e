//! With GStreamer 1.24 and later; with an older one these tests see that it has no GstAnalytics.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_float};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gst::glib;
use gst::glib::ffi::gboolean;
use gst::glib::translate::IntoGlibPtr;
use gst_video::{VideoFormat, VideoFrameFlags, VideoMeta, VideoRegionOfInterestMeta};
use mdetr_grounding::{BBox, Detection, Grounding, Phrase, Query, QueryResult, Rle, Span};

use super::ffi::{ANY, Mtd, RelationMeta};
use super::symbols::Symbols;
use super::*;
use crate::meta::FrameGrounding;
use crate::regions;

const SIZE: (u32, u32) = (64, 48);

fn analytics() -> Option<Analytics> {
    gst::init().expect("GStreamer is installed");
    let (major, minor, ..) = gst::version();
    match Analytics::open() {
        Ok(analytics) => Some(analytics),
        Err(unavailable) => {
            assert_eq!(*unavailable, Unavailable::Version { major, minor });
            assert!((major, minor) < (1, 24));
            None
        }
    }
}

fn detection(x: f32, score: f32, track: Option<u64>) -> Detection {
    let mut mask = vec![0; (SIZE.0 * SIZE.1) as usize];
    for (row, column) in [(5, 0), (5, 1), (6, 1)] {
        mask[row * SIZE.0 as usize + x as usize + column] = 1;
    }
    Detection {
        bbox: BBox {
            x,
            y: 4.0,
            width: 10.0,
            height: 20.0,
        },
        score,
        phrases: vec![Phrase {
            text: "a cube".into(),
            span: Span { start: 0, end: 6 },
            score: 0.25,
        }],
        track,
        hidden_ms: None,
        identity: None,
        mask: Some(Rle::encode(&mask, SIZE.0, SIZE.1)),
    }
}

fn found(detections: Vec<Detection>) -> FrameGrounding {
    FrameGrounding {
        grounding: Arc::new(Grounding {
            revision: 1,
            width: SIZE.0,
            height: SIZE.1,
            queries: vec![QueryResult {
                query: Arc::new(Query::parse("cubes", "a cube").expect("valid")),
                detections,
                answer: None,
            }],
        }),
        age: gst::ClockTime::ZERO,
        element: "mdetr0".into(),
    }
}

fn attach(buffer: &mut gst::BufferRef, analytics: Analytics, detections: Vec<Detection>) {
    let writer = Writer::new(analytics);
    regions::attach(buffer, found(detections), SIZE.0, SIZE.1, Some(writer));
}

fn ids(buffer: &gst::BufferRef) -> Vec<i32> {
    let regions = buffer.iter_meta::<VideoRegionOfInterestMeta>();
    regions.map(|region| region.id()).collect()
}

fn meta_of(buffer: &gst::BufferRef, symbols: &Symbols) -> *mut RelationMeta {
    let mut params = super::ffi::InitParams {
        relation_order: 1,
        buf_size: 64,
    };
    // SAFETY: the metadata is made where it is not there.
    unsafe { (symbols.add_meta)(buffer.as_ptr().cast_mut(), &mut params) }
}

/// Another element's detection with a mask; tells when the mask is freed.
fn attach_foreign(
    buffer: &mut gst::BufferRef,
    analytics: Analytics,
    label: &str,
) -> Option<Arc<AtomicBool>> {
    struct Pixels(Arc<AtomicBool>);
    impl AsRef<[u8]> for Pixels {
        fn as_ref(&self) -> &[u8] {
            &[1]
        }
    }
    impl Drop for Pixels {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let symbols = analytics.symbols();
    let meta = meta_of(buffer, symbols);
    let kind = glib::translate::IntoGlib::into_glib(glib::Quark::from_str(label));
    let (mut detection, mut mask) = (Mtd::EMPTY, Mtd::EMPTY);
    // SAFETY: the buffer is writable, and the mask is a picture of one pixel.
    unsafe {
        assert_ne!(
            (symbols.add_detection)(meta, kind, -2, 7, 12, 5, 0.5, &mut detection),
            0
        );
        let add = symbols.add_segmentation?;
        let freed = Arc::new(AtomicBool::new(false));
        let mut pixels = gst::Buffer::from_slice(Pixels(freed.clone()));
        let writable = pixels.get_mut().expect("the only reference");
        let (flags, format) = (VideoFrameFlags::empty(), VideoFormat::Gray8);
        VideoMeta::add_full(writable, flags, format, 1, 1, &[0], &[1]).expect("valid");
        let pixels = pixels.into_glib_ptr();
        let mut regions = [1];
        assert_ne!(
            add(
                meta,
                pixels,
                1,
                1,
                regions.as_mut_ptr(),
                0,
                0,
                1,
                1,
                &mut mask
            ),
            0
        );
        assert_ne!((symbols.set_relation)(meta, 12, detection.id, mask.id), 0);
        Some(freed)
    }
}

#[test]
fn detections_come_back_with_the_numbers_of_their_regions() {
    let Some(analytics) = analytics() else { return };
    let mut buffer = gst::Buffer::new();
    let writable = buffer.get_mut().expect("the only reference");
    let detections = vec![detection(3.0, 0.75, Some(9)), detection(20.0, 0.5, None)];
    attach(writable, analytics, detections);
    let expected = |id, score, x, track| Object {
        id,
        label: "cubes".into(),
        score,
        rect: (x, 4, 10, 20),
        track,
    };
    let expected = [expected(0, 0.75, 3, Some(9)), expected(1, 0.5, 20, None)];
    assert_eq!(objects(&buffer), expected);
    assert_eq!(ids(&buffer), [0, 1]);
    assert!(regions::foreign(&buffer).is_empty());
    assert!(regions::foreign_objects(&buffer).is_empty());
}

#[test]
fn what_is_written_again_does_not_double() {
    let Some(analytics) = analytics() else { return };
    let mut buffer = gst::Buffer::new();
    let writable = buffer.get_mut().expect("the only reference");
    for track in 1..4 {
        regions::remove(writable);
        crate::meta::remove(writable);
        attach(writable, analytics, vec![detection(3.0, 0.75, Some(track))]);
    }
    let tracks: Vec<Option<u64>> = objects(writable).iter().map(|o| o.track).collect();
    assert_eq!(tracks, [Some(3)]);
    assert_eq!(ids(writable), [0]);
    let contents = if analytics.symbols().add_segmentation.is_some() {
        3
    } else {
        2
    };
    assert_eq!(length(writable), contents);
}

#[test]
fn what_others_attached_stays_and_is_freed_with_its_frame() {
    let Some(analytics) = analytics() else { return };
    let mut buffer = gst::Buffer::new();
    let writable = buffer.get_mut().expect("the only reference");
    attach(writable, analytics, vec![detection(3.0, 0.75, None)]);
    // The name of a query.
    let freed = attach_foreign(writable, analytics, "cubes");
    assert_eq!(regions::foreign(writable).len(), 1);
    assert_eq!(regions::foreign_objects(writable).len(), 1);
    regions::remove(writable);
    let left = objects(writable);
    assert_eq!(left.len(), 1);
    assert_eq!(
        (left[0].label.as_str(), left[0].rect),
        ("cubes", (0, 7, 10, 5))
    );
    let Some(freed) = freed else { return };
    let symbols = analytics.symbols();
    let meta = meta_of(writable, symbols);
    // SAFETY: the first content is the detection, the second its mask.
    unsafe {
        assert_eq!((symbols.length)(meta), 2);
        assert_eq!((symbols.get_relation)(meta, 0, 1), 12);
    }
    let copy = buffer.copy();
    drop(buffer);
    assert!(!freed.load(Ordering::SeqCst));
    drop(copy);
    assert!(freed.load(Ordering::SeqCst));
}

#[test]
fn a_region_and_a_detection_that_are_one_are_read_once() {
    let Some(analytics) = analytics() else { return };
    let mut buffer = gst::Buffer::new();
    let writable = buffer.get_mut().expect("the only reference");
    attach_foreign(writable, analytics, "face");
    VideoRegionOfInterestMeta::add(writable, "face", (0, 7, 10, 5)).set_id(0);
    let writer = Writer::new(analytics);
    attach_tracks(writable, writer, &[(0, 77)]);
    let read = regions::foreign(writable);
    assert_eq!(read.len(), 1);
    assert_eq!((read[0].label.as_str(), read[0].track), ("face", Some(77)));
    // Ours do not take the number of that region.
    attach(writable, analytics, vec![detection(20.0, 0.5, None)]);
    assert_eq!(ids(writable).len(), 2);
    assert_ne!(ids(writable)[1], 0);
}

#[test]
fn a_number_that_a_region_has_is_not_used_twice() {
    let Some(analytics) = analytics() else { return };
    let mut buffer = gst::Buffer::new();
    let writable = buffer.get_mut().expect("the only reference");
    VideoRegionOfInterestMeta::add(writable, "face", (0, 7, 10, 5)).set_id(1);
    let detections = vec![detection(3.0, 0.75, None), detection(20.0, 0.5, None)];
    attach(writable, analytics, detections);
    let ids = ids(writable);
    assert_eq!(ids[2], ids[1] + 1);
    assert!(ids[1] as usize >= length(writable), "{ids:?}");
}

#[test]
fn absence_is_metadata_that_is_empty() {
    let Some(analytics) = analytics() else { return };
    let mut buffer = gst::Buffer::new();
    let writable = buffer.get_mut().expect("the only reference");
    attach(writable, analytics, vec![]);
    assert_eq!(length(writable), 0);
    let api = glib::Type::from_name("GstAnalyticsRelationMetaAPI").expect("registered");
    let metas = writable.iter_meta::<gst::Meta>();
    assert_eq!(metas.filter(|meta| meta.api() == api).count(), 1);
}

thread_local! {
    /// What was written as text: text, confidence.
    static TEXTS: RefCell<Vec<(String, f32)>> = const { RefCell::new(Vec::new()) };
}

/// As in GStreamer 1.30; the content that stands for the text is a track.
unsafe extern "C" fn add_text(
    meta: *mut RelationMeta,
    text: *const c_char,
    confidence: c_float,
    mtd: *mut Mtd,
) -> gboolean {
    // SAFETY: the writer passes a C string.
    let text = unsafe { CStr::from_ptr(text) };
    TEXTS.with_borrow_mut(|texts| texts.push((text.to_string_lossy().into_owned(), confidence)));
    let symbols = Analytics::open().expect("it was open").symbols();
    // SAFETY: as for the function that this stands for.
    unsafe { (symbols.add_tracking)(meta, 0, 0, mtd) }
}

#[test]
fn phrases_are_texts_where_there_are_texts() {
    let Some(analytics) = analytics() else { return };
    let real = analytics.symbols();
    assert!(real.add_text.is_none() || gst::version() >= (1, 30, 0, 0));
    let symbols = Symbols {
        add_text: Some(add_text),
        add_segmentation: None,
        ..*real
    };
    let with_texts = Analytics::of(Box::leak(Box::new(symbols)));
    let mut buffer = gst::Buffer::new();
    let writable = buffer.get_mut().expect("the only reference");
    let seen = HashMap::new();
    let writer = Writer::new(with_texts).seen(None, &seen);
    let result = found(vec![detection(3.0, 0.75, None)]);
    regions::attach(writable, result, SIZE.0, SIZE.1, Some(writer));
    TEXTS.with_borrow(|texts| assert_eq!(*texts, [("a cube".to_owned(), 0.25)]));
    let meta = meta_of(writable, real);
    let mut text = Mtd::EMPTY;
    // SAFETY: the detection comes first, its text second.
    unsafe {
        assert_ne!((real.get_mtd)(meta, 1, ANY, &mut text), 0);
        assert_eq!((real.get_relation)(meta, 0, 1), 1 << 2);
        assert_eq!((real.get_relation)(meta, 1, 0), 1 << 1);
    }
}
