//! Queries that share a caption, on a real bundle and rendered scenes.

mod common;

use std::fs;
use std::path::Path;

use common::{bundle, grounder, picture, queries, words};
use mdetr::{Detection, Frame, Grounder, GrounderOptions, Packing};

fn packed(packing: Packing) -> Grounder {
    let options = GrounderOptions {
        packing,
        ..common::options()
    };
    Grounder::load(bundle(), options).unwrap()
}

/// Rendered scenes.
fn scenes() -> Vec<image::RgbImage> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/parity");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "png"))
        .collect();
    paths.sort();
    let read = |path| image::open(path).unwrap().into_rgb8();
    paths.iter().map(read).collect()
}

/// How many of `wanted` have one of `found` on them.
fn covered(wanted: &[Detection], found: &[Detection]) -> usize {
    let has = |a: &&Detection| found.iter().any(|b| a.bbox.iou(b.bbox) >= 0.5);
    wanted.iter().filter(has).count()
}

#[test]
fn packed_queries_find_the_same_objects() {
    let texts = [
        "a red object",
        "a green object",
        "a blue object",
        "a yellow object",
    ];
    let (alone, together) = (grounder(), packed(Packing::Simple));
    for grounder in [&alone, &together] {
        grounder.set_queries(queries(&texts)).unwrap();
    }
    let (mut wanted, mut hit, mut found, mut right) = (0, 0, 0, 0);
    for scene in scenes() {
        let frame = Frame::rgb(scene.width(), scene.height(), &scene).unwrap();
        let [a, b] = [&alone, &together].map(|grounder| grounder.ground(&frame).unwrap());
        for (a, b) in a.queries.iter().zip(&b.queries) {
            assert_eq!(a.query, b.query);
            wanted += a.detections.len();
            hit += covered(&a.detections, &b.detections);
            found += b.detections.len();
            right += covered(&b.detections, &a.detections);
            for detection in &b.detections {
                assert!(detection.score > together.manifest().thresholds.score);
                let mask = detection.mask.as_ref().expect("this model draws masks");
                assert_eq!((mask.width, mask.height), scene.dimensions());
                for phrase in &detection.phrases {
                    assert_eq!(phrase.span.slice(b.query.text()), phrase.text);
                }
                let words: Vec<&str> = detection.phrases.iter().map(|p| &*p.text).collect();
                assert_eq!(words, [b.query.text()], "all words are meant");
            }
        }
    }
    println!("{hit} of {wanted} boxes found, {right} of {found} right");
    assert!(wanted >= 15);
    assert!(10 * hit >= 8 * wanted, "{hit} of {wanted} found");
    assert!(10 * right >= 8 * found, "{right} of {found} right");
    let runs = [&alone, &together].map(|grounder| grounder.stats().fusion_runs);
    assert_eq!(runs, [40, 10]);
}

#[test]
fn only_simple_queries_share_a_caption() {
    let texts = [
        "a red cube",
        "is there a ball?",
        "[a ball] left of a cone",
        "all green objects",
        "a red cube",
        "[a cone]",
    ];
    let rgb = picture(64, 48);
    let frame = Frame::rgb(64, 48, &rgb).unwrap();
    for (packing, captions) in [(Packing::None, 6), (Packing::Simple, 3), (Packing::All, 2)] {
        let grounder = packed(packing);
        grounder.change_settings(|settings| settings.score_threshold = 0.0);
        assert_eq!(grounder.set_queries(queries(&texts)).unwrap(), 1);
        grounder.prepare(64, 48).unwrap();
        let found = grounder.ground(&frame).unwrap();
        let ids: Vec<&str> = found.queries.iter().map(|r| r.query.id()).collect();
        assert_eq!(ids, ["q1", "q2", "q3", "q4", "q5", "q6"]);
        assert!(found.queries[1].answer.is_some());
        assert_eq!(found.queries[0].detections, found.queries[4].detections);
        let stats = grounder.stats();
        assert_eq!((stats.vision_runs, stats.fusion_runs), (1, captions));
        let texts = stats.text_encoder_runs + stats.cache_memory_hits;
        assert_eq!(texts, captions, "{packing}");
    }
}

#[test]
fn a_query_alone_is_not_changed_by_packing() {
    let rgb = picture(160, 120);
    let frame = Frame::rgb(160, 120, &rgb).unwrap();
    let outputs = [Packing::None, Packing::Simple, Packing::All].map(|packing| {
        let grounder = packed(packing);
        grounder.set_queries(queries(&["all red balls."])).unwrap();
        common::outputs(&grounder, &frame).unwrap()
    });
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0], outputs[2]);
}

#[test]
fn outputs_of_packed_queries_are_in_their_order_and_in_terms_of_their_texts() {
    let texts = ["all small red rubber things", "a ball", "the big cylinder"];
    let grounder = packed(Packing::Simple);
    grounder.set_queries(queries(&texts)).unwrap();
    let rgb = picture(160, 120);
    let frame = Frame::rgb(160, 120, &rgb).unwrap();
    let outputs = common::outputs(&grounder, &frame).unwrap();
    let mut best = vec![0f32; grounder.manifest().network.queries];
    for (outputs, text) in outputs.iter().zip(texts) {
        assert_eq!(outputs.query.text(), text);
        assert_eq!(words(outputs), text.replace(' ', ""));
        assert!(outputs.answers.is_empty());
        for (row, best) in outputs.probabilities().iter().zip(&mut best) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4);
            let nothing = row.last().unwrap();
            let own: f32 = row.iter().sum::<f32>() - nothing;
            *best = best.max(own);
        }
    }
    assert!(best.iter().any(|score| *score > 0.01), "{best:?}");
    assert_eq!(grounder.stats().fusion_runs, 1);
}

#[test]
fn what_the_model_has_no_tokens_for_goes_into_more_captions() {
    let colours = ["red", "green", "blue", "yellow", "purple", "cyan"];
    let shapes = ["cube", "ball", "cylinder", "cone"];
    let texts: Vec<String> = colours
        .iter()
        .flat_map(|colour| shapes.map(|shape| format!("the small {colour} rubber {shape}")))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let grounder = packed(Packing::Simple);
    grounder.set_queries(queries(&texts)).unwrap();
    let rgb = picture(64, 48);
    let found = grounder.ground(&Frame::rgb(64, 48, &rgb).unwrap()).unwrap();
    let answered: Vec<&str> = found.queries.iter().map(|r| r.query.text()).collect();
    assert_eq!(answered, texts);
    let captions = grounder.stats().fusion_runs;
    assert!((2..=8).contains(&captions), "{captions} captions");
}

#[test]
fn captions_are_kept_like_any_text_and_packing_changes_with_the_queries() {
    let cache = tempfile::tempdir().unwrap();
    let load = || {
        let options = GrounderOptions {
            text_cache_dir: Some(cache.path().to_owned()),
            packing: Packing::Simple,
            ..common::options()
        };
        Grounder::load(bundle(), options).unwrap()
    };
    let texts = ["a red cube", "all balls"];
    let first = load();
    first.set_queries(queries(&texts)).unwrap();
    first.set_queries(queries(&texts)).unwrap();
    let stats = first.stats();
    assert_eq!((stats.text_encoder_runs, stats.cache_memory_hits), (1, 1));
    let again = load();
    again.set_queries(queries(&texts)).unwrap();
    let stats = again.stats();
    assert_eq!((stats.text_encoder_runs, stats.cache_disk_hits), (0, 1));
    again.change_settings(|settings| settings.packing = Packing::None);
    assert_eq!(again.set_queries(queries(&texts)).unwrap(), 2);
    assert_eq!(again.stats().text_encoder_runs, 2);
}
