//! What cameras saw, kept to be asked later.
//!
//! Frames are seen once more, apart from the pipelines: a thread of its own takes one of a camera every so often, and one that
//! comes while it is busy is passed over. So no camera's frame waits for it.

mod keeper;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use gst_video::VideoInfo;
use mdetr::bundle::Models;
use mdetr::engine::TensorRtOptions;
use mdetr::engine::plan_cache::default_plan_cache_dir;
use mdetr::{Grounder, GrounderOptions};
use mdetr_past::{Key, Past, PastError, Selection};

use crate::camera::Model;
use crate::config::Document;
use crate::hub::Hub;
use crate::metrics::Metrics;
use keeper::{Keeper, Sample};

/// Frames that wait to be kept.
const WAITING: usize = 4;

/// A camera's frame, while it is shown.
#[derive(Debug)]
pub struct Shown<'a> {
    /// The frame.
    pub buffer: &'a gst::BufferRef,
    /// Its format and size.
    pub info: &'a VideoInfo,
    /// When it was taken.
    pub utc: SystemTime,
}

/// What keeps frames, if the configuration says so, and gives them to who asks.
#[derive(Debug)]
pub struct Archive {
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    models: Models,
    /// When the last frame of each camera was taken.
    taken: Mutex<HashMap<String, i64>>,
    thread: Mutex<Option<(SyncSender<Sample>, JoinHandle<()>)>>,
    grounder: Mutex<Option<(Model, Arc<Grounder>)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nanoseconds since 1970.
fn nanoseconds(utc: SystemTime) -> i64 {
    let since = utc.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    })
}

impl Archive {
    /// Starts the thread that keeps frames.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        hub: Arc<Hub>,
        metrics: Arc<Metrics>,
        models: Models,
    ) -> std::io::Result<Arc<Archive>> {
        let archive = Arc::new(Archive {
            hub,
            metrics,
            models,
            taken: Mutex::default(),
            thread: Mutex::default(),
            grounder: Mutex::default(),
        });
        let (send, receive) = sync_channel(WAITING);
        let keeper = Keeper::new(Arc::downgrade(&archive));
        let thread = std::thread::Builder::new().name("past".to_owned());
        let thread = thread.spawn(move || keeper.run(&receive))?;
        *locked(&archive.thread) = Some((send, thread));
        Ok(archive)
    }

    /// Takes a camera's frame if it is its turn and nothing waits. Never waits.
    pub fn offer(&self, camera: &str, shown: &Shown) {
        let config = self.hub.config();
        let Some(past) = &config.document.past else {
            return;
        };
        let time = nanoseconds(shown.utc);
        let every = i64::try_from(past.every.as_nanos()).unwrap_or(i64::MAX);
        {
            let mut taken = locked(&self.taken);
            let last = taken.get(camera).map(|last| time.saturating_sub(*last));
            // A clock that was set back begins anew.
            if last.is_some_and(|since| (0..every).contains(&since)) {
                return;
            }
            taken.insert(camera.to_owned(), time);
        }
        // Copied, since decoders wait for the frames that they lent.
        let sample = shown.buffer.copy_deep().ok().map(|buffer| Sample {
            camera: camera.to_owned(),
            time,
            buffer,
            info: shown.info.clone(),
        });
        let sent = match (&*locked(&self.thread), sample) {
            (Some((send, _)), Some(sample)) => send.try_send(sample),
            _ => return,
        };
        if let Err(TrySendError::Full(_)) = sent {
            self.metrics.not_kept(camera);
        }
    }

    /// Keeps what waits, and ends.
    pub fn stop(&self) {
        let thread = locked(&self.thread).take();
        if let Some((send, thread)) = thread {
            drop(send);
            // One that panicked has ended too.
            let _ = thread.join();
        }
    }

    /// What was kept of a selection.
    ///
    /// # Errors
    /// It cannot be read, or the configuration keeps nothing.
    pub fn open(&self, wanted: &Selection) -> Result<Past, PastError> {
        let config = self.hub.config();
        let past = config.document.past.clone().unwrap_or_default();
        let key = past.key.as_deref().map(Key::read).transpose()?;
        let dir = directory(&config.document);
        if !dir.is_dir() {
            // Nothing has been kept yet.
            std::fs::create_dir_all(&dir).map_err(|source| PastError::Io {
                path: dir.clone(),
                doing: "cannot be made",
                source,
            })?;
        }
        Past::open(&dir, key, wanted)
    }

    /// Names of all cameras that frames were kept of, whether the configuration has them still or not.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn cameras(&self) -> Result<Vec<String>, PastError> {
        let no_frames = Selection {
            to: Some(i64::MIN),
            ..Selection::default()
        };
        Ok(self.open(&no_frames)?.cameras().to_vec())
    }

    /// The model, loaded; the cameras' elements share it.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn grounder(&self) -> Result<Arc<Grounder>, mdetr::Error> {
        let model = Model::of(&self.hub.config().document, &self.models);
        let mut held = locked(&self.grounder);
        if let Some((_, grounder)) = held.as_ref().filter(|(of, _)| *of == model) {
            return Ok(grounder.clone());
        }
        let options = GrounderOptions {
            engine: model.engine.parse()?,
            share_model: true,
            text_cache_dir: Some(model.text_cache.clone()),
            masks: false,
            kserve: model.kserve_options()?,
            tensorrt: TensorRtOptions {
                plan_cache_dir: default_plan_cache_dir(),
                ..TensorRtOptions::default()
            },
            ..GrounderOptions::default()
        };
        let grounder = Arc::new(Grounder::load(&model.bundle, options)?);
        *held = Some((model, grounder.clone()));
        Ok(grounder)
    }
}

/// Where frames of a configuration are kept.
fn directory(document: &Document) -> PathBuf {
    document.data.join("past")
}
