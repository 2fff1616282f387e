//! Streams come and go, queries change: nothing leaks, memory stays flat, every frame comes out.
//!
//! `make soak` runs the same for longer: `MDETR_SOAK_FRAMES` is the number of frames.

#[path = "elements/common.rs"]
#[allow(dead_code)]
mod common;

use std::env;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use gst::prelude::*;
use gst_video::VideoOverlayCompositionMeta;

/// In the process that soaks: whether a buffer is to be leaked, to see that leaks are seen.
const LEAK: &str = "MDETR_SOAK_LEAK";
const FRAMES: &str = "MDETR_SOAK_FRAMES";
/// Frames between two changes of a stream's queries.
const SWAP: u64 = 50;
/// Frames of the streams that follow one another in each of three threads.
const LENGTHS: [u64; 3] = [100, 150, 250];
/// What the allocator may keep of what the first quarter of a run has taken and given back.
const SLACK: u64 = 48 << 20;

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
    pages.expect("a number") * 4096
}

/// Every element of the plugin, with drawings that are blended and drawings that are attached, one behind
/// another's. The scene moves, and so do the boxes.
fn description(frames: u64, mode: &str) -> String {
    let sync = mode == "live";
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/soak.toml");
    format!(
        "tabletopsrc num-buffers={frames} ! video/x-raw,width=64,height=64,framerate=100/1
         ! MDETR mode={mode} short-side=32 workers=1 query=\"a red cube\"
         ! mdetrtrack min-hits=1 ! mdetrrules rules=\"{rules}\" ! tee name=found
         found. ! queue ! mdetroverlay show-absent=true ! fakesink sync={sync}
         found. ! queue ! mdetroverlay ! mdetroverlay regions=always ! fakesink name=takes sync={sync}
         found. ! queue ! mdetr2json ! fakesink sync={sync}"
    )
}

/// One stream of `frames` frames from start to EOS.
fn stream(frames: u64, mode: &str, swaps: &Arc<AtomicU64>) {
    let pipeline = common::pipeline(&description(frames, mode));
    let attached = Arc::new(AtomicU64::new(0));
    let (counter, sink) = (attached.clone(), common::pad(&pipeline, "takes", "sink"));
    common::answer_allocation(&sink, |query| {
        query.add_allocation_meta::<VideoOverlayCompositionMeta>(None);
    });
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let meta = info
            .buffer()
            .and_then(|b| b.meta::<VideoOverlayCompositionMeta>());
        if meta.is_some() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        gst::PadProbeReturn::Ok
    });
    let element = pipeline.by_name("mdetr").expect("named");
    let passed = Arc::new(AtomicU64::new(0));
    let (seen, swaps, weak) = (passed.clone(), swaps.clone(), element.downgrade());
    common::pad(&pipeline, "mdetr", "src").add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let frame = seen.fetch_add(1, Ordering::SeqCst) + 1;
        if frame.is_multiple_of(SWAP)
            && let Some(element) = weak.upgrade()
        {
            let number = swaps.fetch_add(1, Ordering::SeqCst);
            let queries = gst::Array::new([format!("cone number {number}")]);
            assert!(element.emit_by_name::<bool>("set-queries", &[&queries]));
        }
        gst::PadProbeReturn::Ok
    });
    common::run(&pipeline).expect("a sound pipeline");
    assert_eq!(passed.load(Ordering::SeqCst), frames, "frames were lost");
    assert_eq!(common::stat::<u64>(&element, "frames"), frames);
    assert!(attached.load(Ordering::SeqCst) > 0, "nothing was attached");
}

#[test]
#[ignore = "the tests below run it in a process of its own"]
fn soak() {
    let number = |name: &str| env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let total = number(FRAMES).expect("set by the tests below");
    common::init();
    let (begun, started, swaps) = (Instant::now(), AtomicU64::new(0), Arc::default());
    let warm = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for (index, frames) in LENGTHS.into_iter().enumerate() {
            let (started, swaps, warm) = (&started, &swaps, &warm);
            scope.spawn(move || {
                for round in index.. {
                    if started.fetch_add(frames, Ordering::SeqCst) >= total {
                        return;
                    }
                    let mode = ["every-frame", "live"][round % 2];
                    stream(frames, mode, swaps);
                    if started.load(Ordering::SeqCst) >= total / 4 {
                        let now = resident();
                        let _ = warm.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let (warm, end) = (warm.into_inner(), resident());
    println!(
        "{} changes of queries in {:?}; resident after a quarter {} MiB, at the end {} MiB",
        swaps.load(Ordering::SeqCst),
        begun.elapsed(),
        warm >> 20,
        end >> 20
    );
    if number(LEAK).is_some() {
        std::mem::forget(gst::Buffer::new());
    }
    // SAFETY: every pipeline is gone, and nothing of GStreamer is used after this.
    unsafe { gst::deinit() };
    assert!(end < warm + SLACK, "memory grew from {warm} to {end} bytes");
}

/// Soaks under GStreamer's leak tracer; gives what both printed and whether all went well.
fn soaked(frames: &str, leak: bool) -> (String, bool) {
    let mut command = Command::new(env::current_exe().expect("a test has a file"));
    command
        .args(["--exact", "soak", "--ignored", "--nocapture"])
        .env(FRAMES, frames)
        .env("GST_TRACERS", "leaks")
        .env("GST_DEBUG", "GST_TRACER:7")
        .env("GST_DEBUG_NO_COLOR", "1")
        // Memory that threads keep for themselves would hide what leaks.
        .env("MALLOC_ARENA_MAX", "2");
    if leak {
        command.env(LEAK, "1");
    }
    let output = command.output().expect("this very file");
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (text.concat(), output.status.success())
}

/// The objects that the tracer found alive at the end.
fn leaks(text: &str) -> Vec<&str> {
    let alive = |line: &&str| line.contains(":: object-alive,");
    text.lines().filter(alive).collect()
}

#[test]
fn every_element_soaks() {
    common::init();
    let features = gst::Registry::get().features_by_plugin("mdetr");
    let elements: Vec<_> = features.iter().map(|feature| feature.name()).collect();
    assert!(elements.len() >= 5, "{elements:?}");
    let pipeline = description(1, "live").replace("MDETR", "mdetr");
    for element in &elements {
        let used = pipeline.split_whitespace().any(|word| word == element);
        assert!(used, "{element} is not in {pipeline}");
    }
}

#[test]
fn a_soak_leaks_nothing() {
    let frames = env::var(FRAMES).unwrap_or_else(|_| "1500".to_owned());
    let (text, well) = soaked(&frames, false);
    assert_eq!(leaks(&text), [""; 0]);
    assert!(well, "{text}");
    let summary = text
        .lines()
        .find(|line| line.contains("changes of queries"));
    println!("{frames} frames: {}", summary.expect("printed"));
}

#[test]
fn a_leak_is_seen() {
    let (text, _) = soaked("100", true);
    let leaks = leaks(&text);
    let one = leaks.len() == 1 && leaks[0].contains("GstBuffer");
    assert!(one, "{leaks:?}");
}
