//! The library from end to end on a real bundle.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{bundle, grounder, picture, queries, words};
use mdetr::bundle::BundleError;
use mdetr::engine::{CacheError, OptionError};
use mdetr::query::QueryError;
use mdetr::{Error, Frame, Grounder, GrounderOptions, PixelFormat, Plane, Query, RawOutputs};

fn load_with_cache(dir: &Path) -> Grounder {
    let options = GrounderOptions {
        text_cache_dir: Some(dir.to_owned()),
        ..common::options()
    };
    Grounder::load(bundle(), options).unwrap()
}

/// Largest absolute difference of logits and of boxes.
fn difference(a: &RawOutputs, b: &RawOutputs) -> (f32, f32) {
    assert_eq!(a.logits.len(), b.logits.len());
    let most = |pairs: &mut dyn Iterator<Item = (f32, f32)>| {
        pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
    };
    let logits = most(&mut a.logits.iter().copied().zip(b.logits.iter().copied()));
    let flat = |outputs: &RawOutputs| outputs.boxes.concat();
    (logits, most(&mut flat(a).into_iter().zip(flat(b))))
}

#[test]
fn outputs_have_the_shapes_of_the_manifest() {
    let grounder = grounder();
    let network = grounder.manifest().network.clone();
    grounder
        .set_queries(queries(&["a [red cube]", "all objects"]))
        .unwrap();
    let rgb = picture(64, 48);
    let outputs = common::outputs(&grounder, &Frame::rgb(64, 48, &rgb).unwrap()).unwrap();
    assert_eq!(outputs.len(), 2);
    for outputs in &outputs {
        assert_eq!(outputs.slots, network.slots);
        assert_eq!(
            outputs.logits.len(),
            (network.queries + network.lost) * network.slots
        );
        assert_eq!(outputs.boxes.len(), network.queries + network.lost);
        assert!(
            outputs
                .boxes
                .iter()
                .flatten()
                .all(|v| (0.0..=1.0).contains(v))
        );
        assert_eq!(outputs.tokens.first(), Some(&None));
        assert_eq!(outputs.tokens.last(), Some(&None));
        assert_eq!(words(outputs), outputs.query.text().replace(' ', ""));
        for row in outputs.probabilities() {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        }
    }
}

#[test]
fn detections_follow_thresholds_and_stay_in_the_frame() {
    let grounder = grounder();
    let any = |id: &str| {
        Query::parse(id, "all objects")
            .unwrap()
            .with_score_threshold(0.0)
            .unwrap()
    };
    let none = Query::parse("none", "all objects")
        .unwrap()
        .with_score_threshold(1.0)
        .unwrap();
    grounder.change_settings(|settings| settings.overlap_threshold = 1.0);
    assert_eq!(grounder.set_queries(vec![any("any"), none]).unwrap(), 1);
    let rgb = picture(321, 243);
    let frame = Frame::rgb(321, 243, &rgb).unwrap();
    let grounding = grounder.ground(&frame).unwrap();
    assert_eq!(
        (grounding.revision, grounding.width, grounding.height),
        (1, 321, 243)
    );
    let [any, none] = &grounding.queries[..] else {
        panic!("{}", grounding.queries.len())
    };
    assert_eq!(any.detections.len(), grounder.manifest().network.queries);
    assert!(any.present() && !none.present());
    for detection in &any.detections {
        let [x0, y0, x1, y1] = detection.bbox.to_xyxy();
        assert!(x0 >= 0.0 && y0 >= 0.0 && x1 <= 321.01 && y1 <= 243.01);
    }
    grounder.change_settings(|settings| settings.max_detections = 3);
    assert_eq!(
        grounder.ground(&frame).unwrap().queries[0].detections.len(),
        3
    );
}

#[test]
fn run_time_thresholds_apply_to_queries_without_their_own() {
    let grounder = grounder();
    grounder.set_queries(queries(&["all objects"])).unwrap();
    let rgb = picture(64, 48);
    let frame = Frame::rgb(64, 48, &rgb).unwrap();
    let count = || grounder.ground(&frame).unwrap().queries[0].detections.len();
    let every = grounder.manifest().network.queries;
    grounder.change_settings(|settings| settings.score_threshold = 0.0);
    assert!(count() < every, "second boxes on an object are dropped");
    grounder.change_settings(|settings| settings.overlap_threshold = 1.0);
    assert_eq!(count(), every);
    grounder.change_settings(|settings| settings.score_threshold = f32::NAN);
    grounder.change_settings(|settings| settings.overlap_threshold = f32::NAN);
    assert_eq!(count(), every);
    grounder.change_settings(|settings| settings.score_threshold = 7.0);
    assert_eq!(count(), 0);
}

#[test]
fn answers_do_not_depend_on_the_other_queries() {
    let texts = [
        "a red cube",
        "the small shiny ball left of the large green cone",
        "all boxes",
    ];
    let grounder = grounder();
    let rgb = picture(160, 120);
    let frame = Frame::rgb(160, 120, &rgb).unwrap();
    grounder.set_queries(queries(&texts)).unwrap();
    let together = common::outputs(&grounder, &frame).unwrap();
    for (text, together) in texts.iter().zip(&together) {
        grounder.set_queries(queries(&[text])).unwrap();
        let alone = common::outputs(&grounder, &frame).unwrap();
        let (logits, boxes) = difference(&alone[0], together);
        assert!(logits <= 1e-5 && boxes <= 1e-5, "{text}: {logits} {boxes}");
    }
}

#[test]
fn every_format_is_grounded_alike() {
    let grounder = grounder();
    grounder.set_queries(queries(&["a gray cube"])).unwrap();
    let (width, height) = (65u32, 49u32);
    let gray: Vec<u8> = (0..width * height).map(|i| (i % width * 3) as u8).collect();
    let outputs_of = |format: PixelFormat, padding: usize| {
        let sizes = format.plane_sizes(width, height);
        let buffers: Vec<Vec<u8>> = sizes
            .iter()
            .enumerate()
            .map(|(plane, (row, rows))| {
                let bytes_per_pixel = (row / width as usize).max(1);
                (0..*rows)
                    .flat_map(|y| {
                        let line = (0..row + padding).map(move |i| (y, i));
                        line.map(|(y, i)| match format {
                            _ if plane > 0 || i >= *row => 128,
                            PixelFormat::Yuy2 if i % 2 == 1 => 128,
                            PixelFormat::Yuy2 => gray[y * 65 + (i / 2).min(64)],
                            _ => gray[y * 65 + i / bytes_per_pixel],
                        })
                    })
                    .collect()
            })
            .collect();
        let planes: Vec<Plane> = buffers
            .iter()
            .zip(&sizes)
            .map(|(data, (row, _))| Plane {
                data,
                stride: row + padding,
            })
            .collect();
        let full = mdetr::frame::Colorimetry {
            range: mdetr::frame::YuvRange::Full,
            ..Default::default()
        };
        let frame = Frame::new(format, width, height, &planes)
            .unwrap()
            .with_colorimetry(full);
        common::outputs(&grounder, &frame).unwrap().remove(0)
    };
    let reference = outputs_of(PixelFormat::Rgb, 0);
    for format in PixelFormat::ALL {
        for padding in [0, 5] {
            let (logits, boxes) = difference(&outputs_of(format, padding), &reference);
            assert!(
                logits <= 1e-3 && boxes <= 1e-4,
                "{format:?}: {logits} {boxes}"
            );
        }
    }
}

#[test]
fn frames_of_any_size_are_grounded() {
    let grounder = grounder();
    grounder.set_queries(queries(&["a red cube"])).unwrap();
    for (width, height) in [(1, 1), (4000, 2), (3, 1999), (7680, 4320)] {
        let (w, h) = (width as usize, height as usize);
        let luma = vec![90; w * h];
        let chroma = vec![120; 2 * w.div_ceil(2) * h.div_ceil(2)];
        let planes = [
            Plane {
                data: &luma,
                stride: w,
            },
            Plane {
                data: &chroma,
                stride: 2 * w.div_ceil(2),
            },
        ];
        let frame = Frame::new(PixelFormat::Nv12, width, height, &planes).unwrap();
        grounder.prepare(width, height).unwrap();
        assert_eq!(
            grounder.ground(&frame).unwrap().queries.len(),
            1,
            "{width}x{height}"
        );
    }
    assert!(matches!(grounder.prepare(0, 5), Err(Error::Frame(_))));
}

#[test]
fn without_queries_nothing_runs() {
    let grounder = grounder();
    let rgb = picture(32, 32);
    let grounding = grounder.ground(&Frame::rgb(32, 32, &rgb).unwrap()).unwrap();
    assert!(grounding.queries.is_empty());
    let stats = grounder.stats();
    assert_eq!(
        (stats.frames, stats.vision_runs, stats.fusion_runs),
        (1, 0, 0)
    );
}

#[test]
fn the_text_encoder_runs_once_for_each_text() {
    let cache = tempfile::tempdir().unwrap();
    let texts = [
        "a red cube",
        "the ball left of the cone",
        "all green objects",
    ];
    let rgb = picture(64, 48);
    let frame = Frame::rgb(64, 48, &rgb).unwrap();

    let grounder = load_with_cache(cache.path());
    grounder.set_queries(queries(&texts)).unwrap();
    for _ in 0..5 {
        grounder.ground(&frame).unwrap();
    }
    grounder
        .set_queries(queries(&[texts[2], texts[0]]))
        .unwrap();
    grounder
        .set_queries(queries(&[texts[1], texts[1]]))
        .unwrap();
    let stats = grounder.stats();
    assert_eq!((stats.text_encoder_loads, stats.text_encoder_runs), (1, 3));
    assert_eq!((stats.cache_memory_hits, stats.cache_disk_hits), (4, 0));
    assert_eq!(
        (stats.frames, stats.vision_runs, stats.fusion_runs),
        (5, 5, 15)
    );
    let first = common::outputs(&grounder, &frame).unwrap();

    let again = load_with_cache(cache.path());
    again.set_queries(queries(&texts)).unwrap();
    let stats = again.stats();
    assert_eq!((stats.text_encoder_loads, stats.text_encoder_runs), (0, 0));
    assert_eq!((stats.cache_memory_hits, stats.cache_disk_hits), (0, 3));
    assert_eq!(
        common::outputs(&again, &frame).unwrap()[1].logits,
        first[0].logits
    );
}

#[test]
fn damaged_cache_entries_are_computed_again() {
    let cache = tempfile::tempdir().unwrap();
    load_with_cache(cache.path())
        .set_queries(queries(&["a red cube"]))
        .unwrap();
    let entry = fs::read_dir(cache.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = fs::read(&entry).unwrap();
    let last = bytes.len() - 9;
    bytes[last] ^= 0x40;
    fs::write(&entry, &bytes).unwrap();

    let grounder = load_with_cache(cache.path());
    grounder.set_queries(queries(&["a red cube"])).unwrap();
    let stats = grounder.stats();
    assert_eq!(
        (
            stats.cache_damaged,
            stats.cache_disk_hits,
            stats.text_encoder_runs
        ),
        (1, 0, 1)
    );

    let grounder = load_with_cache(cache.path());
    grounder.set_queries(queries(&["a red cube"])).unwrap();
    let stats = grounder.stats();
    assert_eq!(
        (
            stats.cache_damaged,
            stats.cache_disk_hits,
            stats.text_encoder_runs
        ),
        (0, 1, 0)
    );
}

#[test]
fn an_unwritable_cache_directory_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let dir = file.path().join("cache");
    let options = GrounderOptions {
        text_cache_dir: Some(dir.clone()),
        ..common::options()
    };
    let error = Grounder::load(bundle(), options).unwrap_err();
    assert!(matches!(&error, Error::Cache(CacheError::Create { dir: named, .. }) if *named == dir));
    assert!(
        error.to_string().contains(&dir.display().to_string()),
        "{error}"
    );
}

#[test]
fn a_cache_that_cannot_be_written_later_does_not_stop_the_queries() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("cache");
    let grounder = load_with_cache(&dir);
    fs::remove_dir_all(&dir).unwrap();
    fs::write(&dir, "in the way").unwrap();
    grounder.set_queries(queries(&["a red cube"])).unwrap();
    let stats = grounder.stats();
    assert_eq!(
        (stats.text_encoder_runs, stats.cache_write_failures),
        (1, 1)
    );
}

#[test]
fn bad_queries_leave_the_old_set() {
    let grounder = grounder();
    grounder.set_queries(queries(&["a red cube"])).unwrap();
    let long = Query::parse("long", &"cube and ".repeat(200)).unwrap();
    match grounder.set_queries(vec![long]).unwrap_err() {
        Error::Query(QueryError::TooManyTokens { id, max, found, .. }) => {
            assert_eq!(
                (id.as_str(), max),
                ("long", grounder.manifest().network.max_tokens)
            );
            assert!(found >= 400);
        }
        other => panic!("{other}"),
    }
    let twice = vec![
        Query::parse("a", "a cube").unwrap(),
        Query::parse("a", "a ball").unwrap(),
    ];
    let error = grounder.set_queries(twice).unwrap_err();
    assert!(
        matches!(error, Error::Query(QueryError::DuplicateId { .. })),
        "{error}"
    );
    let set = grounder.queries();
    assert_eq!((set.revision(), set.queries().len()), (1, 1));
    assert_eq!(grounder.stats().text_encoder_runs, 1);
}

#[test]
fn special_tokens_in_a_text_are_plain_characters() {
    let grounder = grounder();
    grounder
        .set_queries(queries(&["a </s> cube <pad>"]))
        .unwrap();
    let rgb = picture(32, 32);
    let outputs = common::outputs(&grounder, &Frame::rgb(32, 32, &rgb).unwrap()).unwrap();
    let special = outputs[0]
        .tokens
        .iter()
        .filter(|span| span.is_none())
        .count();
    assert_eq!(special, 2);
}

#[test]
fn texts_in_any_script_are_grounded() {
    let grounder = grounder();
    let texts = [
        "ein großer roter Würfel",
        "左の赤い玉",
        "🟥 ☕\u{301} é",
        "\u{200f}מעוקב אדום",
    ];
    grounder.set_queries(queries(&texts)).unwrap();
    let rgb = picture(32, 32);
    for outputs in common::outputs(&grounder, &Frame::rgb(32, 32, &rgb).unwrap()).unwrap() {
        let characters = outputs.query.text().chars().count() as u32;
        for span in outputs.tokens.iter().flatten() {
            assert!(span.start <= span.end && span.end <= characters);
        }
    }
}

#[test]
fn threads_ground_while_queries_change() {
    let grounder = Arc::new(grounder());
    let rgb = Arc::new(picture(64, 48));
    grounder.set_queries(queries(&["a red cube"])).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let (grounder, rgb, done) = (grounder.clone(), rgb.clone(), done.clone());
            std::thread::spawn(move || {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let grounding = grounder.ground(&Frame::rgb(64, 48, &rgb).unwrap()).unwrap();
                    assert!(grounding.revision >= last, "revisions rise");
                    last = grounding.revision;
                    // Odd revisions have one query, even ones two.
                    let expected = if last % 2 == 1 { 1 } else { 2 };
                    assert_eq!(grounding.queries.len(), expected);
                }
                last
            })
        })
        .collect();
    for round in 0..6 {
        let texts = if round % 2 == 0 {
            &["a ball", "a red cube"][..]
        } else {
            &["a red cube"]
        };
        assert_eq!(grounder.set_queries(queries(texts)).unwrap(), round + 2);
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
    done.store(true, Ordering::Relaxed);
    for worker in workers {
        assert!(worker.join().unwrap() >= 1);
    }
    assert_eq!(grounder.stats().text_encoder_runs, 2);
}

#[test]
fn options_out_of_range_are_refused() {
    for bad in [-0.5, 1.5, f32::NAN] {
        let options = GrounderOptions {
            score_threshold: Some(bad),
            ..common::options()
        };
        let error = Grounder::load(bundle(), options).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Option(OptionError {
                    option: "score_threshold",
                    ..
                })
            ),
            "{error}"
        );
    }
}

#[test]
fn the_bundle_verifies_and_its_damaged_copy_does_not() {
    let sound = mdetr::Bundle::open(bundle()).unwrap();
    mdetr::Grounder::check(&sound).unwrap();

    let copy = tempfile::tempdir().unwrap();
    for name in sound
        .manifest()
        .files
        .keys()
        .map(String::as_str)
        .chain(["model.toml"])
    {
        fs::copy(sound.dir().join(name), copy.path().join(name)).unwrap();
    }
    let vision = copy.path().join("vision.onnx");
    let mut bytes = fs::read(&vision).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&vision, bytes).unwrap();
    let error = Grounder::load(copy.path(), GrounderOptions::default()).unwrap_err();
    assert!(matches!(&error, Error::Bundle(BundleError::Hash { path, .. }) if *path == vision));
}

#[test]
fn encodings_can_be_given_up() {
    const MANY: usize = 5000;
    let grounder = grounder();
    let standing = grounder.set_queries(queries(&["a red cube"])).unwrap();
    let query = |number| Query::parse(format!("n{number}"), &format!("cube number {number}"));
    let many: Vec<Query> = (0..MANY).map(|number| query(number).unwrap()).collect();
    let error = std::thread::scope(|scope| {
        let encoding = scope.spawn(|| grounder.set_queries(many).unwrap_err());
        while grounder.stats().text_encoder_runs < 3 {
            std::thread::yield_now();
        }
        grounder.give_up();
        encoding.join().unwrap()
    });
    assert!(matches!(error, Error::GivenUp), "{error}");
    assert!(grounder.stats().text_encoder_runs < MANY as u64);
    assert_eq!(grounder.queries().revision(), standing);
}

#[test]
fn a_short_side_is_chosen_by_measuring() {
    let grounder = common::sized(Some(160), None);
    let pixels = common::picture(256, 192);
    let frame = Frame::rgb(256, 192, &pixels).unwrap();
    let before = grounder.stats().vision_runs;
    // Any machine does one in a minute and more, and none a thousand in a second.
    let slow = grounder.choose_short_side(256, 192, 0.01).unwrap();
    assert_eq!((slow.short_side, slow.is_reached), (160, true));
    let fast = grounder.choose_short_side(256, 192, 1000.0).unwrap();
    assert_eq!(fast.short_side, 128);
    assert_eq!(fast.is_reached, fast.frames_per_second >= 1000.0);
    assert_eq!(grounder.stats().vision_runs, before, "nobody's frames");
    let expected = common::sized(Some(128), None).ground(&frame).unwrap();
    let found = grounder.ground(&frame).unwrap();
    assert_eq!(found.queries[0].detections, expected.queries[0].detections);
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = grounder.choose_short_side(256, 192, rate).unwrap_err();
        assert!(error.to_string().contains("more than 0"), "{error}");
    }
}

#[test]
fn boxes_are_those_around_masks_and_each_once() {
    let grounder = grounder();
    let texts = ["all objects", "all cylinders", "every cube"];
    grounder.set_queries(queries(&texts)).unwrap();
    grounder.change_settings(|settings| settings.score_threshold = 0.0);
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/parity");
    let mut tight = 0;
    for number in 0..8 {
        let picture = pictures.join(format!("{number:02}.png"));
        let picture = image::open(picture).unwrap().to_rgb8();
        let (width, height) = picture.dimensions();
        let frame = Frame::rgb(width, height, picture.as_raw()).unwrap();
        for found in grounder.ground(&frame).unwrap().queries {
            for (place, one) in found.detections.iter().enumerate() {
                let bounds = one.mask.as_ref().and_then(mdetr::Rle::bounds);
                tight += usize::from(bounds == Some(one.bbox));
                for other in &found.detections[..place] {
                    let mut phrases = one.phrases.iter();
                    let same = phrases.all(|phrase| other.answers_to(phrase.span));
                    let apart = one.bbox.iou(other.bbox) <= 0.5;
                    assert!(!same || apart, "{number}: {one:?} {other:?}");
                }
            }
        }
    }
    assert!(tight >= 50, "{tight}");
}
