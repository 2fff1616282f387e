//! A program that watches a camera, without the camera: it tells of events, and keeps them until a hub has them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use mdetr_monitor::mqtt::link::{
    Happening, Incoming, Link, Message, Options, Rumqttc, Subscription,
};
use mdetr_rules::{Event, EventKind};
use rand::Rng;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::script::Life;

/// Events that a device tells of at once in a burst.
pub const BURST: usize = 20;
/// How long a hub has to say that it has a step: as mdetr-monitor.
const HUB: Duration = Duration::from_secs(20);
/// Longest wait before the next try to connect.
const WAIT: f64 = 5.0;

/// What devices share.
pub struct Shared {
    port: u16,
    lives: Arc<[Life]>,
    connected: AtomicUsize,
    stopped: AtomicBool,
    bursting: AtomicBool,
    begin: Notify,
    waiting: AtomicU64,
    events: AtomicU64,
    steps: AtomicU64,
    sent: AtomicU64,
    bytes: AtomicU64,
}

/// How much was told.
pub struct Counts {
    pub events: u64,
    pub steps: u64,
    pub sent: u64,
    pub bytes: u64,
}

impl Shared {
    pub fn new(port: u16, lives: Arc<[Life]>) -> Shared {
        Shared {
            port,
            lives,
            connected: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            bursting: AtomicBool::new(false),
            begin: Notify::new(),
            waiting: AtomicU64::new(0),
            events: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    pub async fn all_connected(&self, devices: usize) -> Result<()> {
        let begun = Instant::now();
        while self.connected.load(Relaxed) < devices {
            let connected = self.connected.load(Relaxed);
            ensure!(
                begun.elapsed() < Duration::from_secs(120),
                "{connected} of {devices} devices are connected"
            );
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// No event begins any more.
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// Every device tells of many events at once.
    pub fn burst(&self) {
        self.bursting.store(true, Relaxed);
        self.begin.notify_waiters();
    }

    /// Steps that no hub has said to have, and those of events that go on.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    pub fn counts(&self) -> Counts {
        Counts {
            events: self.events.load(Relaxed),
            steps: self.steps.load(Relaxed),
            sent: self.sent.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }
}

/// A step that waits for a hub.
struct Letter {
    payload: Vec<u8>,
    /// When it was sent last; `None` if it is to be sent.
    sent: Option<Instant>,
}

pub struct Device {
    name: String,
    /// Events a second.
    rate: f64,
    shared: Arc<Shared>,
    letters: BTreeMap<i64, Letter>,
    last: i64,
    number: u64,
    /// Steps of events that go on, by the time when they are due.
    due: BTreeMap<(Instant, i64), Event>,
    next: Instant,
}

impl Device {
    pub fn new(number: usize, rate: f64, shared: Arc<Shared>) -> Device {
        Device {
            name: format!("site-{number}"),
            rate,
            shared,
            letters: BTreeMap::new(),
            last: 0,
            number: 0,
            due: BTreeMap::new(),
            next: Instant::now(),
        }
    }

    fn wait(&self) -> Duration {
        let part: f64 = rand::rng().random_range(f64::MIN_POSITIVE..1.0);
        Duration::from_secs_f64((-part.ln() / self.rate).min(3600.0))
    }

    /// Goes on until it is given up.
    pub async fn run(mut self) {
        self.next = Instant::now() + self.wait();
        let mut wait = 0.1;
        loop {
            let options = Options {
                host: "127.0.0.1".to_owned(),
                port: self.shared.port,
                tls: None,
                client_id: self.name.clone(),
                user: None,
                will: Some(format!("mdetr/{}/available", self.name)),
                max_incoming: 1 << 20,
            };
            if let Ok((link, incoming)) = Rumqttc::connect(&options).await {
                wait = 0.1;
                self.shared.connected.fetch_add(1, Relaxed);
                for letter in self.letters.values_mut() {
                    letter.sent = None;
                }
                self.session(&link, incoming).await;
                self.shared.connected.fetch_sub(1, Relaxed);
            }
            // What happens meanwhile is kept.
            let until =
                Instant::now() + Duration::from_secs_f64(wait * rand::rng().random_range(0.5..1.0));
            while Instant::now() < until {
                sleep_until(until.min(self.soonest())).await;
                self.happen();
            }
            wait = (wait * 2.0).min(WAIT);
        }
    }

    async fn session(&mut self, link: &Rumqttc, mut incoming: <Rumqttc as Link>::Incoming) {
        let stored = format!("mdetr/{}/stored", self.name);
        let subscription = Subscription {
            filter: stored.clone(),
            retained: false,
        };
        if link.subscribe(vec![subscription]).await.is_err() {
            return;
        }
        let shared = self.shared.clone();
        let begin = shared.begin.notified();
        tokio::pin!(begin);
        begin.as_mut().enable();
        let mut burst = shared.bursting.load(Relaxed);
        loop {
            if self.send(link, &stored).await.is_err() {
                return;
            }
            tokio::select! {
                happening = incoming.next() => match happening {
                    Ok(Happening::Message { payload, .. }) => self.kept(&payload),
                    Ok(_) => {}
                    Err(_) => return,
                },
                () = sleep_until(self.soonest()) => self.happen(),
                () = begin.as_mut(), if !burst => {
                    burst = true;
                    for _ in 0..BURST {
                        self.tell_of_two_steps();
                    }
                }
            }
        }
    }

    /// When something is to be done.
    fn soonest(&self) -> Instant {
        let due = self.due.keys().next().map(|(time, _)| *time);
        let again = self.letters.values().filter_map(|letter| letter.sent).min();
        let mut times = vec![Instant::now() + Duration::from_secs(1)];
        times.extend(due);
        times.extend(again.map(|sent| sent + HUB));
        if !self.shared.stopped.load(Relaxed) {
            times.push(self.next);
        }
        times.into_iter().min().expect("there is one")
    }

    /// Lets events begin and go on.
    fn happen(&mut self) {
        let now = Instant::now();
        while !self.shared.stopped.load(Relaxed) && self.next <= now {
            self.begin(None);
            self.next += self.wait();
        }
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
        {
            let event = entry.remove();
            self.tell(event);
        }
    }

    /// An event begins, whose steps come as they came in the scene, but not later than `longest` seconds.
    fn begin(&mut self, longest: Option<f64>) {
        let lives = self.shared.lives.clone();
        let life = &lives[rand::rng().random_range(0..lives.len())];
        self.number += 1;
        let id = format!(
            "{}.{:03}-yard-{}",
            Timestamp::now().as_second(),
            self.number % 1000,
            self.number
        );
        let now = Instant::now();
        self.shared.events.fetch_add(1, Relaxed);
        for (place, (since, step)) in life.iter().enumerate() {
            let event = Event {
                id: id.clone(),
                ..step.clone()
            };
            let since = Duration::from_secs_f64(since.min(longest.unwrap_or(10.0)));
            self.shared.waiting.fetch_add(1, Relaxed);
            self.due.insert(
                (now + since, self.number as i64 * 1000 + place as i64),
                event,
            );
        }
    }

    fn tell_of_two_steps(&mut self) {
        let lives = self.shared.lives.clone();
        let life = &lives[rand::rng().random_range(0..lives.len())];
        self.number += 1;
        let id = format!("{}.000-burst-{}", Timestamp::now().as_second(), self.number);
        self.shared.events.fetch_add(1, Relaxed);
        for (_, step) in [&life[0], &life[life.len() - 1]] {
            self.shared.waiting.fetch_add(1, Relaxed);
            self.tell(Event {
                id: id.clone(),
                ..step.clone()
            });
        }
    }

    /// A step happens now.
    fn tell(&mut self, event: Event) {
        let now = Timestamp::now();
        let event = Event {
            time: now,
            start: if event.kind == EventKind::New {
                now
            } else {
                event.start.max(now)
            },
            end: event.end.map(|_| now),
            ..event
        };
        let word = match event.kind {
            EventKind::New => "new",
            EventKind::Update => "update",
            EventKind::End => "end",
        };
        let payload = json!({ "type": word, "before": null, "after": event }).to_string();
        self.last += 1;
        self.shared.steps.fetch_add(1, Relaxed);
        let letter = Letter {
            payload: payload.into_bytes(),
            sent: None,
        };
        self.letters.insert(self.last, letter);
    }

    async fn send(&mut self, link: &Rumqttc, stored: &str) -> Result<()> {
        for (sequence, letter) in &mut self.letters {
            if letter.sent.is_some_and(|sent| sent.elapsed() < HUB) {
                continue;
            }
            letter.sent = Some(Instant::now());
            self.shared.sent.fetch_add(1, Relaxed);
            self.shared
                .bytes
                .fetch_add(letter.payload.len() as u64, Relaxed);
            link.publish(Message {
                topic: format!("mdetr/{}/events", self.name),
                payload: letter.payload.clone(),
                acknowledge: true,
                answer: Some((stored.to_owned(), sequence.to_string())),
                ..Message::default()
            })
            .await?;
        }
        Ok(())
    }

    fn kept(&mut self, payload: &[u8]) {
        for sequence in serde_json::from_slice::<Vec<i64>>(payload).unwrap_or_default() {
            if self.letters.remove(&sequence).is_some() {
                self.shared.waiting.fetch_sub(1, Relaxed);
            }
        }
    }
}
