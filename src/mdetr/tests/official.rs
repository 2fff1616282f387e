//! Bundles of the released structures, small and with random weights, against PyTorch
//! (`python -m mdetr_training reference-official`).

mod common;

use std::path::{Path, PathBuf};

use common::reference::{Reference, most};
use mdetr::{Frame, Grounder, GrounderOptions, Query, Rle};
use serde::Deserialize;

const LOGITS: f32 = 1e-4;
const BOXES: f32 = 1e-5;
const MASK_IOU: f64 = 0.999;

#[derive(Deserialize)]
struct Case {
    width: u32,
    height: u32,
    caption: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/official")
}

fn cases(folder: &Path) -> Vec<Case> {
    let text = std::fs::read(folder.join("cases.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The structure's bundle, which keeps every object query.
fn load(folder: &Path, name: &str) -> (Grounder, Reference) {
    let options = GrounderOptions {
        score_threshold: Some(0.0),
        ..common::options()
    };
    let grounder = Grounder::load(folder.join(name), options).unwrap();
    let reference = Reference::read(&folder.join(format!("{name}.safetensors")));
    (grounder, reference)
}

fn outputs_agree(folder: &Path, name: &str, heads: usize) {
    let (grounder, reference) = load(folder, name);
    for (i, case) in cases(folder).iter().enumerate() {
        let query = Query::parse("q", &case.caption).unwrap();
        grounder.set_queries(vec![query]).unwrap();
        let pixels = reference.bytes(&format!("pixels.{i}"));
        let frame = Frame::rgb(case.width, case.height, &pixels).unwrap();
        let outputs = common::outputs(&grounder, &frame).unwrap().remove(0);
        let logits = most(&outputs.logits, &reference.floats(&format!("logits.{i}")));
        let boxes = reference.floats(&format!("boxes.{i}"));
        let boxes = most(outputs.boxes.as_flattened(), &boxes);
        println!("{name} {i}: logits {logits:.1e}, boxes {boxes:.1e}");
        assert!(logits < LOGITS, "{name} {i}: logits: {logits}");
        assert!(boxes < BOXES, "{name} {i}: boxes: {boxes}");
        assert_eq!(outputs.answers.len(), heads);
        for (head, found) in &outputs.answers {
            let expected = reference.floats(&format!("{head}.{i}"));
            let difference = most(found, &expected);
            println!("{name} {i}: {head} {difference:.1e}");
            assert!(difference < LOGITS, "{name} {i}: {head}: {difference}");
        }
    }
}

#[test]
fn resnet_equals_pytorch() {
    outputs_agree(&folder(), "resnet101", 0);
}

/// The reference outputs are ONNX Runtime's of the same graphs.
#[test]
fn weights_of_8_bit_equal_the_reference() {
    outputs_agree(&folder(), "resnet101_int8", 0);
}

#[test]
fn in_8_bit_answers_do_not_depend_on_the_other_queries() {
    let (grounder, reference) = load(&folder(), "resnet101_int8");
    let case = &cases(&folder())[0];
    let pixels = reference.bytes("pixels.0");
    let frame = Frame::rgb(case.width, case.height, &pixels).unwrap();
    let texts = ["a red cube", "ZZZZ 0000", "all cones"];
    let query = |text: &str| Query::parse(text, text).unwrap();
    grounder.set_queries(texts.map(query).to_vec()).unwrap();
    let together = common::outputs(&grounder, &frame).unwrap();
    for (text, together) in texts.into_iter().zip(together) {
        grounder.set_queries(vec![query(text)]).unwrap();
        let alone = common::outputs(&grounder, &frame).unwrap().remove(0);
        assert_eq!(
            (alone.logits, alone.boxes),
            (together.logits, together.boxes)
        );
    }
}

#[test]
fn efficientnets_equal_pytorch() {
    outputs_agree(&folder(), "efficientnetB3", 0);
    outputs_agree(&folder(), "efficientnetB5", 0);
}

#[test]
fn gqa_equals_pytorch() {
    outputs_agree(&folder(), "resnet101_gqa", 6);
    outputs_agree(&folder(), "efficientnetB5_gqa", 6);
}

#[test]
fn clevr_equals_pytorch() {
    outputs_agree(&folder(), "clevr", 4);
}

#[test]
fn phrasecut_equals_pytorch() {
    outputs_agree(&folder(), "resnet101_phrasecut", 0);
    outputs_agree(&folder(), "efficientnetB3_phrasecut", 0);
}

/// Value of a map at the centre of a pixel of a picture that it is stretched over.
fn sample(
    map: &[f32],
    (h, w): (usize, usize),
    (height, width): (usize, usize),
    at: (usize, usize),
) -> f32 {
    let axis = |i: usize, cells: usize, pixels: usize| {
        let position = (i as f32 + 0.5) * cells as f32 / pixels as f32 - 0.5;
        let position = position.clamp(0.0, (cells - 1) as f32);
        let low = position.floor() as usize;
        (low, (low + 1).min(cells - 1), position.fract())
    };
    let (y0, y1, down) = axis(at.0, h, height);
    let (x0, x1, across) = axis(at.1, w, width);
    let row = |y: usize| map[y * w + x0] + (map[y * w + x1] - map[y * w + x0]) * across;
    row(y0) + (row(y1) - row(y0)) * down
}

fn iou(mask: &Rle, inside: impl Fn(usize) -> bool) -> f64 {
    let (mut common, mut covered) = (0, 0);
    for (i, bit) in mask.decode().into_iter().enumerate() {
        common += usize::from(bit == 1 && inside(i));
        covered += usize::from(bit == 1 || inside(i));
    }
    if covered == 0 {
        1.0
    } else {
        common as f64 / covered as f64
    }
}

#[test]
fn masks_equal_pytorch() {
    masks_agree(&folder(), "resnet101_phrasecut");
    masks_agree(&folder(), "efficientnetB3_phrasecut");
}

/// In `MDETR_OFFICIAL`, a folder that `reference-official --full` wrote.
#[test]
#[ignore = "needs 10 GB in MDETR_OFFICIAL: make test-models FULL=1"]
fn every_structure_equals_pytorch_at_full_size() {
    let folder = std::env::var_os("MDETR_OFFICIAL").expect("MDETR_OFFICIAL is a folder");
    let folder = PathBuf::from(folder);
    let mut checked = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        if !entry.path().is_dir() {
            continue;
        }
        let name = entry.file_name().into_string().unwrap();
        let heads = match name.as_str() {
            "clevr" => 4,
            name if name.ends_with("gqa") => 6,
            _ => 0,
        };
        outputs_agree(&folder, &name, heads);
        if name.ends_with("phrasecut") {
            masks_agree(&folder, &name);
        }
        checked += 1;
    }
    assert_eq!(checked, 8);
}

fn masks_agree(folder: &Path, name: &str) {
    let (grounder, reference) = load(folder, name);
    let mut partly = 0;
    for (i, case) in cases(folder).iter().enumerate() {
        let query = Query::parse("q", &case.caption).unwrap();
        grounder.set_queries(vec![query]).unwrap();
        let pixels = reference.bytes(&format!("pixels.{i}"));
        let frame = Frame::rgb(case.width, case.height, &pixels).unwrap();
        let outputs = common::outputs(&grounder, &frame).unwrap().remove(0);
        let scores: Vec<f32> = outputs
            .probabilities()
            .iter()
            .map(|row| 1.0 - row.last().unwrap())
            .collect();
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let found = grounder.ground(&frame).unwrap().queries.remove(0);
        assert_eq!(found.detections.len(), order.len());
        let (width, height) = (case.width as usize, case.height as usize);
        let (w, h) = (width.div_ceil(4), height.div_ceil(4));
        let masks = reference.floats(&format!("masks.{i}"));
        for (query, detection) in order.iter().zip(&found.detections) {
            let map = &masks[query * w * h..(query + 1) * w * h];
            let inside =
                |at: usize| sample(map, (h, w), (height, width), (at / width, at % width)) > 0.0;
            let mask = detection.mask.as_ref().unwrap();
            assert_eq!((mask.width, mask.height), (case.width, case.height));
            let overlap = iou(mask, inside);
            assert!(overlap >= MASK_IOU, "{name} {i}, query {query}: {overlap}");
            partly += usize::from(mask.area() > 0 && mask.area() < case.width * case.height);
        }
    }
    assert!(
        partly >= 4,
        "only {partly} masks are neither empty nor full"
    );
    let stats = grounder.stats();
    assert_eq!(stats.mask_runs, 2);
}

#[test]
fn masks_are_drawn_for_kept_objects_only() {
    let (grounder, reference) = load(&folder(), "resnet101_phrasecut");
    let case = &cases(&folder())[0];
    let pixels = reference.bytes("pixels.0");
    let frame = Frame::rgb(case.width, case.height, &pixels).unwrap();
    grounder
        .set_queries(vec![Query::parse("q", &case.caption).unwrap()])
        .unwrap();
    let all = grounder.ground(&frame).unwrap().queries.remove(0);
    grounder.change_settings(|settings| settings.max_detections = 3);
    let three = grounder.ground(&frame).unwrap().queries.remove(0);
    assert_eq!(three.detections, all.detections[..3]);
    grounder.change_settings(|settings| settings.masks = false);
    let bare = grounder.ground(&frame).unwrap().queries.remove(0);
    assert_eq!(bare.detections.len(), 3);
    for (bare, drawn) in bare.detections.iter().zip(&three.detections) {
        assert_eq!((bare.bbox, &bare.mask), (drawn.bbox, &None));
    }
    grounder.change_settings(|settings| settings.masks = true);
    grounder.change_settings(|settings| settings.score_threshold = 1.0);
    assert!(
        grounder.ground(&frame).unwrap().queries[0]
            .detections
            .is_empty()
    );
    assert_eq!(grounder.stats().mask_runs, 2);
}

#[test]
fn questions_are_answered_and_statements_are_not() {
    for (name, known) in [("resnet101_gqa", " "), ("clevr", "")] {
        let (grounder, reference) = load(&folder(), name);
        let case = &cases(&folder())[0];
        let pixels = reference.bytes("pixels.0");
        let frame = Frame::rgb(case.width, case.height, &pixels).unwrap();
        let queries = ["what is it?", "a cup"]
            .iter()
            .enumerate()
            .map(|(i, text)| Query::parse(format!("q{i}"), text).unwrap());
        grounder.set_queries(queries.collect()).unwrap();
        let found = grounder.ground(&frame).unwrap().queries;
        let answer = found[0].answer.as_ref().expect("an answer");
        assert!(answer.score > 0.0 && answer.score <= 1.0);
        assert!(answer.text.contains(known) && answer.text != "unknown");
        assert_eq!(found[1].answer, None);
    }
}
