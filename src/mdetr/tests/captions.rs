//! Captions as models and people write them: whole words in results, and letters in any case.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{grounder, queries};
use mdetr::{Frame, Grounder, GrounderOptions, Packing, QueryResult, RawOutputs};
use unicode_segmentation::UnicodeSegmentation;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn scene(name: &str) -> image::RgbImage {
    let path = data("parity").join(name);
    image::open(path).unwrap().into_rgb8()
}

fn ground(grounder: &Grounder, scene: &image::RgbImage, texts: &[&str]) -> Vec<QueryResult> {
    grounder.set_queries(queries(texts)).unwrap();
    let frame = Frame::rgb(scene.width(), scene.height(), scene).unwrap();
    grounder.ground(&frame).unwrap().queries
}

fn outputs(grounder: &Grounder, texts: &[&str]) -> Vec<RawOutputs> {
    grounder.set_queries(queries(texts)).unwrap();
    let rgb = common::picture(64, 48);
    common::outputs(grounder, &Frame::rgb(64, 48, &rgb).unwrap()).unwrap()
}

/// The bundled model with another line on the case of captions in its manifest, or none.
fn bundle_with(case: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(common::bundle()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let manifest = copy.path().join("model.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    assert!(text.contains("case = \"lower\"\n"));
    fs::write(&manifest, text.replace("case = \"lower\"\n", case)).unwrap();
    copy
}

/// Every place between words, in code points.
fn word_bounds(text: &str) -> Vec<u32> {
    let mut bounds = vec![0];
    let mut position = 0;
    for word in text.split_word_bounds() {
        position += word.chars().count() as u32;
        bounds.push(position);
    }
    bounds
}

/// The official structures' fixtures have a token for each byte, and weights that name any of them.
#[test]
fn phrases_are_whole_words_where_tokens_are_bytes() {
    let caption = "eine gru\u{308}ne Tasse, please: größer als 赤い玉 or мяч";
    let bounds = word_bounds(caption);
    let (mut phrases, mut cut) = (0, 0);
    for name in ["resnet101", "efficientnetB3"] {
        let options = GrounderOptions {
            score_threshold: Some(0.0),
            ..common::options()
        };
        let grounder = Grounder::load(data("official").join(name), options).unwrap();
        for scene in ["03.png", "04.png"].map(scene) {
            let found = ground(&grounder, &scene, &[caption]).remove(0);
            assert!(!found.detections.is_empty());
            for phrase in found.detections.iter().flat_map(|d| &d.phrases) {
                let ends = [phrase.span.start, phrase.span.end];
                assert!(ends.iter().all(|end| bounds.contains(end)), "{phrase:?}");
                assert_eq!(phrase.span.slice(caption), phrase.text);
                assert!(!phrase.text.starts_with('\u{308}'), "{phrase:?}");
                phrases += 1;
            }
            let frame = Frame::rgb(scene.width(), scene.height(), &scene).unwrap();
            let tokens = common::outputs(&grounder, &frame).unwrap().remove(0).tokens;
            let ends = tokens.iter().flatten().map(|token| token.end);
            cut += ends.filter(|end| !bounds.contains(end)).count();
        }
    }
    assert!(phrases > 20 && cut > 100, "{phrases} phrases, {cut} tokens");
}

#[test]
fn the_bundled_models_phrases_are_whole_words() {
    let grounder = grounder();
    grounder.change_settings(|settings| {
        settings.score_threshold = 0.05;
        settings.phrase_threshold = 0.02;
    });
    let texts = [
        "a red cube, please",
        "the cylindrical thing beside two spheroids",
        "un cube de\u{301}passe\u{301} par une sphe\u{300}re",
    ];
    let mut phrases = 0;
    for name in ["02.png", "04.png", "06.png"] {
        for result in ground(&grounder, &scene(name), &texts) {
            let bounds = word_bounds(result.query.text());
            for phrase in result.detections.iter().flat_map(|d| &d.phrases) {
                let ends = [phrase.span.start, phrase.span.end];
                assert!(ends.iter().all(|end| bounds.contains(end)), "{phrase:?}");
                phrases += 1;
            }
        }
    }
    assert!(phrases > 10, "{phrases}");
}

#[test]
fn a_text_in_any_case_finds_the_same_and_keeps_its_letters() {
    let lower = "all cylinders and the yellow cone";
    let texts = [
        lower,
        "ALL CYLINDERS AND THE YELLOW CONE",
        "All Cylinders And The Yellow Cone",
    ];
    let found = ground(&grounder(), &scene("02.png"), &texts);
    let expected = &found[0].detections;
    assert!(expected.len() >= 2);
    for (result, text) in found.iter().zip(texts) {
        assert_eq!(result.query.text(), text);
        assert_eq!(result.detections.len(), expected.len());
        for (found, expected) in result.detections.iter().zip(expected) {
            assert_eq!((found.bbox, found.score), (expected.bbox, expected.score));
            assert_eq!(found.mask, expected.mask);
            assert_eq!(found.phrases.len(), expected.phrases.len());
            for (found, expected) in found.phrases.iter().zip(&expected.phrases) {
                assert_eq!((found.span, found.score), (expected.span, expected.score));
                assert_eq!(found.text, found.span.slice(text));
                assert_eq!(found.text.to_lowercase(), expected.text);
            }
        }
    }
}

#[test]
fn questions_in_any_case_have_the_same_answer() {
    let texts = [
        "how many cylinders are there?",
        "HOW MANY CYLINDERS ARE THERE?",
    ];
    let found = ground(&grounder(), &scene("02.png"), &texts);
    assert!(found[0].answer.is_some());
    assert_eq!(found[0].answer, found[1].answer);
}

#[test]
fn texts_that_differ_in_case_only_are_encoded_once() {
    let cache = tempfile::tempdir().unwrap();
    let load = || {
        let options = GrounderOptions {
            text_cache_dir: Some(cache.path().to_owned()),
            ..common::options()
        };
        Grounder::load(common::bundle(), options).unwrap()
    };
    let first = load();
    first
        .set_queries(queries(&["a red cube", "A Red Cube", "A RED CUBE"]))
        .unwrap();
    let stats = first.stats();
    assert_eq!((stats.text_encoder_runs, stats.cache_memory_hits), (1, 2));
    let again = load();
    again.set_queries(queries(&["A rEd cUbE"])).unwrap();
    let stats = again.stats();
    assert_eq!((stats.text_encoder_runs, stats.cache_disk_hits), (0, 1));
}

#[test]
fn places_are_those_of_the_typed_text_where_lower_case_is_longer() {
    let text = "İKİ [KIRMIZI] KÜP, DIE GROẞE STRASSE, ΣΦΑΙΡΑΣ";
    let outputs = outputs(&grounder(), &[text]).remove(0);
    let typed = outputs.query.text();
    let length = typed.chars().count() as u32;
    let mut covered = vec![false; length as usize];
    for span in outputs.tokens.iter().flatten() {
        assert!(span.start <= span.end && span.end <= length, "{span:?}");
        covered[span.start as usize..span.end as usize].fill(true);
    }
    let visible = typed.chars().map(|c| !c.is_whitespace());
    assert!(covered.into_iter().eq(visible), "{:?}", outputs.tokens);
    let lower = "i\u{307}ki\u{307} kirmizi küp, die große strasse, σφαιρας";
    let plain = self::outputs(&grounder(), &[lower]).remove(0);
    assert_eq!((outputs.logits, outputs.boxes), (plain.logits, plain.boxes));
}

#[test]
fn packed_texts_in_any_case_find_the_same_and_keep_their_places() {
    let options = GrounderOptions {
        packing: Packing::Simple,
        ..common::options()
    };
    let packed = Grounder::load(common::bundle(), options).unwrap();
    let lower = ["the yellow cone", "i\u{307} all cylinders", "a green ball"];
    let upper = ["THE YELLOW CONE", "İ ALL CYLINDERS", "A GREEN BALL"];
    let (plain, loud) = (outputs(&packed, &lower), outputs(&packed, &upper));
    let captions = packed.stats().fusion_runs;
    assert_eq!(captions, 2);
    for (plain, loud) in plain.iter().zip(&loud) {
        assert_eq!((&plain.logits, &plain.boxes), (&loud.logits, &loud.boxes));
        let last = |outputs: &RawOutputs| outputs.tokens.iter().flatten().last().copied().unwrap();
        for outputs in [plain, loud] {
            let end = outputs.query.text().chars().count() as u32;
            assert_eq!(last(outputs).end, end, "{}", outputs.query.text());
        }
    }
    let same = ["A RED CUBE", "a red cube"];
    outputs(&packed, &same);
    assert_eq!(
        packed.stats().fusion_runs,
        captions + 1,
        "one text, one caption"
    );
}

#[test]
fn a_bundle_that_says_nothing_tells_capitals() {
    let bundle = bundle_with("");
    let grounder = Grounder::load(bundle.path(), common::options()).unwrap();
    let found = outputs(&grounder, &["a red cube", "A RED CUBE"]);
    assert_ne!(found[0].logits, found[1].logits);
    let lower = outputs(&self::grounder(), &["a red cube"]).remove(0);
    assert_eq!(found[0].logits, lower.logits);
    let bundle = bundle_with("case = \"upper\"\n");
    let error = Grounder::load(bundle.path(), common::options()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("`upper`") && message.contains("`lower`"),
        "{message}"
    );
}

#[test]
fn targets_are_words_of_the_typed_text() {
    let scene = scene("02.png");
    let grounder = grounder();
    let lower = ground(&grounder, &scene, &["all [cylinders] and the yellow cone"]).remove(0);
    let upper = ground(&grounder, &scene, &["ALL [CYLINDERS] AND THE YELLOW CONE"]).remove(0);
    let boxes =
        |result: &QueryResult| -> Vec<_> { result.detections.iter().map(|d| d.bbox).collect() };
    assert!(!lower.detections.is_empty());
    assert_eq!(boxes(&lower), boxes(&upper));
    let target = upper.query.targets()[0];
    for detection in &upper.detections {
        assert!(detection.phrases.iter().any(|p| p.span.overlaps(target)));
    }
}
