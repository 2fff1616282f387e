use std::fs;
use std::os::unix::fs::PermissionsExt;

use mdetr_rules::event::EndReason;
use sqlx::Row;

use super::*;
use crate::hub::Clip;
use crate::store::{ConfigEntry, EventFilter, StoreError};

#[tokio::test]
async fn keeps_the_last_step_of_an_event_and_its_pictures() {
    let (_directory, store) = fresh().await;
    let event = begun("1767225600.5-gate-no-helmet-1", hour(0));
    store.record(&pictured(&event, 1000), &[]).await.unwrap();
    let kept = store.event(&event.id).await.unwrap().unwrap();
    assert_eq!(kept.event, event);
    assert!(kept.has_picture && !kept.has_clip && !kept.kept);

    let end = ended(&event, 30);
    store.record(&step(&end), &[]).await.unwrap();
    let kept = store.event(&event.id).await.unwrap().unwrap();
    assert_eq!(kept.event, end);
    assert!(kept.has_picture, "a step without a picture forgets none");

    let plain = store.picture(&event.id, false).await.unwrap().unwrap();
    let drawn = store.picture(&event.id, true).await.unwrap().unwrap();
    let folder = store.media().join("2026-01-01/gate");
    assert_eq!(plain, folder.join("1767225600.5-gate-no-helmet-1.jpg"));
    assert_eq!(
        drawn,
        folder.join("1767225600.5-gate-no-helmet-1.drawn.jpg")
    );
    assert_eq!(fs::read(plain).unwrap(), vec![1; 1000]);
    assert_eq!(fs::read(drawn).unwrap(), vec![2; 1000]);
    assert_eq!(fs::read_dir(store.parts()).unwrap().count(), 0);
    assert!(store.event("another").await.unwrap().is_none());
    assert!(store.picture("another", false).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_kept_is_there_after_a_restart_for_this_user_only() {
    let (directory, store) = fresh().await;
    let data = directory.path().join("data");
    let event = begun("1", hour(0));
    store
        .record(&pictured(&event, 10), &["mqtt".to_owned()])
        .await
        .unwrap();
    let again = Store::open(&data, &endless()).await;
    assert!(matches!(again, Err(StoreError::InUse(_))), "{again:?}");
    store.close().await;
    drop(store);

    let store = open(&data).await;
    assert_eq!(store.event("1").await.unwrap().unwrap().event, event);
    assert_eq!(store.waiting("mqtt").await.unwrap(), 1);
    let mode = |name: &str| fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("events.db"), 0o600);
    assert_eq!(mode("events.db-wal"), 0o600);
    assert_eq!(mode("media/2026-01-01/gate/1.jpg"), 0o600);
    for name in [
        "",
        "media",
        "media/2026-01-01",
        "media/2026-01-01/gate",
        "parts",
    ] {
        assert_eq!(mode(name), 0o700, "{name}");
    }
}

#[tokio::test]
async fn a_step_that_comes_twice_is_kept_once() {
    let (_directory, store) = fresh().await;
    let receivers = ["mqtt".to_owned(), "webhook:door".to_owned()];
    let event = begun("1", hour(0));
    let end = ended(&event, 5);
    store.record(&step(&event), &receivers).await.unwrap();
    store.record(&step(&end), &receivers).await.unwrap();
    // As one that was sent again after a failure that was none.
    store.record(&step(&event), &receivers).await.unwrap();
    assert_eq!(store.event("1").await.unwrap().unwrap().event, end);
    assert_eq!(store.waiting("mqtt").await.unwrap(), 2);
    assert_eq!(store.waiting("webhook:door").await.unwrap(), 2);
}

#[tokio::test]
async fn letters_wait_in_order_until_they_have_arrived() {
    let (_directory, store) = fresh().await;
    let (mqtt, email) = ("mqtt".to_owned(), "email".to_owned());
    let event = begun("1", hour(0));
    let steps = [
        event.clone(),
        updated(&event, 1),
        updated(&event, 2),
        ended(&event, 3),
    ];
    for (i, event) in steps.iter().enumerate() {
        let receivers = match i {
            3 => vec![mqtt.clone(), email.clone()],
            _ => vec![mqtt.clone()],
        };
        store.record(&step(event), &receivers).await.unwrap();
    }
    let letters = store.letters("mqtt", 3).await.unwrap();
    let events: Vec<_> = letters.iter().map(|letter| letter.event.clone()).collect();
    assert_eq!(events, steps[..3]);
    assert!(letters.is_sorted_by(|a, b| a.sequence < b.sequence));
    assert_eq!(store.letters("email", 10).await.unwrap().len(), 1);
    assert_eq!(store.letters("webhook:x", 10).await.unwrap(), []);

    store.failed("mqtt", letters[0].sequence).await.unwrap();
    store.failed("mqtt", letters[0].sequence).await.unwrap();
    store.delivered("mqtt", letters[1].sequence).await.unwrap();
    store.delivered("mqtt", letters[1].sequence).await.unwrap();
    let left = store.letters("mqtt", 10).await.unwrap();
    let left: Vec<_> = left
        .iter()
        .map(|letter| (letter.sequence, letter.attempts))
        .collect();
    let (first, third) = (letters[0].sequence, letters[2].sequence);
    assert_eq!(left, [(first, 2), (third, 0), (third + 1, 0)]);
    assert_eq!(store.waiting("mqtt").await.unwrap(), 3);
    assert_eq!(
        store.waiting("email").await.unwrap(),
        1,
        "each has letters of its own"
    );
}

#[tokio::test]
async fn letters_outlive_their_event_and_leave_nothing() {
    let (_directory, store) = fresh().await;
    let event = begun("1", hour(0));
    for event in [event.clone(), ended(&event, 3)] {
        store
            .record(&pictured(&event, 10), &["mqtt".to_owned()])
            .await
            .unwrap();
    }
    assert!(store.remove("1").await.unwrap());
    assert!(!store.remove("1").await.unwrap());
    assert!(store.event("1").await.unwrap().is_none());
    assert_eq!(fs::read_dir(store.media()).unwrap().count(), 0);
    let letters = store.letters("mqtt", 10).await.unwrap();
    assert_eq!(letters.len(), 2);
    for letter in letters {
        store.delivered("mqtt", letter.sequence).await.unwrap();
    }
    for table in ["events", "steps", "letters", "words"] {
        assert_eq!(count(&store, table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn an_open_event_that_was_removed_stays_away() {
    let (_directory, store) = fresh().await;
    let event = begun("1", hour(0));
    let mqtt = ["mqtt".to_owned()];
    store.record(&pictured(&event, 10), &mqtt).await.unwrap();
    assert!(store.remove("1").await.unwrap());
    store
        .record(&pictured(&updated(&event, 1), 10), &mqtt)
        .await
        .unwrap();
    assert!(store.event("1").await.unwrap().is_none());
    assert!(store.picture("1", false).await.unwrap().is_none());
    assert_eq!(ids(&store, &EventFilter::default()).await, [""; 0]);
    assert!(!store.remove("1").await.unwrap());
    assert!(!store.set_kept("1", true).await.unwrap());
    // Whoever heard its begin hears its end.
    store.record(&step(&ended(&event, 2)), &mqtt).await.unwrap();
    assert_eq!(store.waiting("mqtt").await.unwrap(), 3);
}

#[tokio::test]
async fn letters_to_receivers_that_are_gone_are_forgotten() {
    let (_directory, store) = fresh().await;
    let receivers = ["mqtt".to_owned(), "webhook:old".to_owned()];
    store
        .record(&step(&begun("1", hour(0))), &receivers)
        .await
        .unwrap();
    assert_eq!(store.keep_receivers(&receivers[..1]).await.unwrap(), 1);
    assert_eq!(store.waiting("mqtt").await.unwrap(), 1);
    assert_eq!(store.waiting("webhook:old").await.unwrap(), 0);
}

#[tokio::test]
async fn a_clip_is_moved_to_its_event() {
    let (_directory, store) = fresh().await;
    store
        .record(&step(&begun("1", hour(30))), &[])
        .await
        .unwrap();
    let part = |name: &str, bytes: &[u8]| {
        let path = store.parts().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let clip = |event: &str, path, extension| Clip {
        event: event.to_owned(),
        path,
        extension,
        start: hour(30),
        seconds: 12.5,
    };
    let webm = clip("1", part("x.part", b"first"), "webm");
    store.keep_clip(&webm).await.unwrap();
    let path = store.clip("1").await.unwrap().unwrap();
    assert_eq!(path, store.media().join("2026-01-02/gate/1.webm"));
    assert_eq!(fs::read(&path).unwrap(), b"first");
    assert!(!webm.path.exists());
    assert!(store.event("1").await.unwrap().unwrap().has_clip);
    // The same again, as after a failure behind the move.
    store.keep_clip(&webm).await.unwrap();

    let mp4 = clip("1", part("y.part", b"second"), "mp4");
    store.keep_clip(&mp4).await.unwrap();
    assert!(!path.exists(), "one clip an event");
    let path = store.clip("1").await.unwrap().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"second");

    let lost = clip("another", part("z.part", b"third"), "mp4");
    let answer = store.keep_clip(&lost).await;
    assert!(matches!(answer, Err(StoreError::NoEvent(_))), "{answer:?}");
    assert!(!lost.path.exists());
    let answer = store
        .keep_clip(&clip("1", part("q", b""), "../../mp4"))
        .await;
    assert!(answer.unwrap_err().is_refusal());
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let (directory, store) = fresh().await;
    let long = "x".repeat(201);
    for name in [
        "",
        "..",
        ".hidden",
        "../up",
        "a/b",
        "/etc/passwd",
        "a\0b",
        "a\\b",
        "a b",
        "1.drawn",
        &long,
    ] {
        let event = begun(name, hour(0));
        let answer = store.record(&pictured(&event, 10), &[]).await;
        assert!(answer.unwrap_err().is_refusal(), "{name:?}");
        let mut event = begun("1", hour(0));
        event.camera = name.to_owned();
        let answer = store.record(&pictured(&event, 10), &[]).await;
        assert!(answer.unwrap_err().is_refusal(), "{name:?}");
    }
    assert_eq!(fs::read_dir(store.media()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let event = begun("1767225600.123-gäte_2-rule-17", hour(0));
    store.record(&pictured(&event, 10), &[]).await.unwrap();
}

#[tokio::test]
async fn an_event_that_could_not_be_read_back_is_refused() {
    let (_directory, store) = fresh().await;
    let mut event = begun("1", hour(0));
    event.score = f32::NAN;
    let error = store.record(&step(&event), &[]).await.unwrap_err();
    assert!(error.to_string().contains("event 1"), "{error}");
}

#[tokio::test]
async fn events_that_were_open_are_ended() {
    let (directory, store) = fresh().await;
    let mqtt = ["mqtt".to_owned()];
    let (one, two, three) = (
        begun("1", hour(0)),
        begun("2", hour(1)),
        begun("3", hour(2)),
    );
    let mut last = updated(&one, 60);
    last.best.utc = hour(0) + seconds(70);
    for event in [&one, &last, &two, &ended(&two, 5), &three] {
        store.record(&step(event), &[]).await.unwrap();
    }
    assert!(store.remove("3").await.unwrap());
    store.close().await;
    drop(store);
    let store = open(&directory.path().join("data")).await;
    let events = store.end_interrupted(&mqtt).await.unwrap();
    let found: Vec<_> = events
        .iter()
        .map(|event| (event.id.as_str(), event.end))
        .collect();
    assert_eq!(
        found,
        [("1", Some(hour(0) + seconds(70))), ("3", Some(hour(2)))]
    );
    let stored = store.event("1").await.unwrap().unwrap().event;
    assert_eq!(stored, events[0]);
    assert_eq!(stored.reason, Some(EndReason::Interrupted));
    assert_eq!(
        (stored.kind, stored.time),
        (EventKind::End, hour(0) + seconds(70))
    );
    assert_eq!(store.letters("mqtt", 9).await.unwrap()[0].event, stored);
    assert_eq!(store.end_interrupted(&mqtt).await.unwrap(), []);
    assert_eq!(store.waiting("mqtt").await.unwrap(), 2);
}

#[tokio::test]
async fn configurations_are_kept_newest_first() {
    let (_directory, store) = fresh().await;
    let entry = |revision| ConfigEntry {
        revision,
        time: hour(revision as i64),
        origin: "file".to_owned(),
        file_sha256: "00".to_owned(),
        document: format!("{{\"data\": \"{revision}\"}}"),
    };
    for revision in [1, 2, 10] {
        store.keep_config(&entry(revision)).await.unwrap();
    }
    assert!(store.keep_config(&entry(2)).await.is_err());
    assert_eq!(store.configs(2).await.unwrap(), [entry(10), entry(2)]);
}

#[tokio::test]
async fn a_question_that_cannot_be_is_refused() {
    let (_directory, store) = fresh().await;
    let many: Vec<_> = (0..33).map(|i| i.to_string()).collect();
    let wrong = [
        EventFilter {
            limit: Some(0),
            ..EventFilter::default()
        },
        EventFilter {
            limit: Some(1001),
            ..EventFilter::default()
        },
        EventFilter {
            after: Some("nothing".to_owned()),
            ..EventFilter::default()
        },
        EventFilter {
            words: Some(many.join(" ")),
            ..EventFilter::default()
        },
    ];
    for filter in wrong {
        let error = store.events(&filter).await.unwrap_err();
        assert!(error.is_refusal(), "{error}");
    }
}

#[tokio::test]
async fn what_is_written_is_on_the_disk() {
    let (_directory, store) = fresh().await;
    // The second connection is made where a transaction was not finished.
    for _ in 0..2 {
        let mut transaction = store.inner.database.begin().await.unwrap();
        for (pragma, expected) in [
            ("PRAGMA journal_mode", "wal"),
            ("PRAGMA synchronous", "2"),
            ("PRAGMA foreign_keys", "1"),
            ("PRAGMA busy_timeout", "5000"),
            ("PRAGMA auto_vacuum", "2"),
        ] {
            let row = sqlx::query(pragma).fetch_one(transaction.connection());
            let row = row.await.unwrap();
            let number = row.try_get::<i64, _>(0).map(|number| number.to_string());
            let found = number.unwrap_or_else(|_| row.get(0));
            assert_eq!(found, expected, "{pragma}");
        }
    }
    let error = sqlx::query("DELETE FROM events")
        .execute(store.inner.database.read())
        .await;
    assert!(error.is_err(), "readers do not write");
}
