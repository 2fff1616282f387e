//! The library against PyTorch on committed reference outputs (`python -m mdetr_training reference`).

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::grounder;
use common::reference::{Reference, most};
use image::RgbImage;
use mdetr::{Frame, Query, RawOutputs};
use serde::Deserialize;

/// Same pixels in: fp32 sums in another order.
const EXACT: f32 = 1e-4;
/// The same for logits, as a share of the largest: the bundled model's go up to 25.
const ROUNDING: f32 = 3e-5;
/// Two pixels of a 640 pixels wide frame, where the picture is resized first.
const RESIZED_BOXES: f32 = 2.0 / 640.0;
/// Boxes of object queries that see nothing are not compared after a resize.
const SEEN: f32 = 0.5;

#[derive(Deserialize)]
struct Case {
    image: String,
    caption: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/parity")
}

fn run(case: &Case) -> (RgbImage, RawOutputs) {
    let path = folder().join(&case.image);
    let picture = image::open(&path)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .into_rgb8();
    let grounder = grounder();
    grounder
        .set_queries(vec![Query::parse("q", &case.caption).unwrap()])
        .unwrap();
    let (width, height) = picture.dimensions();
    let outputs = common::outputs(
        &grounder,
        &Frame::rgb(width, height, picture.as_raw()).unwrap(),
    )
    .unwrap();
    (picture, outputs.into_iter().next().unwrap())
}

#[test]
fn outputs_equal_those_of_pytorch() {
    let cases: Vec<Case> =
        serde_json::from_slice(&fs::read(folder().join("cases.json")).unwrap()).unwrap();
    let reference = Reference::read(&folder().join("outputs.safetensors"));
    let (mut exact, mut resized, mut seen) = (0, 0, 0);
    for (i, case) in cases.iter().enumerate() {
        let (picture, outputs) = run(case);
        let logits = reference.floats(&format!("logits.{i}"));
        let boxes = reference.floats(&format!("boxes.{i}"));
        if picture.dimensions() == (256, 192) {
            let largest = logits
                .iter()
                .fold(1.0f32, |most, logit| most.max(logit.abs()));
            let difference = most(&outputs.logits, &logits);
            assert!(
                difference < ROUNDING * largest,
                "{}: logits: {difference} of {largest}",
                case.image
            );
            let theirs = RawOutputs {
                logits,
                ..outputs.clone()
            };
            let (found, expected) = (outputs.probabilities(), theirs.probabilities());
            let difference = most(&found.concat(), &expected.concat());
            assert!(
                difference < EXACT,
                "{}: probabilities: {difference}",
                case.image
            );
            assert!(
                most(&outputs.boxes.concat(), &boxes) < EXACT,
                "{}: boxes",
                case.image
            );
            exact += 1;
            continue;
        }
        resized += 1;
        for (query, row) in outputs.probabilities().iter().enumerate() {
            if 1.0 - row.last().unwrap() > SEEN {
                let difference = most(&outputs.boxes[query], &boxes[4 * query..4 * query + 4]);
                assert!(
                    difference < RESIZED_BOXES,
                    "{}: box {query}: {difference}",
                    case.image
                );
                seen += 1;
            }
        }
    }
    assert_eq!((exact, resized), (4, 6));
    assert!(seen >= 6, "only {seen} boxes compared");
}
