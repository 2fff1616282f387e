//! How a grounder is set up.

use std::path::PathBuf;

use mdetr_engine::{EngineChoice, KServeOptions, OptionError, TensorRtOptions};

use super::settings::Settings;
use crate::bundle::Thresholds;
use crate::pack::Packing;

/// How a [`Grounder`](super::Grounder) is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct GrounderOptions {
    /// What runs the graphs: one engine, as `EngineKind::Tract.into()`, or one for each.
    pub engine: EngineChoice,
    /// Share one model, its graphs, plans and encoded texts, with the grounders of this process that load
    /// the same bundle with this set. The last to be dropped frees it. Settings, the short side and the
    /// memory limit are each grounder's own; where any other option differs, or the manifest has changed
    /// since, a model of its own is loaded. Whoever asks for a model that another thread is loading
    /// waits for that one; a failure is not remembered.
    pub share_model: bool,
    /// For the engine TensorRT.
    pub tensorrt: TensorRtOptions,
    /// For the engine KServe.
    pub kserve: KServeOptions,
    /// Where text encodings are kept between runs; `None`: only in memory. Several processes may
    /// share a directory.
    pub text_cache_dir: Option<PathBuf>,
    /// Text encodings kept in memory besides those of the standing queries.
    pub text_cache_entries: usize,
    /// Bytes that the encodings in `text_cache_dir` may take.
    pub text_cache_bytes: u64,
    /// Score threshold of queries without their own, 0 to 1; `None`: the manifest's.
    pub score_threshold: Option<f32>,
    /// Phrase threshold of queries without their own, 0 to 1; `None`: the manifest's.
    pub phrase_threshold: Option<f32>,
    /// Overlap of boxes, as intersection over union from 0 to 1, above which the one with the smaller
    /// score is dropped if it answers to no other words; 1: none is; `None`: the manifest's.
    pub overlap_threshold: Option<f32>,
    /// Most detections reported for one query.
    pub max_detections: usize,
    /// Short side in pixels to which frames are scaled for the network, 1 to [`MAX_SIDE`](crate::frame::MAX_SIDE); `None`:
    /// the manifest's. A smaller one is faster and sees less.
    pub short_side: Option<u32>,
    /// Bytes that inference on one frame may take, by an estimate before anything runs; `None`: what the
    /// machine, and the control group, have free when a frame of another size comes. Estimates of up to
    /// [`SMALL_MEMORY`](Self::SMALL_MEMORY) are not held against what is free. Frames of several threads
    /// that would take more together wait for each other.
    pub memory_limit: Option<u64>,
    /// Draw masks, if the model can. It costs a run of the mask graph for every few detections. Some models' boxes are
    /// tighter with them.
    pub masks: bool,
    /// Which standing queries are fused as one caption.
    pub packing: Packing,
}

impl GrounderOptions {
    /// Bytes that any machine is taken to have for a frame: 256 MiB.
    pub const SMALL_MEMORY: u64 = 256 << 20;
    /// Bytes that a machine is taken to have for a frame if it does not say: 4 GiB.
    pub const UNKNOWN_MEMORY: u64 = 4 << 30;

    /// The settings to begin with; `thresholds` are the bundle's.
    ///
    /// # Errors
    /// A threshold is not a probability.
    pub(super) fn settings(&self, thresholds: &Thresholds) -> Result<Settings, OptionError> {
        let threshold = |option, given: Option<f32>, default| match given {
            Some(given) if !(0.0..=1.0).contains(&given) => Err(OptionError {
                option,
                expected: "0 to 1",
                found: given.to_string(),
            }),
            given => Ok(given.unwrap_or(default)),
        };
        Ok(Settings {
            score_threshold: threshold("score_threshold", self.score_threshold, thresholds.score)?,
            phrase_threshold: threshold(
                "phrase_threshold",
                self.phrase_threshold,
                thresholds.phrase,
            )?,
            overlap_threshold: threshold(
                "overlap_threshold",
                self.overlap_threshold,
                thresholds.overlap,
            )?,
            max_detections: self.max_detections,
            masks: self.masks,
            packing: self.packing,
        })
    }
}

impl Default for GrounderOptions {
    fn default() -> Self {
        GrounderOptions {
            engine: EngineChoice::default(),
            share_model: false,
            tensorrt: TensorRtOptions::default(),
            kserve: KServeOptions::default(),
            text_cache_dir: None,
            text_cache_entries: 64,
            text_cache_bytes: 64 << 20,
            score_threshold: None,
            phrase_threshold: None,
            overlap_threshold: None,
            max_detections: 100,
            short_side: None,
            memory_limit: None,
            masks: true,
            packing: Packing::None,
        }
    }
}
