//! The public face: load a bundle, register standing queries, ground frames.

mod model;
mod network;
mod plans;
mod stats;
mod trial;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

pub(crate) use stats::Counters;
pub use stats::Stats;
pub use trial::{TriedPlan, try_plans};

use crate::bundle::{Bundle, Manifest};
use crate::engine::{EngineInfo, EngineKind, PlanWatcher, TensorRtOptions};
use crate::error::{EngineError, Error, QueryError};
use crate::frame::{Frame, InputPolicy, MAX_SIDE, check_size};
use crate::ground::masks::{self, Map};
use crate::ground::{Decoding, Detection, Grounding, QueryResult, RawOutputs};
use crate::query::{Query, QuerySet};
use crate::sync::locked;
use crate::text::TextMemory;
use model::Model;
use network::{Fused, FusionShape, Seen, SizePlan};

/// How a [`Grounder`] is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct GrounderOptions {
    /// What runs the graphs.
    pub engine: EngineKind,
    /// For the engine TensorRT.
    pub tensorrt: TensorRtOptions,
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
    /// Most detections reported for one query.
    pub max_detections: usize,
    /// Short side in pixels to which frames are scaled for the network, 1 to [`MAX_SIDE`]; `None`:
    /// the manifest's. A smaller one is faster and sees less.
    pub short_side: Option<u32>,
    /// Draw masks, if the model can. It costs a run of the mask graph for every few detections.
    pub masks: bool,
}

impl Default for GrounderOptions {
    fn default() -> Self {
        GrounderOptions {
            engine: EngineKind::Auto,
            tensorrt: TensorRtOptions::default(),
            text_cache_dir: None,
            text_cache_entries: 64,
            text_cache_bytes: 64 << 20,
            score_threshold: None,
            phrase_threshold: None,
            max_detections: 100,
            short_side: None,
            masks: true,
        }
    }
}

/// Standing queries and the loaded model that answers them.
///
/// Threads share it as `Arc<Grounder>`: any number may ground frames at once, each on its own
/// thread, while another changes the queries.
#[derive(Debug)]
pub struct Grounder {
    model: Arc<Model>,
    policy: InputPolicy,
    /// What was made for the latest frame size.
    size: Mutex<Option<Arc<SizePlan>>>,
    standing: RwLock<Arc<Encoded>>,
    /// Held while queries change, so that revisions rise in order.
    changing: Mutex<()>,
    score_threshold: AtomicU32,
    phrase_threshold: AtomicU32,
    max_detections: AtomicUsize,
    masks: AtomicBool,
    counters: Counters,
}

/// Queries with their encoded texts, ready to be answered: [`Grounder::encode`].
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    set: Arc<QuerySet>,
    memories: Vec<Arc<TextMemory>>,
}

impl Encoded {
    fn iter(&self) -> impl Iterator<Item = (&Arc<Query>, &Arc<TextMemory>)> {
        self.set.queries().iter().zip(&self.memories)
    }

    /// The queries.
    pub fn queries(&self) -> &QuerySet {
        &self.set
    }

    /// The queries at these indices.
    ///
    /// # Errors
    /// An index comes twice.
    ///
    /// # Panics
    /// There is no query at an index.
    pub fn subset(&self, indices: &[usize]) -> Result<Encoded, QueryError> {
        let queries = indices
            .iter()
            .map(|&i| self.set.queries()[i].as_ref().clone())
            .collect();
        let memories = indices.iter().map(|&i| self.memories[i].clone()).collect();
        Ok(Encoded {
            set: Arc::new(QuerySet::new(0, queries)?),
            memories,
        })
    }
}

impl Grounder {
    /// Loads the bundle in `dir`. There are no standing queries yet.
    ///
    /// # Errors
    /// The bundle is unsound, the engine does not take its graphs, a threshold is not a
    /// probability, or the cache directory cannot be written.
    pub fn load(dir: impl AsRef<Path>, options: GrounderOptions) -> Result<Grounder, Error> {
        Grounder::from_bundle(Bundle::open(dir)?, options)
    }

    /// As [`load`](Self::load), but grounders of this process that load the same bundle with this
    /// share one model: its graphs, plans and encoded texts. The last to be dropped frees it.
    ///
    /// Thresholds, the number of detections, the short side and whether masks are drawn are each
    /// grounder's own. Where any other option differs, or the manifest has changed since, a model of
    /// its own is loaded. Whoever asks for a model that another thread is loading waits for that one.
    ///
    /// # Errors
    /// As [`load`](Self::load). A failure is not remembered.
    pub fn load_shared(dir: impl AsRef<Path>, options: GrounderOptions) -> Result<Grounder, Error> {
        Grounder::with_model(Bundle::open(dir)?, options, Model::shared)
    }

    /// Loads a bundle that is open.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bundle(bundle: Bundle, options: GrounderOptions) -> Result<Grounder, Error> {
        Grounder::with_model(bundle, options, |bundle, options| {
            Model::load(bundle, options).map(Arc::new)
        })
    }

    fn with_model(
        bundle: Bundle,
        options: GrounderOptions,
        load: impl FnOnce(Bundle, &GrounderOptions) -> Result<Arc<Model>, Error>,
    ) -> Result<Grounder, Error> {
        let manifest = bundle.manifest();
        let threshold = |option, given: Option<f32>, default| match given {
            Some(given) if !(0.0..=1.0).contains(&given) => Err(Error::Option {
                option,
                expected: "0 to 1",
                found: given.to_string(),
            }),
            given => Ok(AtomicU32::new(given.unwrap_or(default).to_bits())),
        };
        let score_threshold = threshold(
            "score_threshold",
            options.score_threshold,
            manifest.thresholds.score,
        )?;
        let phrase_threshold = threshold(
            "phrase_threshold",
            options.phrase_threshold,
            manifest.thresholds.phrase,
        )?;
        let policy = match options.short_side {
            None => manifest.input_policy(),
            Some(short) if (1..=MAX_SIDE).contains(&short) => {
                manifest.input_policy().with_short_side(short)
            }
            Some(short) => {
                return Err(Error::Option {
                    option: "short_side",
                    expected: "1 to 16384",
                    found: short.to_string(),
                });
            }
        };
        Ok(Grounder {
            policy,
            size: Mutex::default(),
            standing: RwLock::default(),
            changing: Mutex::default(),
            score_threshold,
            phrase_threshold,
            max_detections: AtomicUsize::new(options.max_detections),
            masks: AtomicBool::new(options.masks),
            counters: Counters::default(),
            model: load(bundle, &options)?,
        })
    }

    /// How many grounders use this one's loaded model; 1 unless it is
    /// [shared](Self::load_shared).
    pub fn model_users(&self) -> usize {
        Arc::strong_count(&self.model)
    }

    /// Replaces the standing queries and gives their revision.
    ///
    /// Texts that are in no cache are encoded first, and plans for the latest frame size are made;
    /// meanwhile frames are answered with the old set. Without queries, [`ground`](Self::ground)
    /// gives no results and runs nothing.
    ///
    /// # Errors
    /// Two queries have the same id, one is too long for the model, or the engine fails. The old
    /// set then stays.
    pub fn set_queries(&self, queries: Vec<Query>) -> Result<u64, Error> {
        let _changing = locked(&self.changing);
        let old = self.snapshot();
        let set = Arc::new(QuerySet::new(old.set.revision() + 1, queries)?);
        let texts = old.set.queries().iter().map(|query| query.text());
        let in_use = texts.zip(old.memories.iter().cloned()).collect();
        let memories = self.encode_texts(&set, in_use)?;
        let standing = Encoded { set, memories };
        let latest = locked(&self.size).as_ref().map(|plan| plan.size);
        if let Some(size) = latest {
            self.prepare_input(size, &standing)?;
        }
        let revision = standing.set.revision();
        let mut slot = self.standing.write().unwrap_or_else(|e| e.into_inner());
        *slot = Arc::new(standing);
        Ok(revision)
    }

    /// The standing queries.
    pub fn queries(&self) -> Arc<QuerySet> {
        self.snapshot().set.clone()
    }

    /// Queries to be answered without becoming the standing ones.
    ///
    /// # Errors
    /// Two queries have the same id, one is too long for the model, or the engine fails.
    pub fn encode(&self, queries: Vec<Query>) -> Result<Encoded, Error> {
        let set = Arc::new(QuerySet::new(0, queries)?);
        let memories = self.encode_texts(&set, HashMap::new())?;
        Ok(Encoded { set, memories })
    }

    fn encode_texts(
        &self,
        set: &QuerySet,
        in_use: HashMap<&str, Arc<TextMemory>>,
    ) -> Result<Vec<Arc<TextMemory>>, Error> {
        let (engine, counters) = (self.model.engine.as_ref(), &self.counters);
        self.model
            .text
            .encode(set.queries(), in_use, engine, counters)
    }

    fn snapshot(&self) -> Arc<Encoded> {
        self.standing
            .read()
            .unwrap_or_else(|e| e.into_inner())
            .clone()
    }

    /// Sets the score threshold of queries without their own: clamped to 0 to 1; NaN changes nothing.
    pub fn set_score_threshold(&self, threshold: f32) {
        store(&self.score_threshold, threshold);
    }

    /// Sets the phrase threshold of queries without their own: clamped to 0 to 1; NaN changes nothing.
    pub fn set_phrase_threshold(&self, threshold: f32) {
        store(&self.phrase_threshold, threshold);
    }

    /// Sets how many detections are reported for one query at most.
    pub fn set_max_detections(&self, max_detections: usize) {
        self.max_detections.store(max_detections, Ordering::Relaxed);
    }

    /// Sets whether masks are drawn, if the model can.
    pub fn set_masks(&self, masks: bool) {
        self.masks.store(masks, Ordering::Relaxed);
    }

    /// Makes everything that depends on the frame size and the standing queries, so that the first
    /// frame takes no longer than the others.
    ///
    /// # Errors
    /// A frame cannot have this size, or the engine refuses the shapes.
    pub fn prepare(&self, width: u32, height: u32) -> Result<(), Error> {
        check_size(width, height)?;
        self.prepare_input(self.policy.target(width, height), &self.snapshot())
    }

    fn prepare_input(&self, size: (u32, u32), standing: &Encoded) -> Result<(), Error> {
        let plan = self.size_plan(size)?;
        for memory in &standing.memories {
            let shape = FusionShape::new(plan.tokens, memory.tokens.ids.len());
            self.model.network.fusion_plan(shape)?;
        }
        Ok(())
    }

    /// Makes everything that a frame of this size can need, whatever is asked, and runs it once.
    ///
    /// # Errors
    /// A frame cannot have this size, or the engine fails.
    pub fn rehearse(&self, width: u32, height: u32) -> Result<(), Error> {
        check_size(width, height)?;
        let asked = self.encode(vec![Query::parse("rehearsal", "a thing")?])?;
        let gray = vec![128; width as usize * height as usize * 3];
        let frame = Frame::rgb(width, height, &gray)?;
        if let Some(seen) = self.see(&frame, &asked)? {
            for (query, memory) in asked.iter() {
                let (_, fused) = self.fuse(&seen, query, memory)?;
                self.model.network.masks(&seen, &fused, &[0])?;
            }
        }
        Ok(())
    }

    /// The plan of the latest size is held here, so that other grounders' sizes do not displace it.
    fn size_plan(&self, size: (u32, u32)) -> Result<Arc<SizePlan>, EngineError> {
        let held = locked(&self.size).clone();
        if let Some(plan) = held.filter(|plan| plan.size == size) {
            return Ok(plan);
        }
        let plan = self.model.network.size_plan(size)?;
        *locked(&self.size) = Some(plan.clone());
        Ok(plan)
    }

    /// Answers the standing queries for one frame, on the calling thread.
    ///
    /// # Errors
    /// The engine fails.
    pub fn ground(&self, frame: &Frame) -> Result<Grounding, Error> {
        self.ground_encoded(frame, &self.snapshot())
    }

    /// As [`ground`](Self::ground), for other queries than the standing ones.
    ///
    /// # Errors
    /// The engine fails.
    pub fn ground_encoded(&self, frame: &Frame, asked: &Encoded) -> Result<Grounding, Error> {
        let found = self.ground_with_outputs(frame, asked)?;
        Ok(Grounding {
            revision: asked.set.revision(),
            width: frame.width(),
            height: frame.height(),
            queries: found.into_iter().map(|(result, _)| result).collect(),
        })
    }

    /// As [`ground_encoded`](Self::ground_encoded), each result with the outputs it was decoded
    /// from.
    ///
    /// # Errors
    /// The engine fails.
    pub fn ground_with_outputs(
        &self,
        frame: &Frame,
        asked: &Encoded,
    ) -> Result<Vec<(QueryResult, RawOutputs)>, Error> {
        let Some(seen) = self.see(frame, asked)? else {
            return Ok(Vec::new());
        };
        asked
            .iter()
            .map(|(query, memory)| {
                let (outputs, fused) = self.fuse(&seen, query, memory)?;
                Ok((self.result(frame, &seen, &fused, &outputs)?, outputs))
            })
            .collect()
    }

    fn result(
        &self,
        frame: &Frame,
        seen: &Seen,
        fused: &Fused,
        outputs: &RawOutputs,
    ) -> Result<QueryResult, EngineError> {
        let query = outputs.query.clone();
        let (width, height) = (frame.width(), frame.height());
        let found = self.decoding(&query).decode(outputs, width, height);
        let answering = self
            .model
            .answering
            .as_ref()
            .filter(|_| query.is_question());
        Ok(QueryResult {
            answer: answering.and_then(|answering| answering.decode(&outputs.answers)),
            detections: self.with_masks(found, (width, height), seen, fused)?,
            query,
        })
    }

    /// The detections, each with the mask of its object query if masks are drawn.
    fn with_masks(
        &self,
        found: Vec<(usize, Detection)>,
        frame: (u32, u32),
        seen: &Seen,
        fused: &Fused,
    ) -> Result<Vec<Detection>, EngineError> {
        let (objects, mut detections): (Vec<usize>, Vec<Detection>) = found.into_iter().unzip();
        let drawn = self.model.network.segments() && self.masks.load(Ordering::Relaxed);
        if !drawn || objects.is_empty() {
            return Ok(detections);
        }
        self.counters.mask_runs.add(1);
        self.counters.mask_time.measure(|| {
            let logits = self.model.network.masks(seen, fused, &objects)?;
            for (detection, logits) in detections.iter_mut().zip(&logits) {
                let map = Map {
                    values: &logits.values,
                    width: logits.width,
                    height: logits.height,
                };
                detection.mask = Some(masks::mask(map, seen.plan.size, frame));
            }
            Ok(detections)
        })
    }

    /// The network's outputs for one frame, one for each standing query.
    ///
    /// # Errors
    /// The engine fails.
    pub fn outputs(&self, frame: &Frame) -> Result<Vec<RawOutputs>, Error> {
        self.outputs_encoded(frame, &self.snapshot())
    }

    /// As [`outputs`](Self::outputs), for other queries than the standing ones.
    ///
    /// # Errors
    /// The engine fails.
    pub fn outputs_encoded(
        &self,
        frame: &Frame,
        asked: &Encoded,
    ) -> Result<Vec<RawOutputs>, Error> {
        let Some(seen) = self.see(frame, asked)? else {
            return Ok(Vec::new());
        };
        asked
            .iter()
            .map(|(query, memory)| Ok(self.fuse(&seen, query, memory)?.0))
            .collect()
    }

    /// Counters since the grounder was loaded.
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    /// Tells `watcher` from now on of plans that take long to make; where it returns false, the one
    /// being made is given up, and who wanted it gets an error. Of grounders that
    /// [share](Self::load_shared) a model the last watcher is told.
    pub fn watch_plans(&self, watcher: PlanWatcher) {
        self.model.engine.watch(watcher);
    }

    /// Which engine runs, and why.
    pub fn engine(&self) -> EngineInfo {
        self.model.engine.info()
    }

    /// What the bundle says about itself.
    pub fn manifest(&self) -> &Manifest {
        self.model.bundle.manifest()
    }

    pub(crate) fn decoding(&self, query: &Query) -> Decoding {
        let load = |value: &AtomicU32| f32::from_bits(value.load(Ordering::Relaxed));
        Decoding {
            score_threshold: query
                .score_threshold()
                .unwrap_or(load(&self.score_threshold)),
            phrase_threshold: query
                .phrase_threshold()
                .unwrap_or(load(&self.phrase_threshold)),
            max_detections: self.max_detections.load(Ordering::Relaxed),
        }
    }

    /// The frame as the network sees it; `None` if nothing is asked.
    fn see(&self, frame: &Frame, standing: &Encoded) -> Result<Option<Seen>, Error> {
        self.counters.frames.add(1);
        if standing.memories.is_empty() {
            return Ok(None);
        }
        let (width, height) = self.policy.target(frame.width(), frame.height());
        let plan = self.size_plan((width, height))?;
        let image = self
            .counters
            .preprocess_time
            .measure(|| self.model.normalisation.tensor(frame, width, height));
        let seen = self
            .counters
            .vision_time
            .measure(|| self.model.network.see(plan, &image))?;
        self.counters.vision_runs.add(1);
        Ok(Some(seen))
    }

    fn fuse(
        &self,
        seen: &Seen,
        query: &Arc<Query>,
        memory: &TextMemory,
    ) -> Result<(RawOutputs, Fused), EngineError> {
        let shape = FusionShape::new(seen.plan.tokens, memory.tokens.ids.len());
        let mut fused = self
            .counters
            .fusion_time
            .measure(|| self.model.network.fuse(seen, memory, shape))?;
        self.counters.fusion_runs.add(1);
        let outputs = RawOutputs {
            query: query.clone(),
            slots: self.manifest().network.slots,
            logits: std::mem::take(&mut fused.logits),
            boxes: fused
                .boxes
                .chunks_exact(4)
                .map(|b| [b[0], b[1], b[2], b[3]])
                .collect(),
            tokens: memory.tokens.spans.clone(),
            answers: std::mem::take(&mut fused.answers),
        };
        Ok((outputs, fused))
    }
}

fn store(slot: &AtomicU32, threshold: f32) {
    if !threshold.is_nan() {
        slot.store(threshold.clamp(0.0, 1.0).to_bits(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> PathBuf {
        std::env::var_os("MDETR_TEST_BUNDLE").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tabletop"),
            PathBuf::from,
        )
    }

    #[test]
    fn padding_of_the_text_changes_nothing() {
        let grounder = Grounder::load(bundle(), GrounderOptions::default()).unwrap();
        let query = Query::parse("q", "the red ball left of a cube").unwrap();
        let standing = grounder.encode(vec![query]).unwrap();
        let memory = &standing.memories[0];
        let rgb: Vec<u8> = (0..64 * 48 * 3).map(|i| (i % 251) as u8).collect();
        let frame = Frame::rgb(64, 48, &rgb).unwrap();
        let seen = grounder.see(&frame, &standing).unwrap().unwrap();
        let length = memory.tokens.ids.len();
        let run = |length| {
            let shape = FusionShape {
                tokens: seen.plan.tokens,
                length,
            };
            let fused = grounder.model.network.fuse(&seen, memory, shape).unwrap();
            (fused.logits, fused.boxes)
        };
        let (logits, boxes) = run(length);
        for padded in [length + 1, length.next_multiple_of(8), length + 40] {
            let (padded_logits, padded_boxes) = run(padded);
            let most = |a: &[f32], b: &[f32]| {
                a.iter()
                    .zip(b)
                    .map(|(a, b)| (a - b).abs())
                    .fold(0.0, f32::max)
            };
            let (l, b) = (most(&logits, &padded_logits), most(&boxes, &padded_boxes));
            assert!(l <= 2e-5 && b <= 1e-5, "{length} to {padded}: {l} {b}");
        }
    }
}
