//! Carries letters from the store to one receiver, one after the other.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mdetr_rules::Event;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::counts::Counts;
use crate::retry::Backoff;
use crate::store::{Letter, Store};

/// First wait before the next try.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Age at which a letter is given up.
const TOO_OLD: SignedDuration = SignedDuration::from_hours(24);
/// Letters that are read from the store at once.
const BATCH: u32 = 32;
/// How often the store is asked for letters although nobody said that there are some.
const LOOK: Duration = Duration::from_secs(5);
/// How long to wait before the store is asked again after it failed.
const PAUSE: Duration = Duration::from_secs(1);

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The letter arrived.
    Arrived,
    /// It did not, and may the next time; after so long, if the receiver said that.
    Again(String, Option<Duration>),
    /// It never will.
    Refused(String),
}

/// A way to a receiver.
pub trait Deliver: Send {
    /// Tries to deliver a step.
    fn deliver(&mut self, event: &Event) -> impl Future<Output = Outcome> + Send;
}

/// Carries letters to one receiver.
pub struct Carrier {
    pub store: Store,
    pub receiver: String,
    pub counts: Arc<Counts>,
    /// Changes when there may be new letters.
    pub news: watch::Receiver<()>,
}

impl Carrier {
    /// Goes on until the task is ended.
    pub async fn run<D: Deliver>(mut self, mut way: D) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            self.news.mark_unchanged();
            let letters = match self.store.letters(&self.receiver, BATCH).await {
                Ok(letters) => letters,
                Err(error) => {
                    tracing::warn!(receiver = self.receiver, %error, "letters cannot be read");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            if letters.is_empty() {
                // Ending of the wait without a word is the rule where nothing happens.
                if let Ok(Err(_)) = timeout(LOOK, self.news.changed()).await {
                    return;
                }
            }
            for letter in letters {
                self.carry(&mut way, &mut backoff, &letter).await;
                self.arrived(letter.sequence).await;
            }
        }
    }

    /// Tries until the letter arrives or is given up.
    async fn carry<D: Deliver>(&self, way: &mut D, backoff: &mut Backoff, letter: &Letter) {
        let (receiver, event) = (&self.receiver, &letter.event);
        loop {
            if Timestamp::now().duration_since(event.time) > TOO_OLD {
                tracing::error!(receiver, event = event.id, "given up after a day");
                self.counts.add(receiver, |count| count.dropped += 1);
                return;
            }
            let (error, wait) = match way.deliver(event).await {
                Outcome::Arrived => {
                    backoff.reset();
                    self.counts.add(receiver, |count| count.delivered += 1);
                    return;
                }
                Outcome::Refused(error) => {
                    tracing::error!(receiver, event = event.id, error, "refused: not sent again");
                    self.counts.add(receiver, |count| count.dropped += 1);
                    return;
                }
                Outcome::Again(error, wait) => (error, wait),
            };
            self.counts.add(receiver, |count| count.failed += 1);
            let wait = wait.map_or_else(|| backoff.next(), |wait| wait.min(LONGEST_WAIT));
            let wait_s = wait.as_secs_f32();
            tracing::warn!(
                receiver,
                event = event.id,
                error,
                wait_s,
                "not sent, tried again later"
            );
            if let Err(error) = self.store.failed(receiver, letter.sequence).await {
                tracing::warn!(receiver, %error, "a failure cannot be noted");
            }
            sleep(wait).await;
        }
    }

    /// Removes the letter from the store, however often that takes: it must not be sent twice for that.
    async fn arrived(&self, sequence: i64) {
        while let Err(error) = self.store.delivered(&self.receiver, sequence).await {
            tracing::warn!(receiver = self.receiver, %error, "a delivery cannot be noted");
            sleep(PAUSE).await;
        }
    }
}
