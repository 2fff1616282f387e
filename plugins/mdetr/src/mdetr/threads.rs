//! Threads that are waited for when the element stops, but not for ever.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{self, Receiver, RecvTimeoutError};

/// The threads of one run of the element.
#[derive(Debug, Default)]
pub(super) struct Threads {
    running: Mutex<Vec<Running>>,
}

#[derive(Debug)]
struct Running {
    thread: JoinHandle<()>,
    /// Disconnected once the thread's work has ended, by a panic too.
    ended: Receiver<Infallible>,
}

impl Threads {
    /// Starts a thread.
    pub fn spawn(&self, name: String, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let (working, ended) = channel::bounded(0);
        let thread = thread::Builder::new().name(name).spawn(move || {
            let _working = working;
            work();
        })?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.push(Running { thread, ended });
        Ok(())
    }

    /// Waits until all have ended but the calling thread, for `timeout` at most; gives how many have not.
    ///
    /// Those end on their own: nothing can interrupt an engine that encodes a text or runs a graph.
    pub fn join(&self, timeout: Duration) -> usize {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let running = std::mem::take(&mut *running);
        let deadline = Instant::now() + timeout;
        let mut left = 0;
        for Running { thread, ended } in running {
            if thread.thread().id() == thread::current().id() {
                continue;
            }
            match ended.recv_deadline(deadline) {
                Err(RecvTimeoutError::Timeout) => left += 1,
                Err(RecvTimeoutError::Disconnected) => {
                    // Work catches its panics; one outside of that has nothing left to report here.
                    let _ = thread.join();
                }
                Ok(never) => match never {},
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn threads_that_end_are_joined_and_others_are_left() {
        let threads = Threads::default();
        let (hold, held) = channel::<()>();
        let value = Arc::new(());
        let shared = value.clone();
        let quick = move || drop(shared);
        threads.spawn("quick".into(), quick).expect("a thread");
        let slow = move || {
            held.recv().expect_err("nothing is sent");
        };
        threads.spawn("slow".into(), slow).expect("a thread");
        assert_eq!(threads.join(Duration::from_millis(50)), 1);
        assert_eq!(Arc::strong_count(&value), 1);
        drop(hold);
        assert_eq!(
            threads.join(Duration::ZERO),
            0,
            "nothing is waited for twice"
        );
    }

    #[test]
    fn a_thread_does_not_wait_for_itself() {
        let threads = Arc::new(Threads::default());
        let (told, tell) = channel();
        let (own, told_threads) = (threads.clone(), told);
        let (go, wait) = channel::<()>();
        let work = move || {
            wait.recv().expect("told to go on");
            let left = own.join(Duration::from_secs(60));
            told_threads.send(left).expect("somebody listens");
        };
        threads.spawn("own".into(), work).expect("a thread");
        go.send(()).expect("it waits");
        assert_eq!(tell.recv_timeout(Duration::from_secs(30)), Ok(0));
    }
}
