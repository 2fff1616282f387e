//! Steps of events on their way from the store to the broker: in order, and gone from the store only once the broker
//! (or, where hubs take them, a hub) has acknowledged them.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mdetr_rules::{Event, EventKind};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::store::{Letter, Store};

/// Name of the receiver in the store.
pub const RECEIVER: &str = "mqtt";
/// Most letters that are sent and not acknowledged.
const IN_FLIGHT: usize = 100;
/// Letters that are read from the store at once.
const BATCH: u32 = 2 * IN_FLIGHT as u32;
/// How often the store is asked although nobody said that there is something new.
const LOOK: Duration = Duration::from_secs(2);
/// How long a hub has to say that it has a step, before it is sent again.
const HUB: Duration = Duration::from_secs(20);
/// How long to wait before the store is asked again after it failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Most events of which something is remembered.
pub const REMEMBERED: usize = 4096;

/// A step and the one before it.
#[derive(Debug, Clone)]
pub struct Change {
    /// Place of the step in the order of all steps.
    pub sequence: i64,
    /// The step before, if it is known: it is not for the first, and not after a start of the program.
    pub before: Option<Arc<Event>>,
    /// The step.
    pub after: Arc<Event>,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Letter>,
    /// The last that was read from the store.
    last: i64,
    /// Sent and not acknowledged, with the time of that and what was sent.
    sent: BTreeMap<i64, (Instant, Change)>,
    /// How many were acknowledged.
    count: u64,
    /// Acknowledged, and not yet gone from the store.
    acknowledged: VecDeque<i64>,
    /// Steps of events that go on, by id: the last that is acknowledged and what was sent after it.
    steps: BTreeMap<String, Vec<(i64, Arc<Event>)>>,
}

/// Letters to the broker.
#[derive(Debug)]
pub struct Outbox {
    store: Store,
    /// Whether a hub must have a step, and not the broker alone.
    is_for_hub: bool,
    state: Mutex<State>,
    /// The store may have more.
    news: Notify,
    /// There may be something to send.
    sendable: Notify,
    /// Something was acknowledged.
    emptied: Notify,
}

impl Outbox {
    /// Of a store. `is_for_hub`: a hub must have a step, and not the broker alone.
    pub fn new(store: Store, is_for_hub: bool) -> Outbox {
        Outbox {
            store,
            is_for_hub,
            state: Mutex::default(),
            news: Notify::new(),
            sendable: Notify::new(),
            emptied: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics with the lock")
    }

    /// Whether a hub acknowledges steps.
    pub fn is_for_hub(&self) -> bool {
        self.is_for_hub
    }

    /// The store has new letters.
    pub fn wake(&self) {
        self.news.notify_one();
    }

    /// A connection begins: what is not acknowledged is sent again.
    pub fn restart(&self) {
        let mut state = self.state();
        state.ready.clear();
        state.sent.clear();
        state.last = 0;
        drop(state);
        self.wake();
    }

    /// Reads letters from the store before they are needed. Goes on for ever.
    pub async fn fill(&self) -> Infallible {
        loop {
            if self.state().ready.len() < IN_FLIGHT {
                match self.store.letters(RECEIVER, BATCH).await {
                    Ok(letters) => {
                        if self.state().take(letters) {
                            self.sendable.notify_one();
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "letters to the broker cannot be read");
                        sleep(PAUSE).await;
                    }
                }
            }
            // Ending of the wait without a word is the rule where nothing happens.
            let _ = timeout(LOOK, self.news.notified()).await;
            if self.is_for_hub && self.state().is_overdue() {
                self.sendable.notify_one();
            }
        }
    }

    /// Waits for the next step to send. Nothing is lost when the wait is given up.
    pub async fn next(&self) -> Change {
        loop {
            let next = self.state().next(self.is_for_hub);
            if let Some((change, few)) = next {
                if few {
                    self.news.notify_one();
                }
                return change;
            }
            self.sendable.notified().await;
        }
    }

    /// The broker, or a hub, has acknowledged a step. Of one that was not sent, or was acknowledged before, nothing is
    /// said.
    pub fn acknowledge(&self, sequence: i64) {
        let mut state = self.state();
        if state.sent.remove(&sequence).is_none() {
            return;
        }
        state.acknowledged.push_back(sequence);
        state.count += 1;
        state.remember(sequence);
        drop(state);
        self.emptied.notify_one();
    }

    /// How many steps were acknowledged since the beginning.
    pub fn acknowledged(&self) -> u64 {
        self.state().count
    }

    /// Removes from the store what is acknowledged. Goes on for ever.
    pub async fn file(&self) -> Infallible {
        loop {
            let next = self.state().acknowledged.front().copied();
            let Some(sequence) = next else {
                self.emptied.notified().await;
                continue;
            };
            match self.store.delivered(RECEIVER, sequence).await {
                Ok(()) => {
                    self.state().acknowledged.pop_front();
                    self.sendable.notify_one();
                }
                Err(error) => {
                    tracing::warn!(%error, sequence, "a delivery to the broker cannot be noted");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// How many letters wait.
    pub async fn waiting(&self) -> u64 {
        self.store.waiting(RECEIVER).await.unwrap_or_default()
    }

    /// Waits until no letter waits.
    pub async fn drained(&self) {
        while self.waiting().await > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Notes that sending a step failed.
    pub async fn failed(&self, sequence: i64) {
        if let Err(error) = self.store.failed(RECEIVER, sequence).await {
            tracing::warn!(%error, sequence, "a failure cannot be noted");
        }
    }
}

impl State {
    /// Takes letters from the store, without those that it has had. Whether there are any.
    fn take(&mut self, letters: Vec<Letter>) -> bool {
        for letter in letters {
            let known =
                letter.sequence <= self.last || self.acknowledged.contains(&letter.sequence);
            if !known {
                self.last = letter.sequence;
                self.ready.push_back(letter);
            }
        }
        !self.ready.is_empty()
    }

    fn is_overdue(&self) -> bool {
        let oldest = self.sent.values().map(|(time, _)| *time).min();
        oldest.is_some_and(|time| time.elapsed() > HUB)
    }

    /// The next step to send, if there is one and the broker has room for it, and whether more should be read. With
    /// `again` those of which no hub has said that it has them come first.
    fn next(&mut self, again: bool) -> Option<(Change, bool)> {
        if again
            && let Some((time, change)) = self
                .sent
                .values_mut()
                .find(|(time, _)| time.elapsed() > HUB)
        {
            *time = Instant::now();
            return Some((change.clone(), false));
        }
        if self.sent.len() + self.acknowledged.len() >= IN_FLIGHT {
            return None;
        }
        let letter = self.ready.pop_front()?;
        let few = self.ready.len() == IN_FLIGHT / 2 || self.ready.is_empty();
        Some((self.send(letter), few))
    }

    fn send(&mut self, letter: Letter) -> Change {
        let Letter {
            sequence, event, ..
        } = letter;
        let after = Arc::new(event);
        if self.steps.len() >= REMEMBERED && !self.steps.contains_key(&after.id) {
            // The oldest: ids begin with the time.
            self.steps.pop_first();
        }
        let steps = self.steps.entry(after.id.clone()).or_default();
        steps.retain(|(known, _)| *known < sequence);
        let before = steps.last().map(|(_, event)| event.clone());
        steps.push((sequence, after.clone()));
        let change = Change {
            sequence,
            before,
            after,
        };
        let sent = (Instant::now(), change.clone());
        self.sent.insert(sequence, sent);
        change
    }

    /// Forgets steps before one that is acknowledged, and the event if it was its last.
    fn remember(&mut self, sequence: i64) {
        let of = |(_, steps): &(&String, &Vec<(i64, Arc<Event>)>)| {
            steps.iter().any(|(known, _)| *known == sequence)
        };
        let Some((id, _)) = self.steps.iter().find(of) else {
            return;
        };
        let id = id.clone();
        let steps = self.steps.get_mut(&id).expect("it was found");
        steps.retain(|(known, _)| *known >= sequence);
        if let [(_, last)] = &steps[..]
            && last.kind == EventKind::End
        {
            self.steps.remove(&id);
        }
    }
}
