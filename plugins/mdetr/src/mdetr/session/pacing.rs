//! Which frames are inferred.

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
    /// What it showed, and the revision of the queries it was inferred for.
    shown: Option<(LumaGrid, u64)>,
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

    /// Whether a frame that shows `luma` differs from the one inferred last, for queries of the same
    /// `revision`, by no more than the threshold.
    pub fn unchanged(&self, luma: Option<&LumaGrid>, revision: u64) -> bool {
        let shown = self.shown.as_ref().filter(|(_, of)| *of == revision);
        shown
            .zip(luma)
            .is_some_and(|((shown, _), luma)| shown.difference(luma) <= self.change_threshold)
    }

    /// Notes that a frame is inferred from now on.
    pub fn started(&mut self, index: u64, luma: Option<LumaGrid>, revision: u64) {
        self.last = Some(index);
        self.shown = luma.map(|luma| (luma, revision));
    }

    /// The frame that was to be inferred last is inferred for queries of this revision, if there are any.
    pub fn set_revision(&mut self, revision: Option<u64>) {
        let shown = self.shown.take().zip(revision);
        self.shown = shown.map(|((luma, _), revision)| (luma, revision));
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
