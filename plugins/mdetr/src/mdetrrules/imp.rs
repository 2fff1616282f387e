//! Looks at the results on each frame, and adds what rules say.
//!
//! Lock order: `settings` and `state` are never held together, nor across a push, a query or a message.

use std::path::Path;
use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::{VideoCapsBuilder, VideoInfo};
use jiff::Timestamp;
use mdetr_gst::element::{self, TYPE_CHECKED};
use mdetr_gst::{events, meta, time};
use mdetr_rules::check::MAX_BYTES;
use mdetr_rules::{EndReason, Event, Fault, Moment, RuleSet};

use super::state::State;
use crate::{allocation, text_file};

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| element::debug_category("mdetrrules", "States and events of rules"));

#[derive(Debug, Clone, Default)]
struct Settings {
    /// Path of a file with rules.
    file: Option<String>,
    /// Rules that a program gave in place of a file's.
    given: Option<RuleSet>,
    /// Name in events; the element's, if not given.
    camera: Option<String>,
}

impl Settings {
    fn rules(&self) -> Result<RuleSet, String> {
        match (&self.given, &self.file) {
            (Some(given), _) => Ok(given.clone()),
            (None, Some(file)) => read(Path::new(file)),
            (None, None) => Ok(RuleSet::default()),
        }
    }
}

/// The rules of a file, if they pass their check.
fn read(path: &Path) -> Result<RuleSet, String> {
    let place = path.display();
    let text = text_file::read(path, MAX_BYTES as u64).map_err(|error| {
        format!("{place}: cannot be read: {error}; name a TOML file such as configs/rules.toml")
    })?;
    let text =
        text.ok_or_else(|| format!("{place}: more than {MAX_BYTES} bytes; these are no rules"))?;
    let rules = RuleSet::parse_toml(&text).map_err(|error| format!("{place}: {error}"))?;
    match rules.check(&[]) {
        faults if faults.is_empty() => Ok(rules),
        faults => Err(format!("{place}: {}", listed(&faults))),
    }
}

fn listed(faults: &[Fault]) -> String {
    let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
    faults.join("; ")
}

#[derive(Default)]
pub struct Rules {
    settings: Mutex<Settings>,
    state: Mutex<Option<State>>,
}

#[glib::object_subclass]
impl ObjectSubclass for Rules {
    const NAME: &'static str = "GstMdetrRules";
    type Type = super::Rules;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for Rules {
    fn properties() -> &'static [glib::ParamSpec] {
        static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecString::builder("rules")
                    .nick("Rules")
                    .blurb("Path of a TOML file with zones, lines and rules; set again, it is read again, and is in force from the next frame on")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("camera")
                    .nick("Camera")
                    .blurb("Name of the camera in events: letters, digits, - and _; default: the element's name")
                    .mutable_ready()
                    .build(),
            ]
        });
        &SPECS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let text: Option<String> = value.get().expect(TYPE_CHECKED);
        let settings = {
            let mut settings = self.settings.lock().expect("never poisoned");
            match pspec.name() {
                "rules" => {
                    settings.file = text;
                    settings.given = None;
                }
                "camera" => {
                    settings.camera = text;
                    return;
                }
                _ => unreachable!("GObject knows only the properties above"),
            }
            settings.clone()
        };
        if self.state.lock().expect("never poisoned").is_none() {
            return;
        }
        match settings.rules() {
            Ok(rules) => self.replace(rules),
            Err(error) => gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                ("{error}; the rules before stay in force")
            ),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings.lock().expect("never poisoned");
        match pspec.name() {
            "rules" => settings.file.to_value(),
            "camera" => settings.camera.to_value(),
            _ => unreachable!("GObject knows only the properties above"),
        }
    }
}

impl GstObjectImpl for Rules {}

impl ElementImpl for Rules {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            element::metadata(
                "Rules and events",
                "Filter/Analyzer/Video",
                "Tells of events: what mdetr found, by conditions on zones, lines, numbers and times",
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

impl BaseTransformImpl for Rules {
    const MODE: gst_base::subclass::BaseTransformMode =
        gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = self.settings.lock().expect("never poisoned").clone();
        let refused = |error| gst::error_msg!(gst::ResourceError::Settings, ["{error}"]);
        let rules = settings.rules().map_err(refused)?;
        let camera = settings.camera.unwrap_or_else(|| self.obj().name().into());
        let state = State::new(&camera, rules).map_err(|faults| refused(listed(&faults)))?;
        *self.state.lock().expect("never poisoned") = Some(state);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.end_all(EndReason::Stopped);
        *self.state.lock().expect("never poisoned") = None;
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = VideoInfo::from_caps(incaps)
            .map_err(|_| gst::loggable_error!(CAT, "caps {incaps}: not video"))?;
        if let Some(state) = &mut *self.state.lock().expect("never poisoned") {
            state.info = Some(info);
        }
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Segment(changed) => {
                if let Some(segment) = changed.segment().downcast_ref::<gst::ClockTime>()
                    && self.take_segment(segment)
                {
                    self.end_all(EndReason::StreamRestarted);
                }
            }
            gst::EventView::FlushStop(_)
            | gst::EventView::StreamStart(_)
            | gst::EventView::Eos(_) => {
                self.end_all(EndReason::StreamRestarted);
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

    fn transform_ip(
        &self,
        buffer: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let live = self.is_live();
        let found = meta::read(buffer);
        let (steps, report) = {
            let mut state = self.state.lock().expect("never poisoned");
            let state = state.as_mut().ok_or(gst::FlowError::Flushing)?;
            let time = state.time(buffer);
            let running = gst::ClockTime::from_nseconds(time.as_nanos() as u64);
            let captured = || time::captured(&*self.obj(), Some(running).filter(|_| live)?);
            let utc = time::referenced(buffer).or_else(captured);
            let utc = utc.unwrap_or_else(|| state.supposed_utc(time));
            let moment = Moment {
                time,
                // Times that no calendar has are no times of frames.
                utc: Timestamp::try_from(utc).unwrap_or(Timestamp::UNIX_EPOCH),
            };
            let steps = state.observe(moment, buffer, &found);
            (steps, state.report())
        };
        if let Some(report) = report {
            events::attach(buffer, report);
        }
        self.tell(&steps);
        Ok(gst::FlowSuccess::Ok)
    }
}

impl Rules {
    pub(super) fn set_rules(&self, rules: RuleSet) -> Result<(), Vec<Fault>> {
        match rules.check(&[]) {
            faults if faults.is_empty() => {
                self.settings.lock().expect("never poisoned").given = Some(rules.clone());
                self.replace(rules);
                Ok(())
            }
            faults => Err(faults),
        }
    }

    /// Puts checked rules in force at the next frame, if the element plays.
    fn replace(&self, rules: RuleSet) {
        if let Some(state) = &mut *self.state.lock().expect("never poisoned") {
            state.replace(rules);
        }
    }

    fn is_live(&self) -> bool {
        let known = |state: &Option<State>| state.as_ref().and_then(|state| state.live);
        if let Some(live) = known(&self.state.lock().expect("never poisoned")) {
            return live;
        }
        let live = time::is_live(self.obj().sink_pad());
        if let Some(state) = &mut *self.state.lock().expect("never poisoned") {
            state.live = Some(live);
        }
        live
    }

    /// Takes a segment; true if the stream goes on at another place.
    fn take_segment(&self, segment: &gst::FormattedSegment<gst::ClockTime>) -> bool {
        let mut state = self.state.lock().expect("never poisoned");
        let Some(state) = state.as_mut() else {
            return false;
        };
        let before = std::mem::replace(&mut state.segment, segment.clone());
        let place = |segment: &gst::FormattedSegment<gst::ClockTime>| {
            (
                segment.start(),
                segment.time(),
                segment.base(),
                segment.rate(),
            )
        };
        place(&before) != place(segment)
    }

    pub(super) fn end_all(&self, reason: EndReason) -> Vec<Event> {
        let events = match &mut *self.state.lock().expect("never poisoned") {
            Some(state) => state.end_all(reason),
            None => Vec::new(),
        };
        self.tell(&events);
        events
    }

    fn tell(&self, steps: &[Event]) {
        for event in steps {
            gst::debug!(CAT, imp = self, "{:?} {}", event.kind, event.id);
            let message = gst::message::Element::builder(events::message(event))
                .src(&*self.obj())
                .build();
            // A bus that is flushing takes none: then nobody listens.
            let _ = self.obj().post_message(message);
        }
    }
}
