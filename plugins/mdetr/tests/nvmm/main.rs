//! Frames in memory of Jetsons, by libraries that stand in for NVIDIA's. The libraries are the process's, so this is one
//! test; another would see what this one breaks.

#[path = "../elements/common.rs"]
#[allow(dead_code)]
mod common;

use std::path::Path;
use std::process::Command;
use std::slice;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;
use libloading::Library;
use mdetr::{Detection, Grounding};
use mdetr_scenes::{MovingScene, SceneOptions, render};

use common::{harness, mdetr, next_error};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 540;
/// `NVBUF_COLOR_FORMAT_RGBA`, `NVBUF_COLOR_FORMAT_NV12`, and `NVBUF_LAYOUT_BLOCK_LINEAR`.
const RGBA: u32 = 19;
const NV12: u32 = 6;
const BLOCKS: u32 = 1;
/// Bytes of `NvBufSurface`.
const SURFACE: usize = 64;

/// The libraries. The loader takes one that is open for each that has its name.
struct StandIn {
    surfaces: Library,
    _transform: Library,
}

impl StandIn {
    fn open(dir: &Path) -> StandIn {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nvmm/standin.c");
        let build = |name: &str, arguments: &[&str]| {
            let mut command = Command::new("cc");
            command.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]);
            command
                .arg(dir.join(name))
                .arg(format!("-Wl,-soname,{name}"));
            let done = command.args(arguments).status().expect("cc starts");
            assert!(done.success(), "{name}");
            // SAFETY: it does nothing when it is opened.
            unsafe { Library::new(dir.join(name)) }.expect(name)
        };
        let surfaces = build("libnvbufsurface.so", &[source.to_str().expect("UTF-8")]);
        let linked = [
            "-Wl,--no-as-needed",
            &format!("-L{}", dir.display()),
            "-l:libnvbufsurface.so",
            "-x",
            "c",
            "/dev/null",
        ];
        StandIn {
            surfaces,
            // Its functions are those of the other.
            _transform: build("libnvbufsurftransform.so", &linked),
        }
    }

    fn count(&self, name: &str) -> i32 {
        // SAFETY: these functions of the stand-in have this type.
        unsafe {
            let function = self.surfaces.get::<unsafe extern "C" fn() -> i32>(name);
            function.expect(name)()
        }
    }

    fn set(&self, name: &str, surface: *mut u8, value: u32) {
        // SAFETY: these functions of the stand-in have this type.
        unsafe {
            let function = self
                .surfaces
                .get::<unsafe extern "C" fn(*mut u8, u32)>(name);
            function.expect(name)(surface, value);
        }
    }

    fn set_broken(&self, broken: bool) {
        // SAFETY: the function of the stand-in has this type.
        unsafe {
            let function = self
                .surfaces
                .get::<unsafe extern "C" fn(bool)>("standin_break");
            function.expect("standin_break")(broken);
        }
    }

    /// A surface as a decoder gives it, and a buffer that holds it instead of pixels.
    fn frame(&self, format: u32, size: (u32, u32), pixels: &[u8]) -> (*mut u8, gst::Buffer) {
        type Source = unsafe extern "C" fn(u32, u32, u32, *const u8) -> *mut u8;
        // SAFETY: the function has this type, and the pixels are as many as it reads; surfaces of tests live on.
        unsafe {
            let source = self
                .surfaces
                .get::<Source>("standin_source")
                .expect("there");
            let surface = source(size.0, size.1, format, pixels.as_ptr());
            let bytes: &'static [u8] = slice::from_raw_parts(surface, SURFACE);
            let mut buffer = gst::Buffer::from_slice(bytes);
            buffer.make_mut().set_pts(gst::ClockTime::ZERO);
            (surface, buffer)
        }
    }
}

fn caps(feature: &str, format: &str) -> String {
    format!("video/x-raw{feature},format={format},width={WIDTH},height={HEIGHT},framerate=30/1")
}

fn grounded(element: &gst::Element, caps: &str, buffer: gst::Buffer) -> Grounding {
    let mut harness = harness(element, caps);
    let pushed = harness.push_and_pull(buffer).expect(caps);
    let found = gstmdetr::meta::read(&pushed);
    assert_eq!(found.len(), 1, "{caps}");
    (*found[0].grounding).clone()
}

/// What is wrong with a frame of RGBA.
fn refused(buffer: gst::Buffer) -> String {
    let element = mdetr("all cubes");
    let pipeline = gst::Pipeline::new();
    pipeline.add(&element).expect("one element");
    let mut harness = harness(&element, &caps("(memory:NVMM)", "RGBA"));
    // The failure of one frame is that of the next push.
    let _ = harness.push(buffer);
    next_error(&pipeline)
}

/// NV12 of a picture, limited range by BT.601, as a decoder has it.
fn nv12(rgb: &[u8]) -> Vec<u8> {
    let (width, height) = (WIDTH as usize, HEIGHT as usize);
    let at = |x: usize, y: usize, weights: [f32; 3], offset: f32| {
        let pixel = &rgb[3 * (y * width + x)..][..3];
        let sum: f32 = pixel
            .iter()
            .zip(weights)
            .map(|(&v, w)| f32::from(v) * w)
            .sum();
        (sum + offset).round().clamp(0.0, 255.0) as u8
    };
    let mut bytes = Vec::new();
    for y in 0..height {
        bytes.extend((0..width).map(|x| at(x, y, [0.257, 0.504, 0.098], 16.0)));
    }
    for y in (0..height).step_by(2) {
        for x in (0..width).step_by(2) {
            bytes.push(at(x, y, [-0.148, -0.291, 0.439], 128.0));
            bytes.push(at(x, y, [0.439, -0.368, -0.071], 128.0));
        }
    }
    bytes
}

fn assert_near(found: &Grounding, wanted: &Grounding) {
    assert_eq!((found.width, found.height), (WIDTH, HEIGHT));
    let (found, wanted) = (&found.queries[0].detections, &wanted.queries[0].detections);
    assert!(!wanted.is_empty());
    // Of one that scores little more than the threshold, the other may score a little less.
    for (some, others) in [(found, wanted), (wanted, found)] {
        for one in some.iter().filter(|detection| detection.score > 0.95) {
            let near = |other: &&Detection| {
                let (one, other) = (one.bbox.to_xyxy(), other.bbox.to_xyxy());
                one.iter().zip(other).all(|(a, b)| (a - b).abs() < 8.0)
            };
            let same = others.iter().find(near);
            let same = same.unwrap_or_else(|| panic!("{:?} is not in {others:?}", one.bbox));
            let size = |detection: &Detection| {
                let mask = detection.mask.as_ref();
                mask.map(|mask| (mask.width, mask.height))
            };
            assert_eq!(size(same), size(one));
        }
    }
}

#[test]
fn surfaces_are_scaled_by_hardware_or_read_whole() {
    let dir = tempfile::tempdir().expect("a writable temporary directory");
    let stand_in = StandIn::open(dir.path());
    let options = SceneOptions {
        width: WIDTH,
        height: HEIGHT,
        min_objects: 5,
        ..SceneOptions::default()
    };
    let picture = render(&MovingScene::new(8, &options).at(1.0), WIDTH, HEIGHT, 7);
    let rgba: Vec<u8> = picture
        .rgb
        .chunks(3)
        .flat_map(|p| [p[0], p[1], p[2], 255])
        .collect();
    let yuv = nv12(&picture.rgb);
    let element = mdetr("every object");
    let plain = |format, pixels: &[u8]| {
        let buffer = gst::Buffer::from_slice(pixels.to_vec());
        grounded(&element, &caps("", format), buffer)
    };
    let (wanted, wanted_yuv) = (plain("RGBA", &rgba), plain("NV12", &yuv));

    // Scaled by the hardware.
    let sources = 2;
    let size = (WIDTH, HEIGHT);
    let surface = |format, pixels: &[u8]| stand_in.frame(format, size, pixels);
    let nvmm = |format: &str, buffer| grounded(&element, &caps("(memory:NVMM)", format), buffer);
    assert_near(&nvmm("RGBA", surface(RGBA, &rgba).1), &wanted);
    assert_near(&nvmm("NV12", surface(NV12, &yuv).1), &wanted_yuv);
    assert_eq!(stand_in.count("standin_transforms"), 2);
    // Nothing of it outlives the workers.
    let deadline = Instant::now() + Duration::from_secs(30);
    while stand_in.count("standin_made") > sources || stand_in.count("standin_mapped") > 0 {
        assert!(Instant::now() < deadline, "surfaces are left over");
        std::thread::sleep(Duration::from_millis(10));
    }

    // A still picture is compared by its surface too.
    element.set_property("change-threshold", 0.05f32);
    let mut still = harness(&element, &caps("(memory:NVMM)", "RGBA"));
    for number in 0..3u64 {
        let (_, mut buffer) = surface(RGBA, &rgba);
        buffer
            .make_mut()
            .set_pts(gst::ClockTime::from_mseconds(33 * number));
        still.push_and_pull(buffer).expect("a frame");
    }
    let stats = element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("inferred").expect("counted"), 1, "{stats}");
    drop(still);
    element.set_property("change-threshold", 0f32);

    // What is no such frame is named.
    let (two, buffer) = surface(RGBA, &rgba);
    stand_in.set("standin_set_batch", two, 2);
    let error = refused(buffer);
    assert!(error.contains("a batch of 2 surfaces"), "{error}");
    let error = refused(gst::Buffer::from_slice([0u8; 16]));
    assert!(error.contains("16 bytes, and no surface"), "{error}");
    let (_, small) = stand_in.frame(RGBA, (64, 48), &rgba);
    let error = refused(small);
    assert!(error.contains("64x48"), "{error}");

    // Where the hardware fails, the CPU reads the surface, with the very same result as from its own memory.
    stand_in.set_broken(true);
    let mapped = stand_in.count("standin_mapped");
    // Other messages would keep pads of harnesses.
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let bus = gst::Bus::new();
    let heard = warnings.clone();
    bus.set_sync_handler(move |_, message| {
        if let gst::MessageView::Warning(warning) = message.view() {
            let mut heard = heard.lock().expect("nobody panics");
            heard.push(warning.error().to_string());
        }
        gst::BusSyncReply::Drop
    });
    element.set_bus(Some(&bus));
    assert_eq!(nvmm("RGBA", surface(RGBA, &rgba).1).queries, wanted.queries);
    assert_eq!(
        nvmm("NV12", surface(NV12, &yuv).1).queries,
        wanted_yuv.queries
    );
    assert_eq!(stand_in.count("standin_mapped"), mapped);
    // Each run tells of it once.
    let warnings = warnings.lock().expect("nobody panics");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for part in ["frames are read whole", "NvBufSurfTransform failed with -2"] {
        assert!(warnings[0].contains(part), "{warnings:?}");
    }
    let (blocks, buffer) = surface(RGBA, &rgba);
    stand_in.set("standin_set_layout", blocks, BLOCKS);
    let error = refused(buffer);
    assert!(error.contains("nvvidconv"), "{error}");
}
