//! Bad input: each has an error that names the thing, the place and the remedy.

use std::path::Path;

use gst::prelude::*;

use crate::common::{PATIENCE, RGB, init, model, next_error, pipeline, rgb_frame, run};

const SOURCE: &str = "videotestsrc num-buffers=2 ! video/x-raw,format=RGB,width=64,height=48";

fn refused(description: &str, expected: &[&str]) {
    let pipeline = pipeline(description);
    let error = run(&pipeline).expect_err("this cannot work");
    for part in expected {
        assert!(
            error.contains(part),
            "{description}: {part:?} is not in: {error}"
        );
    }
}

#[test]
fn a_missing_model_is_named() {
    refused(
        &format!("{SOURCE} ! mdetr model=/no/such/bundle query=\"a cube\" ! fakesink"),
        &["/no/such/bundle"],
    );
}

#[test]
fn a_damaged_model_is_named() {
    init();
    let dir = tempfile::tempdir().expect("a writable temporary directory");
    for entry in std::fs::read_dir(model()).expect("the bundle") {
        let entry = entry.expect("the bundle");
        if entry.file_type().expect("the bundle").is_file() {
            std::fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copied");
        }
    }
    let graph = dir.path().join("vision.onnx");
    let mut bytes = std::fs::read(&graph).expect("copied");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&graph, bytes).expect("written");
    let path = dir.path().display();
    refused(
        &format!("{SOURCE} ! mdetr model=\"{path}\" query=\"a cube\" ! fakesink"),
        &["vision.onnx", "sha256"],
    );
}

#[test]
fn without_a_model_the_remedy_is_named() {
    // The plugin is linked into this test, so there is no bundle near it; the working directory is the crate's.
    if std::env::var_os("MDETR_MODEL").is_none() {
        refused(
            &format!("{SOURCE} ! mdetr query=\"a cube\" ! fakesink"),
            &["models/tabletop", "MDETR_MODEL", "model="],
        );
    }
}

#[test]
fn surfaces_without_their_library_are_named() {
    if Path::new("/usr/lib/aarch64-linux-gnu/tegra").exists() {
        return;
    }
    let pipeline = pipeline(
        "appsrc name=source ! video/x-raw(memory:NVMM),format=NV12,width=64,height=48,framerate=30/1
         ! SMALL_MDETR query=\"a cube\" ! fakesink",
    );
    let source = pipeline.by_name("source").expect("named");
    let source = source.downcast::<gst_app::AppSrc>().expect("an appsrc");
    let caps = "video/x-raw(memory:NVMM),format=NV12,width=64,height=48,framerate=30/1";
    source.set_caps(Some(&caps.parse().expect(caps)));
    pipeline.set_state(gst::State::Playing).expect("plays");
    source
        .push_buffer(gst::Buffer::with_size(64).expect("small"))
        .expect("taken");
    source.end_of_stream().expect("taken");
    let error = next_error(&pipeline);
    pipeline.set_state(gst::State::Null).expect("stops");
    for part in ["libnvbufsurface.so", "nvvidconv"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn an_engine_that_is_not_here_is_named() {
    refused(
        &format!(
            "{SOURCE} ! mdetr engine=tensorrt device-id=1000 model=\"{}\" query=\"a cube\" ! fakesink",
            model().display()
        ),
        &["tensorrt is not available: "],
    );
}

#[test]
fn an_engine_that_is_none_is_named() {
    let mdetr = format!("mdetr model=\"{}\" query=\"a cube\"", model().display());
    for (engine, expected) in [
        (
            "engine=cuda",
            "option engine: expected auto, tensorrt, onnxruntime, tract or kserve, found cuda",
        ),
        ("engine=eyes:tract", "GRAPH:NAME"),
        (
            "engine=kserve",
            "kserve is not available: no server is named",
        ),
        (
            "engine=kserve endpoints=http://gpu:8001",
            "expected grpc://HOST:PORT",
        ),
    ] {
        refused(
            &format!("{SOURCE} ! {mdetr} {engine} ! fakesink"),
            &[expected],
        );
    }
}

/// Attention over a million vision tokens.
#[test]
fn a_size_that_takes_too_much_memory_is_named() {
    for mode in ["every-frame", "live"] {
        let source = SOURCE.replace("num-buffers=2", "is-live=true");
        refused(
            &format!("{source} ! MDETR mode={mode} short-side=16000 query=\"a cube\" ! fakesink"),
            &["64x48", "vision tokens", "GiB", "a smaller short-side"],
        );
    }
}

#[test]
fn bad_queries_are_named() {
    let long = "a cube and ".repeat(1700);
    for (query, expected) in [
        ("", "empty"),
        ("   ", "empty"),
        ("[a cube", "'['"),
        ("a cube]", "']'"),
        (long.as_str(), "shorten"),
    ] {
        refused(
            &format!("{SOURCE} ! SMALL_MDETR query=\"{query}\" ! fakesink"),
            &["q1", expected],
        );
    }
}

#[test]
fn bad_lists_of_queries_are_named() {
    for (queries, expected) in [
        ("<\\\"a cube\\\",\\\"[\\\">", "\"q2\""),
        ("<5>", "item 1"),
        (
            "<(GstStructure)\\\"query\\,id=a\\,text=x\\\", (GstStructure)\\\"query\\,id=a\\,text=y\\\">",
            "given twice",
        ),
    ] {
        refused(
            &format!("{SOURCE} ! SMALL_MDETR queries=\"{queries}\" ! fakesink"),
            &[expected],
        );
    }
}

#[test]
fn a_bad_config_is_named() {
    refused(
        &format!("{SOURCE} ! SMALL_MDETR config=/no/such.toml ! fakesink"),
        &["/no/such.toml", "[[query]]"],
    );
}

#[test]
fn an_unwritable_cache_directory_is_named() {
    refused(
        &format!("{SOURCE} ! SMALL_MDETR query=\"a cube\" text-cache-dir=/proc/nowhere ! fakesink"),
        &["/proc/nowhere"],
    );
}

#[test]
fn unsupported_caps_are_not_negotiated() {
    let element = crate::common::small_mdetr("a cube");
    for caps in [
        "video/x-raw,format=Y444,width=64,height=48,framerate=25/1",
        "video/x-raw,format=RGB,width=1,height=16385,framerate=25/1",
        "audio/x-raw",
    ] {
        let mut harness = crate::common::harness(&element, caps);
        let flow = harness.push(rgb_frame(64, 48, 0));
        assert_eq!(flow, Err(gst::FlowError::NotNegotiated), "{caps}");
    }
}

#[test]
fn links_to_other_media_are_refused() {
    init();
    for source in [
        "audiotestsrc",
        "videotestsrc ! video/x-raw,format=Y444 ! identity",
    ] {
        assert!(
            gst::parse::launch(&format!("{source} ! mdetr ! fakesink")).is_err(),
            "{source}"
        );
    }
}

#[test]
fn a_frame_shorter_than_its_caps_is_an_error() {
    for mode in ["every-frame", "live"] {
        let element = crate::common::small_mdetr("a cube");
        element.set_property_from_str("mode", mode);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = crate::common::harness(&element, RGB);
        let mut flow = Ok(gst::FlowSuccess::Ok);
        // Live, it fails once the first frame is looked at, before which its graphs are made.
        for _ in 0..6000 {
            flow = harness.push(gst::Buffer::with_size(100).expect("small"));
            if flow.is_err() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(flow, Err(gst::FlowError::Error), "{mode}");
        let message = bus
            .timed_pop_filtered(PATIENCE, &[gst::MessageType::Error])
            .expect("an error message");
        let gst::MessageView::Error(error) = message.view() else {
            unreachable!()
        };
        let text = format!("{} {}", error.error(), error.debug().unwrap_or_default());
        assert!(
            text.contains("64x48") && text.contains("100 bytes"),
            "{text}"
        );
    }
}

#[test]
fn without_queries_frames_pass_with_one_warning() {
    init();
    let element = crate::common::small_mdetr("a cube");
    element.set_property("query", None::<String>);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = crate::common::harness(&element, RGB);
    for number in 0..3 {
        let pushed = harness
            .push_and_pull(rgb_frame(64, 48, number))
            .expect("passes");
        assert!(gstmdetr::meta::read(&pushed).is_empty());
    }
    let warnings: Vec<_> =
        std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning])).collect();
    assert_eq!(warnings.len(), 1);
    let gst::MessageView::Warning(warning) = warnings[0].view() else {
        unreachable!()
    };
    assert!(
        warning.error().to_string().contains("query="),
        "{}",
        warning.error()
    );
}

#[test]
fn a_failed_start_can_be_tried_again() {
    let pipeline = pipeline(&format!("{SOURCE} ! SMALL_MDETR query=\"[\" ! fakesink"));
    assert!(pipeline.set_state(gst::State::Playing).is_err());
    assert!(next_error(&pipeline).contains("'['"));
    pipeline.set_state(gst::State::Null).expect("stops");
    let element = pipeline.by_name("mdetr").expect("named");
    element.set_property("query", "a cube");
    run(&pipeline).expect("works now");
}
