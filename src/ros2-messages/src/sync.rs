//! Messages of two topics that belong to the same moment.

use std::collections::VecDeque;

use crate::builtin_interfaces::{Duration, Time};

/// A stamp that is so much older than the newest means that time began anew: a simulation or a recording started again.
const RESTART_NANOS: i64 = 1_000_000_000;

/// Finds for each message of a first topic the one of a second topic whose stamp is nearest.
///
/// A message waits until the second topic has come to its stamp, or until `capacity` newer ones of the first wait too. It
/// comes out once, in order, with the nearest message of the second topic if that is within the tolerance. Messages of
/// the second may serve several of the first: a slower depth camera serves every picture near it. Neither queue ever has
/// more than `capacity` messages: choose one that covers how much later the slower topic comes.
///
/// Stamps of a topic are expected to rise; one that is older than the newest is taken, unless by more than a second:
/// time began anew then, and what waits comes out as it is.
#[derive(Debug)]
pub struct ApproximateTime<A, B> {
    capacity: usize,
    tolerance: i64,
    first: VecDeque<(i64, A)>,
    second: VecDeque<(i64, B)>,
}

/// A message of the first topic, and the one of the second that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched<A, B> {
    /// Of the first topic.
    pub first: A,
    /// Of the second, if one was near enough.
    pub second: Option<B>,
}

impl<A, B: Clone> ApproximateTime<A, B> {
    /// Queues of at most `capacity` messages (at least one), and the largest difference of stamps.
    pub fn new(capacity: usize, tolerance: Duration) -> ApproximateTime<A, B> {
        ApproximateTime {
            capacity: capacity.max(1),
            tolerance: tolerance.nanos(),
            first: VecDeque::new(),
            second: VecDeque::new(),
        }
    }

    /// Takes a message of the first topic; gives what is complete.
    pub fn push_first(&mut self, stamp: Time, message: A) -> Vec<Matched<A, B>> {
        let stamp = stamp.nanos();
        let mut out = Vec::new();
        if restarted(&self.first, stamp) {
            self.drain(self.first.len(), &mut out);
            self.second.clear();
        }
        self.first.push_back((stamp, message));
        self.drain(self.first.len().saturating_sub(self.capacity), &mut out);
        self.complete(&mut out);
        out
    }

    /// Takes a message of the second topic; gives what is complete.
    pub fn push_second(&mut self, stamp: Time, message: B) -> Vec<Matched<A, B>> {
        let stamp = stamp.nanos();
        let mut out = Vec::new();
        if restarted(&self.second, stamp) {
            self.drain(self.first.len(), &mut out);
            self.second.clear();
        }
        self.second.push_back((stamp, message));
        if self.second.len() > self.capacity {
            self.second.pop_front();
        }
        self.complete(&mut out);
        out
    }

    /// Gives out what waits, with what there is: before an end, or when the second topic is silent.
    pub fn flush(&mut self) -> Vec<Matched<A, B>> {
        let mut out = Vec::new();
        self.drain(self.first.len(), &mut out);
        out
    }

    /// How many messages of the first topic wait.
    pub fn waiting(&self) -> usize {
        self.first.len()
    }

    fn complete(&mut self, out: &mut Vec<Matched<A, B>>) {
        let newest = self.second.iter().map(|(stamp, _)| *stamp).max();
        let reached = |(stamp, _): &&(i64, A)| newest.is_some_and(|newest| newest >= *stamp);
        let ready = self.first.iter().take_while(reached).count();
        self.drain(ready, out);
    }

    fn drain(&mut self, count: usize, out: &mut Vec<Matched<A, B>>) {
        for (stamp, first) in self.first.drain(..count) {
            let distance = |(other, _): &&(i64, B)| other.abs_diff(stamp);
            let nearest = self.second.iter().min_by_key(distance);
            let near =
                nearest.filter(|(other, _)| other.abs_diff(stamp) <= self.tolerance.unsigned_abs());
            let second = near.map(|(_, message)| message.clone());
            out.push(Matched { first, second });
        }
    }
}

fn restarted<T>(queue: &VecDeque<(i64, T)>, stamp: i64) -> bool {
    let newest = queue.iter().map(|(stamp, _)| *stamp).max();
    newest.is_some_and(|newest| newest.saturating_sub(stamp) > RESTART_NANOS)
}
