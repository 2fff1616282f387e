use std::fs;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::config::Document;
use crate::hub::{Clip, Current, Delivery, Hub, Notice, StoreStatus};
use crate::store::media::Pictures;
use crate::store::queue::{Limits, Lost, Queue, Waiting};
use crate::store::worker::{Pace, run_at};

/// A hub whose deliveries are written.
pub struct Bench {
    pub hub: Arc<Hub>,
    pub notices: broadcast::Receiver<Notice>,
    pub stop: watch::Sender<bool>,
    pub task: JoinHandle<()>,
}

pub fn quick() -> Pace {
    Pace {
        sweep: Duration::from_millis(300),
        look: Duration::from_millis(50),
        retry: (Duration::from_millis(10), Duration::from_millis(50)),
        ..Pace::default()
    }
}

impl Bench {
    pub fn new(store: &Store, settings: &config::Store, pace: Pace) -> Bench {
        let document: Document = serde_json::from_str(r#"{"data": "/nowhere"}"#).unwrap();
        let document = Document {
            store: settings.clone(),
            ..document
        };
        let revision = 1;
        let (hub, deliveries) = Hub::new(Current { revision, document });
        let notices = hub.listen();
        let (stop, stopped) = watch::channel(false);
        let receivers = |_: &Current, _: &Event| vec!["mqtt".to_owned()];
        let run = run_at(
            pace,
            store.clone(),
            hub.clone(),
            deliveries,
            receivers,
            stopped,
        );
        Bench {
            hub,
            notices,
            stop,
            task: tokio::spawn(run),
        }
    }

    pub fn deliver(&self, step: Step) {
        self.hub.deliver(Delivery::Step(Box::new(step)));
    }

    /// Waits for something to be told.
    pub async fn hear<T>(&mut self, what: impl Fn(Notice) -> Option<T>) -> T {
        let notices = &mut self.notices;
        let heard = async {
            loop {
                if let Some(found) = what(notices.recv().await.unwrap()) {
                    return found;
                }
            }
        };
        timeout(Duration::from_secs(30), heard)
            .await
            .expect("told within 30 s")
    }

    pub async fn event(&mut self) -> Arc<Event> {
        self.hear(event).await
    }

    pub async fn state(&mut self, writable: bool) -> Arc<StoreStatus> {
        let right = |notice| match notice {
            Notice::Store(status) if status.writable == writable => Some(status),
            _ => None,
        };
        self.hear(right).await
    }

    pub async fn end(self) {
        self.stop.send(true).unwrap();
        timeout(Duration::from_secs(10), self.task)
            .await
            .expect("stops")
            .unwrap();
    }
}

pub fn event(notice: Notice) -> Option<Arc<Event>> {
    match notice {
        Notice::Event(event) => Some(event),
        _ => None,
    }
}

/// Lets a database grow no more.
pub async fn fill(store: &Store) {
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(store.inner.database.read())
        .await
        .unwrap();
    store
        .inner
        .database
        .max_pages
        .store(pages as u32, Ordering::Relaxed);
}

pub fn unfill(store: &Store) {
    store.inner.database.max_pages.store(0, Ordering::Relaxed);
}

/// A large event: a page is not enough for it.
fn large(id: usize) -> Event {
    let mut event = begun(&format!("e{id:05}"), hour(0) + seconds(id as i64));
    event.text = "word ".repeat(2000);
    event
}

/// What is logged on this thread, line by line.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn begin() -> (Log, tracing::subscriber::DefaultGuard) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self, with: &str) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(with)).count()
    }
}

#[tokio::test]
async fn what_is_delivered_is_written_and_told_in_order() {
    let (_directory, store) = fresh().await;
    let mut bench = Bench::new(&store, &endless(), quick());
    let event = begun("1", hour(0));
    let steps = [
        event.clone(),
        updated(&event, 1),
        updated(&event, 2),
        ended(&event, 3),
    ];
    for (i, event) in steps.iter().enumerate() {
        bench.deliver(pictured(event, 1000 + i));
    }
    let path = store.parts().join("clip");
    fs::write(&path, b"clip").unwrap();
    bench.hub.deliver(Delivery::Clip(Clip {
        event: "1".to_owned(),
        path,
        extension: "mp4",
        start: hour(0),
        seconds: 3.0,
    }));
    for event in &steps {
        assert_eq!(*bench.event().await, *event);
    }
    let clip = |notice| match notice {
        Notice::Clip(id) => Some(id),
        _ => None,
    };
    assert_eq!(&*bench.hear(clip).await, "1");
    let status = |notice| match notice {
        Notice::Store(status) if status.bytes == 2010 => Some(status),
        _ => None,
    };
    let status = bench.hear(status).await;
    assert!(
        status.writable && status.message.is_none() && status.waiting == 0,
        "{status:?}"
    );
    assert!(status.free_bytes > 0);
    let stored = store.event("1").await.unwrap().unwrap();
    assert!(stored.has_picture && stored.has_clip);
    let picture = store.picture("1", true).await.unwrap().unwrap();
    assert_eq!(fs::read(picture).unwrap(), [2; 1003], "the newest");
    let letters = store.letters("mqtt", 9).await.unwrap();
    let letters: Vec<_> = letters.into_iter().map(|letter| letter.event).collect();
    assert_eq!(letters, steps);
    assert_eq!(store.counters().steps_written.load(Ordering::Relaxed), 4);
    bench.end().await;
}

#[tokio::test]
async fn a_full_database_is_told_once_and_loses_nothing() {
    let (log, _guard) = Log::begin();
    let (_directory, store) = fresh().await;
    let mut bench = Bench::new(&store, &endless(), quick());
    bench.deliver(step(&large(0)));
    bench.event().await;
    fill(&store).await;
    for i in 1..200 {
        bench.deliver(step(&large(i)));
    }
    let status = bench.state(false).await;
    let message = status.message.clone().unwrap();
    assert!(message.contains("full"), "{message}");
    assert!(status.waiting > 0);
    // Many tries later.
    while store.counters().failures.load(Ordering::Relaxed) < 10 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        store.events(&Default::default()).await.unwrap().len(),
        1,
        "it can be read"
    );
    unfill(&store);
    for i in 1..200 {
        assert_eq!(bench.event().await.id, large(i).id);
    }
    while !bench.hub.store().writable || bench.hub.store().waiting > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(bench.hub.store().message, None);
    bench.end().await;
    assert_eq!(count(&store, "steps").await, 200);
    assert_eq!(store.waiting("mqtt").await.unwrap(), 200);
    assert_eq!(log.lines("ERROR"), 1, "{log:?}");
    assert_eq!(log.lines("events cannot be written"), 1);
    assert_eq!(log.lines("events are written again"), 1);
}

#[tokio::test]
async fn a_full_database_makes_room_by_itself() {
    let (_directory, store) = fresh().await;
    for i in 0..50 {
        let event = large(i);
        store.record(&pictured(&event, 1000), &[]).await.unwrap();
        store.record(&step(&ended(&event, 1)), &[]).await.unwrap();
    }
    // With no page free, some room on the disk is missing: whatever is old goes.
    fill(&store).await;
    let settings = config::Store {
        free_bytes: u64::MAX,
        ..endless()
    };
    let pace = Pace {
        sweep: Duration::from_secs(3600),
        ..quick()
    };
    let mut bench = Bench::new(&store, &settings, pace);
    for i in 50..60 {
        bench.deliver(step(&large(i)));
    }
    for i in 50..60 {
        assert_eq!(bench.event().await.id, large(i).id);
    }
    while store.counters().events_deleted.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.end().await;
}

#[tokio::test]
async fn an_event_is_kept_where_its_picture_cannot_be() {
    let (log, _guard) = Log::begin();
    let (_directory, store) = fresh().await;
    let mut bench = Bench::new(&store, &endless(), quick());
    // No directory can be made where a file is.
    fs::write(store.media().join("2026-01-01"), b"").unwrap();
    for i in 0..3 {
        let event = begun(&format!("{i}"), hour(0));
        bench.deliver(pictured(&event, 10));
        assert_eq!(*bench.event().await, event);
        assert!(!store.event(&event.id).await.unwrap().unwrap().has_picture);
    }
    let said = |notice| match notice {
        Notice::Store(status) => status.message.clone(),
        _ => None,
    };
    let message = bench.hear(said).await;
    assert!(message.contains("pictures cannot be written"), "{message}");
    assert!(bench.hub.store().writable);
    fs::remove_file(store.media().join("2026-01-01")).unwrap();
    bench.deliver(pictured(&begun("3", hour(0)), 10));
    bench.event().await;
    assert!(store.event("3").await.unwrap().unwrap().has_picture);
    bench.end().await;
    assert_eq!(log.lines("pictures cannot be written"), 1);
    assert_eq!(log.lines("pictures are written again"), 1);
    assert_eq!(store.counters().pictures_lost.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_step_that_never_can_be_kept_does_not_stop_others() {
    let (log, _guard) = Log::begin();
    let (_directory, store) = fresh().await;
    let mut bench = Bench::new(&store, &endless(), quick());
    let mut nan = begun("nan", hour(0));
    nan.score = f32::NAN;
    for event in [
        begun("1", hour(0)),
        nan,
        begun("../2", hour(0)),
        begun("3", hour(0)),
    ] {
        bench.deliver(pictured(&event, 10));
    }
    assert_eq!(bench.event().await.id, "1");
    assert_eq!(bench.event().await.id, "3");
    // A clip without a file, and one without an event.
    for event in ["1", "none"] {
        bench.hub.deliver(Delivery::Clip(Clip {
            event: event.to_owned(),
            path: store.parts().join("nothing"),
            extension: "mp4",
            start: hour(0),
            seconds: 1.0,
        }));
    }
    bench.deliver(step(&begun("4", hour(0))));
    assert_eq!(bench.event().await.id, "4");
    bench.end().await;
    assert_eq!(log.lines("a step of an event cannot be kept"), 2);
    assert_eq!(log.lines("a clip cannot be kept"), 1);
    assert_eq!(store.counters().steps_lost.load(Ordering::Relaxed), 2);
    assert_eq!(store.counters().clips_lost.load(Ordering::Relaxed), 1);
    assert_eq!(store.counters().failures.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn steps_that_are_given_up_are_said() {
    let (log, _guard) = Log::begin();
    let (_directory, store) = fresh().await;
    let limits = Limits {
        items: 20,
        picture_bytes: 1000,
    };
    let mut bench = Bench::new(&store, &endless(), Pace { limits, ..quick() });
    fill(&store).await;
    bench.deliver(step(&large(0)));
    bench.state(false).await;
    let event = large(1);
    bench.deliver(step(&event));
    for i in 0..100 {
        bench.deliver(pictured(&updated(&event, 1 + i), 50));
    }
    bench.deliver(step(&ended(&event, 200)));
    let lost = |notice| match notice {
        Notice::Store(status) => status
            .message
            .clone()
            .filter(|message| message.contains("given up")),
        _ => None,
    };
    bench.hear(lost).await;
    while store.counters().steps_lost.load(Ordering::Relaxed) < 83 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    unfill(&store);
    let mut told = Vec::new();
    loop {
        let event = bench.event().await;
        told.push((event.id.clone(), event.kind));
        if event.kind == EventKind::End {
            break;
        }
    }
    assert_eq!(
        told[..2],
        [
            (large(0).id, EventKind::New),
            (event.id.clone(), EventKind::New)
        ]
    );
    assert_eq!(told.len(), 20);
    bench.end().await;
    assert_eq!(log.lines("too many steps"), 1);
    assert_eq!(log.lines("lost=83"), 1, "{log:?}");
}

#[tokio::test]
async fn a_stop_writes_what_is_there() {
    let (_directory, store) = fresh().await;
    let bench = Bench::new(&store, &endless(), quick());
    for i in 0..300 {
        bench.deliver(step(&begun(&format!("{i}"), hour(i))));
    }
    let begin = Instant::now();
    bench.end().await;
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(count(&store, "steps").await, 300);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_disk_that_stays_full() {
    let (log, _guard) = Log::begin();
    let (_directory, store) = fresh().await;
    let mut bench = Bench::new(&store, &endless(), quick());
    fill(&store).await;
    for i in 0..5 {
        bench.deliver(step(&large(i)));
    }
    bench.state(false).await;
    let begin = Instant::now();
    bench.end().await;
    let took = begin.elapsed();
    assert!(
        took > Duration::from_secs(1) && took < Duration::from_secs(5),
        "{took:?}"
    );
    assert_eq!(log.lines("left=5"), 1, "{log:?}");
}

#[tokio::test]
async fn the_end_of_whoever_could_stop_it_stops_it() {
    let (_directory, store) = fresh().await;
    let bench = Bench::new(&store, &endless(), quick());
    bench.deliver(step(&begun("1", hour(0))));
    drop(bench.stop);
    timeout(Duration::from_secs(10), bench.task)
        .await
        .expect("stops")
        .unwrap();
    assert_eq!(count(&store, "steps").await, 1);
}

/// Writing, retention, removal and receivers at once: none stops another, and files and rows agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn others_may_use_it_meanwhile() {
    const EVENTS: usize = 150;
    let (directory, store) = fresh().await;
    let settings = config::Store {
        bytes: 20_000,
        ..endless()
    };
    let pace = Pace {
        sweep: Duration::from_millis(20),
        look: Duration::from_millis(10),
        ..quick()
    };
    let mut bench = Bench::new(&store, &settings, pace);
    let hub = bench.hub.clone();
    let deliver = |step| hub.deliver(Delivery::Step(Box::new(step)));
    // Each is the only one of its day: directories come and go.
    let of = |i: usize| begun(&format!("e{i}"), hour(24 * (i as i64 % 5)));
    for i in 0..EVENTS {
        let event = of(i);
        deliver(pictured(&event, 500));
        deliver(pictured(&updated(&event, 1), 700));
        deliver(step(&ended(&event, 2)));
    }
    let (other, stopped) = (
        store.clone(),
        Arc::new(std::sync::atomic::AtomicBool::new(false)),
    );
    let stop = stopped.clone();
    let uses = tokio::spawn(async move {
        let mut delivered = 0;
        for i in 0.. {
            let id = format!("e{}", i % EVENTS);
            match i % 7 {
                0 => drop(other.remove(&id).await.unwrap()),
                1 => drop(other.set_kept(&id, i % 2 == 0).await.unwrap()),
                _ => {}
            }
            for letter in other.letters("mqtt", 3).await.unwrap() {
                other.delivered("mqtt", letter.sequence).await.unwrap();
                delivered += 1;
            }
            if stop.load(Ordering::Relaxed) && other.waiting("mqtt").await.unwrap() == 0 {
                return delivered;
            }
        }
        unreachable!("it goes on until it is stopped")
    });
    for i in 0..EVENTS {
        for kind in [EventKind::New, EventKind::Update, EventKind::End] {
            let event = bench.event().await;
            assert_eq!((event.id.as_str(), event.kind), (of(i).id.as_str(), kind));
        }
    }
    stopped.store(true, Ordering::Relaxed);
    let delivered = timeout(Duration::from_secs(60), uses).await.expect("ends");
    assert_eq!(delivered.unwrap(), EVENTS * 3);
    bench.end().await;
    assert_eq!(store.counters().failures.load(Ordering::Relaxed), 0);
    for i in 0..EVENTS {
        store.set_kept(&of(i).id, false).await.unwrap();
    }
    store.sweep(&settings, hour(0)).await.unwrap();
    assert!(store.usage().await.unwrap().bytes <= 20_000);
    let filter = crate::store::EventFilter {
        limit: Some(1000),
        ..Default::default()
    };
    let mut pictures = 0;
    for event in store.events(&filter).await.unwrap() {
        if let Some(path) = store.picture(&event.event.id, false).await.unwrap() {
            assert!(path.exists(), "{path:?}");
            pictures += 1;
        }
    }
    let mut files = 0;
    for day in fs::read_dir(directory.path().join("data/media")).unwrap() {
        files += fs::read_dir(day.unwrap().path().join("gate"))
            .unwrap()
            .count();
    }
    assert_eq!(files, 2 * pictures);
}

fn waiting(step: Step) -> Waiting {
    Waiting {
        delivery: Delivery::Step(Box::new(step)),
        receivers: Vec::new(),
        pictures: Pictures::default(),
    }
}

#[test]
fn pictures_then_updates_then_the_oldest_go_where_too_much_waits() {
    let limits = Limits {
        items: 4,
        picture_bytes: 50,
    };
    let mut queue = Queue::new(limits);
    let event = begun("1", hour(0));
    queue.push(waiting(pictured(&event, 10)));
    queue.push(waiting(pictured(&updated(&event, 1), 10)));
    assert_eq!(queue.lost(), Lost::default());
    queue.push(waiting(pictured(&updated(&event, 2), 10)));
    assert_eq!(
        queue.lost(),
        Lost {
            pictures: 1,
            ..Lost::default()
        }
    );
    queue.push(waiting(step(&ended(&event, 3))));
    // Put back in front of what came meanwhile.
    let taken = queue.take(2);
    queue.push(waiting(step(&begun("2", hour(1)))));
    queue.push(waiting(step(&begun("3", hour(1)))));
    assert_eq!(queue.lost(), Lost::default());
    queue.put_back(taken);
    assert_eq!(
        queue.lost(),
        Lost {
            steps: 2,
            ..Lost::default()
        }
    );
    queue.push(waiting(step(&begun("4", hour(1)))));
    assert_eq!(
        queue.lost(),
        Lost {
            steps: 1,
            ..Lost::default()
        }
    );
    let left: Vec<_> = queue
        .take(9)
        .into_iter()
        .map(|waiting| match waiting.delivery {
            Delivery::Step(step) => (step.event.id, step.event.kind),
            Delivery::Clip(_) => unreachable!("no clip was pushed"),
        })
        .collect();
    let new = |id: &str| (id.to_owned(), EventKind::New);
    assert_eq!(
        left,
        [
            ("1".to_owned(), EventKind::End),
            new("2"),
            new("3"),
            new("4")
        ]
    );
    assert!(queue.is_empty());
}
