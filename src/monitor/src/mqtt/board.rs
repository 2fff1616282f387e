//! What is to be published, the newest value of each topic only: a slow broker makes nothing grow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

/// What is published on a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// The picture of the event with this id, which is read when it is sent.
    Picture(Arc<str>),
    /// Nothing more: the broker forgets what it retained.
    Gone,
}

impl From<&str> for Payload {
    fn from(text: &str) -> Payload {
        Payload::Bytes(text.as_bytes().into())
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Payload {
        Payload::Bytes(text.into_bytes().into())
    }
}

/// Something to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: Payload,
    /// Whether the broker keeps it for those who come later.
    pub retain: bool,
}

#[derive(Debug)]
struct Entry {
    payload: Payload,
    retain: bool,
    /// Whether it was taken since it changed.
    taken: bool,
}

#[derive(Debug, Default)]
struct Entries {
    all: BTreeMap<String, Entry>,
    /// Topics that are to be published, in the order in which they changed.
    order: VecDeque<String>,
    waiting: BTreeSet<String>,
}

/// The newest value of each topic.
#[derive(Debug, Default)]
pub struct Board {
    entries: Mutex<Entries>,
    changed: Notify,
}

impl Entries {
    fn wait(&mut self, topic: &str) {
        if self.waiting.insert(topic.to_owned()) {
            self.order.push_back(topic.to_owned());
        }
    }
}

impl Board {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().expect("no code panics with the lock")
    }

    fn put(&self, topic: String, payload: Payload, retain: bool, again: bool) {
        let mut entries = self.entries();
        let same = entries
            .all
            .get(&topic)
            .is_some_and(|entry| entry.payload == payload);
        if same && !again {
            return;
        }
        entries.wait(&topic);
        let entry = Entry {
            payload,
            retain,
            taken: false,
        };
        entries.all.insert(topic, entry);
        drop(entries);
        self.changed.notify_one();
    }

    /// Sets what a topic says from now on, to be retained. The same again is not published again.
    pub fn set(&self, topic: String, payload: impl Into<Payload>) {
        self.put(topic, payload.into(), true, false);
    }

    /// As [`set`](Self::set), and published even if it is the same.
    pub fn replace(&self, topic: String, payload: impl Into<Payload>) {
        self.put(topic, payload.into(), true, true);
    }

    /// Says something once.
    pub fn say(&self, topic: String, payload: impl Into<Payload>) {
        self.put(topic, payload.into(), false, true);
    }

    /// Lets the broker forget all that is not on one of these topics.
    pub fn keep_only(&self, topics: &BTreeSet<String>) {
        let gone: Vec<String> = {
            let entries = self.entries();
            let retained = entries.all.iter().filter(|(_, entry)| entry.retain);
            retained
                .map(|(topic, _)| topic.clone())
                .filter(|topic| !topics.contains(topic))
                .collect()
        };
        for topic in gone {
            self.set(topic, Payload::Gone);
        }
    }

    /// Everything is to be published again: the broker may have lost it.
    pub fn renew(&self) {
        let mut entries = self.entries();
        let topics: Vec<String> = entries.all.keys().cloned().collect();
        for topic in &topics {
            entries.wait(topic);
        }
        drop(entries);
        self.changed.notify_one();
    }

    /// Waits for the next thing to publish. Nothing is lost when the wait is given up.
    pub async fn next(&self) -> Posting {
        loop {
            if let Some(posting) = self.take() {
                return posting;
            }
            self.changed.notified().await;
        }
    }

    fn take(&self) -> Option<Posting> {
        let mut entries = self.entries();
        let topic = entries.order.pop_front()?;
        entries.waiting.remove(&topic);
        let entry = entries
            .all
            .get_mut(&topic)
            .expect("what waits is there: only taking removes");
        let posting = Posting {
            payload: entry.payload.clone(),
            retain: entry.retain,
            topic,
        };
        // What is gone is said again at the next connection, in case this one breaks before the broker knows.
        if !entry.retain || (entry.payload == Payload::Gone && entry.taken) {
            entries.all.remove(&posting.topic);
        } else {
            entry.taken = true;
        }
        Some(posting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(board: &Board) -> Vec<(String, Payload)> {
        let next = std::iter::from_fn(|| board.take());
        next.map(|posting| (posting.topic, posting.payload))
            .collect()
    }

    #[test]
    fn only_the_newest_value_is_published_and_only_if_it_changed() {
        let board = Board::default();
        for value in ["1", "2", "3"] {
            board.set("a".into(), value);
            board.set("b".into(), "x");
        }
        let (a, b) = (("a".to_owned(), "3".into()), ("b".to_owned(), "x".into()));
        assert_eq!(all(&board), [a.clone(), b.clone()]);
        board.set("a".into(), "3");
        assert_eq!(all(&board), []);
        board.say("c".into(), "once");
        board.renew();
        assert_eq!(all(&board), [("c".to_owned(), "once".into()), a, b]);
        board.say("c".into(), "once");
        assert_eq!(all(&board).len(), 1);
    }

    #[test]
    fn what_is_gone_is_said_at_two_connections() {
        let board = Board::default();
        board.set("a".into(), "1");
        board.set("b".into(), "1");
        all(&board);
        board.keep_only(&BTreeSet::from(["b".to_owned()]));
        let gone = [("a".to_owned(), Payload::Gone)];
        assert_eq!(all(&board), gone);
        board.renew();
        assert_eq!(all(&board)[0], gone[0]);
        board.renew();
        assert_eq!(all(&board), [("b".to_owned(), "1".into())]);
        board.set("a".into(), "2");
        assert_eq!(all(&board), [("a".to_owned(), "2".into())]);
    }

    #[tokio::test]
    async fn a_change_wakes_who_waits() {
        let board = Arc::new(Board::default());
        let waiting = tokio::spawn({
            let board = board.clone();
            async move { board.next().await }
        });
        tokio::task::yield_now().await;
        board.set("a".into(), "1");
        assert_eq!(waiting.await.unwrap().topic, "a");
    }
}
