//! Pictures that wait for one who answers them: few, and the newest.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

/// A queue that never makes its sender wait: where it is full, the oldest is dropped.
#[derive(Debug)]
pub struct Mailbox<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    size: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> Mailbox<T> {
    /// For `size` that wait, at least 1.
    pub fn new(size: usize) -> Mailbox<T> {
        Mailbox {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                closed: false,
            }),
            arrived: Condvar::new(),
            size: size.max(1),
        }
    }

    /// Puts one in. Gives the one that had to go for it.
    pub fn put(&self, item: T) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Some(item);
        }
        let dropped = (state.waiting.len() >= self.size)
            .then(|| state.waiting.pop_front())
            .flatten();
        state.waiting.push_back(item);
        drop(state);
        self.arrived.notify_one();
        dropped
    }

    /// The oldest that waits; waits for one. `None` once it is closed.
    pub fn take(&self) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.closed {
                return None;
            }
            if let Some(item) = state.waiting.pop_front() {
                return Some(item);
            }
            let waited = self.arrived.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Forgets what waits.
    pub fn clear(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.clear();
    }

    /// Whether it was ended.
    pub fn closed(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed
    }

    /// Begins it anew after its end, with nothing in it.
    pub fn reopen(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = false;
    }

    /// Ends it: those who wait get nothing more.
    pub fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn the_oldest_goes_where_there_is_no_room() {
        let mailbox = Mailbox::new(2);
        assert_eq!(mailbox.put(1), None);
        assert_eq!(mailbox.put(2), None);
        assert_eq!(mailbox.put(3), Some(1));
        assert_eq!(mailbox.take(), Some(2));
        assert_eq!(mailbox.take(), Some(3));
        mailbox.put(4);
        mailbox.clear();
        mailbox.put(5);
        assert_eq!(mailbox.take(), Some(5));
    }

    #[test]
    fn who_waits_is_told_of_the_end() {
        let mailbox = Arc::new(Mailbox::<u8>::new(1));
        let waiting = mailbox.clone();
        let thread = thread::spawn(move || waiting.take());
        mailbox.close();
        assert_eq!(thread.join().expect("no panic"), None);
        assert_eq!(mailbox.put(1), Some(1));
        assert_eq!(mailbox.take(), None);
        mailbox.reopen();
        assert_eq!(mailbox.put(2), None);
        assert_eq!(mailbox.take(), Some(2));
    }
}
