//! The program may end at any moment.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rand::Rng;

use super::worker::Bench;
use super::*;
use crate::hub::{Clip, Delivery, Notice};
use crate::store::EventFilter;
use crate::store::worker::Pace;

/// Where the child keeps its events; only with it the child does anything.
const DATA: &str = "MDETR_TEST_STORE";
/// Which of the children it is.
const RUN: &str = "MDETR_TEST_RUN";
const KILLS: usize = 50;

/// Records steps until it is killed, and prints each that was told.
#[test]
fn child_that_records() {
    let (Ok(data), Ok(run)) = (env::var(DATA), env::var(RUN)) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = open(Path::new(&data)).await;
        store.end_interrupted(&["mqtt".to_owned()]).await.unwrap();
        let mut bench = Bench::new(&store, &endless(), Pace::default());
        let hub = bench.hub.clone();
        tokio::spawn(async move {
            for i in 0.. {
                let event = begun(&format!("{run}-{i}"), hour(i));
                let last = ended(&event, 9);
                let mut steps = vec![event.clone(), updated(&event, 1), updated(&event, 2)];
                steps.extend((i % 3 > 0).then_some(last));
                for event in &steps {
                    hub.deliver(Delivery::Step(Box::new(pictured(event, 3000))));
                }
                if i % 2 == 0 {
                    let path = store.parts().join(format!("{i}.part"));
                    std::fs::write(&path, [7; 5000]).unwrap();
                    hub.deliver(Delivery::Clip(Clip {
                        event: event.id.clone(),
                        path,
                        extension: "mp4",
                        start: event.start,
                        seconds: 9.0,
                    }));
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        loop {
            match bench.notices.recv().await {
                Ok(Notice::Event(event)) => {
                    println!("told: {}", serde_json::to_string(&*event).unwrap());
                }
                Ok(Notice::Clip(id)) => println!("clip: {id}"),
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
}

/// This test, as the child of another.
pub fn child(test: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &format!("store::tests::{test}"), "--nocapture"]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Kills a child: after a while, or a while after it told something. What it told; its last line may be half of one.
fn kill(mut child: Child, wait: Duration, first: bool) -> (Vec<Event>, Vec<String>) {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while first && !text.contains("told: ") && output.read_line(&mut text).unwrap() > 0 {}
    sleep(wait);
    child.kill().unwrap();
    output.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let events = whole.lines().filter_map(|line| line.split_once("told: "));
    let clips = whole.lines().filter_map(|line| line.split_once("clip: "));
    (
        events
            .map(|(_, json)| serde_json::from_str(json).unwrap())
            .collect(),
        clips.map(|(_, id)| id.to_owned()).collect(),
    )
}

#[tokio::test]
async fn no_event_that_was_told_is_lost_when_the_program_is_killed() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let (mut events, mut interrupted, mut clips) = (0, 0, 0);
    for run in 0..KILLS {
        let child = child("kill::child_that_records")
            .env(DATA, &data)
            .env(RUN, run.to_string())
            .spawn()
            .unwrap();
        let wait = rand::rng().random_range(0..300);
        let (told, told_clips) = kill(child, Duration::from_millis(wait), run % 2 == 0);

        let store = open(&data).await;
        let sound: String = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_one(store.inner.database.read())
            .await
            .unwrap();
        assert_eq!(sound, "ok", "run {run}, killed after {wait} ms");
        let kept: Vec<String> = sqlx::query_scalar("SELECT step FROM steps ORDER BY sequence")
            .fetch_all(store.inner.database.read())
            .await
            .unwrap();
        let mut kept = kept
            .iter()
            .map(|json| serde_json::from_str::<Event>(json).unwrap());
        for event in &told {
            let found = kept.any(|kept| kept == *event);
            assert!(found, "run {run}, killed after {wait} ms: lost {event:?}");
        }
        let filter = EventFilter {
            open: Some(true),
            limit: Some(1000),
            ..EventFilter::default()
        };
        let mut open = ids(&store, &filter).await;
        open.sort();
        let ended = store.end_interrupted(&["mqtt".to_owned()]).await.unwrap();
        let mut ids_of_ended: Vec<_> = ended.iter().map(|event| event.id.clone()).collect();
        ids_of_ended.sort();
        assert_eq!(ids_of_ended, open);
        assert_eq!(ids(&store, &filter).await, [""; 0]);
        for event in ended {
            let stored = store.event(&event.id).await.unwrap().unwrap().event;
            assert_eq!(stored.reason, Some(EndReason::Interrupted));
            assert_eq!(stored.end, Some(stored.time));
        }
        for id in told.iter().map(|event| &event.id) {
            let path = store.picture(id, true).await.unwrap().unwrap();
            assert_eq!(path.metadata().unwrap().len(), 3000);
        }
        for id in &told_clips {
            let path = store.clip(id).await.unwrap().unwrap();
            assert_eq!(path.metadata().unwrap().len(), 5000);
        }
        assert_eq!(count(&store, "letters").await, count(&store, "steps").await);
        events += told.len();
        clips += told_clips.len();
        interrupted += open.len();
        store.close().await;
    }
    println!("{events} events, {interrupted} interrupted, {clips} clips");
    assert!(events >= KILLS / 2 && interrupted > 0 && clips > 0);
}
