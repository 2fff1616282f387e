//! Which frames are inferred.

use std::time::Duration;

use mdetr::frame::LumaGrid;

use super::super::settings::Settings;

#[derive(Debug)]
pub(super) struct Pacing {
    /// One frame in so many is inferred.
    interval: u32,
    /// 0: every frame counts as changed.
    change_threshold: f32,
    /// Index of the frame inferred last.
    last: Option<u64>,
    shown: Option<Shown>,
}

/// What the frame inferred last showed.
#[derive(Debug)]
struct Shown {
    luma: LumaGrid,
    /// Its stream time.
    at: Option<Duration>,
    /// Of the queries it was inferred for.
    revision: u64,
}

impl Pacing {
    pub fn new(settings: &Settings) -> Pacing {
        Pacing {
            interval: settings.inference_interval,
            change_threshold: settings.change_threshold,
            last: None,
            shown: None,
        }
    }

    /// Takes over what the settings say of frames from now on.
    pub fn set(&mut self, settings: &Settings) {
        self.interval = settings.inference_interval;
        self.change_threshold = settings.change_threshold;
    }

    /// Whether it matters what frames show.
    pub fn compares(&self) -> bool {
        self.change_threshold > 0.0
    }

    /// Whether a frame is inferred unless it shows what the last one showed.
    pub fn due(&self, buffer: &gst::BufferRef, index: u64) -> bool {
        let empty = buffer.size() == 0 || buffer.flags().contains(gst::BufferFlags::GAP);
        let interval_over = self
            .last
            .is_none_or(|last| index - last >= u64::from(self.interval));
        interval_over && !empty
    }

    /// Whether a frame that shows `luma` at that stream time differs from the one inferred last, for queries of the same
    /// `revision`, by no more than the threshold, and is less than `lasting` apart from it: so long a model that remembers
    /// need not know that nothing moved.
    pub fn unchanged(
        &self,
        luma: Option<&LumaGrid>,
        at: Option<Duration>,
        revision: u64,
        lasting: Option<Duration>,
    ) -> bool {
        let recent = |shown: &Shown| {
            let apart = shown.at.zip(at).map(|(one, other)| one.abs_diff(other));
            lasting.is_none_or(|lasting| apart.is_some_and(|apart| apart < lasting))
        };
        let shown = self.shown.as_ref().filter(|s| s.revision == revision);
        shown
            .filter(|shown| recent(shown))
            .zip(luma)
            .is_some_and(|(shown, luma)| shown.luma.difference(luma) <= self.change_threshold)
    }

    /// Notes that a frame of that index and stream time is inferred from now on.
    pub fn started(
        &mut self,
        index: u64,
        at: Option<Duration>,
        luma: Option<LumaGrid>,
        revision: u64,
    ) {
        self.last = Some(index);
        self.shown = luma.map(|luma| Shown { luma, at, revision });
    }

    /// The frame that was to be inferred last is inferred for queries of this revision, if there are any.
    pub fn set_revision(&mut self, revision: Option<u64>) {
        let shown = self.shown.take().zip(revision);
        self.shown = shown.map(|(shown, revision)| Shown { revision, ..shown });
    }

    /// The next frame is due.
    pub fn forget_last(&mut self) {
        self.last = None;
    }

    /// The next frame that is due counts as changed.
    pub fn forget_shown(&mut self) {
        self.shown = None;
    }
}
