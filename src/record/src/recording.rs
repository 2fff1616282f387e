//! Recording beside other work.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use mdetr_ros2_messages::builtin_interfaces::Time;

use crate::error::RecordError;
use crate::recorder::{Recorder, Topic};

/// Bytes that a message takes beside its own.
const OVERHEAD: usize = 64;

/// Writes messages on a thread of its own, so that a slow disk holds up nobody. What waits for the disk is bounded: further
/// messages are left out, and counted.
pub struct Recording {
    sender: Option<Sender<Order>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), RecordError>>>,
    max_waiting: usize,
}

/// A message to be written.
struct Order {
    topic: Topic,
    received: Time,
    published: Time,
    cdr: Vec<u8>,
}

impl Order {
    fn bytes(&self) -> usize {
        self.cdr.len() + OVERHEAD
    }
}

#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    left_out: AtomicU64,
    failed: AtomicBool,
    error: Mutex<Option<String>>,
}

impl Recording {
    /// Goes on with a recorder that has its topics. At most `max_waiting` bytes of messages wait for the disk; a message that
    /// is larger is never recorded.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(recorder: Recorder, max_waiting: usize) -> Result<Recording, RecordError> {
        let shared = Arc::new(Shared::default());
        let (sender, orders) = channel();
        let told = shared.clone();
        let thread = Builder::new()
            .name("record".to_owned())
            .spawn(move || run(recorder, &orders, &told))
            .map_err(RecordError::Thread)?;
        Ok(Recording {
            sender: Some(sender),
            shared,
            thread: Some(thread),
            max_waiting,
        })
    }

    /// Gives a message to be recorded: see [`Recorder::write`]. Says whether it is taken; it is not if too much waits, or if
    /// the recording [failed](Self::error).
    pub fn offer(&self, topic: Topic, received: Time, published: Time, cdr: Vec<u8>) -> bool {
        let order = Order {
            topic,
            received,
            published,
            cdr,
        };
        let taken = !self.shared.failed.load(Ordering::Relaxed) && self.send(order);
        if !taken {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn send(&self, order: Order) -> bool {
        let (waiting, bytes) = (&self.shared.waiting, order.bytes());
        let fits = |old: usize| {
            let new = old.checked_add(bytes)?;
            (new <= self.max_waiting).then_some(new)
        };
        let reserved = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        let sender = self.sender.as_ref();
        reserved.is_ok() && sender.is_some_and(|sender| sender.send(order).is_ok())
    }

    /// Messages that were offered and not taken.
    pub fn left_out(&self) -> u64 {
        self.shared.left_out.load(Ordering::Relaxed)
    }

    /// Why nothing is recorded any more, once something went wrong.
    pub fn error(&self) -> Option<String> {
        let error = self.shared.error.lock();
        error.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes what waits, and the index.
    ///
    /// # Errors
    /// Writing failed, now or before.
    pub fn finish(mut self) -> Result<(), RecordError> {
        self.end().unwrap_or(Ok(()))
    }

    fn end(&mut self) -> Option<Result<(), RecordError>> {
        // Without a sender the thread writes what waits, and ends.
        self.sender = None;
        let thread = self.thread.take()?;
        Some(thread.join().expect("the thread does not panic"))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(
    mut recorder: Recorder,
    orders: &Receiver<Order>,
    shared: &Shared,
) -> Result<(), RecordError> {
    let done = write_all(&mut recorder, orders, shared).and_then(|()| recorder.finish());
    if let Err(error) = &done {
        shared.failed.store(true, Ordering::Relaxed);
        let mut told = shared.error.lock().unwrap_or_else(PoisonError::into_inner);
        *told = Some(error.to_string());
    }
    done
}

fn write_all(
    recorder: &mut Recorder,
    orders: &Receiver<Order>,
    shared: &Shared,
) -> Result<(), RecordError> {
    loop {
        match orders.recv_timeout(recorder.flush_interval()) {
            Ok(order) => {
                let written =
                    recorder.write(order.topic, order.received, order.published, &order.cdr);
                shared.waiting.fetch_sub(order.bytes(), Ordering::Relaxed);
                written?;
            }
            Err(RecvTimeoutError::Timeout) => recorder.flush()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
