//! Fusion of one text and of several.

use std::path::PathBuf;

use super::*;
use mdetr_engine::{Data, EngineError, EngineKind, Tensor};

use super::network::{Features, FusionShape};

fn bundle() -> PathBuf {
    std::env::var_os("MDETR_TEST_BUNDLE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tabletop"),
        PathBuf::from,
    )
}

fn seen(grounder: &Grounder) -> Features {
    let rgb: Vec<u8> = (0..64 * 48 * 3).map(|i| (i % 251) as u8).collect();
    let frame = Frame::rgb(64, 48, &rgb).unwrap();
    grounder.run().see(&frame, false).unwrap().features
}

/// The largest difference, as a share of the largest value if that is above one: logits reach 25,
/// where a step of `f32` is 2e-6.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    let scale = a.iter().fold(1.0, |most: f32, value| most.max(value.abs()));
    differences.fold(0.0, f32::max) / scale
}

#[test]
fn padding_of_the_text_changes_nothing() {
    let grounder = Grounder::load(bundle(), GrounderOptions::default()).unwrap();
    let query = Query::parse("q", "the red ball left of a cube").unwrap();
    let standing = grounder.encode(vec![query]).unwrap();
    let memory = &standing.captions[0].memory;
    let seen = seen(&grounder);
    let length = memory.tokens.ids.len();
    let run = |length| {
        let shape = FusionShape {
            texts: 1,
            tokens: seen.grid.tokens,
            length,
        };
        let network = &grounder.model.network;
        let fused = network.fuse(&seen, std::slice::from_ref(memory), shape, &[]);
        let fused = fused.unwrap().remove(0);
        (fused.logits, fused.boxes)
    };
    let (logits, boxes) = run(length);
    for padded in [length + 1, length.next_multiple_of(8), length + 40] {
        let (padded_logits, padded_boxes) = run(padded);
        let (l, b) = (apart(&logits, &padded_logits), apart(&boxes, &padded_boxes));
        assert!(l <= 2e-6 && b <= 1e-5, "{length} to {padded}: {l}, {b}");
    }
}

fn on_host(memory: Option<Tensor>) -> Vec<f32> {
    match memory.map(|tensor| tensor.data) {
        Some(Data::Host(values)) => values,
        _ => panic!("the bundle draws masks, on an engine of the host"),
    }
}

#[test]
fn texts_fused_in_one_run_are_as_if_fused_one_by_one() {
    for engine in [EngineKind::Tract, EngineKind::OnnxRuntime] {
        let options = GrounderOptions {
            engine: engine.into(),
            ..GrounderOptions::default()
        };
        let grounder = match Grounder::load(bundle(), options) {
            Err(Error::Engine(EngineError::Unavailable { message, .. })) => {
                eprintln!("SKIPPED on {engine}: {message}");
                continue;
            }
            loaded => loaded.unwrap(),
        };
        let texts = [
            "a ball",
            "the small shiny ball behind the large green cone",
            "how many red things are there?",
        ];
        let queries = texts.map(|text| Query::parse(text, text).unwrap());
        let asked = grounder.encode(queries.to_vec()).unwrap();
        let seen = seen(&grounder);
        let captions = asked.captions.iter();
        let memories: Vec<_> = captions.map(|c| c.memory.clone()).collect();
        let shape = fusion_shape(&seen.grid, &asked.captions);
        let network = &grounder.model.network;
        let together = network.fuse(&seen, &memories, shape, &[]).unwrap();
        assert_eq!(together.len(), 3);
        for (caption, together) in asked.captions.iter().zip(together) {
            let alone = grounder.run().fuse(&seen, std::slice::from_ref(caption));
            let alone = alone.unwrap().remove(0);
            let found = [
                apart(&alone.logits, &together.logits),
                apart(&alone.boxes, &together.boxes),
                apart(&alone.hidden, &together.hidden),
                apart(&on_host(alone.memory), &on_host(together.memory)),
            ];
            let text = &caption.text;
            assert!(found.iter().all(|a| *a <= 5e-6), "{text}: {found:?}");
            for (head, logits) in &alone.answers {
                let found = apart(logits, &together.answers[head]);
                assert!(found <= 5e-6, "{text}: {head}: {found}");
            }
        }
    }
}
