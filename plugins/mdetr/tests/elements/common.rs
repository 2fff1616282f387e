//! What the tests share.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once};

use gst::glib;
use gst::prelude::*;

/// Longest any pipeline of these tests may take on a busy machine.
pub const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(120);

/// Registers the plugin; from here on any warning of GLib or GStreamer's checks ends the test.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().expect("GStreamer is installed");
        glib::log_set_always_fatal(
            glib::LogLevels::LEVEL_CRITICAL | glib::LogLevels::LEVEL_WARNING,
        );
        gstmdetr::plugin_register_static().expect("the plugin registers");
    });
}

/// The bundle to test with: `$MDETR_MODEL`, else the repository's.
pub fn model() -> PathBuf {
    match env::var_os("MDETR_MODEL") {
        Some(dir) => dir.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tabletop"),
    }
}

/// A bundle of chance weights that remembers nothing and loads and runs in no time, for tests that need neither what is
/// found, nor a memory, nor a frame that is still in flight.
pub fn small_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src/mdetr/tests/data/official/resnet101")
}

/// A pipeline in which `MODEL` stands for the bundle, an `mdetr` without threshold for `MDETR`, and the same with the
/// [`small_model`] for `SMALL_MDETR`.
pub fn pipeline(description: &str) -> gst::Pipeline {
    init();
    let quoted = |model: PathBuf| format!("\"{}\"", model.display());
    let mdetr = "mdetr name=mdetr score-threshold=0 model=";
    let model = quoted(model());
    let description = description
        .replace("SMALL_MDETR", &format!("{mdetr}{}", quoted(small_model())))
        .replace("MDETR", &format!("{mdetr}{model}"))
        .replace("MODEL", &model);
    let element = gst::parse::launch(&description).expect(&description);
    element.downcast().expect("more than one element")
}

/// An `mdetr` without threshold.
pub fn mdetr(query: &str) -> gst::Element {
    with_model(model(), query)
}

/// The same with the [`small_model`].
pub fn small_mdetr(query: &str) -> gst::Element {
    with_model(small_model(), query)
}

fn with_model(model: PathBuf, query: &str) -> gst::Element {
    init();
    gst::ElementFactory::make("mdetr")
        .property("model", model.display().to_string())
        .property("query", query)
        .property("score-threshold", 0f32)
        .build()
        .expect("the plugin is registered")
}

/// A harness around an `mdetr` for frames of these caps.
pub fn harness(element: &gst::Element, caps: &str) -> gst_check::Harness {
    let mut harness = gst_check::Harness::with_element(element, Some("sink"), Some("src"));
    harness.set_src_caps_str(caps);
    harness
}

/// Plays until EOS; gives the error that came instead.
pub fn run(pipeline: &gst::Pipeline) -> Result<(), String> {
    let played = pipeline.set_state(gst::State::Playing);
    let result = match played {
        Err(_) => Err(next_error(pipeline)),
        Ok(_) => wait_for_end(pipeline),
    };
    pipeline
        .set_state(gst::State::Null)
        .expect("any pipeline stops");
    result
}

pub fn wait_for_end(pipeline: &gst::Pipeline) -> Result<(), String> {
    let bus = pipeline.bus().expect("a pipeline has a bus");
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    match bus.timed_pop_filtered(PATIENCE, &kinds) {
        None => panic!("neither EOS nor an error within {PATIENCE}"),
        Some(message) => match message.view() {
            gst::MessageView::Error(error) => Err(error_text(error)),
            _ => Ok(()),
        },
    }
}

/// The first error on the bus.
pub fn next_error(pipeline: &impl IsA<gst::Element>) -> String {
    let bus = pipeline.bus().expect("a pipeline has a bus");
    let message = bus
        .timed_pop_filtered(PATIENCE, &[gst::MessageType::Error])
        .expect("an error");
    match message.view() {
        gst::MessageView::Error(error) => error_text(error),
        _ => unreachable!("only errors were asked for"),
    }
}

fn error_text(error: &gst::message::Error) -> String {
    format!("{} ({})", error.error(), error.debug().unwrap_or_default())
}

/// What of a frame must not change on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub pts: Option<gst::ClockTime>,
    pub dts: Option<gst::ClockTime>,
    pub duration: Option<gst::ClockTime>,
    pub offset: u64,
    pub pixels: u64,
    /// Where the pixels lie.
    pub address: usize,
}

pub fn seen(buffer: &gst::BufferRef) -> Seen {
    let map = buffer.map_readable().expect("system memory");
    let mut hasher = DefaultHasher::new();
    map.as_slice().hash(&mut hasher);
    Seen {
        pts: buffer.pts(),
        dts: buffer.dts(),
        duration: buffer.duration(),
        offset: buffer.offset(),
        pixels: hasher.finish(),
        address: map.as_ptr() as usize,
    }
}

/// Everything that comes through a pad: frames, and names of serialized events.
#[derive(Debug, Default)]
pub struct Record {
    pub frames: Vec<Seen>,
    pub order: Vec<&'static str>,
}

pub fn record(pad: &gst::Pad) -> Arc<Mutex<Record>> {
    let record = Arc::new(Mutex::new(Record::default()));
    let shared = record.clone();
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(mask, move |_, info| {
        let mut record = shared.lock().expect("no panic in the probe");
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => {
                record.frames.push(seen(buffer));
                record.order.push("frame");
            }
            Some(gst::PadProbeData::Event(event)) if event.is_serialized() => {
                record.order.push(event.type_().name().as_str());
            }
            _ => (),
        }
        gst::PadProbeReturn::Ok
    })
    .expect("a valid mask");
    record
}

/// Every buffer that comes through a pad.
pub fn collect(pad: &gst::Pad) -> Arc<Mutex<Vec<gst::Buffer>>> {
    let buffers = Arc::new(Mutex::new(Vec::new()));
    let shared = buffers.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer() {
            shared
                .lock()
                .expect("no panic in the probe")
                .push(buffer.clone());
        }
        gst::PadProbeReturn::Ok
    })
    .expect("a valid mask");
    buffers
}

pub fn pad(pipeline: &gst::Pipeline, element: &str, pad: &str) -> gst::Pad {
    let element = pipeline.by_name(element).expect("an element of this name");
    element.static_pad(pad).expect("a pad of this name")
}

/// Makes a sink's pad answer allocation queries with what `announce` puts into them.
pub fn answer_allocation(
    pad: &gst::Pad,
    announce: impl Fn(&mut gst::query::Allocation) + Send + Sync + 'static,
) {
    pad.add_probe(
        gst::PadProbeType::QUERY_DOWNSTREAM,
        move |_, info| match info.query_mut().map(|query| query.view_mut()) {
            Some(gst::QueryViewMut::Allocation(query)) => {
                announce(query);
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        },
    )
    .expect("a valid mask");
}

/// One field of the property `stats`.
pub fn stat<T: for<'a> glib::value::FromValue<'a> + 'static>(
    element: &gst::Element,
    field: &str,
) -> T {
    let stats: gst::Structure = element.property("stats");
    stats
        .get(field)
        .unwrap_or_else(|error| panic!("{field} in {stats}: {error}"))
}

/// A frame of RGB noise that is the same for the same number.
pub fn rgb_frame(width: u32, height: u32, number: u64) -> gst::Buffer {
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, width, height)
        .build()
        .expect("a valid size");
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        // xorshift64, Marsaglia 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(info.size())
    .collect();
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    {
        let buffer = buffer.get_mut().expect("the only reference");
        buffer.set_pts(gst::ClockTime::from_mseconds(40 * number));
        buffer.set_duration(gst::ClockTime::from_mseconds(40));
    }
    buffer
}

pub const RGB: &str = "video/x-raw,format=RGB,width=64,height=48,framerate=25/1";
