//! Writes some of what was delivered.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;

use super::base::Store;
use super::counters::add;
use super::error::StoreError;
use super::queue::Waiting;
use super::record::Entry;
use super::room::with_room;
use crate::config;
use crate::hub::{Clip, Delivery, Notice, Step};

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// What is in the store.
    pub done: Vec<Notice>,
    /// What is not, and why.
    pub left: Vec<Waiting>,
    pub error: Option<StoreError>,
    /// Whether the database was written.
    pub works: bool,
    /// Whether pictures could be written, where there were any.
    pub pictures: Option<Result<(), StoreError>>,
}

/// Writes a clip, or steps in order. What never can be written is given up.
pub(super) async fn write(
    store: &Store,
    settings: &config::Store,
    mut taken: Vec<Waiting>,
) -> Written {
    let clip = taken.iter().find_map(|waiting| match &waiting.delivery {
        Delivery::Clip(clip) => Some(clip.clone()),
        Delivery::Step(_) => None,
    });
    if let Some(clip) = clip {
        return write_clip(store, &clip, taken).await;
    }
    taken.retain(|waiting| {
        let step = step(waiting).map(|step| Entry::new(&step.event, &waiting.receivers));
        match step {
            Some(Err(error)) => {
                refuse(store, &error);
                false
            }
            other => other.is_some(),
        }
    });
    if taken.is_empty() {
        return Written::default();
    }
    let pictures = write_pictures(store, settings, &mut taken).await;
    let entries = taken.iter().filter_map(|waiting| {
        let mut entry = Entry::new(&step(waiting)?.event, &waiting.receivers).ok()?;
        entry.pictures = waiting.pictures;
        Some(entry)
    });
    let recorded = store.record_all(&entries.collect::<Vec<_>>()).await;
    let mut written = Written {
        pictures,
        works: true,
        ..Written::default()
    };
    match recorded {
        Ok(()) => {
            let events = taken.iter().filter_map(step).map(|step| step.event.clone());
            written.done = events.map(|event| Notice::Event(Arc::new(event))).collect();
        }
        Err(error) if error.is_final() && taken.len() == 1 => refuse(store, &error),
        Err(error) => {
            written.works = false;
            written.error = Some(error);
            written.left = taken;
        }
    }
    written
}

fn step(waiting: &Waiting) -> Option<&Step> {
    match &waiting.delivery {
        Delivery::Step(step) => Some(step),
        Delivery::Clip(_) => None,
    }
}

/// Says that a step never will be written.
fn refuse(store: &Store, error: &StoreError) {
    tracing::error!(%error, "a step of an event cannot be kept: it is given up");
    add(&store.counters().steps_lost, 1);
}

/// Writes the pictures of steps, those of different events at once; where there is no room, once more behind a sweep.
/// The last that went wrong.
async fn write_pictures(
    store: &Store,
    settings: &config::Store,
    taken: &mut [Waiting],
) -> Option<Result<(), StoreError>> {
    keep_last(taken);
    let mut result = None;
    for is_last in [false, true] {
        let steps = taken.iter().filter_map(step);
        let results = join_all(steps.map(|step| store.write_pictures(step))).await;
        let mut is_full = false;
        for (waiting, written) in taken.iter_mut().zip(results) {
            let Delivery::Step(step) = &mut waiting.delivery else {
                continue;
            };
            if step.plain.is_none() && step.drawn.is_none() {
                continue;
            }
            match written {
                Err(error) if error.is_full() && !is_last => {
                    is_full = true;
                    continue;
                }
                Err(error) => {
                    add(&store.counters().pictures_lost, 1);
                    result = Some(Err(error));
                }
                Ok(pictures) => {
                    waiting.pictures = pictures;
                    result = result.or(Some(Ok(())));
                }
            }
            (step.plain, step.drawn) = (None, None);
        }
        if !is_full {
            break;
        }
        let settings = with_room(settings.clone(), &store.inner.data);
        if let Err(error) = store.sweep(&settings, Timestamp::now()).await {
            tracing::debug!(%error, "no room could be made for pictures");
        }
    }
    result
}

/// Of several pictures of one event nobody would see but the last: two that were written at once would not even be in
/// order.
fn keep_last(taken: &mut [Waiting]) {
    let (mut plain, mut drawn) = (BTreeSet::new(), BTreeSet::new());
    for waiting in taken.iter_mut().rev() {
        if let Delivery::Step(step) = &mut waiting.delivery {
            if step.plain.is_some() && !plain.insert(step.event.id.clone()) {
                step.plain = None;
            }
            if step.drawn.is_some() && !drawn.insert(step.event.id.clone()) {
                step.drawn = None;
            }
        }
    }
}

async fn write_clip(store: &Store, clip: &Clip, taken: Vec<Waiting>) -> Written {
    let mut written = Written::default();
    match store.keep_clip(clip).await {
        Ok(()) => {
            written.works = true;
            written.done.push(Notice::Clip(clip.event.as_str().into()));
        }
        Err(StoreError::NoEvent(event)) => {
            tracing::debug!(event, "a clip of an event that was removed");
        }
        // Trying again helps where it is the disk or the database, not where it is this file.
        Err(error)
            if error.is_full()
                || !(error.is_final() || matches!(error, StoreError::File { .. })) =>
        {
            written.error = Some(error);
            written.left = taken;
        }
        Err(error) => {
            let event = &clip.event;
            tracing::error!(event, %error, "a clip cannot be kept: it is given up");
            add(&store.counters().clips_lost, 1);
        }
    }
    written
}
