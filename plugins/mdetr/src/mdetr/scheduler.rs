//! Which element infers next, among all of the process.
//!
//! As many inferences run at once as there are processors, or as the element with the most `workers` asks
//! for if that is more. Under overload elements take turns: the next is the one whose last turn is longest
//! ago, however many of its frames wait.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use crossbeam::channel::{self, Receiver, Sender};

/// The scheduler of this process.
static PROCESS: LazyLock<Arc<FairScheduler>> = LazyLock::new(|| {
    let processors = thread::available_parallelism().map_or(1, |n| n.get());
    Arc::new(FairScheduler::new(processors))
});

/// Gives turns to the element whose last turn is longest ago.
#[derive(Debug)]
struct FairScheduler {
    processors: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Turns that have not ended.
    running: usize,
    /// Number of the last turn.
    last: u64,
    /// In the order in which they joined.
    elements: BTreeMap<u64, Element>,
    next_element: u64,
}

#[derive(Debug)]
struct Element {
    workers: usize,
    /// Turns it has asked for and not got.
    requested: usize,
    /// Turns it has.
    running: usize,
    /// Number of its last turn; 0 before the first.
    last: u64,
    turns: Sender<Turn>,
}

impl FairScheduler {
    fn new(processors: usize) -> FairScheduler {
        FairScheduler {
            processors,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(self: &Arc<Self>, workers: usize) -> Ticket {
        let (sender, turns) = channel::unbounded();
        let mut state = self.lock();
        let element = state.next_element;
        state.next_element += 1;
        let joined = Element {
            workers,
            requested: 0,
            running: 0,
            last: 0,
            turns: sender,
        };
        state.elements.insert(element, joined);
        Ticket {
            scheduler: self.clone(),
            element,
            turns,
        }
    }

    /// Changes the state, then gives turns as long as some are free and wanted.
    fn change(self: &Arc<Self>, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let given = self.free_turns(&mut state);
        // A worker that is woken may take the processor at once, and a stream would wait for the lock.
        drop(state);
        for (turns, turn) in given {
            // If the element has left meanwhile, the turn ends with its ticket.
            let _ = turns.send(turn);
        }
    }

    /// Turns that are free and wanted, with where they go.
    fn free_turns(self: &Arc<Self>, state: &mut State) -> Vec<(Sender<Turn>, Turn)> {
        let mut given = Vec::new();
        let most = state.elements.values().map(|element| element.workers).max();
        let limit = self.processors.max(most.unwrap_or(0));
        while state.running < limit {
            let wanting = state
                .elements
                .iter_mut()
                .filter(|(_, element)| element.requested > 0 && element.running < element.workers);
            let Some((&number, element)) = wanting.min_by_key(|(_, element)| element.last) else {
                break;
            };
            state.running += 1;
            state.last += 1;
            element.requested -= 1;
            element.running += 1;
            element.last = state.last;
            let turn = Turn {
                scheduler: self.clone(),
                element: number,
            };
            given.push((element.turns.clone(), turn));
        }
        given
    }
}

/// One element's part in the scheduler.
#[derive(Debug)]
pub(super) struct Ticket {
    scheduler: Arc<FairScheduler>,
    element: u64,
    turns: Receiver<Turn>,
}

impl Ticket {
    /// For an element that infers up to `workers` frames at once.
    pub fn new(workers: usize) -> Ticket {
        PROCESS.join(workers)
    }

    /// Asks for so many turns more.
    pub fn request(&self, turns: usize) {
        self.scheduler.change(|state| {
            if let Some(element) = state.elements.get_mut(&self.element) {
                element.requested += turns;
            }
        });
    }

    /// Waits for a turn that was asked for; `None` once [`leave`](Self::leave) was called. At most
    /// `workers` are given at once.
    pub fn turn(&self) -> Option<Turn> {
        self.turns.recv().ok()
    }

    /// Wakes the workers that wait; they and later ones get no turn.
    pub fn leave(&self) {
        let left = self.scheduler.lock().elements.remove(&self.element);
        drop(left);
        // Turns that no worker has taken yet end.
        self.turns.try_iter().for_each(drop);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    scheduler: Arc<FairScheduler>,
    element: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.scheduler.change(|state| {
            state.running -= 1;
            if let Some(element) = state.elements.get_mut(&self.element) {
                element.running -= 1;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Turns that each of the elements with so many workers gets of `total` while they all want more.
    fn shares(processors: usize, workers: &[usize], total: usize) -> Vec<usize> {
        let scheduler = Arc::new(FairScheduler::new(processors));
        let tickets: Vec<Ticket> = workers.iter().map(|&n| scheduler.join(n)).collect();
        for ticket in &tickets {
            ticket.request(total);
        }
        let limit = workers.iter().copied().fold(processors, usize::max);
        let mut shares = vec![0; workers.len()];
        let mut running = VecDeque::new();
        while shares.iter().sum::<usize>() < total {
            for (share, ticket) in shares.iter_mut().zip(&tickets) {
                for turn in ticket.turns.try_iter() {
                    *share += 1;
                    running.push_back(turn);
                }
            }
            assert_eq!(running.len(), limit);
            // Turns last equally long.
            drop(running.pop_front());
        }
        shares
    }

    #[test]
    fn elements_share_alike_however_many_workers_they_have() {
        let shares = shares(2, &[1, 2, 1, 4, 1, 1, 2, 1], 800);
        let (least, most) = (shares.iter().min(), shares.iter().max());
        let spread = most.expect("eight") - least.expect("eight");
        assert!(spread <= 4, "{shares:?}");
    }

    #[test]
    fn who_leaves_waits_no_longer_and_frees_its_place() {
        let scheduler = Arc::new(FairScheduler::new(1));
        let (one, two) = (scheduler.join(1), scheduler.join(1));
        one.request(1);
        let held = one.turn().expect("free");
        two.request(1);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| two.turn().is_none());
            two.leave();
            assert!(waiter.join().expect("no panic"));
        });
        drop(held);
        one.request(1);
        // A turn that was given and not taken.
        one.leave();
        assert!(one.turn().is_none());
        let state = scheduler.lock();
        assert!(state.elements.is_empty() && state.running == 0);
    }

    #[test]
    fn an_element_may_ask_for_more_than_the_processors() {
        let scheduler = Arc::new(FairScheduler::new(1));
        let ticket = scheduler.join(3);
        ticket.request(4);
        let held: Vec<Turn> = ticket.turns.try_iter().collect();
        assert_eq!(held.len(), 3);
        drop(held);
        assert!(ticket.turn().is_some());
    }
}
