//! Recording beside other work.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use mdetr_ros2_messages::Definition;
use mdetr_ros2_messages::builtin_interfaces::Time;

use crate::error::RecordError;
use crate::recorder::Recorder;
use crate::topics::{Topic, Topics};

/// Bytes that a message takes beside its own.
const OVERHEAD: usize = 64;

/// Writes messages on a thread of its own, so that a slow disk holds up nobody. What waits for the disk is bounded: further
/// messages are left out, and counted.
///
/// Dropping it writes what waits, and the index; [`finish`](Recording::finish) says whether that went well.
pub struct Recording {
    path: PathBuf,
    sender: Sender<Order>,
    /// As the recorder has them, or is about to.
    topics: Mutex<Topics>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<Result<(), RecordError>>>>,
    max_waiting: usize,
}

/// What the thread is to do.
enum Order {
    Add(String, Definition),
    Write(Message),
    End,
}

struct Message {
    topic: Topic,
    received: Time,
    published: Time,
    cdr: Vec<u8>,
}

impl Message {
    fn bytes(&self) -> usize {
        self.cdr.len() + OVERHEAD
    }
}

#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    recorded: AtomicU64,
    left_out: AtomicU64,
    failed: AtomicBool,
    error: Mutex<Option<String>>,
}

impl Recording {
    /// Goes on with a recorder. At most `max_waiting` bytes of messages wait for the disk; a message that is larger is never
    /// recorded.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(recorder: Recorder, max_waiting: usize) -> Result<Recording, RecordError> {
        let shared = Arc::new(Shared::default());
        let (sender, orders) = channel();
        let told = shared.clone();
        let topics = Mutex::new(recorder.topics().clone());
        let path = recorder.path();
        let thread = Builder::new()
            .name("record".to_owned())
            .spawn(move || run(recorder, &orders, &told))
            .map_err(RecordError::Thread)?;
        Ok(Recording {
            path,
            sender,
            topics,
            shared,
            thread: Mutex::new(Some(thread)),
            max_waiting,
        })
    }

    /// A topic with messages of one type. Asked again, it is the same.
    ///
    /// # Errors
    /// The name is none that ROS allows, or the topic has another type.
    pub fn topic(&self, name: &str, definition: &Definition) -> Result<Topic, RecordError> {
        let mut topics = lock(&self.topics);
        let (topic, new) = topics.get(name, definition)?;
        if new {
            // The thread may have ended; then it records nothing any more.
            let _ = self.sender.send(Order::Add(name.to_owned(), *definition));
        }
        Ok(topic)
    }

    /// Gives a message to be recorded: see [`Recorder::write`]. Says whether it is taken; it is not if too much waits, or if
    /// the recording [failed](Self::error) or is finished.
    pub fn offer(&self, topic: Topic, received: Time, published: Time, cdr: Vec<u8>) -> bool {
        let message = Message {
            topic,
            received,
            published,
            cdr,
        };
        let taken = !self.shared.failed.load(Ordering::Relaxed) && self.send(message);
        if !taken {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn send(&self, message: Message) -> bool {
        let (waiting, bytes) = (&self.shared.waiting, message.bytes());
        let fits = |old: usize| {
            let new = old.checked_add(bytes)?;
            (new <= self.max_waiting).then_some(new)
        };
        let reserved = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        reserved.is_ok() && self.sender.send(Order::Write(message)).is_ok()
    }

    /// Messages that were written, or are about to be with those that follow soon.
    pub fn recorded(&self) -> u64 {
        self.shared.recorded.load(Ordering::Relaxed)
    }

    /// Messages that were offered and not taken.
    pub fn left_out(&self) -> u64 {
        self.shared.left_out.load(Ordering::Relaxed)
    }

    /// Why nothing is recorded any more, once something went wrong.
    pub fn error(&self) -> Option<String> {
        lock(&self.shared.error).clone()
    }

    /// Writes what waits, and the index. Messages that are offered later are not taken. Nothing happens the second time.
    ///
    /// # Errors
    /// Writing failed, now or before.
    pub fn finish(&self) -> Result<(), RecordError> {
        // It has ended already, if it does not listen.
        let _ = self.sender.send(Order::End);
        let thread = lock(&self.thread).take();
        match thread {
            None => Ok(()),
            Some(thread) => {
                let ended = thread.join();
                ended.unwrap_or_else(|_| Err(panicked(self.path.clone())))
            }
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Whoever wants to know asked before.
        let _ = self.finish();
    }
}

fn run(recorder: Recorder, orders: &Receiver<Order>, shared: &Shared) -> Result<(), RecordError> {
    let path = recorder.path();
    let ran = catch_unwind(AssertUnwindSafe(|| write_all(recorder, orders, shared)));
    let done = ran.unwrap_or_else(|_| Err(panicked(path)));
    if let Err(error) = &done {
        *lock(&shared.error) = Some(error.to_string());
        shared.failed.store(true, Ordering::Relaxed);
    }
    done
}

fn panicked(path: PathBuf) -> RecordError {
    RecordError::Panicked { path }
}

fn write_all(
    mut recorder: Recorder,
    orders: &Receiver<Order>,
    shared: &Shared,
) -> Result<(), RecordError> {
    loop {
        match orders.recv_timeout(recorder.flush_interval()) {
            Ok(Order::Add(name, definition)) => {
                recorder.topic(&name, &definition)?;
            }
            Ok(Order::Write(message)) => {
                let (received, published) = (message.received, message.published);
                let written = recorder.write(message.topic, received, published, &message.cdr);
                shared.waiting.fetch_sub(message.bytes(), Ordering::Relaxed);
                written?;
                shared.recorded.fetch_add(1, Ordering::Relaxed);
            }
            Err(RecvTimeoutError::Timeout) => recorder.flush()?,
            Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return recorder.finish(),
        }
    }
}

/// What is locked is whole after a panic too.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
