//! Frames in, lines out.
//!
//! Lock order: `settings` and `state` are never held together, nor across a push or query.

use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::{VideoCapsBuilder, VideoMeta};
use mdetr::Grounding;
use mdetr::report::FrameInfo;
use mdetr::report::{self, Part};
use mdetr_gst::element::{self, TYPE_CHECKED};
use mdetr_gst::meta::{self, FrameGrounding};
use mdetr_gst::{events, regions, time};

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| element::debug_category("mdetr2json", "Detections as JSON"));

#[derive(Debug, Clone)]
struct Settings {
    source: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            source: "video".into(),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    size: Option<(u32, u32)>,
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    frames: u64,
    /// Whether upstream is live; asked at the first frame.
    live: Option<bool>,
}

pub struct ToJson {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

fn json_caps() -> gst::Caps {
    gst::Caps::builder("application/x-json")
        .field("format", "mdetr/1")
        .build()
}

#[glib::object_subclass]
impl ObjectSubclass for ToJson {
    const NAME: &'static str = "GstMdetrToJson";
    type Type = super::ToJson;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| {
            class
                .pad_template(name)
                .expect("both templates are installed")
        };
        let sinkpad = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.sink_chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_query(pad, query))
            })
            .build();
        let srcpad = gst::Pad::builder_from_template(&template("src"))
            .flags(gst::PadFlags::FIXED_CAPS)
            .build();
        ToJson {
            sinkpad,
            srcpad,
            settings: Mutex::default(),
            state: Mutex::default(),
        }
    }
}

impl ObjectImpl for ToJson {
    fn properties() -> &'static [glib::ParamSpec] {
        static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecString::builder("source")
                    .nick("Source")
                    .blurb("Name of the camera, file or stream, for the field \"source\"")
                    .default_value(Some(Settings::default().source.as_str()))
                    .mutable_playing()
                    .build(),
            ]
        });
        &SPECS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = self.settings.lock().expect("never poisoned");
        match pspec.name() {
            "source" => {
                let source: Option<String> = value.get().expect(TYPE_CHECKED);
                settings.source = source.unwrap_or_else(|| Settings::default().source);
            }
            _ => unreachable!("GObject knows only the properties above"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings.lock().expect("never poisoned");
        match pspec.name() {
            "source" => settings.source.to_value(),
            _ => unreachable!("GObject knows only the properties above"),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        element::add_pads(self.obj().upcast_ref(), [&self.sinkpad, &self.srcpad]);
    }
}

impl GstObjectImpl for ToJson {}

impl ElementImpl for ToJson {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            element::metadata(
                "Detections as JSON",
                "Converter/Video/Metadata",
                "Writes what mdetr or another detector found as one line of JSON per frame, schema mdetr/1",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let video = VideoCapsBuilder::new().any_features().build();
            element::pad_templates(&video, &json_caps())
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            *self.state.lock().expect("never poisoned") = State::default();
        }
        self.parent_change_state(transition)
    }
}

impl ToJson {
    fn sink_chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let live = self.is_live();
        let (size, frame, running_time) = {
            let mut state = self.state.lock().expect("never poisoned");
            let frame = state.frames;
            state.frames += 1;
            let segment = state.segment.as_ref();
            let running_time = segment
                .zip(buffer.pts())
                .and_then(|(s, pts)| s.to_running_time(pts));
            (state.size, frame, running_time)
        };
        let Some((width, height)) = size else {
            gst::element_imp_error!(
                self,
                gst::CoreError::Negotiation,
                ("a frame came before its caps")
            );
            return Err(gst::FlowError::NotNegotiated);
        };
        let captured = || time::captured(&*self.obj(), running_time.filter(|_| live)?);
        let found = meta::read(&buffer);
        let info = FrameInfo {
            source: self.settings.lock().expect("never poisoned").source.clone(),
            frame,
            pts_ns: buffer.pts().map(gst::ClockTime::nseconds),
            utc: time::referenced(&buffer).or_else(captured),
            age_ms: found.iter().map(|f| milliseconds(f.age)).reduce(f64::max),
        };
        let scaled: Vec<Grounding> = found.iter().map(|f| f.scaled(width, height)).collect();
        let mut line = match scaled.as_slice() {
            [] => report::to_json_line(&info, &regions::grounding(&buffer, width, height)),
            [only] => report::to_json_line(&info, only),
            several => {
                let part = |(found, grounding)| part(found, grounding);
                let parts: Vec<Part> = found.iter().zip(several).map(part).collect();
                report::to_json_line_of_parts(&info, [width, height], &parts)
            }
        };
        let watched = events::read(&buffer);
        if !watched.is_empty() {
            let states: Vec<_> = watched.iter().flat_map(|of| &of.states).collect();
            let steps: Vec<_> = watched.iter().flat_map(|of| &of.events).collect();
            report::add_rules(&mut line, &states, &steps);
        }
        line.push('\n');
        gst::trace!(CAT, imp = self, "{line}");
        let mut output = gst::Buffer::from_slice(line.into_bytes());
        buffer
            .copy_into(
                output.get_mut().expect("the only reference"),
                gst::BufferCopyFlags::TIMESTAMPS,
                ..,
            )
            .expect("timestamps can always be copied");
        self.srcpad.push(output)
    }

    fn is_live(&self) -> bool {
        if let Some(live) = self.state.lock().expect("never poisoned").live {
            return live;
        }
        let live = time::is_live(&self.sinkpad);
        self.state.lock().expect("never poisoned").live = Some(live);
        live
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(caps) => {
                let structure = caps.caps().structure(0);
                let side = |name| {
                    let side = structure.and_then(|s| s.get::<i32>(name).ok());
                    side.and_then(|side| u32::try_from(side).ok())
                        .filter(|&side| side > 0)
                };
                let size = side("width").zip(side("height"));
                if size.is_none() {
                    gst::error!(CAT, imp = self, "caps {}: no size", caps.caps());
                    return false;
                }
                self.state.lock().expect("never poisoned").size = size;
                return self.srcpad.push_event(gst::event::Caps::new(&json_caps()));
            }
            gst::EventView::Segment(segment) => {
                let segment = segment.segment().clone();
                self.state.lock().expect("never poisoned").segment = segment.downcast().ok();
            }
            _ => (),
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Allocation(allocation) = query.view_mut() {
            // Pixels are not looked at, so they may lie as they like.
            allocation.add_allocation_meta::<VideoMeta>(None);
            return true;
        }
        gst::Pad::query_default(pad, Some(&*self.obj()), query)
    }
}

fn part<'a>(found: &'a FrameGrounding, grounding: &'a Grounding) -> Part<'a> {
    Part {
        element: &found.element,
        age_ms: milliseconds(found.age),
        grounding,
    }
}

fn milliseconds(age: gst::ClockTime) -> f64 {
    age.nseconds() as f64 / 1e6
}
