//! What waits to be written, in order and within bounds.

use std::collections::VecDeque;

use mdetr_rules::EventKind;

use super::media::Pictures;
use crate::hub::Delivery;

/// Most that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Steps and clips.
    pub items: usize,
    /// Bytes of pictures.
    pub picture_bytes: usize,
}

/// A delivery that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub delivery: Delivery,
    /// Who gets a letter of it.
    pub receivers: Vec<String>,
    /// Pictures that a try before has written.
    pub pictures: Pictures,
}

/// What had to go since it was asked last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Lost {
    pub steps: u64,
    pub clips: u64,
    pub pictures: u64,
}

#[derive(Debug)]
pub(super) struct Queue {
    items: VecDeque<Waiting>,
    picture_bytes: usize,
    limits: Limits,
    lost: Lost,
}

impl Queue {
    pub fn new(limits: Limits) -> Queue {
        Queue {
            items: VecDeque::new(),
            picture_bytes: 0,
            limits,
            lost: Lost::default(),
        }
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds what came last.
    pub fn push(&mut self, waiting: Waiting) {
        self.picture_bytes += picture_bytes(&waiting);
        self.items.push_back(waiting);
        self.shorten();
    }

    /// Takes a clip, or up to so many steps, from the front.
    pub fn take(&mut self, most: usize) -> Vec<Waiting> {
        let steps = self.items.iter().take_while(|waiting| is_step(waiting));
        let count = steps.take(most).count().max(1).min(self.items.len());
        let taken: Vec<Waiting> = self.items.drain(..count).collect();
        self.picture_bytes -= taken.iter().map(picture_bytes).sum::<usize>();
        taken
    }

    /// Puts back what was taken and could not be written.
    pub fn put_back(&mut self, taken: Vec<Waiting>) {
        for waiting in taken.into_iter().rev() {
            self.picture_bytes += picture_bytes(&waiting);
            self.items.push_front(waiting);
        }
        self.shorten();
    }

    /// What had to go since this was asked last.
    pub fn lost(&mut self) -> Lost {
        std::mem::take(&mut self.lost)
    }

    /// Pictures go first, oldest first; then updates, since later steps say more; then what is oldest.
    fn shorten(&mut self) {
        if self.picture_bytes > self.limits.picture_bytes {
            for waiting in &mut self.items {
                if self.picture_bytes <= self.limits.picture_bytes {
                    break;
                }
                let bytes = picture_bytes(waiting);
                if let Delivery::Step(step) = &mut waiting.delivery
                    && bytes > 0
                {
                    (step.plain, step.drawn) = (None, None);
                    self.picture_bytes -= bytes;
                    self.lost.pictures += 1;
                }
            }
        }
        while self.items.len() > self.limits.items {
            let update = self.items.iter().position(is_update).unwrap_or(0);
            let Some(gone) = self.items.remove(update) else {
                break;
            };
            self.picture_bytes -= picture_bytes(&gone);
            match gone.delivery {
                Delivery::Step(_) => self.lost.steps += 1,
                Delivery::Clip(_) => self.lost.clips += 1,
            }
        }
    }
}

fn is_step(waiting: &Waiting) -> bool {
    matches!(waiting.delivery, Delivery::Step(_))
}

fn is_update(waiting: &Waiting) -> bool {
    matches!(&waiting.delivery, Delivery::Step(step) if step.event.kind == EventKind::Update)
}

fn picture_bytes(waiting: &Waiting) -> usize {
    match &waiting.delivery {
        Delivery::Step(step) => {
            let pictures = [&step.plain, &step.drawn];
            pictures
                .iter()
                .map(|picture| picture.as_ref().map_or(0, |bytes| bytes.len()))
                .sum()
        }
        Delivery::Clip(_) => 0,
    }
}
