//! Reading detections, whoever attached them, and taking some of them off.

use std::ops::ControlFlow;

use gst::buffer::BufferMetaForeachAction;
use gst::glib;
use gst::glib::translate::{FromGlib, IntoGlib};

use super::Analytics;
use super::ffi::{ANY, InitParams, Mtd, MtdImpl, REL_RELATE_TO, RelationMeta};
use super::write::Writer;

/// A detection on a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its number in the frame's relation metadata.
    pub id: u32,
    /// Name of its type.
    pub label: String,
    /// How sure its element is, 0 to 1.
    pub score: f32,
    /// x, y, width, height in pixels of the frame, without what is left of it or above.
    pub rect: (u32, u32, u32, u32),
    /// The track that it relates to.
    pub track: Option<u64>,
}

/// A frame's relation metadata.
#[derive(Clone, Copy)]
struct OfFrame {
    analytics: Analytics,
    api: glib::Type,
    meta: *mut RelationMeta,
}

impl OfFrame {
    fn find(buffer: &gst::BufferRef) -> Option<OfFrame> {
        // Where no element has the library, its type is not known.
        let api = glib::Type::from_name("GstAnalyticsRelationMetaAPI")?;
        // SAFETY: a metadata is only looked for.
        let meta =
            unsafe { gst::ffi::gst_buffer_get_meta(buffer.as_ptr().cast_mut(), api.into_glib()) };
        if meta.is_null() {
            return None;
        }
        Some(OfFrame {
            analytics: Analytics::open().ok()?,
            api,
            meta: meta.cast(),
        })
    }

    /// All contents.
    fn contents(self) -> Vec<Mtd> {
        let symbols = self.analytics.symbols();
        // SAFETY: the buffer has the metadata, and ids below its length are valid.
        let length = unsafe { (symbols.length)(self.meta) } as u32;
        let content = |id| {
            let mut mtd = Mtd::EMPTY;
            // SAFETY: as above.
            let found = unsafe { (symbols.get_mtd)(self.meta, id, ANY, &mut mtd) };
            (found != 0).then_some(mtd)
        };
        (0..length).filter_map(content).collect()
    }

    fn is_detection(self, mtd: &Mtd) -> bool {
        let symbols = self.analytics.symbols();
        // SAFETY: `mtd` is a content of the metadata.
        unsafe { (symbols.mtd_type)(mtd) == (symbols.detection_type)() }
    }

    fn relates(self, from: u32, to: u32, kinds: u32) -> bool {
        // SAFETY: both are contents of the metadata.
        unsafe { (self.analytics.symbols().get_relation)(self.meta, from, to) & kinds != 0 }
    }

    fn objects(self) -> Vec<Object> {
        let contents = self.contents();
        let detections = contents.iter().filter(|mtd| self.is_detection(mtd));
        detections
            .filter_map(|mtd| self.object(mtd, &contents))
            .collect()
    }

    /// A box that is not in the frame has no area.
    fn object(self, mtd: &Mtd, contents: &[Mtd]) -> Option<Object> {
        let symbols = self.analytics.symbols();
        let (mut x, mut y, mut width, mut height, mut score) = (0, 0, 0, 0, 0.0);
        // SAFETY: `mtd` is a detection, and all places are valid.
        let (found, kind) = unsafe {
            (
                (symbols.get_location)(mtd, &mut x, &mut y, &mut width, &mut height, &mut score),
                (symbols.get_object_type)(mtd),
            )
        };
        let (x, width) = inside(x, width);
        let (y, height) = inside(y, height);
        (found != 0).then(|| Object {
            id: mtd.id,
            label: name(kind),
            score: if score.is_finite() { score } else { 0.0 },
            rect: (x, y, width, height),
            track: contents.iter().find_map(|other| {
                self.track(other)
                    .filter(|_| self.relates(mtd.id, other.id, REL_RELATE_TO))
            }),
        })
    }

    fn track(self, mtd: &Mtd) -> Option<u64> {
        let symbols = self.analytics.symbols();
        let (mut track, mut first, mut last, mut lost) = (0, 0, 0, 0);
        // SAFETY: `mtd` is a content, and a track where its type says so; all places are valid.
        let found = unsafe {
            (symbols.mtd_type)(mtd) == (symbols.tracking_type)()
                && (symbols.get_track)(mtd, &mut track, &mut first, &mut last, &mut lost) != 0
        };
        found.then_some(track)
    }

    /// A buffer with these contents and the relations between them.
    fn copy_of(self, kept: &[Mtd], buffer: &gst::BufferRef) -> gst::Buffer {
        let symbols = self.analytics.symbols();
        let mut copy = gst::Buffer::new();
        let target = copy.get_mut().expect("the only reference").as_mut_ptr();
        let mut params = InitParams {
            relation_order: kept.len(),
            buf_size: kept.len() * super::write::BYTES,
        };
        // SAFETY: the buffer is new.
        let meta = unsafe { (symbols.add_meta)(target, &mut params) };
        if meta.is_null() {
            return copy;
        }
        // Numbers before and after.
        let mut ids = Vec::new();
        for mtd in kept {
            let mut new = Mtd::EMPTY;
            // SAFETY: the metadata holds the content, and the buffer is new. What a type of content is made of outlives the library, and has a function that makes a copy of
            // its bytes valid, unless they are so by themselves. Zeros are what the type frees without harm.
            unsafe {
                let made_of = (symbols.mtd_type)(mtd) as *const MtdImpl;
                let size = (symbols.mtd_size)(mtd);
                let bytes: *mut u8 = (symbols.add_mtd)(meta, made_of, size, &mut new).cast();
                let source: *const u8 = (symbols.get_data)(self.meta, mtd.id).cast();
                if bytes.is_null() || source.is_null() {
                    continue;
                }
                std::ptr::copy_nonoverlapping(source, bytes, size);
                if let Some(transform) = (*made_of).transform {
                    let mut whole = gst::ffi::GstMetaTransformCopy {
                        region: glib::ffi::GFALSE,
                        offset: 0,
                        size: usize::MAX,
                    };
                    let kind = glib::Quark::from_str("gst-copy").into_glib();
                    let from = buffer.as_ptr().cast_mut();
                    let data = std::ptr::from_mut(&mut whole).cast();
                    if transform(target, &mut new, from, kind, data) == 0 {
                        let bytes: *mut u8 = (symbols.get_data)(meta, new.id).cast();
                        std::ptr::write_bytes(bytes, 0, size);
                    }
                }
            }
            ids.push((mtd.id, new.id));
        }
        for &(from, new_from) in &ids {
            for &(to, new_to) in &ids {
                // SAFETY: all are contents of their metadata.
                unsafe {
                    let kinds = (symbols.get_relation)(self.meta, from, to);
                    if kinds != 0 {
                        (symbols.set_relation)(meta, kinds, new_from, new_to);
                    }
                }
            }
        }
        copy
    }
}

/// Where a side of a box begins and how long it is, without what is below 0.
fn inside(low: i32, length: i32) -> (u32, u32) {
    let (start, end) = (low.max(0), low.saturating_add(length).max(0));
    (
        start.unsigned_abs(),
        end.saturating_sub(start).max(0).unsigned_abs(),
    )
}

fn name(quark: glib::ffi::GQuark) -> String {
    match quark {
        0 => "object".to_owned(),
        // SAFETY: the detection has it from GLib.
        quark => unsafe { glib::Quark::from_glib(quark) }
            .as_str()
            .to_string(),
    }
}

/// The detections on a buffer, but for those outside the frame.
pub fn objects(buffer: &gst::BufferRef) -> Vec<Object> {
    let mut objects = OfFrame::find(buffer).map_or_else(Vec::new, OfFrame::objects);
    objects.retain(|object| object.rect.2 > 0 && object.rect.3 > 0);
    objects
}

/// Number of contents of all kinds on a buffer.
pub(crate) fn length(buffer: &gst::BufferRef) -> usize {
    // SAFETY: the buffer has the metadata.
    OfFrame::find(buffer).map_or(0, |of| unsafe { (of.analytics.symbols().length)(of.meta) })
}

/// Takes those detections off a buffer of which `which` says so, with what only they relate to or contain: tracks,
/// masks, classes. What others have attached stays, under other numbers where these came before it.
pub fn remove(buffer: &mut gst::BufferRef, which: impl Fn(&Object) -> bool) {
    let Some(of) = OfFrame::find(buffer) else {
        return;
    };
    let (gone, kept): (Vec<Object>, Vec<Object>) = of.objects().into_iter().partition(which);
    if gone.is_empty() {
        return;
    }
    let related = |objects: &[Object], id: u32| {
        let mut objects = objects.iter();
        objects.any(|object| of.relates(object.id, id, u32::MAX >> 1))
    };
    let stays = |mtd: &Mtd| {
        let is_gone = gone.iter().any(|object| object.id == mtd.id);
        let part = !of.is_detection(mtd) && related(&gone, mtd.id) && !related(&kept, mtd.id);
        !is_gone && !part
    };
    let contents: Vec<Mtd> = of.contents().into_iter().filter(stays).collect();
    let copy = (!contents.is_empty()).then(|| of.copy_of(&contents, buffer));
    buffer.foreach_meta_mut(|meta| {
        ControlFlow::Continue(match meta.api() == of.api {
            true => BufferMetaForeachAction::Remove,
            false => BufferMetaForeachAction::Keep,
        })
    });
    if let Some(copy) = copy {
        let flags = gst::BufferCopyFlags::META;
        // The empty buffer has no bytes to be out of range of.
        let _ = copy.copy_into(buffer, flags, ..);
    }
}

/// Gives detections on a buffer a track each, by their numbers.
pub fn attach_tracks(buffer: &mut gst::BufferRef, writer: Writer, tracks: &[(u32, u64)]) {
    let Some(of) = OfFrame::find(buffer) else {
        return;
    };
    for &(id, track) in tracks {
        writer.attach_track(of.meta, id, track);
    }
}
