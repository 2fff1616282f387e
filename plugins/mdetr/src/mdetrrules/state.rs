//! What the element knows while it plays.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gst_video::VideoInfo;
use mdetr::Grounding;
use mdetr_gst::events::FrameEvents;
use mdetr_gst::meta::FrameGrounding;
use mdetr_rules::{EndReason, Event, Fault, Moment, Observation, RuleSet, Watch};

use crate::frame;

/// What the element knows while it plays.
pub(super) struct State {
    watch: Watch,
    rules: Arc<RuleSet>,
    revision: u64,
    /// Rules that are in force from the next frame on.
    next: Option<RuleSet>,
    pub info: Option<VideoInfo>,
    pub segment: gst::FormattedSegment<gst::ClockTime>,
    /// Whether upstream is live; asked at the first frame.
    pub live: Option<bool>,
    frames: u64,
    last: Option<Moment>,
    /// Wall clock time at running time 0 of a stream that does not tell it.
    epoch: Option<SystemTime>,
    /// Steps that no frame had yet.
    waiting: Vec<Event>,
}

impl State {
    pub fn new(camera: &str, rules: RuleSet) -> Result<State, Vec<Fault>> {
        Ok(State {
            watch: Watch::new(camera, rules.clone())?,
            rules: Arc::new(rules),
            revision: 1,
            next: None,
            info: None,
            segment: gst::FormattedSegment::new(),
            live: None,
            frames: 0,
            last: None,
            epoch: None,
            waiting: Vec::new(),
        })
    }

    /// Takes rules that passed their check, from the next frame on.
    pub fn replace(&mut self, rules: RuleSet) {
        self.next = Some(rules);
    }

    /// Stream time of a frame; where it has none, that of the last frame and one frame's duration.
    pub fn time(&self, buffer: &gst::BufferRef) -> Duration {
        let running = self.segment.to_running_time(buffer.pts());
        match (running, self.last) {
            (Some(running), _) => Duration::from_nanos(running.nseconds()),
            (None, Some(last)) => {
                let usual = || frame::duration(self.info.as_ref());
                let duration = buffer.duration().unwrap_or_else(usual);
                last.time + Duration::from_nanos(duration.nseconds())
            }
            (None, None) => Duration::ZERO,
        }
    }

    /// Wall clock time of a frame that does not tell it: as if the stream had been played when it began here.
    pub fn supposed_utc(&mut self, time: Duration) -> SystemTime {
        let began = || SystemTime::now().checked_sub(time);
        let epoch = *self
            .epoch
            .get_or_insert_with(|| began().unwrap_or(SystemTime::UNIX_EPOCH));
        epoch.checked_add(time).unwrap_or(epoch)
    }

    /// With the next frame and its results; the steps that came since the last frame are new ones, to be told.
    pub fn observe(
        &mut self,
        moment: Moment,
        buffer: &gst::BufferRef,
        found: &[FrameGrounding],
    ) -> Vec<Event> {
        let frame = self.frames;
        self.frames += 1;
        let mut events = Vec::new();
        if let Some(rules) = self.next.take() {
            // They passed the check when they were given.
            if let Ok(ended) = self
                .watch
                .replace(rules.clone(), self.last.unwrap_or(moment))
            {
                events.extend(ended);
                self.rules = Arc::new(rules);
                self.revision += 1;
            }
        }
        self.last = Some(moment);
        let size = self.info.as_ref().map(|info| (info.width(), info.height()));
        if let Some(grounding) = size.and_then(|size| merged(found, size)) {
            let age = found.iter().map(|found| found.age.nseconds()).max();
            events.extend(self.watch.observe(&Observation {
                moment,
                frame,
                pts_ns: buffer.pts().map(gst::ClockTime::nseconds),
                age: Duration::from_nanos(age.unwrap_or_default()),
                grounding: &grounding,
            }));
        }
        self.waiting.extend(events.iter().cloned());
        events
    }

    /// What goes with the frame that was observed; nothing if there are no rules and no steps.
    pub fn report(&mut self) -> Option<FrameEvents> {
        let events = std::mem::take(&mut self.waiting);
        let silent =
            self.rules.rules.is_empty() && events.is_empty() && *self.rules == RuleSet::default();
        (!silent).then(|| FrameEvents {
            rules: self.rules.clone(),
            revision: self.revision,
            states: self.watch.states().collect(),
            events,
        })
    }

    /// Ends all events; the ends go with the next frame, too.
    pub fn end_all(&mut self, reason: EndReason) -> Vec<Event> {
        // Without a frame there was no event.
        let Some(last) = self.last.take() else {
            return Vec::new();
        };
        self.epoch = None;
        let events = self.watch.end_all(reason, last);
        self.waiting.extend(events.iter().cloned());
        events
    }
}

/// The results of all elements upstream in pixels of the frame. Of queries with the same id the first counts; the
/// revision is the sum, which changes with each of them.
fn merged(found: &[FrameGrounding], (width, height): (u32, u32)) -> Option<Arc<Grounding>> {
    let fits =
        |found: &FrameGrounding| (found.grounding.width, found.grounding.height) == (width, height);
    match found {
        [] => None,
        [only] if fits(only) => Some(only.grounding.clone()),
        several => {
            let parts: Vec<Grounding> = several
                .iter()
                .map(|found| found.scaled(width, height))
                .collect();
            let revisions = parts.iter().map(|part| part.revision);
            Some(Arc::new(Grounding {
                revision: revisions.fold(0, u64::saturating_add),
                width,
                height,
                queries: parts.into_iter().flat_map(|part| part.queries).collect(),
            }))
        }
    }
}
