//! Whose inference runs next, among all elements of the process.
//!
//! As many run at once as there are processors, or as the element with the most `workers` asks for if
//! that is more. Under overload elements take turns: the next is the one whose last turn is longest
//! ago, however many of its workers wait.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The process's turns.
static TURNS: LazyLock<Arc<Turns>> = LazyLock::new(|| {
    let processors = thread::available_parallelism().map_or(1, |n| n.get());
    Arc::new(Turns::new(processors))
});

#[derive(Debug)]
struct Turns {
    processors: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    /// Counts turns.
    now: u64,
    seats: HashMap<u64, Standing>,
    next_seat: u64,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Standing {
    /// Number of its last turn.
    last: u64,
    workers: usize,
    left: bool,
}

#[derive(Debug)]
struct Waiting {
    seat: u64,
    wake: Arc<Condvar>,
}

impl Turns {
    fn new(processors: usize) -> Turns {
        Turns {
            processors,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limit(&self, state: &State) -> usize {
        let asked = state.seats.values().map(|seat| seat.workers).max();
        self.processors.max(asked.unwrap_or(0))
    }

    /// Gives free turns to those who have waited longest since their last.
    fn give(&self, state: &mut State) {
        while state.running < self.limit(state) {
            let last = |waiting: &Waiting| state.seats.get(&waiting.seat).map(|seat| seat.last);
            // The first of equals: who came first.
            let next = (0..state.waiting.len()).min_by_key(|&index| last(&state.waiting[index]));
            let Some(next) = next else { return };
            let Waiting { seat, wake } = state.waiting.remove(next);
            state.running += 1;
            state.now += 1;
            let now = state.now;
            if let Some(seat) = state.seats.get_mut(&seat) {
                seat.last = now;
            }
            wake.notify_one();
        }
    }
}

/// One element's place among those that take turns.
#[derive(Debug)]
pub(super) struct Seat {
    turns: Arc<Turns>,
    id: u64,
}

impl Seat {
    /// For an element that infers up to `workers` frames at once.
    pub fn take(workers: usize) -> Seat {
        Seat::among(&TURNS, workers)
    }

    fn among(turns: &Arc<Turns>, workers: usize) -> Seat {
        let mut state = turns.lock();
        let id = state.next_seat;
        state.next_seat += 1;
        let standing = Standing {
            last: 0,
            workers,
            left: false,
        };
        state.seats.insert(id, standing);
        drop(state);
        Seat {
            turns: turns.clone(),
            id,
        }
    }

    /// Waits for a turn; `None` once [`leave`](Self::leave) was called.
    pub fn turn(&self) -> Option<Turn<'_>> {
        let wake = Arc::new(Condvar::new());
        let mut state = self.turns.lock();
        if state.seats.get(&self.id).is_none_or(|seat| seat.left) {
            return None;
        }
        let waiting = Waiting {
            seat: self.id,
            wake: wake.clone(),
        };
        state.waiting.push(waiting);
        self.turns.give(&mut state);
        let waits = |state: &State| state.waiting.iter().any(|w| Arc::ptr_eq(&w.wake, &wake));
        while waits(&state) {
            if state.seats.get(&self.id).is_none_or(|seat| seat.left) {
                state.waiting.retain(|w| !Arc::ptr_eq(&w.wake, &wake));
                return None;
            }
            state = wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Some(Turn { turns: &self.turns })
    }

    /// Wakes the workers that wait; they and later ones get no turn.
    pub fn leave(&self) {
        let mut state = self.turns.lock();
        if let Some(seat) = state.seats.get_mut(&self.id) {
            seat.left = true;
        }
        for waiting in state.waiting.iter().filter(|w| w.seat == self.id) {
            waiting.wake.notify_one();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.turns.lock().seats.remove(&self.id);
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        state.running -= 1;
        self.turns.give(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Turns that each of the elements with so many workers gets while they all want `total`.
    fn shares(processors: usize, workers: &[usize], total: usize) -> Vec<usize> {
        let turns = Arc::new(Turns::new(processors));
        let seats: Vec<Seat> = workers.iter().map(|&n| Seat::among(&turns, n)).collect();
        let counts: Vec<AtomicUsize> = workers.iter().map(|_| AtomicUsize::new(0)).collect();
        let (taken, running) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let limit = workers.iter().copied().max().unwrap_or(0).max(processors);
        // Nobody begins before all wait.
        let all = workers.iter().sum::<usize>();
        let held: Vec<Turn> = (0..limit).filter_map(|_| seats[0].turn()).collect();
        // Turns last equally long, however late the system runs who has one.
        let together = Barrier::new(limit);
        assert!(total.is_multiple_of(limit));
        thread::scope(|scope| {
            for (index, &n) in workers.iter().enumerate() {
                for _ in 0..n {
                    let (seat, counts) = (&seats[index], &counts);
                    let (taken, running, turns) = (&taken, &running, &turns);
                    let together = &together;
                    scope.spawn(move || {
                        while let Some(_turn) = seat.turn() {
                            if taken.fetch_add(1, Ordering::SeqCst) >= total {
                                return;
                            }
                            counts[index].fetch_add(1, Ordering::SeqCst);
                            assert!(running.fetch_add(1, Ordering::SeqCst) < limit);
                            together.wait();
                            // Who had a turn before is there again when the next is chosen.
                            while turns.lock().waiting.len() + limit < all
                                && taken.load(Ordering::SeqCst) < total
                            {
                                thread::yield_now();
                            }
                            running.fetch_sub(1, Ordering::SeqCst);
                        }
                    });
                }
            }
            while turns.lock().waiting.len() < all {
                thread::yield_now();
            }
            drop(held);
        });
        counts.into_iter().map(|c| c.into_inner()).collect()
    }

    #[test]
    fn elements_share_alike_however_many_workers_they_have() {
        let shares = shares(2, &[1, 2, 1, 4, 1, 1, 2, 1], 800);
        let (least, most) = (shares.iter().min(), shares.iter().max());
        let spread = most.expect("eight") - least.expect("eight");
        assert_eq!(shares.iter().sum::<usize>(), 800);
        assert!(spread <= 10, "{shares:?}");
    }

    #[test]
    fn who_leaves_waits_no_longer_and_frees_its_place() {
        let turns = Arc::new(Turns::new(1));
        let (one, two) = (Seat::among(&turns, 1), Seat::among(&turns, 1));
        let held = one.turn().expect("free");
        thread::scope(|scope| {
            let waiter = scope.spawn(|| two.turn().is_none());
            while turns.lock().waiting.is_empty() {
                thread::yield_now();
            }
            two.leave();
            assert!(waiter.join().expect("no panic"));
        });
        assert!(two.turn().is_none());
        drop(held);
        assert!(one.turn().is_some());
        drop((one, two));
        assert!(turns.lock().seats.is_empty());
    }

    #[test]
    fn an_element_may_ask_for_more_than_the_processors() {
        let turns = Arc::new(Turns::new(1));
        let seat = Seat::among(&turns, 3);
        let held: Vec<Turn> = (0..3).filter_map(|_| seat.turn()).collect();
        assert_eq!(held.len(), 3);
    }
}
