//! The property `stats`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mdetr::engine::EngineInfo;
use mdetr::{Grounder, Stats};

/// How many of the last inferences the median is taken over.
const WINDOW: usize = 128;

/// What the element counted itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    /// Frames that came in.
    frames: u64,
    /// When the first and the last frame came in.
    arrivals: Option<(Instant, Instant)>,
    /// Frames due for inference that found all workers busy, or gave way to a newer one.
    pub skipped: u64,
    /// Frames due for inference that showed what the frame inferred last had shown.
    pub unchanged: u64,
    inferred: u64,
    latencies: VecDeque<Duration>,
}

impl Counters {
    /// Notes a frame that comes in.
    pub fn arrived(&mut self, now: Instant) {
        self.frames += 1;
        self.arrivals = Some((self.arrivals.map_or(now, |(first, _)| first), now));
    }

    /// Mean rate at which frames came in; 0 before the second.
    fn frames_per_second(&self) -> f64 {
        let passed = self
            .arrivals
            .map_or(Duration::ZERO, |(first, last)| last - first);
        if passed.is_zero() {
            0.0
        } else {
            (self.frames - 1) as f64 / passed.as_secs_f64()
        }
    }

    /// Notes an inference that took `latency` from the frame's arrival to its result.
    pub fn inferred(&mut self, latency: Duration) {
        self.inferred += 1;
        if self.latencies.len() == WINDOW {
            self.latencies.pop_front();
        }
        self.latencies.push_back(latency);
    }

    pub fn inferred_frames(&self) -> u64 {
        self.inferred
    }

    fn median_ms(&self) -> f64 {
        let mut sorted: Vec<Duration> = self.latencies.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).map_or(0.0, milliseconds)
    }
}

fn milliseconds(duration: &Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// What a run has counted, and its grounder once there is one.
pub(super) fn of(counters: &Counters, grounder: Option<&Grounder>) -> gst::Structure {
    match grounder {
        Some(grounder) => structure(
            counters,
            &grounder.stats(),
            grounder.queries().revision(),
            Some(grounder.engine()),
            grounder.model_users() as u64,
        ),
        None => structure(counters, &Stats::default(), 0, None, 0),
    }
}

fn structure(
    counters: &Counters,
    stats: &Stats,
    revision: u64,
    engine: Option<EngineInfo>,
    model_users: u64,
) -> gst::Structure {
    let engine = engine.as_ref();
    gst::Structure::builder("application/x-mdetr-stats")
        .field("frames", counters.frames)
        .field("inferred", counters.inferred)
        .field("skipped", counters.skipped)
        .field("unchanged", counters.unchanged)
        .field("frames-per-second", counters.frames_per_second())
        .field(
            "latency-last-ms",
            counters.latencies.back().map_or(0.0, milliseconds),
        )
        .field("latency-median-ms", counters.median_ms())
        .field("revision", revision)
        .field("text-encoder-loads", stats.text_encoder_loads)
        .field("text-encoder-runs", stats.text_encoder_runs)
        .field("cache-memory-hits", stats.cache_memory_hits)
        .field("cache-disk-hits", stats.cache_disk_hits)
        .field("vision-runs", stats.vision_runs)
        .field("fusion-runs", stats.fusion_runs)
        .field("mask-runs", stats.mask_runs)
        .field("graph-captures", stats.graph_captures)
        .field("graph-capture-failures", stats.graph_capture_failures)
        .field("graph-replay-failures", stats.graph_replay_failures)
        .field("remote-runs", stats.remote_runs)
        .field("remote-failures", stats.remote_failures)
        .field("fallback-runs", stats.fallback_runs)
        .field("preprocess-ms", milliseconds(&stats.preprocess_time))
        .field("vision-ms", milliseconds(&stats.vision_time))
        .field("fusion-ms", milliseconds(&stats.fusion_time))
        .field("mask-ms", milliseconds(&stats.mask_time))
        .field("model-users", model_users)
        .field("engine", engine.map_or("", |engine| &engine.name))
        .field(
            "engine-version",
            engine.map_or("", |engine| &engine.version),
        )
        .field("engine-reason", engine.map_or("", |engine| &engine.reason))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_intervals() {
        let mut counters = Counters::default();
        let start = Instant::now();
        assert_eq!(counters.frames_per_second(), 0.0);
        for frame in 0..5 {
            counters.arrived(start + frame * Duration::from_millis(50));
        }
        assert!((counters.frames_per_second() - 20.0).abs() < 1e-6);
    }

    #[test]
    fn the_median_is_of_the_last_inferences() {
        let mut counters = Counters::default();
        assert_eq!(counters.median_ms(), 0.0);
        for ms in (0..1000).chain([5; WINDOW]) {
            counters.inferred(Duration::from_millis(ms));
        }
        assert_eq!(counters.inferred_frames(), 1000 + WINDOW as u64);
        assert_eq!(counters.median_ms(), 5.0);
    }
}
