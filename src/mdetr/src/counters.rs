//! Counters of what a grounder has done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counters since the grounder was loaded; they only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Frames given to `ground` or `outputs`.
    pub frames: u64,
    /// Times the text graph was loaded.
    pub text_encoder_loads: u64,
    /// Texts it encoded.
    pub text_encoder_runs: u64,
    /// Texts whose encoding was in memory.
    pub cache_memory_hits: u64,
    /// Texts whose encoding was in the cache directory.
    pub cache_disk_hits: u64,
    /// Entries of the cache directory that were damaged, and so computed again.
    pub cache_damaged: u64,
    /// Encodings that could not be written to the cache directory.
    pub cache_write_failures: u64,
    /// Runs of the vision graph: one for each frame with standing queries.
    pub vision_runs: u64,
    /// Texts fused with frames: one for each frame and query, or caption of several queries. An
    /// engine may take several in one run of the graph.
    pub fusion_runs: u64,
    /// Runs of the mask graph.
    pub mask_runs: u64,
    /// Plans that TensorRT runs as CUDA graphs: like the next two, of all grounders that
    /// [share](crate::GrounderOptions::share_model) the model.
    pub graph_captures: u64,
    /// CUDA graphs that could not be captured: the plan ran without, and it is tried again later.
    pub graph_capture_failures: u64,
    /// CUDA graphs that could not be run: the plan ran without.
    pub graph_replay_failures: u64,
    /// Runs of graphs that servers answered: like the next two, of all grounders that
    /// [share](crate::GrounderOptions::share_model) the model.
    pub remote_runs: u64,
    /// Attempts at that which failed.
    pub remote_failures: u64,
    /// Runs of graphs that the local engine answered, as no server did.
    pub fallback_runs: u64,
    /// Time spent on resizing and normalising.
    pub preprocess_time: Duration,
    /// Time spent in the vision graph.
    pub vision_time: Duration,
    /// Time spent in the fusion graph.
    pub fusion_time: Duration,
    /// Time spent in the mask graph and on scaling its masks.
    pub mask_time: Duration,
}

/// A number that threads raise.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Time that threads spend, summed.
#[derive(Debug, Default)]
pub(crate) struct Clock(Count);

impl Clock {
    pub(crate) fn measure<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.0
            .add(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        result
    }

    fn read(&self) -> Duration {
        Duration::from_nanos(self.0.read())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub frames: Count,
    pub text_encoder_loads: Count,
    pub text_encoder_runs: Count,
    pub cache_memory_hits: Count,
    pub cache_disk_hits: Count,
    pub cache_damaged: Count,
    pub cache_write_failures: Count,
    pub vision_runs: Count,
    pub fusion_runs: Count,
    pub mask_runs: Count,
    pub preprocess_time: Clock,
    pub vision_time: Clock,
    pub fusion_time: Clock,
    pub mask_time: Clock,
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        Stats {
            frames: self.frames.read(),
            text_encoder_loads: self.text_encoder_loads.read(),
            text_encoder_runs: self.text_encoder_runs.read(),
            cache_memory_hits: self.cache_memory_hits.read(),
            cache_disk_hits: self.cache_disk_hits.read(),
            cache_damaged: self.cache_damaged.read(),
            cache_write_failures: self.cache_write_failures.read(),
            vision_runs: self.vision_runs.read(),
            fusion_runs: self.fusion_runs.read(),
            mask_runs: self.mask_runs.read(),
            preprocess_time: self.preprocess_time.read(),
            vision_time: self.vision_time.read(),
            fusion_time: self.fusion_time.read(),
            mask_time: self.mask_time.read(),
            ..Stats::default()
        }
    }
}
