//! What the integration tests share.

// Each test binary compiles its own copy and uses a part of it.
#![allow(dead_code)]

pub mod reference;

use std::path::{Path, PathBuf};
use std::time::Duration;

use mdetr::engine::{Fallback, KServeOptions};
use mdetr::{EngineKind, Error, Frame, Grounder, GrounderOptions, Query, RawOutputs};

/// The bundled model, or another one in `MDETR_TEST_BUNDLE`.
pub fn bundle() -> PathBuf {
    let dir = std::env::var_os("MDETR_TEST_BUNDLE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tabletop"),
        PathBuf::from,
    );
    assert!(
        dir.join("model.toml").is_file(),
        "no bundle in {}",
        dir.display()
    );
    dir
}

/// The default options, with the engine that `MDETR_TEST_ENGINE` names, and the servers that `MDETR_TEST_ENDPOINTS` does.
/// Nothing answers for them.
pub fn options() -> GrounderOptions {
    let engine = std::env::var("MDETR_TEST_ENGINE");
    let endpoints = std::env::var("MDETR_TEST_ENDPOINTS").unwrap_or_default();
    GrounderOptions {
        engine: engine.map_or(EngineKind::Tract.into(), |name| name.parse().unwrap()),
        kserve: KServeOptions {
            endpoints: KServeOptions::endpoints_in(&endpoints),
            deadline: Duration::from_secs(60),
            fallback: Fallback::None,
            ..KServeOptions::default()
        },
        ..GrounderOptions::default()
    }
}

pub fn grounder() -> Grounder {
    Grounder::load(bundle(), options()).unwrap()
}

/// What the network says of the standing queries.
pub fn outputs(grounder: &Grounder, frame: &Frame) -> Result<Vec<RawOutputs>, Error> {
    grounder.outputs(frame, &grounder.standing())
}

/// Asked for all red cubes in frames of another size, with a bound on memory.
pub fn sized(short_side: Option<u32>, memory_limit: Option<u64>) -> Grounder {
    let options = GrounderOptions {
        short_side,
        memory_limit,
        score_threshold: Some(0.0),
        ..options()
    };
    let grounder = Grounder::load(bundle(), options).unwrap();
    grounder.set_queries(queries(&["all red cubes"])).unwrap();
    grounder
}

pub fn queries(texts: &[&str]) -> Vec<Query> {
    let query = |(i, text): (usize, &&str)| Query::parse(format!("q{}", i + 1), text).unwrap();
    texts.iter().enumerate().map(query).collect()
}

/// A picture that is nowhere flat: RGB, packed.
pub fn picture(width: u32, height: u32) -> Vec<u8> {
    let pixel = |i: u32| {
        let (x, y) = (i % width, i / width);
        [
            (x * 255 / width.max(2)) as u8,
            (y * 255 / height.max(2)) as u8,
            (x ^ y) as u8,
        ]
    };
    (0..width * height).flat_map(pixel).collect()
}

/// The words under the tokens of `outputs`, put together: its query's text without white space.
pub fn words(outputs: &RawOutputs) -> String {
    let spans = outputs.tokens.iter().flatten();
    spans.map(|span| span.slice(outputs.query.text())).collect()
}
