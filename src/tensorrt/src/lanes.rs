//! Running plans, on as many lanes as threads run at once.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::Error;
use crate::cuda::{Buffer, Device};
use crate::lane::{Counters, Lane, Shapes};
use crate::plan::Engine;
use crate::port::{Input, Output};
use crate::tensor::Element;

/// Runs plans on a GPU. Each thread that runs one takes a lane: a stream, a context for each engine, re-shaped
/// as need be, and one piece of memory for the intermediate results of all of them. There are as many lanes
/// as threads have run at once, up to a bound; who finds them all taken waits.
///
/// From its third run at a shape on a plan is a CUDA graph, which is queued by one call, if it can be captured;
/// where a capture or a replay fails, the plan is queued as before, and the capture tried again later.
#[derive(Debug)]
pub struct Lanes {
    state: Mutex<State>,
    /// Notified when a lane becomes idle or goes.
    freed: Condvar,
    most: usize,
    device: Arc<Device>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Lane>,
    /// Those that are in use too.
    lanes: usize,
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
    /// Up to `most` of them, at least one.
    pub fn new(device: &Arc<Device>, most: usize) -> Lanes {
        Lanes {
            state: Mutex::default(),
            freed: Condvar::new(),
            most: most.max(1),
            device: device.clone(),
            counters: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        for lane in &mut self.state().idle {
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
        let lanes = {
            let mut state = self.state();
            state.lanes -= state.idle.len();
            std::mem::take(&mut state.idle)
        };
        drop(lanes);
        self.freed.notify_all();
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
            let mut taken = self.take(&fits);
            let lane = match &mut taken.lane {
                Some(lane) => lane,
                new => new.insert(Lane::new(&self.device, &self.counters)?),
            };
            let done = work(lane)?;
            lane.drop_retired();
            taken.give_back();
            Ok(done)
        })
    }

    fn take(&self, fits: impl Fn(&Lane) -> bool) -> Taken<'_> {
        let mut state = self.state();
        while state.idle.is_empty() && state.lanes >= self.most {
            let waited = self.freed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let lane = match state.idle.iter().rposition(fits) {
            Some(place) => Some(state.idle.remove(place)),
            None => state.idle.pop(),
        };
        if lane.is_none() {
            state.lanes += 1;
        }
        Taken { lanes: self, lane }
    }
}

/// A lane in use, or the right to make one; it goes unless it is given back.
struct Taken<'a> {
    lanes: &'a Lanes,
    lane: Option<Lane>,
}

impl Taken<'_> {
    fn give_back(mut self) {
        if let Some(lane) = self.lane.take() {
            let mut state = self.lanes.state();
            state.idle.push(lane);
            // As the end of `self` takes one off.
            state.lanes += 1;
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // It waits for the GPU, and nobody for it.
        drop(self.lane.take());
        self.lanes.state().lanes -= 1;
        self.lanes.freed.notify_one();
    }
}
