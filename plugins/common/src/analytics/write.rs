//! Attaching detections.

use std::collections::HashMap;
use std::ffi::CString;

use gst::glib;
use gst::glib::translate::{IntoGlib, IntoGlibPtr};
use mdetr_grounding::{Detection, Phrase, Rle};

use super::Analytics;
use super::ffi::{
    InitParams, Mtd, REL_CONTAIN, REL_IS_PART_OF, REL_RELATE_TO, RelTypes, RelationMeta,
    SEGMENTATION_TYPE_INSTANCE,
};
use super::mask;

/// Room for one content with what the library needs beside it; it makes more where this is not enough.
pub(super) const BYTES: usize = 96;

/// A detection, and where it is in the frame.
pub struct Found<'a> {
    /// Id of the query that it answers.
    pub query: &'a str,
    /// x, y, width, height in pixels of the frame.
    pub rect: (u32, u32, u32, u32),
    /// Its score, track, mask and phrases.
    pub detection: &'a Detection,
}

/// How detections are attached.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    analytics: Analytics,
    now: Option<gst::ClockTime>,
    first_seen: Option<&'a HashMap<u64, gst::ClockTime>>,
}

impl<'a> Writer<'a> {
    /// Detections without times.
    pub fn new(analytics: Analytics) -> Writer<'a> {
        Writer {
            analytics,
            now: None,
            first_seen: None,
        }
    }

    /// Tracks have been seen on a frame at `now` and, for the first time, at these times, in running time.
    pub fn seen(
        self,
        now: Option<gst::ClockTime>,
        first_seen: &'a HashMap<u64, gst::ClockTime>,
    ) -> Writer<'a> {
        Writer {
            now,
            first_seen: Some(first_seen),
            ..self
        }
    }

    /// Attaches detections to a frame of `frame` pixels, whose masks are of `size` pixels; a frame without any says so
    /// by metadata that is empty. Gives the numbers of the detections, which follow one another: the first, and the one
    /// after the last.
    pub(crate) fn attach(
        self,
        buffer: &mut gst::BufferRef,
        found: &[Found],
        size: (u32, u32),
        frame: (u32, u32),
    ) -> std::ops::Range<u32> {
        // Masks, tracks and a phrase or two.
        let contents = (found.len() * 4).max(1);
        let mut params = InitParams {
            relation_order: contents,
            buf_size: contents * BYTES,
        };
        let symbols = self.analytics.symbols();
        // SAFETY: the buffer is writable; it keeps the metadata as long as this writes to it.
        let meta = unsafe { (symbols.add_meta)(buffer.as_mut_ptr(), &mut params) };
        if meta.is_null() {
            return 0..0;
        }
        let mut on = OnFrame { writer: self, meta };
        let added = found.iter().map_while(|found| on.detection(found));
        let ids: Vec<u32> = added.collect();
        for (index, (&id, found)) in ids.iter().zip(found).enumerate() {
            let detection = found.detection;
            if let Some(track) = detection.track {
                on.track(id, track);
            }
            if let Some(mask) = &detection.mask {
                on.mask(id, index, mask, size, frame);
            }
            for phrase in &detection.phrases {
                on.phrase(id, phrase);
            }
        }
        // SAFETY: as above.
        let length = unsafe { (symbols.length)(meta) } as u32;
        ids.first().map_or(length..length, |&first| {
            first..first.saturating_add(ids.len() as u32)
        })
    }

    /// Gives a detection, which may be another element's, a track.
    pub(super) fn attach_track(self, meta: *mut RelationMeta, detection: u32, track: u64) {
        OnFrame { writer: self, meta }.track(detection, track);
    }
}

/// The metadata of one frame.
struct OnFrame<'a> {
    writer: Writer<'a>,
    meta: *mut RelationMeta,
}

impl OnFrame<'_> {
    fn symbols(&self) -> &'static super::symbols::Symbols {
        self.writer.analytics.symbols()
    }

    fn detection(&mut self, found: &Found) -> Option<u32> {
        let (x, y, width, height) = found.rect;
        let [x, y, width, height] = [x, y, width, height].map(pixel);
        let kind = glib::Quark::from_str(found.query).into_glib();
        let score = found.detection.score;
        let mut mtd = Mtd::EMPTY;
        // SAFETY: the metadata is that of a writable buffer, and `mtd` is filled.
        let added = unsafe {
            (self.symbols().add_detection)(self.meta, kind, x, y, width, height, score, &mut mtd)
        };
        (added != 0).then_some(mtd.id)
    }

    fn track(&mut self, detection: u32, track: u64) {
        let time = |time: Option<gst::ClockTime>| time.into_glib();
        let first = self.writer.first_seen.and_then(|seen| seen.get(&track));
        let first = first.copied().or(self.writer.now);
        let mut mtd = Mtd::EMPTY;
        // SAFETY: as in `detection`; the track is there once it was added.
        unsafe {
            if (self.symbols().add_tracking)(self.meta, track, time(first), &mut mtd) != 0 {
                (self.symbols().update_last_seen)(&mut mtd, time(self.writer.now));
                self.relate(REL_RELATE_TO, detection, mtd.id);
            }
        }
    }

    /// Objects of a frame have numbers from 1 on in their masks, so that they are told apart by them.
    fn mask(
        &mut self,
        detection: u32,
        index: usize,
        mask: &Rle,
        size: (u32, u32),
        frame: (u32, u32),
    ) {
        let Some(add) = self.symbols().add_segmentation else {
            return;
        };
        let value = (index % usize::from(u8::MAX)) as u8 + 1;
        let Some(picture) = mask::cut_out(mask, value) else {
            return;
        };
        let (x, y, width, height) = picture.place(size, frame);
        let Some(picture) = picture.into_buffer() else {
            return;
        };
        let mut regions = [0, u32::from(value)];
        let mut mtd = Mtd::EMPTY;
        // SAFETY: as in `detection`; the picture has video metadata, and the library takes it over.
        let added = unsafe {
            add(
                self.meta,
                picture.into_glib_ptr(),
                SEGMENTATION_TYPE_INSTANCE,
                regions.len(),
                regions.as_mut_ptr(),
                pixel(x),
                pixel(y),
                width,
                height,
                &mut mtd,
            )
        };
        if added != 0 {
            self.contain(detection, mtd.id);
        }
    }

    fn phrase(&mut self, detection: u32, phrase: &Phrase) {
        let Some(add) = self.symbols().add_text else {
            return;
        };
        let Ok(text) = CString::new(phrase.text.as_str()) else {
            return;
        };
        let mut mtd = Mtd::EMPTY;
        // SAFETY: as in `detection`; the library copies the text.
        if unsafe { add(self.meta, text.as_ptr(), phrase.score, &mut mtd) } != 0 {
            self.contain(detection, mtd.id);
        }
    }

    fn contain(&mut self, detection: u32, part: u32) {
        self.relate(REL_CONTAIN, detection, part);
        self.relate(REL_IS_PART_OF, part, detection);
    }

    fn relate(&mut self, kind: RelTypes, from: u32, to: u32) {
        // SAFETY: both are contents of the metadata.
        unsafe { (self.symbols().set_relation)(self.meta, kind, from, to) };
    }
}

fn pixel(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
