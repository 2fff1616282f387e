//! Drawing on or over frames.
//!
//! The drawing becomes an overlay composition. If downstream takes compositions (a GL sink does), it is
//! attached and the pixels stay untouched; otherwise it is blended into the frame, whatever its format.
//!
//! Lock order: `settings` and `state` are never held together, nor across a push.

use std::sync::{Arc, LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::{
    VideoCapsBuilder, VideoFormat, VideoFrameRef, VideoInfo, VideoMeta, VideoOverlayComposition,
    VideoOverlayCompositionMeta, VideoOverlayFormatFlags, VideoOverlayRectangle,
};
use mdetr::Grounding;
use mdetr_draw::{Drawing, LineMark, Mark, Patch, Style, ZoneMark};
use mdetr_gst::element::{self, TYPE_CHECKED};
use mdetr_gst::pixels;
use mdetr_gst::{events, meta, regions};

use super::Regions;
use super::formats::{self, blendable};
use super::shapes;
use crate::allocation;

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| element::debug_category("mdetroverlay", "Drawing of detections"));

const FEATURE: &glib::GStr = gst_video::CAPS_FEATURE_META_GST_VIDEO_OVERLAY_COMPOSITION;

#[derive(Debug, Clone)]
struct Settings {
    style: Style,
    regions: Regions,
    show_rules: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            style: Style::default(),
            regions: Regions::default(),
            show_rules: true,
        }
    }
}

#[derive(Default)]
struct State {
    info: Option<VideoInfo>,
    /// Frames of these caps can be blended into.
    blendable: bool,
    /// The caps on the source pad announce compositions.
    announced: bool,
    /// Whether downstream's answer to an allocation query asks for compositions; asked at the first frame.
    wanted: Option<bool>,
    last: Option<Last>,
    /// Whether the warning that there are no fonts was posted.
    warned_no_fonts: bool,
}

/// The last drawing: results often stand for several frames.
struct Last {
    groundings: Vec<Arc<Grounding>>,
    zones: Vec<ZoneMark>,
    lines: Vec<LineMark>,
    composition: VideoOverlayComposition,
}

#[derive(Default)]
pub struct Overlay {
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for Overlay {
    const NAME: &'static str = "GstMdetrOverlay";
    type Type = super::Overlay;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for Overlay {
    fn properties() -> &'static [glib::ParamSpec] {
        static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let Settings {
                style,
                regions,
                show_rules,
            } = Settings::default();
            let flag = |name, nick, blurb, default| {
                glib::ParamSpecBoolean::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .default_value(default)
                    .mutable_playing()
                    .build()
            };
            vec![
                glib::ParamSpecDouble::builder("line-width")
                    .nick("Line width")
                    .blurb("Width of box outlines in pixels; 0: by the size of the frame")
                    .minimum(0.0)
                    .maximum(64.0)
                    .default_value(style.line_width)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("font")
                    .nick("Font")
                    .blurb("Pango font description, such as \"Sans Bold 14\"; without a size: by the size of the frame")
                    .default_value(Some(style.font.as_str()))
                    .mutable_playing()
                    .build(),
                flag(
                    "show-scores",
                    "Show scores",
                    "Write the score behind the phrase",
                    style.show_scores,
                ),
                flag(
                    "show-tracks",
                    "Show tracks",
                    "Write the track id before the phrase",
                    style.show_tracks,
                ),
                flag(
                    "show-masks",
                    "Show masks",
                    "Tint and outline the objects' pixels, if the model draws masks",
                    style.show_masks,
                ),
                flag(
                    "show-absent",
                    "Show absent queries",
                    "List queries with nothing found in the lower left corner",
                    style.show_absent,
                ),
                flag(
                    "show-rules",
                    "Show rules",
                    "Draw the zones and lines of mdetrrules, brighter while something happens there",
                    show_rules,
                ),
                glib::ParamSpecEnum::builder_with_default("regions", regions)
                    .nick("Regions")
                    .blurb("Whether to draw regions of interest of other elements")
                    .mutable_playing()
                    .build(),
            ]
        });
        &SPECS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let flag = || value.get::<bool>().expect(TYPE_CHECKED);
        {
            let mut settings = self.settings.lock().expect("never poisoned");
            match pspec.name() {
                "line-width" => settings.style.line_width = value.get().expect(TYPE_CHECKED),
                "font" => {
                    let font: Option<String> = value.get().expect(TYPE_CHECKED);
                    settings.style.font = font.unwrap_or_else(|| Style::default().font);
                }
                "show-scores" => settings.style.show_scores = flag(),
                "show-tracks" => settings.style.show_tracks = flag(),
                "show-masks" => settings.style.show_masks = flag(),
                "show-absent" => settings.style.show_absent = flag(),
                "show-rules" => settings.show_rules = flag(),
                "regions" => settings.regions = value.get().expect(TYPE_CHECKED),
                _ => unreachable!("GObject knows only the properties above"),
            }
        }
        self.state.lock().expect("never poisoned").last = None;
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings.lock().expect("never poisoned");
        match pspec.name() {
            "line-width" => settings.style.line_width.to_value(),
            "font" => settings.style.font.to_value(),
            "show-scores" => settings.style.show_scores.to_value(),
            "show-tracks" => settings.style.show_tracks.to_value(),
            "show-masks" => settings.style.show_masks.to_value(),
            "show-absent" => settings.style.show_absent.to_value(),
            "show-rules" => settings.show_rules.to_value(),
            "regions" => settings.regions.to_value(),
            _ => unreachable!("GObject knows only the properties above"),
        }
    }
}

impl GstObjectImpl for Overlay {}

impl ElementImpl for Overlay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            element::metadata(
                "Overlay of detections",
                "Filter/Effect/Video",
                "Draws the boxes, phrases and scores that mdetr or another detector attached",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let mut caps = blendable();
            caps.merge(VideoCapsBuilder::new().any_features().build());
            element::pad_templates(&caps, &caps)
        });
        &TEMPLATES
    }
}

/// `caps` with compositions announced, or not announced.
fn announcing(caps: &gst::Caps, announced: bool) -> gst::Caps {
    let mut changed = gst::Caps::new_empty();
    for (structure, features) in caps.iter_with_features() {
        let mut features = features.to_owned();
        if announced && !features.is_any() && !features.contains(FEATURE) {
            features.add(FEATURE);
        } else if !announced {
            features.remove(FEATURE);
        }
        changed
            .make_mut()
            .append_structure_full(structure.to_owned(), Some(features));
    }
    changed
}

impl BaseTransformImpl for Overlay {
    const MODE: gst_base::subclass::BaseTransformMode =
        gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let mut other = match direction {
            // Announced if downstream takes that, else what can be blended into or announces already.
            gst::PadDirection::Sink => {
                let mut other = announcing(caps, true);
                other.merge(caps.intersect(&blendable()));
                other
            }
            _ => {
                let mut other = caps.clone();
                other.merge(announcing(caps, false));
                other
            }
        };
        if let Some(filter) = filter {
            other = filter.intersect_with_mode(&other, gst::CapsIntersectMode::First);
        }
        Some(other)
    }

    fn set_caps(&self, incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = VideoInfo::from_caps(incaps)
            .map_err(|_| gst::loggable_error!(CAT, "caps {incaps}: not raw video"))?;
        let mut plain = incaps.to_owned();
        plain.make_mut().set_features_simple(None);
        let mut state = self.state.lock().expect("never poisoned");
        state.info = Some(info);
        state.blendable = blendable().can_intersect(&plain);
        state.announced = outcaps
            .features(0)
            .is_some_and(|features| features.contains(FEATURE));
        state.wanted = None;
        state.last = None;
        Ok(())
    }

    fn propose_allocation(
        &self,
        decide_query: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        self.parent_propose_allocation(decide_query, query)?;
        // What this element blends into must be the whole picture, and have no overlay that would
        // come on top of it.
        let announced = self.state.lock().expect("never poisoned").announced;
        allocation::keep_understood(query, announced);
        Ok(())
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Reconfigure {
            let mut state = self.state.lock().expect("never poisoned");
            state.wanted = None;
            state.last = None;
        }
        self.parent_src_event(event)
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.state.lock().expect("never poisoned") = State::default();
        Ok(())
    }

    fn transform_ip(
        &self,
        buffer: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (info, blends) = {
            let state = self.state.lock().expect("never poisoned");
            (state.info.clone(), state.blendable)
        };
        let info = info.ok_or(gst::FlowError::NotNegotiated)?;
        if buffer.size() == 0 {
            return Ok(gst::FlowSuccess::Ok);
        }
        let attaches = self.attaches();
        let alpha = match attaches {
            true => Alpha::Premultiplied,
            false => Alpha::blending_into(info.format()),
        };
        let result = match self.compose(buffer, &info, alpha) {
            Ok(None) => Ok(()),
            Ok(Some(composition)) if attaches => {
                attach_composition(buffer, composition);
                Ok(())
            }
            Ok(Some(composition)) if blends => blend(buffer, &info, &composition),
            Ok(Some(_)) => Err(format!(
                "into {} of {}x{}, and downstream takes no overlays; put videoconvert before this element",
                info.format(),
                info.width(),
                info.height()
            )),
            Err(error) => Err(error.to_string()),
        };
        result.map(|()| gst::FlowSuccess::Ok).map_err(|error| {
            gst::element_imp_error!(self, gst::StreamError::Failed, ("cannot draw: {error}"));
            gst::FlowError::Error
        })
    }
}

impl Overlay {
    /// Whether compositions are attached, not blended. An in-place transform asks for no allocation of
    /// its own, so downstream is asked here.
    fn attaches(&self) -> bool {
        let (announced, wanted) = {
            let state = self.state.lock().expect("never poisoned");
            (state.announced, state.wanted)
        };
        if let Some(wanted) = wanted {
            return announced && wanted;
        }
        let obj = self.obj();
        let caps = obj.src_pad().current_caps();
        let mut query = gst::query::Allocation::new(caps.as_ref(), false);
        let wanted = announced
            && obj.src_pad().peer_query(&mut query)
            && query
                .find_allocation_meta::<VideoOverlayCompositionMeta>()
                .is_some();
        self.state.lock().expect("never poisoned").wanted = Some(wanted);
        wanted
    }

    /// What to lay over the frame; `None` if there is nothing to draw.
    fn compose(
        &self,
        buffer: &gst::BufferRef,
        info: &VideoInfo,
        alpha: Alpha,
    ) -> Result<Option<VideoOverlayComposition>, mdetr_draw::Error> {
        let settings = self.settings.lock().expect("never poisoned").clone();
        let found = meta::read(buffer);
        let groundings: Vec<_> = found.iter().map(|f| f.grounding.clone()).collect();
        let others = match settings.regions {
            Regions::Never => false,
            Regions::Fallback => groundings.is_empty(),
            Regions::Always => true,
        };
        let others = if others {
            regions::foreign(buffer)
        } else {
            Vec::new()
        };
        let (zones, lines) = match settings.show_rules {
            true => shapes::of(&events::read(buffer)),
            false => Default::default(),
        };
        if others.is_empty()
            && let Some(last) = self.last_for(&groundings, &zones, &lines)
        {
            return Ok(Some(last));
        }
        let mut drawing = Drawing::new(info.width().into(), info.height().into());
        for result in &found {
            let part = Drawing::from(result.grounding.as_ref());
            drawing.append(match found.len() {
                1 => part,
                _ => part.in_group(&result.element),
            });
        }
        let reusable = others.is_empty();
        let drawing = others.into_iter().fold(drawing, |drawing, region| {
            drawing.with_mark(region_mark(region))
        });
        let drawing = zones.iter().cloned().fold(drawing, Drawing::with_zone);
        let drawing = lines.iter().cloned().fold(drawing, Drawing::with_line);
        if !drawing.is_empty() {
            self.warn_no_fonts();
        }
        let patches = drawing.patches(info.width(), info.height(), &settings.style)?;
        if patches.is_empty() {
            return Ok(None);
        }
        let rectangles: Vec<_> = patches
            .into_iter()
            .map(|patch| rectangle(patch, alpha))
            .collect();
        let composition = composition(&rectangles);
        let last = reusable.then(|| Last {
            groundings,
            zones,
            lines,
            composition: composition.clone(),
        });
        self.state.lock().expect("never poisoned").last = last;
        Ok(Some(composition))
    }

    /// Warns once per stream if there are no fonts for the words.
    fn warn_no_fonts(&self) {
        if mdetr_draw::has_fonts() {
            return;
        }
        let mut state = self.state.lock().expect("never poisoned");
        if !std::mem::replace(&mut state.warned_no_fonts, true) {
            drop(state);
            gst::element_imp_warning!(
                self,
                gst::ResourceError::NotFound,
                ("{}", mdetr_draw::NO_FONTS)
            );
        }
    }

    /// The last composition if it was made of the same results, zones and lines.
    fn last_for(
        &self,
        groundings: &[Arc<Grounding>],
        zones: &[ZoneMark],
        lines: &[LineMark],
    ) -> Option<VideoOverlayComposition> {
        let state = self.state.lock().expect("never poisoned");
        let last = state.last.as_ref()?;
        let same = last.zones == zones
            && last.lines == lines
            && last.groundings.len() == groundings.len()
            && last
                .groundings
                .iter()
                .zip(groundings)
                .all(|(a, b)| Arc::ptr_eq(a, b));
        same.then(|| last.composition.clone())
    }
}

fn region_mark(region: regions::Region) -> Mark {
    let (x, y, width, height) = region.rect;
    Mark {
        key: region.label.clone(),
        x: x.into(),
        y: y.into(),
        width: width.into(),
        height: height.into(),
        label: region.label,
        score: region.score,
        track: region.track,
        mask: None,
    }
}

/// How the colours of a rectangle relate to its alpha.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Alpha {
    Premultiplied,
    Straight,
}

impl Alpha {
    /// What GStreamer blends rightly into this format.
    fn blending_into(format: VideoFormat) -> Alpha {
        match formats::depth(format) {
            // The product of a premultiplied colour overflows, up to 1.28 at least, which spoils bright
            // colours on a transparent ground.
            16 => Alpha::Straight,
            _ => Alpha::Premultiplied,
        }
    }
}

/// Divides premultiplied words of alpha, red, green, blue by their alpha.
fn straighten(pixels: &mut [u8]) {
    for pixel in pixels.chunks_exact_mut(4) {
        let word = u32::from_ne_bytes(pixel.try_into().expect("chunks of four"));
        let alpha = word >> 24;
        if (1..255).contains(&alpha) {
            let straight = |shift: u32| {
                let colour = (word >> shift) & 0xff;
                ((colour * 255 + alpha / 2) / alpha).min(255) << shift
            };
            let word = (alpha << 24) | straight(16) | straight(8) | straight(0);
            pixel.copy_from_slice(&word.to_ne_bytes());
        }
    }
}

fn rectangle(mut patch: Patch, alpha: Alpha) -> VideoOverlayRectangle {
    // cairo's words of alpha, red, green, blue.
    let format = if cfg!(target_endian = "little") {
        VideoFormat::Bgra
    } else {
        VideoFormat::Argb
    };
    let (x, y, width, height) = (patch.x as i32, patch.y as i32, patch.width, patch.height);
    let flags = match alpha {
        Alpha::Premultiplied => VideoOverlayFormatFlags::PREMULTIPLIED_ALPHA,
        Alpha::Straight => VideoOverlayFormatFlags::empty(),
    };
    if alpha == Alpha::Straight {
        straighten(&mut patch.pixels);
    }
    let mut buffer = gst::Buffer::from_mut_slice(patch.pixels);
    VideoMeta::add(
        buffer.get_mut().expect("the only reference"),
        gst_video::VideoFrameFlags::empty(),
        format,
        width,
        height,
    )
    .expect("the buffer holds width x height words");
    VideoOverlayRectangle::new_raw(&buffer, x, y, width, height, flags)
}

/// `rectangles`, the last on top.
fn composition(rectangles: &[VideoOverlayRectangle]) -> VideoOverlayComposition {
    // By reference: GStreamer takes a reference of its own, and what gstreamer-video 0.25 makes of
    // owned rectangles never gives theirs back.
    rectangles.iter().collect()
}

/// Attaches the composition, behind what an element before this one attached.
fn attach_composition(buffer: &mut gst::BufferRef, ours: VideoOverlayComposition) {
    match buffer.meta_mut::<VideoOverlayCompositionMeta>() {
        Some(mut meta) => {
            let theirs = meta.overlay_owned();
            let both: Vec<_> = theirs.iter().chain(ours.iter()).collect();
            meta.set_overlay(&composition(&both));
        }
        None => {
            VideoOverlayCompositionMeta::add(buffer, &ours);
        }
    }
}

fn blend(
    buffer: &mut gst::BufferRef,
    info: &VideoInfo,
    composition: &VideoOverlayComposition,
) -> Result<(), String> {
    pixels::check(buffer, info).map_err(|error| error.to_string())?;
    let mut mapped = VideoFrameRef::from_buffer_ref_writable(buffer, info)
        .map_err(|_| pixels::BufferError::Map("writing").to_string())?;
    composition
        .blend(&mut mapped)
        .map_err(|error| error.to_string())
}
