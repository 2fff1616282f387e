//! Grounders of one process with one loaded model.

mod common;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{bundle, picture, queries};
use mdetr::{Frame, Grounder, GrounderOptions};

/// A model that no other test shares: the cache directory tells them apart.
fn options(cache: &tempfile::TempDir) -> GrounderOptions {
    GrounderOptions {
        text_cache_dir: Some(cache.path().to_owned()),
        share_model: true,
        ..GrounderOptions::default()
    }
}

/// Held by each test, since one measures the memory of the process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of memory that this process holds.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn sixteen_grounders_take_the_memory_of_one() {
    let _alone = alone();
    let cache = tempfile::tempdir().unwrap();
    let rgb = picture(320, 240);
    let frame = Frame::rgb(320, 240, &rgb).unwrap();
    let ground = |grounder: &Grounder| {
        grounder.set_queries(queries(&["a red cube"])).unwrap();
        grounder.ground(&frame).unwrap()
    };
    let before = resident();
    let first = Grounder::load(bundle(), options(&cache)).unwrap();
    let found = ground(&first);
    let one = resident().saturating_sub(before);
    // One after another: each of many threads would keep what the allocator gave it for a while.
    let load = || Grounder::load(bundle(), options(&cache)).unwrap();
    let others: Vec<Grounder> = std::iter::repeat_with(load).take(15).collect();
    for other in &others {
        assert_eq!(ground(other), found);
        assert_eq!(other.stats().text_encoder_runs, 0, "encoded again");
        assert_eq!((other.stats().frames, other.stats().vision_runs), (1, 1));
    }
    assert_eq!(first.model_users(), 16);
    let all = resident().saturating_sub(before);
    println!("one grounder {} MiB, sixteen {} MiB", one >> 20, all >> 20);
    assert!(all < 2 * one + (32 << 20), "{one} bytes became {all}");
}

#[test]
fn what_is_a_grounders_own_is_not_shared() {
    let _alone = alone();
    let cache = tempfile::tempdir().unwrap();
    let one = Grounder::load(bundle(), options(&cache)).unwrap();
    let other = GrounderOptions {
        score_threshold: Some(0.0),
        max_detections: 3,
        short_side: Some(64),
        ..options(&cache)
    };
    let two = Grounder::load(bundle(), other).unwrap();
    assert_eq!((one.model_users(), two.model_users()), (2, 2));
    one.set_queries(queries(&["a red cube"])).unwrap();
    assert_eq!(two.queries().revision(), 0);
    two.set_queries(queries(&["all objects", "a ball"]))
        .unwrap();
    one.change_settings(|settings| settings.score_threshold = 1.0);
    let rgb = picture(160, 120);
    let frame = Frame::rgb(160, 120, &rgb).unwrap();
    assert!(one.ground(&frame).unwrap().queries[0].detections.is_empty());
    let found = two.ground(&frame).unwrap();
    assert_eq!(found.queries[0].detections.len(), 3);
    assert_eq!((one.stats().fusion_runs, two.stats().fusion_runs), (1, 2));
}

#[test]
fn other_options_and_load_have_models_of_their_own_and_the_last_frees() {
    let _alone = alone();
    let (cache, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let shared = Grounder::load(bundle(), options(&cache)).unwrap();
    let elsewhere = Grounder::load(bundle(), options(&other)).unwrap();
    let unshared = GrounderOptions {
        share_model: false,
        ..options(&cache)
    };
    let alone = Grounder::load(bundle(), unshared).unwrap();
    let users = [&shared, &elsewhere, &alone].map(Grounder::model_users);
    assert_eq!(users, [1, 1, 1]);
    let again = Grounder::load(bundle(), options(&cache)).unwrap();
    drop(shared);
    assert_eq!(again.model_users(), 1);
    again.set_queries(queries(&["a red cube"])).unwrap();
    drop(again);
    // A new model has no text in memory.
    let new = Grounder::load(bundle(), options(&cache)).unwrap();
    new.set_queries(queries(&["a red cube"])).unwrap();
    let stats = new.stats();
    assert_eq!((stats.cache_memory_hits, stats.cache_disk_hits), (0, 1));
}

#[test]
fn a_failed_load_is_not_remembered() {
    let _alone = alone();
    let copy = tempfile::tempdir().unwrap();
    let files = fs::read_dir(bundle()).unwrap().map(|entry| entry.unwrap());
    for file in files.filter(|entry| entry.path().is_file()) {
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let vision = copy.path().join("vision.onnx");
    let sound = fs::read(&vision).unwrap();
    fs::write(&vision, b"rubbish").unwrap();
    let shared = GrounderOptions {
        share_model: true,
        ..GrounderOptions::default()
    };
    let load = || Grounder::load(copy.path(), shared.clone());
    load().unwrap_err();
    fs::write(&vision, sound).unwrap();
    assert_eq!(load().unwrap().model_users(), 1);
}
