//! The library from end to end on a stand-in for TensorRT and CUDA, which refuses what NVIDIA's
//! documentation forbids, against tract on the same graphs.
#![cfg(feature = "tensorrt")]

mod bundle;
mod failures;
mod plans;
mod streams;

use std::path::Path;
use std::sync::Arc;
use std::sync::Once;

use mdetr::engine::TensorRtOptions;
use mdetr::{EngineKind, Error, Frame, Grounder, GrounderOptions, Query, RawOutputs};
use mdetr_tensorrt_standin::StandIn;

/// The stand-in, which is found as TensorRT and as CUDA's driver from now on.
fn take() -> StandIn {
    static NAMED: Once = Once::new();
    let standin = StandIn::take();
    NAMED.call_once(|| {
        for name in ["TENSORRT_DYLIB_PATH", "TENSORRT_ONNXPARSER_DYLIB_PATH"] {
            // SAFETY: every test of this program waits for the stand-in first, so nothing reads the
            // environment now.
            unsafe { std::env::set_var(name, mdetr_tensorrt_standin::library()) };
        }
    });
    standin
}

fn options(engine: EngineKind) -> GrounderOptions {
    GrounderOptions {
        engine: engine.into(),
        ..GrounderOptions::default()
    }
}

fn tensorrt(options: TensorRtOptions) -> GrounderOptions {
    GrounderOptions {
        engine: EngineKind::TensorRt.into(),
        tensorrt: options,
        ..GrounderOptions::default()
    }
}

/// A grounder of the bundle in `dir`, asked for these texts.
fn grounder(dir: &Path, options: GrounderOptions, texts: &[&str]) -> Result<Grounder, Error> {
    let grounder = Grounder::load(dir, options)?;
    grounder.set_queries(queries(texts))?;
    Ok(grounder)
}

/// Writes a bundle into `dir`; gives a grounder of it on the stand-in, asked for these texts.
fn on_standin(dir: &Path, texts: &[&str]) -> Arc<Grounder> {
    bundle::write(dir, false);
    let options = tensorrt(TensorRtOptions::default());
    Arc::new(grounder(dir, options, texts).unwrap())
}

fn queries(texts: &[&str]) -> Vec<Query> {
    let query = |(i, text): (usize, &&str)| Query::parse(format!("q{i}"), text).unwrap();
    texts.iter().enumerate().map(query).collect()
}

/// A picture that differs by its number.
fn picture((width, height): (u32, u32), number: u32) -> Vec<u8> {
    let pixel = |i: u32| {
        let (x, y) = (i % width, i / width);
        [(x * 3 + number * 40) as u8, (y * 5) as u8, (x ^ y) as u8]
    };
    (0..width * height).flat_map(pixel).collect()
}

fn outputs(grounder: &Grounder, size: (u32, u32), number: u32) -> Result<Vec<RawOutputs>, Error> {
    let rgb = picture(size, number);
    let frame = Frame::rgb(size.0, size.1, &rgb).unwrap();
    grounder.outputs(&frame, &grounder.standing())
}

/// Both say the same, but for the last bits.
fn alike(found: &[RawOutputs], expected: &[RawOutputs]) {
    const TOLERANCE: f32 = 1e-5;
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let pairs = found.logits.iter().zip(&expected.logits);
        let boxes = found
            .boxes
            .iter()
            .flatten()
            .zip(expected.boxes.iter().flatten());
        for (a, b) in pairs.chain(boxes) {
            assert!((a - b).abs() <= TOLERANCE * b.abs().max(1.0), "{a} and {b}");
        }
    }
}

/// Nothing was broken, and nothing is left once the grounder is dropped.
fn sound(standin: &StandIn, grounder: Arc<Grounder>) {
    drop(grounder);
    assert_eq!(standin.violations(), "");
    for kind in [
        "device",
        "pinned",
        "streams",
        "graphs",
        "executable graphs",
        "contexts",
        "engines",
        "runtimes",
    ] {
        assert_eq!(standin.count(&format!("alive {kind}")), 0, "{kind}");
    }
}
