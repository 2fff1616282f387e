//! Frames and events in the order they came, some frames not finished yet.

use std::collections::VecDeque;

/// An ordered queue whose frames may be finished in any order.
#[derive(Debug)]
pub(super) struct OrderedQueue<F, E> {
    entries: VecDeque<Entry<F, E>>,
    /// Number of the first entry; numbers are never used twice.
    first: u64,
    frames: usize,
}

#[derive(Debug)]
enum Entry<F, E> {
    Waiting,
    Item(Item<F, E>),
}

/// What leaves the queue.
#[derive(Debug, PartialEq)]
pub(in super::super) enum Item<F, E> {
    Frame(F),
    Event(E),
}

impl<F, E> Default for OrderedQueue<F, E> {
    fn default() -> Self {
        OrderedQueue {
            entries: VecDeque::new(),
            first: 0,
            frames: 0,
        }
    }
}

impl<F, E> OrderedQueue<F, E> {
    /// Frames in the queue, finished or not.
    pub fn frames(&self) -> usize {
        self.frames
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn push_event(&mut self, event: E) {
        self.entries.push_back(Entry::Item(Item::Event(event)));
    }

    /// Adds a frame that needs no work.
    pub fn push_frame(&mut self, frame: F) {
        self.entries.push_back(Entry::Item(Item::Frame(frame)));
        self.frames += 1;
    }

    /// Keeps a place for a frame; gives the number to finish it with.
    pub fn reserve(&mut self) -> u64 {
        self.entries.push_back(Entry::Waiting);
        self.frames += 1;
        self.first + self.entries.len() as u64 - 1
    }

    /// Puts a frame in its place; gives it back if the queue was cleared since.
    pub fn finish(&mut self, number: u64, frame: F) -> Result<(), F> {
        let index = number.checked_sub(self.first);
        match index.and_then(|index| self.entries.get_mut(index as usize)) {
            Some(entry @ Entry::Waiting) => {
                *entry = Entry::Item(Item::Frame(frame));
                Ok(())
            }
            _ => Err(frame),
        }
    }

    /// The first item, unless there is none or it is not finished.
    pub fn pop(&mut self) -> Option<Item<F, E>> {
        match self.entries.pop_front()? {
            Entry::Waiting => {
                self.entries.push_front(Entry::Waiting);
                None
            }
            Entry::Item(item) => {
                self.first += 1;
                self.frames -= usize::from(matches!(item, Item::Frame(_)));
                Some(item)
            }
        }
    }

    /// Forgets all frames, those finished later too; gives the events that were queued.
    pub fn clear(&mut self) -> Vec<E> {
        self.first += self.entries.len() as u64;
        self.frames = 0;
        let events = self.entries.drain(..).filter_map(|entry| match entry {
            Entry::Item(Item::Event(event)) => Some(event),
            _ => None,
        });
        events.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_in_the_order_they_came() {
        let mut queue = OrderedQueue::default();
        let a = queue.reserve();
        queue.push_event("caps");
        let b = queue.reserve();
        queue.push_frame("c");
        assert_eq!(queue.frames(), 3);
        assert_eq!(queue.pop(), None);
        assert_eq!(queue.finish(b, "b"), Ok(()));
        assert_eq!(queue.pop(), None);
        assert_eq!(queue.finish(a, "a"), Ok(()));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        let expected = [
            Item::Frame("a"),
            Item::Event("caps"),
            Item::Frame("b"),
            Item::Frame("c"),
        ];
        assert_eq!(order, expected);
        assert!(queue.is_empty() && queue.frames() == 0);
    }

    #[test]
    fn a_frame_finished_after_a_flush_goes_nowhere() {
        let mut queue = OrderedQueue::default();
        let old = queue.reserve();
        queue.push_event("caps");
        assert_eq!(queue.clear(), ["caps"]);
        let new = queue.reserve();
        assert_eq!(queue.finish(old, "old"), Err("old"));
        assert_eq!(queue.pop(), None);
        assert_eq!(queue.finish(new, "new"), Ok(()));
        assert_eq!(queue.pop(), Some(Item::Frame("new")));
        assert_eq!(queue.finish(new, "again"), Err("again"));
    }
}
