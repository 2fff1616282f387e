//! Running plans, on as many lanes as threads run at once.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Error;
use crate::cuda::{Buffer, Device};
use crate::lane::{Counters, Lane, Shapes};
use crate::plan::{Element, Engine};
use crate::port::{Input, Output};

/// Runs plans on a GPU. Each thread that runs one takes a lane: a stream, a context for each engine, re-shaped
/// as need be, and one piece of memory for the intermediate results of all of them. There are as many lanes
/// as threads have run at once.
///
/// From its third run at a shape on a plan is a CUDA graph, which is queued by one call, if it can be captured;
/// where a capture or a replay fails, the plan is queued as before, and the capture tried again later.
#[derive(Debug)]
pub struct Lanes {
    idle: Mutex<Vec<Lane>>,
    device: Arc<Device>,
    counters: Arc<Counters>,
}

/// What became of CUDA graphs, since the lanes were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneStats {
    /// Plans that were captured.
    pub captures: u64,
    /// Captures that failed.
    pub capture_failures: u64,
    /// Graphs that could not be queued.
    pub replay_failures: u64,
}

impl Lanes {
    /// None yet.
    pub fn new(device: &Arc<Device>) -> Lanes {
        Lanes {
            idle: Mutex::default(),
            device: device.clone(),
            counters: Arc::default(),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets a lane ready for these shapes.
    ///
    /// # Errors
    /// If the plan does not take them or has other inputs, or memory is used up.
    pub fn prepare(&self, engine: &Arc<Engine>, shapes: &Shapes) -> Result<(), Error> {
        self.on_a_lane(
            |lane| lane.fits(engine, shapes),
            |lane| lane.prepare(engine, shapes),
        )
    }

    /// Feeds `inputs`, in the order of the shapes, and gives the outputs named in `outputs`, each with
    /// its shape; those with `true` stay on the device. Everything is done when it returns.
    ///
    /// # Errors
    /// If inputs do not fit, an output is unknown, memory is used up, or the GPU fails.
    pub fn run(
        &self,
        engine: &Arc<Engine>,
        shapes: &Shapes,
        inputs: &[Input],
        outputs: &[(&str, bool)],
    ) -> Result<Vec<(Vec<usize>, Output)>, Error> {
        self.on_a_lane(
            |lane| lane.fits(engine, shapes),
            |lane| lane.run(engine, shapes, inputs, outputs),
        )
    }

    /// Device memory with these values, to be fed again and again to inputs of that type.
    ///
    /// # Errors
    /// If memory is used up or the GPU fails.
    pub fn hold(&self, input: Input, element: Element) -> Result<Buffer, Error> {
        self.on_a_lane(|_| true, |lane| lane.hold(input, element))
    }

    /// Gives up contexts and memory of engines that were [retired](Engine::retire).
    pub fn drop_retired(&self) {
        for lane in self.idle().iter_mut() {
            lane.drop_retired();
        }
    }

    /// Does `work`, which needs device memory, and if there is not enough once more without what is only
    /// kept for later.
    ///
    /// # Errors
    /// What `work` fails with.
    pub fn with_memory<T>(&self, mut work: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        match work() {
            Err(Error::Memory(_)) => {
                self.release();
                work()
            }
            done => done,
        }
    }

    /// Counters.
    pub fn stats(&self) -> LaneStats {
        let Counters {
            captures,
            capture_failures,
            replay_failures,
        } = &*self.counters;
        LaneStats {
            captures: captures.load(Ordering::Relaxed),
            capture_failures: capture_failures.load(Ordering::Relaxed),
            replay_failures: replay_failures.load(Ordering::Relaxed),
        }
    }

    /// Frees what nobody uses now.
    fn release(&self) {
        let lanes = std::mem::take(&mut *self.idle());
        drop(lanes);
        self.device.empty_pool();
    }

    /// Does `work` on an idle lane that `fits`, else on another or a new one. A lane on which it failed is
    /// not used again.
    fn on_a_lane<T>(
        &self,
        fits: impl Fn(&Lane) -> bool,
        work: impl Fn(&mut Lane) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.with_memory(|| {
            let mut lane = match self.take(&fits) {
                Some(lane) => lane,
                None => Lane::new(&self.device, &self.counters)?,
            };
            let done = work(&mut lane)?;
            lane.drop_retired();
            self.idle().push(lane);
            Ok(done)
        })
    }

    fn take(&self, fits: impl Fn(&Lane) -> bool) -> Option<Lane> {
        let mut idle = self.idle();
        match idle.iter().rposition(fits) {
            Some(place) => Some(idle.remove(place)),
            None => idle.pop(),
        }
    }
}
