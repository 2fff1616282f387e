use std::fs;

use super::*;
use crate::config::Keep;
use crate::hub::Clip;
use crate::store::{EventFilter, Swept};

/// An event of a minute, with two pictures of 1,000 bytes.
async fn happen(store: &Store, id: &str, start: Timestamp, change: impl FnOnce(&mut Event)) {
    let mut event = begun(id, start);
    change(&mut event);
    store.record(&pictured(&event, 1000), &[]).await.unwrap();
    store.record(&step(&ended(&event, 60)), &[]).await.unwrap();
}

async fn left(store: &Store) -> Vec<String> {
    let mut left = ids(store, &EventFilter::default()).await;
    left.sort();
    left
}

fn files(store: &Store) -> Vec<String> {
    let mut files = Vec::new();
    for day in fs::read_dir(store.media()).unwrap() {
        for camera in fs::read_dir(day.unwrap().path()).unwrap() {
            for file in fs::read_dir(camera.unwrap().path()).unwrap() {
                files.push(file.unwrap().file_name().into_string().unwrap());
            }
        }
    }
    files.sort();
    files
}

#[tokio::test]
async fn what_is_older_than_its_days_goes() {
    let (_directory, store) = fresh().await;
    for day in 0..10 {
        happen(&store, &format!("{day}"), hour(24 * day), |_| {}).await;
    }
    let open = begun("open", hour(0));
    store.record(&pictured(&open, 10), &[]).await.unwrap();
    happen(&store, "kept", hour(0), |_| {}).await;
    assert!(store.set_kept("kept", true).await.unwrap());
    let settings = config::Store {
        days: 3,
        ..endless()
    };
    let now = hour(24 * 9) + seconds(60);
    let swept = store.sweep(&settings, now).await.unwrap();
    assert_eq!(
        swept,
        Swept {
            events: 6,
            bytes: 12_000
        }
    );
    assert_eq!(left(&store).await, ["6", "7", "8", "9", "kept", "open"]);
    assert_eq!(files(&store).len(), 12);
    assert!(!store.media().join("2026-01-02").exists());
    assert_eq!(store.sweep(&settings, now).await.unwrap(), Swept::default());

    assert!(store.set_kept("kept", false).await.unwrap());
    let swept = store.sweep(&settings, now).await.unwrap();
    assert_eq!(swept.events, 1);
    assert_eq!(count(&store, "steps").await, 4 * 2 + 1);
}

#[tokio::test]
async fn the_first_exception_that_names_an_event_holds() {
    let (_directory, store) = fresh().await;
    let yard = |event: &mut Event| event.camera = "yard".to_owned();
    let fire = |event: &mut Event| event.rule = "fire".to_owned();
    for (name, day) in [("old", 0), ("new", 8)] {
        let start = hour(24 * day);
        happen(&store, &format!("gate-{name}"), start, |_| {}).await;
        happen(&store, &format!("yard-{name}"), start, yard).await;
        happen(&store, &format!("fire-{name}"), start, fire).await;
        let both = |event: &mut Event| (yard(event), fire(event)).0;
        happen(&store, &format!("yard-fire-{name}"), start, both).await;
    }
    let keep = |rule: &str, camera: Option<&str>, days| Keep {
        rule: rule.to_owned(),
        camera: camera.map(str::to_owned),
        days,
        bytes: None,
    };
    let settings = config::Store {
        days: 1,
        keeps: vec![keep("fire", None, 365), keep("*", Some("yard"), 5)],
        ..endless()
    };
    store.sweep(&settings, hour(24 * 10)).await.unwrap();
    let expected = [
        "fire-new",
        "fire-old",
        "yard-fire-new",
        "yard-fire-old",
        "yard-new",
    ];
    assert_eq!(left(&store).await, expected);
}

#[tokio::test]
async fn what_takes_too_much_goes_oldest_first_and_alerts_last() {
    let (_directory, store) = fresh().await;
    let detection = |event: &mut Event| event.severity = Severity::Detection;
    for i in 0..4 {
        happen(&store, &format!("alert-{i}"), hour(i), |_| {}).await;
        happen(&store, &format!("detection-{i}"), hour(10 + i), detection).await;
    }
    assert_eq!(store.usage().await.unwrap().bytes, 16_000);
    let most = |bytes| config::Store { bytes, ..endless() };
    let swept = store.sweep(&most(11_999), hour(99)).await.unwrap();
    assert_eq!(
        swept,
        Swept {
            events: 3,
            bytes: 6000
        }
    );
    let alerts = ["alert-0", "alert-1", "alert-2", "alert-3"];
    assert_eq!(left(&store).await, [&alerts[..], &["detection-3"]].concat());
    store.sweep(&most(5999), hour(99)).await.unwrap();
    assert_eq!(left(&store).await, ["alert-2", "alert-3"]);
    assert_eq!(store.usage().await.unwrap().bytes, 4000);
    let counters = store.counters();
    let deleted = counters
        .bytes_deleted
        .load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(deleted, 12_000);
}

#[tokio::test]
async fn a_rule_may_take_only_so_much() {
    let (_directory, store) = fresh().await;
    for i in 0..4 {
        happen(&store, &format!("fire-{i}"), hour(i), |event| {
            event.rule = "fire".to_owned()
        })
        .await;
        happen(&store, &format!("helmet-{i}"), hour(i), |_| {}).await;
    }
    let settings = config::Store {
        keeps: vec![Keep {
            rule: "fire".to_owned(),
            camera: None,
            days: 100,
            bytes: Some(2000),
        }],
        ..endless()
    };
    store.sweep(&settings, hour(99)).await.unwrap();
    let helmets = ["helmet-0", "helmet-1", "helmet-2", "helmet-3"];
    assert_eq!(left(&store).await, [&["fire-3"], &helmets[..]].concat());
}

#[tokio::test]
async fn room_is_left_on_the_disk() {
    let (_directory, store) = fresh().await;
    for i in 0..4 {
        happen(&store, &format!("{i}"), hour(i), |_| {}).await;
    }
    let event = begun("text", hour(0) - seconds(60));
    store.record(&step(&ended(&event, 1)), &[]).await.unwrap();
    let settings = config::Store {
        free_bytes: u64::MAX,
        ..endless()
    };
    store.sweep(&settings, hour(9)).await.unwrap();
    assert_eq!(
        left(&store).await,
        ["text"],
        "what has no files makes no room"
    );
}

#[tokio::test]
async fn letters_that_wait_are_not_swept() {
    let (_directory, store) = fresh().await;
    let mqtt = ["mqtt".to_owned()];
    let event = begun("1", hour(0));
    store.record(&pictured(&event, 10), &[]).await.unwrap();
    store.record(&step(&ended(&event, 1)), &mqtt).await.unwrap();
    let settings = config::Store {
        days: 0,
        ..endless()
    };
    store.sweep(&settings, hour(9)).await.unwrap();
    assert_eq!(left(&store).await, [""; 0]);
    let letters = store.letters("mqtt", 9).await.unwrap();
    assert_eq!(letters[0].event, ended(&event, 1));
    assert_eq!(count(&store, "steps").await, 1);
}

#[tokio::test]
async fn an_event_that_was_removed_while_it_went_on_is_forgotten_at_its_end() {
    let (_directory, store) = fresh().await;
    let event = begun("1", hour(0));
    store.record(&pictured(&event, 10), &[]).await.unwrap();
    assert!(store.remove("1").await.unwrap());
    store.sweep(&endless(), hour(9)).await.unwrap();
    assert_eq!(count(&store, "events").await, 1);
    store.record(&step(&ended(&event, 2)), &[]).await.unwrap();
    store.sweep(&endless(), hour(9)).await.unwrap();
    assert_eq!(count(&store, "events").await, 0);
    assert_eq!(count(&store, "steps").await, 0);
}

#[tokio::test]
async fn many_events_go_and_their_pages_go_back_to_the_disk() {
    let (directory, store) = fresh().await;
    for hundred in 0..30 {
        let events: Vec<_> = (0..100)
            .map(|i| {
                let mut event = begun(&format!("{hundred}-{i}"), hour(hundred));
                event.text = "x".repeat(4000);
                ended(&event, 1)
            })
            .collect();
        let entries = events
            .iter()
            .map(|event| crate::store::record::Entry::new(event, &[]).unwrap());
        store
            .record_all(&entries.collect::<Vec<_>>())
            .await
            .unwrap();
    }
    store.close().await;
    drop(store);
    let data = directory.path().join("data");
    let size = || fs::metadata(data.join("events.db")).unwrap().len();
    let before = size();
    let store = open(&data).await;
    let settings = config::Store {
        days: 0,
        ..endless()
    };
    let swept = store.sweep(&settings, hour(9000)).await.unwrap();
    assert_eq!(swept.events, 3000);
    store.close().await;
    assert!(
        size() < before / 2,
        "{before} bytes before, {} after",
        size()
    );
}

#[tokio::test]
async fn files_and_rows_are_brought_together_at_the_start() {
    let (directory, store) = fresh().await;
    for id in ["whole", "lost", "clipped"] {
        happen(&store, id, hour(0), |_| {}).await;
    }
    let path = store.parts().join("part");
    fs::write(&path, b"clip").unwrap();
    let clip = Clip {
        event: "lost".to_owned(),
        path,
        extension: "mp4",
        start: hour(0),
        seconds: 1.0,
    };
    store.keep_clip(&clip).await.unwrap();
    let folder = store.media().join("2026-01-01/gate");
    store.close().await;
    drop(store);
    let data = directory.path().join("data");
    fs::remove_file(folder.join("lost.jpg")).unwrap();
    fs::remove_file(folder.join("lost.mp4")).unwrap();
    fs::write(folder.join("clipped.webm"), b"moved, not told").unwrap();
    fs::write(folder.join("nobody.jpg"), b"x").unwrap();
    fs::create_dir_all(data.join("media/2026-01-07/yard")).unwrap();
    fs::write(data.join("media/2026-01-07/yard/nobody.mp4"), b"x").unwrap();
    fs::create_dir(data.join("media/mine")).unwrap();
    fs::write(data.join("media/mine/notes"), b"x").unwrap();
    fs::write(data.join("parts/half"), b"x").unwrap();

    let store = open(&data).await;
    let mut expected = vec!["clipped.drawn.jpg", "clipped.jpg", "clipped.webm"];
    expected.extend(["lost.drawn.jpg", "whole.drawn.jpg", "whole.jpg"]);
    let mut found: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    found.sort();
    assert_eq!(found, expected);
    assert!(!data.join("media/2026-01-07").exists());
    assert!(data.join("media/mine/notes").exists(), "somebody's own");
    assert!(!data.join("parts/half").exists());
    let lost = store.event("lost").await.unwrap().unwrap();
    assert!(!lost.has_picture && !lost.has_clip);
    assert!(store.picture("lost", false).await.unwrap().is_none());
    assert!(store.picture("lost", true).await.unwrap().is_some());
    assert!(store.clip("lost").await.unwrap().is_none());
    let clip = store.clip("clipped").await.unwrap().unwrap();
    assert_eq!(fs::read(clip).unwrap(), b"moved, not told");
}

#[tokio::test]
async fn old_parts_go_and_new_ones_stay() {
    let (_directory, store) = fresh().await;
    for name in ["old", "new"] {
        fs::write(store.parts().join(name), b"x").unwrap();
    }
    let hours = std::time::Duration::from_secs(2 * 3600);
    let old = fs::File::options()
        .write(true)
        .open(store.parts().join("old"))
        .unwrap();
    old.set_modified(std::time::SystemTime::now() - hours)
        .unwrap();
    store.sweep(&endless(), hour(0)).await.unwrap();
    assert!(!store.parts().join("old").exists());
    assert!(store.parts().join("new").exists());
}

#[tokio::test]
async fn the_newest_thousand_configurations_stay() {
    let (_directory, store) = fresh().await;
    for revision in [1, 2, 3, 1002] {
        let entry = crate::store::ConfigEntry {
            revision,
            time: hour(0),
            origin: "file".to_owned(),
            file_sha256: String::new(),
            document: "{}".to_owned(),
        };
        store.keep_config(&entry).await.unwrap();
    }
    store.sweep(&endless(), hour(0)).await.unwrap();
    let left: Vec<_> = store
        .configs(9)
        .await
        .unwrap()
        .iter()
        .map(|entry| entry.revision)
        .collect();
    assert_eq!(left, [1002, 3]);
}
