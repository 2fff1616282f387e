//! The public face: load a bundle, register standing queries, ground frames.

mod plans;
mod stats;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

pub(crate) use stats::Counters;
pub use stats::Stats;

use crate::bundle::{Bundle, FUSION_GRAPH, Manifest, VISION_GRAPH};
use crate::engine::{
    self, Engine, EngineInfo, EngineKind, Graph, InputShape, InputType, Plan, Tensor, View,
};
use crate::error::{EngineError, Error, QueryError};
use crate::frame::{Frame, InputPolicy, Normalisation, check_size};
use crate::ground::{Decoding, Grounding, QueryResult, RawOutputs, sine_positions};
use crate::query::{Query, QuerySet};
use crate::text::{TextEncoder, TextMemory};
use plans::{PlanCache, locked};

/// How a [`Grounder`] is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct GrounderOptions {
    /// What runs the graphs.
    pub engine: EngineKind,
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
}

impl Default for GrounderOptions {
    fn default() -> Self {
        GrounderOptions {
            engine: EngineKind::Auto,
            text_cache_dir: None,
            text_cache_entries: 64,
            text_cache_bytes: 64 << 20,
            score_threshold: None,
            phrase_threshold: None,
            max_detections: 100,
        }
    }
}

/// A loaded model and its standing queries.
///
/// Threads share it as `Arc<Grounder>`: any number may ground frames at once, each on its own
/// thread, while another changes the queries.
#[derive(Debug)]
pub struct Grounder {
    bundle: Bundle,
    engine: Box<dyn Engine>,
    policy: InputPolicy,
    normalisation: Normalisation,
    text: TextEncoder,
    vision: Stage<(u32, u32), Arc<SizePlan>>,
    fusion: Stage<FusionShape, Arc<dyn Plan>>,
    standing: RwLock<Arc<Standing>>,
    /// Held while queries change, so that revisions rise in order.
    changing: Mutex<()>,
    score_threshold: AtomicU32,
    phrase_threshold: AtomicU32,
    max_detections: AtomicUsize,
    counters: Counters,
}

/// A graph and its plans.
#[derive(Debug)]
struct Stage<K: std::hash::Hash + Eq, V> {
    path: String,
    graph: Box<dyn Graph>,
    plans: PlanCache<K, V>,
}

impl<K: std::hash::Hash + Eq + Clone, V: Clone> Stage<K, V> {
    /// Plans hold weights of their own: few of a large graph are kept, more of a small one.
    fn load(bundle: &Bundle, name: &str, engine: &dyn Engine, least: usize) -> Result<Self, Error> {
        const BYTES: usize = 256 << 20;
        const MOST: usize = 32;
        let source = bundle.graph(name)?;
        let plans = (BYTES / source.onnx.len().max(1)).clamp(least, MOST);
        let plans = PlanCache::new(NonZeroUsize::new(plans).unwrap_or(NonZeroUsize::MIN));
        Ok(Stage {
            path: source.path.clone(),
            graph: engine.load(source)?,
            plans,
        })
    }
}

/// What depends only on the size of the network's input.
#[derive(Debug)]
struct SizePlan {
    /// Number of vision tokens.
    tokens: usize,
    /// `[tokens, d]`.
    positions: Vec<f32>,
    vision: Arc<dyn Plan>,
}

/// What a plan of the fusion graph is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FusionShape {
    /// Vision tokens.
    tokens: usize,
    /// Text tokens with padding.
    length: usize,
}

impl FusionShape {
    /// Texts are padded to a multiple of this, so that few plans serve texts of any length.
    const LENGTH_STEP: usize = 8;

    fn new(tokens: usize, length: usize) -> FusionShape {
        FusionShape {
            tokens,
            length: length.next_multiple_of(Self::LENGTH_STEP),
        }
    }
}

/// Queries and their text memories; the standing ones are replaced as a whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    set: Arc<QuerySet>,
    memories: Vec<Arc<TextMemory>>,
}

impl Standing {
    /// The queries at these indices.
    pub(crate) fn subset(&self, indices: &[usize]) -> Result<Standing, QueryError> {
        let queries = indices
            .iter()
            .map(|&i| self.set.queries()[i].as_ref().clone())
            .collect();
        let memories = indices.iter().map(|&i| self.memories[i].clone()).collect();
        Ok(Standing {
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

    /// Loads a bundle that is open.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bundle(bundle: Bundle, options: GrounderOptions) -> Result<Grounder, Error> {
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
        let engine = engine::open(options.engine);
        let text = TextEncoder::new(
            bundle.clone(),
            options.text_cache_entries,
            options.text_cache_dir.as_deref(),
            options.text_cache_bytes,
        )?;
        Ok(Grounder {
            policy: manifest.input_policy(),
            normalisation: Normalisation::new(manifest.input.mean, manifest.input.std),
            text,
            vision: Stage::load(&bundle, VISION_GRAPH, engine.as_ref(), 2)?,
            fusion: Stage::load(&bundle, FUSION_GRAPH, engine.as_ref(), 8)?,
            standing: RwLock::default(),
            changing: Mutex::default(),
            score_threshold,
            phrase_threshold,
            max_detections: AtomicUsize::new(options.max_detections),
            counters: Counters::default(),
            engine,
            bundle,
        })
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
        let memories =
            self.text
                .encode(set.queries(), in_use, self.engine.as_ref(), &self.counters)?;
        let standing = Standing { set, memories };
        if let Some((width, height)) = self.vision.plans.latest() {
            self.prepare_input(width, height, &standing)?;
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

    /// Queries that are answered without becoming the standing ones.
    pub(crate) fn encode(&self, queries: Vec<Query>) -> Result<Standing, Error> {
        let set = Arc::new(QuerySet::new(0, queries)?);
        let (engine, counters) = (self.engine.as_ref(), &self.counters);
        let memories = self
            .text
            .encode(set.queries(), HashMap::new(), engine, counters)?;
        Ok(Standing { set, memories })
    }

    fn snapshot(&self) -> Arc<Standing> {
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

    /// Makes everything that depends on the frame size and the standing queries, so that the first
    /// frame takes no longer than the others.
    ///
    /// # Errors
    /// A frame cannot have this size, or the engine refuses the shapes.
    pub fn prepare(&self, width: u32, height: u32) -> Result<(), Error> {
        check_size(width, height)?;
        let (width, height) = self.policy.target(width, height);
        self.prepare_input(width, height, &self.snapshot())
    }

    fn prepare_input(&self, width: u32, height: u32, standing: &Standing) -> Result<(), Error> {
        let size = self.size_plan(width, height)?;
        for memory in &standing.memories {
            self.fusion_plan(FusionShape::new(size.tokens, memory.tokens.ids.len()))?;
        }
        Ok(())
    }

    /// Answers the standing queries for one frame, on the calling thread.
    ///
    /// # Errors
    /// The engine fails.
    pub fn ground(&self, frame: &Frame) -> Result<Grounding, Error> {
        let standing = self.snapshot();
        let outputs = self.run(frame, &standing)?;
        let (width, height) = (frame.width(), frame.height());
        let queries = outputs
            .into_iter()
            .map(|outputs| QueryResult {
                detections: self
                    .decoding(&outputs.query)
                    .decode(&outputs, width, height),
                query: outputs.query,
                answer: None,
            })
            .collect();
        Ok(Grounding {
            revision: standing.set.revision(),
            width,
            height,
            queries,
        })
    }

    /// The network's outputs for one frame, one for each standing query.
    ///
    /// # Errors
    /// The engine fails.
    pub fn outputs(&self, frame: &Frame) -> Result<Vec<RawOutputs>, Error> {
        self.run(frame, &self.snapshot())
    }

    /// Counters since the grounder was loaded.
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    /// Which engine runs, and why.
    pub fn engine(&self) -> EngineInfo {
        self.engine.info()
    }

    /// What the bundle says about itself.
    pub fn manifest(&self) -> &Manifest {
        self.bundle.manifest()
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

    pub(crate) fn run(&self, frame: &Frame, standing: &Standing) -> Result<Vec<RawOutputs>, Error> {
        self.counters.frames.add(1);
        if standing.memories.is_empty() {
            return Ok(Vec::new());
        }
        let (width, height) = self.policy.target(frame.width(), frame.height());
        let size = self.size_plan(width, height)?;
        let image = self
            .counters
            .preprocess_time
            .measure(|| self.normalisation.tensor(frame, width, height));
        let tokens = self
            .counters
            .vision_time
            .measure(|| self.run_vision(&size, &image))?;
        self.counters.vision_runs.add(1);
        let queries = standing.set.queries().iter().zip(&standing.memories);
        queries
            .map(|(query, memory)| {
                let shape = FusionShape::new(size.tokens, memory.tokens.ids.len());
                let (logits, boxes) = self
                    .counters
                    .fusion_time
                    .measure(|| self.run_fusion(&size, &tokens, memory, shape))?;
                self.counters.fusion_runs.add(1);
                Ok(RawOutputs {
                    query: query.clone(),
                    slots: self.manifest().network.slots,
                    logits,
                    boxes: boxes
                        .chunks_exact(4)
                        .map(|b| [b[0], b[1], b[2], b[3]])
                        .collect(),
                    tokens: memory.tokens.spans.clone(),
                })
            })
            .collect()
    }

    fn size_plan(&self, width: u32, height: u32) -> Result<Arc<SizePlan>, EngineError> {
        self.vision.plans.get_or_make((width, height), || {
            let network = &self.manifest().network;
            let (w, h) = (width as usize, height as usize);
            let (rows, columns) = (h.div_ceil(network.stride), w.div_ceil(network.stride));
            let image = InputShape {
                name: "image",
                element: InputType::F32,
                shape: vec![1, 3, h, w],
            };
            Ok(Arc::new(SizePlan {
                tokens: rows * columns,
                positions: sine_positions(rows, columns, network.d_model),
                vision: self.vision.graph.plan(&[image])?,
            }))
        })
    }

    fn fusion_plan(&self, shape: FusionShape) -> Result<Arc<dyn Plan>, EngineError> {
        self.fusion.plans.get_or_make(shape, || {
            let FusionShape { tokens, length } = shape;
            let d = self.manifest().network.d_model;
            let float = |name, shape| InputShape {
                name,
                element: InputType::F32,
                shape,
            };
            let mask = InputShape {
                name: "text_mask",
                element: InputType::I64,
                shape: vec![1, length],
            };
            self.fusion.graph.plan(&[
                float("tokens", vec![1, tokens, d]),
                float("position", vec![1, tokens, d]),
                float("text_memory", vec![1, length, d]),
                mask,
            ])
        })
    }

    /// `[tokens, d]`.
    fn run_vision(&self, size: &SizePlan, image: &[f32]) -> Result<Vec<f32>, EngineError> {
        const OUTPUT: &str = "tokens";
        let outputs = size.vision.run(&[View::F32(image)], &[OUTPUT])?;
        let shape = [1, size.tokens, self.manifest().network.d_model];
        let [tokens] = shaped(&self.vision.path, outputs, [(OUTPUT, &shape)])?;
        Ok(tokens)
    }

    /// Logits `[queries, slots]` and boxes `[queries, 4]`; the text is padded to `shape`.
    fn run_fusion(
        &self,
        size: &SizePlan,
        tokens: &[f32],
        memory: &TextMemory,
        shape: FusionShape,
    ) -> Result<(Vec<f32>, Vec<f32>), EngineError> {
        const OUTPUTS: [&str; 2] = ["logits", "boxes"];
        let network = &self.manifest().network;
        let length = memory.tokens.ids.len();
        let mut text = memory.data.clone();
        text.resize(shape.length * network.d_model, 0.0);
        let mut mask = vec![1; length];
        mask.resize(shape.length, 0);
        let inputs = [
            View::F32(tokens),
            View::F32(&size.positions),
            View::F32(&text),
            View::I64(&mask),
        ];
        let outputs = self.fusion_plan(shape)?.run(&inputs, &OUTPUTS)?;
        let logits = [1, network.queries, network.slots];
        let boxes = [1, network.queries, 4];
        let expected = [(OUTPUTS[0], &logits[..]), (OUTPUTS[1], &boxes[..])];
        let [logits, boxes] = shaped(&self.fusion.path, outputs, expected)?;
        Ok((logits, boxes))
    }
}

fn store(slot: &AtomicU32, threshold: f32) {
    if !threshold.is_nan() {
        slot.store(threshold.clamp(0.0, 1.0).to_bits(), Ordering::Relaxed);
    }
}

/// The tensors' data if they have the expected names' shapes.
pub(crate) fn shaped<const N: usize>(
    graph: &str,
    outputs: Vec<Tensor>,
    expected: [(&'static str, &[usize]); N],
) -> Result<[Vec<f32>; N], EngineError> {
    for ((output, shape), tensor) in expected.iter().zip(&outputs) {
        if tensor.shape != *shape {
            return Err(EngineError::OutputShape {
                graph: graph.to_owned(),
                output,
                expected: shape.to_vec(),
                found: tensor.shape.clone(),
            });
        }
    }
    let data: Vec<Vec<f32>> = outputs.into_iter().map(|tensor| tensor.data).collect();
    Ok(data
        .try_into()
        .expect("a plan gives as many outputs as it is asked for"))
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
        let (width, height) = grounder.policy.target(64, 48);
        let size = grounder.size_plan(width, height).unwrap();
        let image = grounder.normalisation.tensor(&frame, width, height);
        let tokens = grounder.run_vision(&size, &image).unwrap();
        let length = memory.tokens.ids.len();
        let run = |length| {
            let shape = FusionShape {
                tokens: size.tokens,
                length,
            };
            grounder.run_fusion(&size, &tokens, memory, shape).unwrap()
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
