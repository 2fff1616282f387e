//! The last seconds of a camera's coded pictures, and clips of events made of them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use mdetr_rules::{Event, EventKind};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::clip::Writer;
use super::unit::Unit;
use crate::config::Recording;
use crate::hub::Hub;

/// Most bytes that are held of a camera.
const MAX_BYTES: usize = 64 << 20;
/// Longest time for which a rule's condition must hold that a clip can show from its beginning.
const MAX_HOLD: SignedDuration = SignedDuration::from_secs(60);
/// Most clips of a camera that are written at once.
const MAX_WRITERS: usize = 8;

/// Makes clips of the events of a camera.
#[derive(Debug)]
pub(super) struct Recorder {
    camera: String,
    settings: Recording,
    /// Directory in which clips are written.
    parts: PathBuf,
    hub: Arc<Hub>,
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    caps: Option<gst::Caps>,
    units: VecDeque<Unit>,
    bytes: usize,
    clips: Vec<Open>,
    /// When the last coded picture came.
    last: Option<Instant>,
    /// Longest time from the start of an event to its first step.
    hold: SignedDuration,
    /// Clips that are brought to their end.
    ending: JoinSet<()>,
}

#[derive(Debug)]
struct Open {
    event: String,
    /// Last time that belongs to it.
    until: Timestamp,
    writer: Writer,
}

impl Recorder {
    /// Of a camera.
    pub(super) fn new(
        camera: &str,
        settings: Recording,
        parts: PathBuf,
        hub: Arc<Hub>,
        runtime: Handle,
    ) -> Arc<Recorder> {
        Arc::new(Recorder {
            camera: camera.to_owned(),
            settings,
            parts,
            hub,
            runtime,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics with the lock")
    }

    /// Events may have begun this long before they are told, up to [`MAX_HOLD`].
    pub(super) fn set_hold(&self, hold: SignedDuration) {
        self.state().hold = hold.min(MAX_HOLD);
    }

    /// Takes a coded picture in.
    pub(super) fn push(&self, caps: &gst::Caps, unit: Unit) {
        let mut state = self.state();
        state.last = Some(Instant::now());
        if state.caps.as_ref() != Some(caps) {
            self.finish(&mut state);
            state.caps = Some(caps.clone());
        }
        for clip in &state.clips {
            if unit.utc <= clip.until {
                clip.writer.push(&unit);
            }
        }
        let State { clips, ending, .. } = &mut *state;
        for clip in clips.extract_if(.., |clip| clip.until < unit.utc) {
            self.close(ending, clip);
        }
        while ending.try_join_next().is_some() {}
        state.bytes += unit.buffer.size();
        state.units.push_back(unit);
        let before = self.settings.before.saturating_add(state.hold);
        state.forget(before);
    }

    /// When the last coded picture came.
    pub(super) fn last(&self) -> Option<Instant> {
        self.state().last
    }

    /// The stream ends: all clips do.
    pub(super) fn disconnected(&self) {
        self.finish(&mut self.state());
    }

    fn finish(&self, state: &mut State) {
        let State { clips, ending, .. } = &mut *state;
        for clip in clips.drain(..) {
            self.close(ending, clip);
        }
        state.caps = None;
        state.units.clear();
        state.bytes = 0;
    }

    fn close(&self, ending: &mut JoinSet<()>, clip: Open) {
        let finish = clip.writer.finish(clip.event, self.hub.clone());
        ending.spawn_on(finish, &self.runtime);
    }

    /// Waits until all clips that have ended are delivered.
    pub(super) async fn settled(&self) {
        let mut ending = std::mem::take(&mut self.state().ending);
        // A clip that cannot be written said so.
        while ending.join_next().await.is_some() {}
    }

    /// An event goes a step: a clip begins with it, and ends some time behind it.
    pub(super) fn step(&self, event: &Event) {
        if !self.settings.clips {
            return;
        }
        let mut state = self.state();
        let until = |time: Timestamp, more: SignedDuration| {
            time.saturating_add(more).unwrap_or(Timestamp::MAX)
        };
        match event.kind {
            EventKind::New => {
                let longest = until(event.time, self.settings.longest);
                self.begin(&mut state, event, longest);
            }
            EventKind::Update => {}
            EventKind::End => {
                let end = until(
                    event.end.unwrap_or(event.time).max(event.time),
                    self.settings.after,
                );
                let clips = state.clips.iter_mut();
                for clip in clips.filter(|clip| clip.event == event.id) {
                    clip.until = clip.until.min(end);
                }
            }
        }
    }

    fn begin(&self, state: &mut State, event: &Event, until: Timestamp) {
        if state.clips.len() >= MAX_WRITERS {
            tracing::warn!(
                camera = self.camera,
                event = event.id,
                "no clip: {MAX_WRITERS} are being written"
            );
            return;
        }
        // A stream of which nothing came yet, or whose clips are not wanted.
        let Some(caps) = &state.caps else {
            return;
        };
        let from = event
            .start
            .saturating_sub(self.settings.before)
            .unwrap_or(Timestamp::MIN);
        let first = state.first_to_keep(from);
        match Writer::start(caps, &self.parts, &event.id) {
            Ok(writer) => {
                for unit in state.units.iter().skip(first) {
                    writer.push(unit);
                }
                let event = event.id.clone();
                state.clips.push(Open {
                    event,
                    until,
                    writer,
                });
            }
            Err(error) => {
                tracing::warn!(camera = self.camera, event = event.id, error, "no clip");
            }
        }
    }
}

impl State {
    /// Index of the last key picture at or before this time; of the first key picture, if there is none before.
    fn first_to_keep(&self, time: Timestamp) -> usize {
        let keys = self.units.iter().enumerate().filter(|(_, unit)| unit.key);
        let mut first = None;
        for (index, unit) in keys {
            if first.is_some() && unit.utc > time {
                break;
            }
            first = Some(index);
        }
        first.unwrap_or(self.units.len())
    }

    /// Drops what no clip will need: groups of pictures from longer ago, and what is too much.
    fn forget(&mut self, before: SignedDuration) {
        let Some(now) = self.units.back().map(|unit| unit.utc) else {
            return;
        };
        let oldest = now.saturating_sub(before).unwrap_or(Timestamp::MIN);
        let mut drop = self.first_to_keep(oldest);
        let mut bytes = self.bytes;
        for (index, unit) in self.units.iter().enumerate() {
            if index >= drop && bytes <= MAX_BYTES {
                break;
            }
            bytes -= unit.buffer.size();
            drop = drop.max(index + 1);
        }
        self.bytes = bytes;
        self.units.drain(..drop.min(self.units.len()));
    }
}
