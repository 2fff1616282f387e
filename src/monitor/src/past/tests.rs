//! What is offered is kept, and found.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gst_video::VideoFormat;
use mdetr_past::{Search, search};
use mdetr_scenes::{Scene, SceneOptions, render};

use super::*;
use crate::config::{self, PastSettings};
use crate::hub::Current;
use crate::metrics::Scrape;

/// A hub whose configuration keeps frames, and what keeps them.
fn archive(dir: &std::path::Path, settings: &str) -> (Arc<Hub>, Arc<Archive>) {
    gst::init().unwrap();
    let path = dir.join("monitor.toml");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tabletop");
    let text = format!("model = {model:?}\nengine = \"tract\"\ndata = \"data\"\n{settings}");
    std::fs::write(&path, text).unwrap();
    let document = config::read(&path).unwrap().document;
    assert!(config::check(&document).is_empty());
    let (hub, _) = Hub::new(Current {
        revision: 1,
        document,
    });
    let archive = Archive::start(hub.clone(), Arc::default(), Models::new()).unwrap();
    (hub, archive)
}

/// A scene as a frame, with its words.
fn scene(seed: u64) -> (gst::Buffer, VideoInfo, String) {
    let scene = Scene::sample(seed, &SceneOptions::default());
    let picture = render(&scene, 320, 240, seed);
    let info = VideoInfo::builder(VideoFormat::Rgb, 320, 240)
        .build()
        .unwrap();
    let words = format!("a {}", scene.objects[0].words());
    (gst::Buffer::from_slice(picture.rgb), info, words)
}

fn offer(archive: &Archive, (buffer, info, _): &(gst::Buffer, VideoInfo, String), second: u64) {
    archive.offer(
        "gate",
        &Shown {
            buffer,
            info,
            utc: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
        },
    );
}

/// Until so many frames are kept.
fn wait(archive: &Archive, frames: usize) -> Past {
    for _ in 0..400 {
        let past = archive.open(&Selection::default()).unwrap();
        if past.frames().len() == frames {
            return past;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{frames} frames are not kept");
}

#[test]
fn frames_are_kept_in_their_turn_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (_, archive) = archive(dir.path(), "[past]\nevery = \"10s\"\npictures = true\n");
    let scenes = [scene(3), scene(4)];
    offer(&archive, &scenes[0], 100);
    wait(&archive, 1);
    // Not its turn, then unchanged.
    offer(&archive, &scenes[1], 105);
    offer(&archive, &scenes[0], 110);
    offer(&archive, &scenes[1], 120);
    wait(&archive, 2);
    archive.stop();
    let past = wait(&archive, 2);
    let seconds: Vec<_> = past
        .frames()
        .iter()
        .map(|f| (f.time() / 1_000_000_000, f.until() / 1_000_000_000))
        .collect();
    assert_eq!(seconds, [(100, 110), (120, 120)]);
    let picture = past.picture(&past.frames()[1]).unwrap().unwrap();
    let picture = image::load_from_memory(&picture).unwrap();
    assert_eq!((picture.width(), picture.height()), (320, 240));
    let grounder = archive.grounder().unwrap();
    let query = mdetr::Query::parse("q", &scenes[1].2).unwrap();
    let wanted = Search {
        threshold: 0.1,
        ..Search::new(query, &grounder)
    };
    let found = search(
        &past,
        &grounder,
        &wanted,
        &AtomicBool::new(false),
        &mut |_| {},
    )
    .unwrap();
    assert!(!found.hits.is_empty(), "{}: {found:?}", scenes[1].2);
    offer(&archive, &scenes[0], 200);
}

#[test]
fn nothing_is_kept_unless_the_configuration_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, archive) = archive(dir.path(), "");
    let scene = scene(5);
    offer(&archive, &scene, 100);
    let mut current = Current::clone(&hub.config());
    current.document.past = Some(PastSettings {
        change_threshold: 0.0,
        ..PastSettings::default()
    });
    current.revision += 1;
    hub.set_config(current.clone());
    offer(&archive, &scene, 200);
    wait(&archive, 1);
    current.document.past = None;
    current.revision += 1;
    hub.set_config(current);
    offer(&archive, &scene, 300);
    archive.stop();
    wait(&archive, 1);
}

fn has_skipped_one(archive: &Archive) -> bool {
    let text = archive.metrics.render(&Scrape {
        revision: 1,
        cameras: Vec::new(),
        broker: None,
        store: Arc::default(),
        failures: 0,
        lost: 0,
        outbox: Vec::new(),
        counts: None,
    });
    text.contains("mdetr_past_skipped_total{camera=\"gate\"} 1")
}

/// A scene that came while nothing could be kept is new when it comes again, and not as the one before.
#[test]
fn what_could_not_be_kept_is_not_still() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, archive) = archive(dir.path(), "[past]\n");
    let scenes = [scene(3), scene(4)];
    offer(&archive, &scenes[0], 100);
    wait(&archive, 1);
    let with_free_bytes = |bytes: u64| {
        let mut current = Current::clone(&hub.config());
        current.document.store.free_bytes = bytes;
        current.revision += 1;
        hub.set_config(current);
    };
    with_free_bytes(u64::MAX);
    offer(&archive, &scenes[1], 200);
    for _ in 0..400 {
        if has_skipped_one(&archive) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(has_skipped_one(&archive));
    with_free_bytes(0);
    offer(&archive, &scenes[1], 300);
    archive.stop();
    let past = wait(&archive, 2);
    let times = past.frames().iter().map(|f| (f.time(), f.until()));
    let seconds = 1_000_000_000;
    assert_eq!(
        times.collect::<Vec<_>>(),
        [
            (100 * seconds, 100 * seconds),
            (300 * seconds, 300 * seconds)
        ]
    );
}

/// A key that others may read, say: it is said, nothing is kept, and no frame waits.
#[test]
fn what_cannot_be_kept_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "short").unwrap();
    let (_, archive) = archive(dir.path(), "[past]\nkey = \"key\"\n");
    offer(&archive, &scene(6), 100);
    archive.stop();
    assert!(has_skipped_one(&archive));
    assert!(archive.open(&Selection::default()).is_err());
}

#[test]
fn a_disk_that_is_almost_full_keeps_its_room_for_events() {
    let dir = tempfile::tempdir().unwrap();
    let settings = "[past]\n[store]\nfree_bytes = 9223372036854775807\n";
    let (_, archive) = archive(dir.path(), settings);
    offer(&archive, &scene(6), 100);
    archive.stop();
    assert!(
        archive
            .open(&Selection::default())
            .unwrap()
            .frames()
            .is_empty()
    );
}
