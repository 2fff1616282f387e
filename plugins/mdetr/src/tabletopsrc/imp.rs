//! Frames of a moving scene, each a function of the seed and its number.
//!
//! Lock order: `settings` and `state` are never held together, nor while a frame is rendered.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;

use gst::glib;
use gst::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use gst_video::{VideoCapsBuilder, VideoFormat, VideoInfo, VideoRegionOfInterestMeta};
use mdetr_gst::element::{self, TYPE_CHECKED};
use mdetr_scenes::{MovingScene, Rendering, Scene, SceneOptions, render};

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| element::debug_category("tabletopsrc", "The tabletop world as video"));

/// Caps downstream does not narrow are fixed to these.
const DEFAULT_SIZE: (i32, i32) = (640, 480);
const DEFAULT_RATE: i32 = 30;

#[derive(Debug, Clone, Default)]
struct Settings {
    seed: u64,
    /// 0: as many as the seed draws.
    objects: u32,
    is_live: bool,
}

#[derive(Default)]
struct State {
    stream: Option<Stream>,
    /// Number of the next frame.
    frame: u64,
    /// Where a seek goes on, instead.
    position: Option<gst::ClockTime>,
    /// The next frame does not follow the last.
    discontinuous: bool,
    /// How long the last frame took to render.
    render_time: gst::ClockTime,
}

/// What caps and seed give.
#[derive(Clone)]
struct Stream {
    info: VideoInfo,
    scene: Arc<MovingScene>,
}

impl Stream {
    fn pts(&self, frame: u64) -> gst::ClockTime {
        let fps = self.info.fps();
        let ns = u128::from(frame) * 1_000_000_000 * fps.denom() as u128 / fps.numer() as u128;
        gst::ClockTime::from_nseconds(ns as u64)
    }

    /// The last frame that begins at or before `time`.
    fn frame_at(&self, time: gst::ClockTime) -> u64 {
        let fps = self.info.fps();
        let period = 1_000_000_000 * fps.denom() as u128;
        let scaled = u128::from(time.nseconds()) * fps.numer() as u128;
        let frame = (scaled / period) as u64;
        // Presentation times are rounded down, so the next frame may begin at `time` too.
        if self.pts(frame + 1) <= time {
            frame + 1
        } else {
            frame
        }
    }
}

#[derive(Default)]
pub struct TabletopSrc {
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for TabletopSrc {
    const NAME: &'static str = "GstMdetrTabletopSrc";
    type Type = super::TabletopSrc;
    type ParentType = gst_base::PushSrc;
}

impl ObjectImpl for TabletopSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
            vec![
                glib::ParamSpecUInt64::builder("seed")
                    .nick("Seed")
                    .blurb("Which scene to show; the same seed gives the same video")
                    .default_value(defaults.seed)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("objects")
                    .nick("Objects")
                    .blurb("Number of objects, fewer if there is no room; 0: 2 to 8 by the seed")
                    .maximum(SceneOptions::MAX_OBJECTS as u32)
                    .default_value(defaults.objects)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("is-live")
                    .nick("Is live")
                    .blurb("Show frames at their time, leaving out those that cannot be rendered by then")
                    .default_value(defaults.is_live)
                    .mutable_ready()
                    .build(),
            ]
        });
        &SPECS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = self.settings.lock().expect("never poisoned");
        match pspec.name() {
            "seed" => settings.seed = value.get().expect(TYPE_CHECKED),
            "objects" => settings.objects = value.get().expect(TYPE_CHECKED),
            "is-live" => {
                settings.is_live = value.get().expect(TYPE_CHECKED);
                let is_live = settings.is_live;
                drop(settings);
                self.obj().set_live(is_live);
            }
            _ => unreachable!("GObject knows only the properties above"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings.lock().expect("never poisoned");
        match pspec.name() {
            "seed" => settings.seed.to_value(),
            "objects" => settings.objects.to_value(),
            "is-live" => settings.is_live.to_value(),
            _ => unreachable!("GObject knows only the properties above"),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        self.obj().set_format(gst::Format::Time);
    }
}

impl GstObjectImpl for TabletopSrc {}

impl ElementImpl for TabletopSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            element::metadata(
                "Tabletop source",
                "Source/Video",
                "Renders simple solids moving on a table and attaches where they are",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let (least, greatest) = SceneOptions::SIDES;
            let sides = least as i32..=greatest as i32;
            let caps = VideoCapsBuilder::new()
                .format(VideoFormat::Rgb)
                .width_range(sides.clone())
                .height_range(sides)
                .framerate_range(gst::Fraction::new(1, i32::MAX)..gst::Fraction::new(i32::MAX, 1))
                .build();
            vec![element::pad_template("src", gst::PadDirection::Src, &caps)]
        });
        &TEMPLATES
    }
}

impl BaseSrcImpl for TabletopSrc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *self.state.lock().expect("never poisoned") = State::default();
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.state.lock().expect("never poisoned") = State::default();
        Ok(())
    }

    fn fixate(&self, mut caps: gst::Caps) -> gst::Caps {
        caps.truncate();
        {
            let structure = caps.make_mut().structure_mut(0).expect("one is left");
            structure.fixate_field_nearest_int("width", DEFAULT_SIZE.0);
            structure.fixate_field_nearest_int("height", DEFAULT_SIZE.1);
            structure
                .fixate_field_nearest_fraction("framerate", gst::Fraction::new(DEFAULT_RATE, 1));
        }
        self.parent_fixate(caps)
    }

    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = VideoInfo::from_caps(caps)
            .map_err(|_| gst::loggable_error!(CAT, "caps {caps}: not raw video"))?;
        let settings = self.settings.lock().expect("never poisoned").clone();
        let mut options = SceneOptions {
            width: info.width(),
            height: info.height(),
            ..SceneOptions::default()
        };
        if settings.objects > 0 {
            options.min_objects = settings.objects as usize;
            options.max_objects = settings.objects as usize;
        }
        if let Err(error) = options.check() {
            gst::element_imp_error!(self, gst::StreamError::Format, ("{error}"));
            return Err(gst::loggable_error!(CAT, "{error}"));
        }
        let scene = Arc::new(MovingScene::new(settings.seed, &options));
        let stream = Stream { info, scene };
        let mut state = self.state.lock().expect("never poisoned");
        if let Some(before) = &state.stream {
            // Time goes on where it was, at the new rate.
            let reached = before
                .pts(state.frame)
                .saturating_sub(gst::ClockTime::NSECOND);
            state.frame = if state.frame == 0 {
                0
            } else {
                stream.frame_at(reached) + 1
            };
        }
        state.stream = Some(stream);
        Ok(())
    }

    /// When a live frame is due; other frames leave as soon as they are made.
    fn times(&self, buffer: &gst::BufferRef) -> (Option<gst::ClockTime>, Option<gst::ClockTime>) {
        if self.obj().is_live() {
            let begin = buffer.pts();
            (begin, begin.opt_add(buffer.duration()))
        } else {
            (None, None)
        }
    }

    fn is_seekable(&self) -> bool {
        !self.settings.lock().expect("never poisoned").is_live
    }

    fn do_seek(&self, segment: &mut gst::Segment) -> bool {
        let Some(segment) = segment.downcast_mut::<gst::ClockTime>() else {
            return false;
        };
        if segment.rate() < 0.0 {
            return false;
        }
        let start = segment.start();
        segment.set_time(start);
        let position = segment.position().or(start);
        self.state.lock().expect("never poisoned").position = position;
        true
    }
}

impl PushSrcImpl for TabletopSrc {
    fn create(
        &self,
        _buffer: Option<&mut gst::BufferRef>,
    ) -> Result<CreateSuccess, gst::FlowError> {
        let seed = self.settings.lock().expect("never poisoned").seed;
        let (stream, frame, discontinuous) = self.next_frame()?;
        let begun = Instant::now();
        let time = stream.pts(frame);
        let scene = stream.scene.at(time.nseconds() as f64 / 1e9);
        let (width, height) = (stream.info.width(), stream.info.height());
        let rendering = render(&scene, width, height, seed.wrapping_add(frame));
        let render_time = gst::ClockTime::from_nseconds(begun.elapsed().as_nanos() as u64);
        self.state.lock().expect("never poisoned").render_time = render_time;

        let truth = rendering.ground_truth();
        let mut buffer = pixels(rendering, &stream.info);
        {
            let buffer = buffer.get_mut().expect("the only reference");
            buffer.set_pts(time);
            buffer.set_duration(stream.pts(frame + 1) - time);
            buffer.set_offset(frame);
            buffer.set_offset_end(frame + 1);
            if discontinuous {
                buffer.set_flags(gst::BufferFlags::DISCONT);
            }
            for named in truth.named(&scene) {
                attach_truth(buffer, &scene, &named, (width, height));
            }
        }
        Ok(CreateSuccess::NewBuffer(buffer))
    }
}

impl TabletopSrc {
    /// The next frame: the one after the last, or when live the first that can be ready in time.
    fn next_frame(&self) -> Result<(Stream, u64, bool), gst::FlowError> {
        let live = self.settings.lock().expect("never poisoned").is_live;
        let now = if live {
            self.obj().current_running_time()
        } else {
            None
        };
        let mut state = self.state.lock().expect("never poisoned");
        let stream = state.stream.clone().ok_or(gst::FlowError::NotNegotiated)?;
        if let Some(position) = state.position.take() {
            let frame = stream.frame_at(position);
            state.discontinuous = frame != state.frame;
            state.frame = frame;
        }
        // A frame whose time has come is late once it is rendered, by the time that takes.
        let late = now.is_some_and(|now| now > stream.pts(state.frame + 1));
        let mut discontinuous = std::mem::take(&mut state.discontinuous);
        if let Some(now) = now.filter(|_| late) {
            let reachable = stream.frame_at(now + state.render_time) + 1;
            discontinuous |= reachable > state.frame;
            state.frame = state.frame.max(reachable);
        }
        let frame = state.frame;
        state.frame += 1;
        Ok((stream, frame, discontinuous))
    }
}

/// The picture in a buffer with the strides of its caps.
fn pixels(rendering: Rendering, info: &VideoInfo) -> gst::Buffer {
    let row = rendering.width as usize * 3;
    let stride = info.stride()[0] as usize;
    if stride == row {
        return gst::Buffer::from_mut_slice(rendering.rgb);
    }
    let mut padded = vec![0; info.size()];
    for (target, source) in padded
        .chunks_mut(stride)
        .zip(rendering.rgb.chunks_exact(row))
    {
        target[..row].copy_from_slice(source);
    }
    gst::Buffer::from_mut_slice(padded)
}

/// Id of the region of the first object: out of the way of numbers that GstAnalytics gives, which regions have as ids, and
/// below where readers in Python, which know a region by its id only, stop looking.
const FIRST_ID: i32 = 1000;

/// One object as a region of interest: what another detector would find if it were perfect.
///
/// The region's type is the object's words, of which there are few enough for GQuarks: before 1.24,
/// GStreamer loses the parameters of regions where it converts or scales frames.
fn attach_truth(
    buffer: &mut gst::BufferRef,
    scene: &Scene,
    named: &mdetr_scenes::NamedBox,
    (width, height): (u32, u32),
) {
    let [x, y, w, h] = named.bbox;
    let unit = |value: u32, side: u32| f64::from(value) / f64::from(side);
    let object = &scene.objects[named.object];
    let mut meta = VideoRegionOfInterestMeta::add(buffer, &named.words, (x, y, w, h));
    meta.set_id(FIRST_ID + named.object as i32);
    meta.add_param(
        gst::Structure::builder("detection")
            .field("label", &named.words)
            .field("confidence", 1.0)
            .field("x_min", unit(x, width))
            .field("y_min", unit(y, height))
            .field("x_max", unit(x + w, width))
            .field("y_max", unit(y + h, height))
            .build(),
    );
    meta.add_param(
        gst::Structure::builder("tabletop")
            .field("object", named.object as u32)
            .field("size", object.size.word())
            .field("colour", object.colour.word())
            .field("material", object.material.word())
            .field("shape", object.shape.word())
            .build(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(numer: i32, denom: i32) -> Stream {
        gst::init().expect("GStreamer is installed");
        let info = VideoInfo::builder(VideoFormat::Rgb, 64, 64)
            .fps(gst::Fraction::new(numer, denom))
            .build()
            .expect("valid");
        let options = SceneOptions {
            min_objects: 1,
            max_objects: 1,
            width: 64,
            height: 64,
            ..SceneOptions::default()
        };
        Stream {
            info,
            scene: Arc::new(MovingScene::new(1, &options)),
        }
    }

    #[test]
    fn frames_and_times_agree_at_any_rate() {
        for (numer, denom) in [
            (30, 1),
            (30000, 1001),
            (25, 1),
            (1, 7),
            (240, 1),
            (60000, 1001),
        ] {
            let stream = stream(numer, denom);
            for frame in [0, 1, 2, 29, 30, 31, 1000, 12345] {
                assert_eq!(stream.frame_at(stream.pts(frame)), frame, "{numer}/{denom}");
                let before_next = stream.pts(frame + 1) - gst::ClockTime::NSECOND;
                assert_eq!(stream.frame_at(before_next), frame, "{numer}/{denom}");
            }
        }
        assert_eq!(
            stream(30000, 1001).pts(30000),
            gst::ClockTime::from_seconds(1001)
        );
    }
}
