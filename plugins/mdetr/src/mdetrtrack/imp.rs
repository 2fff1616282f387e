//! Replaces the results on each frame by the same with identities, moved to the frame's time. On frames that no `mdetr`
//! has answered, detections of others get identities.
//!
//! Lock order: `settings` and `state` are never held together, nor across a push.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::{VideoCapsBuilder, VideoInfo};
use mdetr::Grounding;
use mdetr_gst::analytics::{self, Analytics, Writer};
use mdetr_gst::element::{self, TYPE_CHECKED};
use mdetr_gst::meta::{self, FrameGrounding};
use mdetr_gst::regions;
use mdetr_track::{TrackIds, TrackOptions, Tracking};

use super::others::Others;
use super::seen::Seen;
use crate::analytics_property::UseAnalytics;
use crate::{allocation, frame};

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| element::debug_category("mdetrtrack", "Identities of detections"));

/// Clock at the first frame: later than any result's age, so that no time is negative.
const START: gst::ClockTime = gst::ClockTime::from_seconds(3600);

/// One `mdetr` element upstream.
struct Stream {
    element: Arc<str>,
    tracking: Tracking,
    /// The result that was taken in last.
    last: Option<Arc<Grounding>>,
}

#[derive(Default)]
struct State {
    info: Option<VideoInfo>,
    segment: gst::FormattedSegment<gst::ClockTime>,
    /// Time of the last frame.
    now: Option<gst::ClockTime>,
    streams: Vec<Stream>,
    /// What detectors of other origin found.
    others: Others,
    /// Of all streams.
    ids: TrackIds,
    seen: Seen,
    /// Where detections are attached beside regions.
    analytics: Option<Analytics>,
}

impl State {
    /// Running time of a frame; where it has none, or one before the last frame's, that of the last
    /// frame and one frame's duration.
    fn time(&mut self, buffer: &gst::BufferRef) -> gst::ClockTime {
        let running = self.segment.to_running_time(buffer.pts());
        let time = match (running, self.now) {
            (Some(running), now) if now.is_none_or(|now| START + running >= now) => START + running,
            (_, Some(now)) => {
                let usual = || frame::duration(self.info.as_ref());
                now + buffer.duration().unwrap_or_else(usual)
            }
            (_, None) => START,
        };
        self.now = Some(time);
        time
    }

    /// Objects of before are not those of after.
    fn reset(&mut self) {
        self.now = None;
        for stream in &mut self.streams {
            stream.tracking.reset();
            stream.last = None;
        }
        self.others.reset();
        self.seen.reset();
    }

    fn stream(&mut self, element: &Arc<str>, options: &TrackOptions) -> &mut Stream {
        let known = self.streams.iter().position(|s| s.element == *element);
        let index = known.unwrap_or_else(|| {
            self.streams.push(Stream {
                element: element.clone(),
                tracking: Tracking::with_ids(options.clone(), self.ids.clone()),
                last: None,
            });
            self.streams.len() - 1
        });
        &mut self.streams[index]
    }

    fn follow(
        &mut self,
        found: FrameGrounding,
        now: gst::ClockTime,
        options: &TrackOptions,
    ) -> FrameGrounding {
        let stream = self.stream(&found.element, options);
        let new = stream
            .last
            .as_ref()
            .is_none_or(|last| !Arc::ptr_eq(last, &found.grounding));
        if new {
            let made = now.saturating_sub(found.age);
            stream.tracking.update(duration(made), &found.grounding);
            stream.last = Some(found.grounding.clone());
        }
        match stream.tracking.at(duration(now)) {
            Some(grounding) => FrameGrounding {
                grounding: Arc::new(grounding),
                ..found
            },
            None => found,
        }
    }

    /// Gives what other detectors found a track each.
    fn follow_others(
        &mut self,
        buffer: &mut gst::BufferRef,
        now: gst::ClockTime,
        options: &TrackOptions,
    ) {
        let (Some(analytics), Some(info)) = (self.analytics, &self.info) else {
            return;
        };
        let size = (info.width(), info.height());
        let objects = regions::foreign_objects(buffer);
        let tracks = self
            .others
            .follow(&objects, size, duration(now), options, &self.ids);
        if tracks.is_empty() {
            return;
        }
        let time = running_time(now);
        let known = tracks.iter().map(|&(_, track)| track);
        let first_seen = self.seen.on_frame(time, known, options.max_age);
        let writer = Writer::new(analytics).seen(time, &first_seen);
        analytics::attach_tracks(buffer, writer, &tracks);
    }
}

/// The running time that the clock of this element shows.
fn running_time(now: gst::ClockTime) -> Option<gst::ClockTime> {
    now.checked_sub(START)
}

fn duration(time: gst::ClockTime) -> Duration {
    Duration::from_nanos(time.nseconds())
}

#[derive(Debug, Clone, Default)]
struct Settings {
    options: TrackOptions,
    analytics: UseAnalytics,
}

#[derive(Default)]
pub struct Track {
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for Track {
    const NAME: &'static str = "GstMdetrTrack";
    type Type = super::Track;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for Track {
    fn properties() -> &'static [glib::ParamSpec] {
        static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = TrackOptions::default();
            let time = |name, nick, blurb, default: Duration| {
                glib::ParamSpecUInt64::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .maximum(gst::ClockTime::from_seconds(3600).nseconds())
                    .default_value(default.as_nanos() as u64)
                    .mutable_playing()
                    .build()
            };
            let unit = |name, nick, blurb, default| {
                glib::ParamSpecFloat::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .minimum(0.0)
                    .maximum(1.0)
                    .default_value(default)
                    .mutable_playing()
                    .build()
            };
            vec![
                glib::ParamSpecUInt::builder("min-hits")
                    .nick("Minimum of hits")
                    .blurb("Results in a row that must show an object before it has an id")
                    .minimum(1)
                    .maximum(1000)
                    .default_value(defaults.min_hits)
                    .mutable_playing()
                    .build(),
                time(
                    "coast",
                    "Coast",
                    "Nanoseconds for which an object with an id is still reported, where it should be, when results do not show it",
                    defaults.coast,
                ),
                time(
                    "max-age",
                    "Maximum age",
                    "Nanoseconds for which an object that is not shown keeps its id, should it come back",
                    defaults.max_age,
                ),
                unit(
                    "iou-threshold",
                    "IoU threshold",
                    "Least intersection over union of a detection and the box it continues, unless it is known again by its looks",
                    defaults.iou_threshold,
                ),
                unit(
                    "high-threshold",
                    "High threshold",
                    "Detections with a lower score continue objects but begin none: presence has hysteresis with a lower score-threshold of mdetr",
                    defaults.high_threshold,
                ),
                UseAnalytics::spec(),
            ]
        });
        &SPECS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let time = || Duration::from_nanos(value.get().expect(TYPE_CHECKED));
        let options = {
            let mut settings = self.settings.lock().expect("never poisoned");
            let options = &mut settings.options;
            match pspec.name() {
                "min-hits" => options.min_hits = value.get().expect(TYPE_CHECKED),
                "coast" => options.coast = time(),
                "max-age" => options.max_age = time(),
                "iou-threshold" => options.iou_threshold = value.get().expect(TYPE_CHECKED),
                "high-threshold" => options.high_threshold = value.get().expect(TYPE_CHECKED),
                "analytics" => settings.analytics = value.get().expect(TYPE_CHECKED),
                _ => unreachable!("GObject knows only the properties above"),
            }
            settings.options.clone()
        };
        let mut state = self.state.lock().expect("never poisoned");
        for stream in &mut state.streams {
            stream.tracking.set_options(options.clone());
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings.lock().expect("never poisoned");
        let options = &settings.options;
        match pspec.name() {
            "min-hits" => options.min_hits.to_value(),
            "coast" => (options.coast.as_nanos() as u64).to_value(),
            "max-age" => (options.max_age.as_nanos() as u64).to_value(),
            "iou-threshold" => options.iou_threshold.to_value(),
            "high-threshold" => options.high_threshold.to_value(),
            "analytics" => settings.analytics.to_value(),
            _ => unreachable!("GObject knows only the properties above"),
        }
    }
}

impl GstObjectImpl for Track {}

impl ElementImpl for Track {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            element::metadata(
                "Identities of detections",
                "Filter/Analyzer/Video",
                "Gives what mdetr found an identity over time, and carries it over frames that were not inferred",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = VideoCapsBuilder::new().any_features().build();
            element::pad_templates(&caps, &caps)
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for Track {
    const MODE: gst_base::subclass::BaseTransformMode =
        gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn set_caps(&self, incaps: &gst::Caps, _: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = VideoInfo::from_caps(incaps)
            .map_err(|_| gst::loggable_error!(CAT, "caps {incaps}: not video"))?;
        self.state.lock().expect("never poisoned").info = Some(info);
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Segment(changed) => {
                let mut state = self.state.lock().expect("never poisoned");
                if let Some(segment) = changed.segment().downcast_ref::<gst::ClockTime>() {
                    state.segment = segment.clone();
                }
            }
            gst::EventView::FlushStop(_) | gst::EventView::StreamStart(_) => {
                self.state.lock().expect("never poisoned").reset();
            }
            _ => (),
        }
        self.parent_sink_event(event)
    }

    fn propose_allocation(
        &self,
        decide_query: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        self.parent_propose_allocation(decide_query, query)?;
        allocation::keep_understood(query, true);
        Ok(())
    }

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let wanted = self.settings.lock().expect("never poisoned").analytics;
        let analytics = wanted.open(*CAT, self.obj().upcast_ref())?;
        self.state.lock().expect("never poisoned").analytics = analytics;
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.state.lock().expect("never poisoned") = State::default();
        Ok(())
    }

    fn transform_ip(
        &self,
        buffer: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let options = self.settings.lock().expect("never poisoned");
        let options = options.options.clone();
        let mut state = self.state.lock().expect("never poisoned");
        let (width, height) = match &state.info {
            Some(info) => (info.width(), info.height()),
            None => return Err(gst::FlowError::NotNegotiated),
        };
        let now = state.time(buffer);
        let found = meta::read(buffer);
        if found.is_empty() {
            state.follow_others(buffer, now, &options);
            return Ok(gst::FlowSuccess::Ok);
        }
        let followed: Vec<FrameGrounding> = found
            .into_iter()
            .map(|found| state.follow(found, now, &options))
            .collect();
        let time = running_time(now);
        let written = state.analytics.map(|analytics| {
            let results = followed.iter().flat_map(|found| &found.grounding.queries);
            let detections = results.flat_map(|result| &result.detections);
            let tracks = detections.filter_map(|detection| detection.track);
            let first_seen = state.seen.on_frame(time, tracks, options.max_age);
            (analytics, first_seen)
        });
        drop(state);
        regions::remove(buffer);
        meta::remove(buffer);
        let writer = written
            .as_ref()
            .map(|(analytics, first_seen)| Writer::new(*analytics).seen(time, first_seen));
        for found in followed {
            regions::attach(buffer, found, width, height, writer);
        }
        Ok(gst::FlowSuccess::Ok)
    }
}
