//! The public face: load a bundle, register standing queries, ground frames.

mod bound;
mod check;
mod encoded;
mod memory;
mod model;
mod network;
mod options;
mod positions;
mod prepared;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

pub use check::check_bundle;
pub use encoded::Encoded;
pub use options::GrounderOptions;
pub use trial::{TriedPlan, try_plans};

use mdetr_engine::{EngineError, EngineInfo, OptionError, PlanWatcher, locked};
use mdetr_grounding::{Detection, Grounding, Query, QueryResult, QuerySet, Rle, Span};

use crate::bundle::{Bundle, Manifest};
use crate::counters::{Counters, Stats};
use crate::decode::masks::{self, Map};
use crate::decode::packed::{Words, split};
use crate::decode::{Decoding, RawOutputs};
use crate::error::Error;
use crate::frame::{Frame, InputPolicy, MAX_SIDE, check_size};
use crate::pack::{Pack, Packing};
use crate::text::{Normalised, TextMemory};
use encoded::{Asking, Caption, packs};
use model::Model;
use network::{Fused, FusionShape, MaskLogits, Seen, SizePlan};
use prepared::Prepared;

/// Standing queries and the loaded model that answers them.
///
/// Threads share it as `Arc<Grounder>`: any number may ground frames at once, each on its own
/// thread, while another changes the queries.
#[derive(Debug)]
pub struct Grounder {
    model: Arc<Model>,
    policy: InputPolicy,
    memory_limit: Option<u64>,
    /// What was made for the latest frame size.
    size: Mutex<Option<Prepared>>,
    standing: RwLock<Arc<Encoded>>,
    /// Held while queries change, so that revisions rise in order.
    changing: Mutex<()>,
    score_threshold: AtomicU32,
    phrase_threshold: AtomicU32,
    overlap_threshold: AtomicU32,
    max_detections: AtomicUsize,
    masks: AtomicBool,
    packing: Mutex<Packing>,
    given_up: AtomicBool,
    counters: Counters,
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
    /// Thresholds, the number of detections, the short side, packing and whether masks are drawn are
    /// each grounder's own. Where any other option differs, or the manifest has changed since, a model of
    /// its own is loaded. Whoever asks for a model that another thread is loading waits for that one.
    ///
    /// # Errors
    /// As [`load`](Self::load). A failure is not remembered.
    pub fn load_shared(dir: impl AsRef<Path>, options: GrounderOptions) -> Result<Grounder, Error> {
        Grounder::from_bundle_shared(Bundle::open(dir)?, options)
    }

    /// As [`load_shared`](Self::load_shared), of a bundle that is open.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bundle_shared(bundle: Bundle, options: GrounderOptions) -> Result<Grounder, Error> {
        Grounder::with_model(bundle, options, Model::shared)
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
            Some(given) if !(0.0..=1.0).contains(&given) => Err(OptionError {
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
        let overlap_threshold = threshold(
            "overlap_threshold",
            options.overlap_threshold,
            manifest.thresholds.overlap,
        )?;
        let policy = match options.short_side {
            None => manifest.input_policy(),
            Some(short) if (1..=MAX_SIDE).contains(&short) => {
                manifest.input_policy().with_short_side(short)
            }
            Some(short) => {
                return Err(Error::from(OptionError {
                    option: "short_side",
                    expected: "1 to 16384",
                    found: short.to_string(),
                }));
            }
        };
        Ok(Grounder {
            policy,
            memory_limit: options.memory_limit,
            size: Mutex::default(),
            standing: RwLock::default(),
            changing: Mutex::default(),
            score_threshold,
            phrase_threshold,
            overlap_threshold,
            max_detections: AtomicUsize::new(options.max_detections),
            masks: AtomicBool::new(options.masks),
            packing: Mutex::new(options.packing),
            given_up: AtomicBool::new(false),
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
        let captions = old.captions.iter();
        let in_use = captions.map(|caption| (caption.text.as_str(), caption.memory.clone()));
        let standing = self.encode_sets(vec![set], in_use.collect())?.remove(0);
        let latest = locked(&self.size).as_ref().map(|size| size.frame);
        if let Some(frame) = latest {
            self.prepare_for(frame, &standing)?;
        }
        let revision = standing.set.revision();
        let mut slot = self.standing.write().unwrap_or_else(|e| e.into_inner());
        *slot = Arc::new(standing);
        Ok(revision)
    }

    /// Gives up encodings of this grounder, those to come too: the call that wanted them fails once the text at
    /// hand is encoded. Standing queries stay.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
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
        Ok(self.encode_each(vec![queries])?.remove(0))
    }

    /// As [`encode`](Self::encode) for several sets, with the text encoder loaded at most once.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); ids need be unique within a set only.
    pub fn encode_each(&self, sets: Vec<Vec<Query>>) -> Result<Vec<Encoded>, Error> {
        let set = |queries| Ok::<_, Error>(Arc::new(QuerySet::new(0, queries)?));
        let sets = sets.into_iter().map(set).collect::<Result<_, _>>()?;
        self.encode_sets(sets, HashMap::new())
    }

    fn encode_sets(
        &self,
        sets: Vec<Arc<QuerySet>>,
        in_use: HashMap<&str, Arc<TextMemory>>,
    ) -> Result<Vec<Encoded>, Error> {
        let Model { text, engine, .. } = self.model.as_ref();
        let packing = *locked(&self.packing);
        let (style, case) = (self.manifest().captions, self.manifest().case);
        let normal = |query: &Arc<Query>| Normalised::new(query.text(), case);
        let packed: Vec<(Vec<Normalised>, Vec<Pack>)> = sets
            .iter()
            .map(|set| {
                let texts: Vec<Normalised> = set.queries().iter().map(normal).collect();
                let packs = packs(set, &texts, packing, style, text);
                (texts, packs)
            })
            .collect();
        let captions = sets.iter().zip(&packed).flat_map(|(set, (_, packs))| {
            packs.iter().map(|pack| {
                let id = set.queries()[pack.members[0].query].id();
                (id, pack.caption.as_str())
            })
        });
        let captions: Vec<(&str, &str)> = captions.collect();
        let memories = text.encode(
            &captions,
            in_use,
            engine.as_ref(),
            &self.counters,
            &self.given_up,
        )?;
        let mut memories = memories.into_iter();
        let encoded = sets.into_iter().zip(packed).map(|(set, (texts, packs))| {
            let captions = packs.into_iter().zip(&mut memories);
            let captions = captions.map(|(pack, memory)| Caption::new(pack, &texts, memory));
            Encoded::new(set, captions.collect())
        });
        Ok(encoded.collect())
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

    /// Sets the overlap above which a second box on an object is dropped: clamped to 0 to 1; NaN changes
    /// nothing.
    pub fn set_overlap_threshold(&self, threshold: f32) {
        store(&self.overlap_threshold, threshold);
    }

    /// Sets how many detections are reported for one query at most.
    pub fn set_max_detections(&self, max_detections: usize) {
        self.max_detections.store(max_detections, Ordering::Relaxed);
    }

    /// Sets whether masks are drawn, if the model can.
    pub fn set_masks(&self, masks: bool) {
        self.masks.store(masks, Ordering::Relaxed);
    }

    /// Sets which queries are fused as one caption, from the next that are set or encoded on.
    pub fn set_packing(&self, packing: Packing) {
        *locked(&self.packing) = packing;
    }

    /// Makes everything that depends on the frame size and the standing queries, so that the first
    /// frame takes no longer than the others.
    ///
    /// # Errors
    /// A frame cannot have this size, the network would take too much memory for it, or the engine
    /// refuses the shapes.
    pub fn prepare(&self, width: u32, height: u32) -> Result<(), Error> {
        check_size(width, height)?;
        self.prepare_for((width, height), &self.snapshot())
    }

    fn prepare_for(&self, frame: (u32, u32), standing: &Encoded) -> Result<(), Error> {
        let plan = self.prepared(frame)?.plan;
        for captions in self.batches(&plan, standing) {
            self.model
                .network
                .fusion_plan(fusion_shape(&plan, captions))?;
        }
        Ok(())
    }

    /// Makes everything that a frame of this size can need, whatever is asked, and runs it once.
    ///
    /// # Errors
    /// A frame cannot have this size, the network would take too much memory for it, or the engine fails.
    pub fn rehearse(&self, width: u32, height: u32) -> Result<(), Error> {
        check_size(width, height)?;
        self.prepared((width, height))?;
        let asked = self.encode(vec![Query::parse("rehearsal", "a thing")?])?;
        let gray = vec![128; width as usize * height as usize * 3];
        let frame = Frame::rgb(width, height, &gray)?;
        if let Some(seen) = self.see(&frame, &asked)? {
            for fused in self.fuse(&seen, &asked.captions)? {
                self.model.network.masks(&seen, &fused, &[0])?;
            }
        }
        Ok(())
    }

    /// Answers the standing queries for one frame, on the calling thread.
    ///
    /// # Errors
    /// The network would take too much memory for the frame, or the engine fails.
    pub fn ground(&self, frame: &Frame) -> Result<Grounding, Error> {
        self.ground_encoded(frame, &self.snapshot())
    }

    /// As [`ground`](Self::ground), for other queries than the standing ones.
    ///
    /// # Errors
    /// The network would take too much memory for the frame, or the engine fails.
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
    /// The network would take too much memory for the frame, or the engine fails.
    pub fn ground_with_outputs(
        &self,
        frame: &Frame,
        asked: &Encoded,
    ) -> Result<Vec<(QueryResult, RawOutputs)>, Error> {
        let mut found = Vec::new();
        if let Some(seen) = self.see(frame, asked)? {
            for captions in self.batches(&seen.plan, asked) {
                for (caption, mut fused) in captions.iter().zip(self.fuse(&seen, captions)?) {
                    let outputs = self.raw_outputs(asked, caption, &mut fused);
                    let results = self.results(frame, &seen, &fused, &outputs)?;
                    let pairs = results.into_iter().zip(outputs);
                    found.extend(pairs.map(|(result, (query, raw))| (query, (result, raw))));
                }
            }
        }
        Ok(in_order(found))
    }

    /// What a caption gave for each of its queries.
    fn results(
        &self,
        frame: &Frame,
        seen: &Seen,
        fused: &Fused,
        outputs: &[(usize, RawOutputs)],
    ) -> Result<Vec<QueryResult>, EngineError> {
        let size = (frame.width(), frame.height());
        let decoded = outputs.iter().map(|(_, outputs)| {
            let decoding = self.decoding(&outputs.query);
            decoding.decode(outputs, size.0, size.1)
        });
        let mut found: Vec<Vec<(usize, Detection)>> = decoded.collect();
        self.draw_masks(&mut found, size, seen, fused)?;
        let result = |(found, (_, outputs)): (Vec<(usize, Detection)>, &(usize, RawOutputs))| {
            let query = outputs.query.clone();
            let answering = self.model.answering.as_ref();
            let answering = answering.filter(|_| query.is_question());
            QueryResult {
                answer: answering.and_then(|answering| answering.decode(&outputs.answers)),
                detections: found.into_iter().map(|(_, detection)| detection).collect(),
                query,
            }
        };
        Ok(found.into_iter().zip(outputs).map(result).collect())
    }

    fn draws_masks(&self) -> bool {
        self.model.network.segments() && self.masks.load(Ordering::Relaxed)
    }

    /// Gives each detection the mask of its object query, if masks are drawn.
    fn draw_masks(
        &self,
        found: &mut [Vec<(usize, Detection)>],
        frame: (u32, u32),
        seen: &Seen,
        fused: &Fused,
    ) -> Result<(), EngineError> {
        let objects: BTreeSet<usize> = found.iter().flatten().map(|(object, _)| *object).collect();
        if !self.draws_masks() || objects.is_empty() {
            return Ok(());
        }
        let objects: Vec<usize> = objects.into_iter().collect();
        self.counters.mask_runs.add(1);
        self.counters.mask_time.measure(|| {
            let logits = self.model.network.masks(seen, fused, &objects)?;
            let mask = |logits: &MaskLogits| {
                let map = Map {
                    values: &logits.values,
                    width: logits.width,
                    height: logits.height,
                };
                masks::mask(map, seen.plan.size, frame)
            };
            let masks: BTreeMap<usize, Rle> =
                objects.into_iter().zip(logits.iter().map(mask)).collect();
            for (object, detection) in found.iter_mut().flatten() {
                detection.mask = masks.get(object).cloned();
            }
            Ok(())
        })
    }

    /// The network's outputs for one frame, one for each standing query.
    ///
    /// # Errors
    /// The network would take too much memory for the frame, or the engine fails.
    pub fn outputs(&self, frame: &Frame) -> Result<Vec<RawOutputs>, Error> {
        self.outputs_encoded(frame, &self.snapshot())
    }

    /// As [`outputs`](Self::outputs), for other queries than the standing ones.
    ///
    /// # Errors
    /// The network would take too much memory for the frame, or the engine fails.
    pub fn outputs_encoded(
        &self,
        frame: &Frame,
        asked: &Encoded,
    ) -> Result<Vec<RawOutputs>, Error> {
        let mut found = Vec::new();
        if let Some(seen) = self.see(frame, asked)? {
            for captions in self.batches(&seen.plan, asked) {
                for (caption, mut fused) in captions.iter().zip(self.fuse(&seen, captions)?) {
                    found.extend(self.raw_outputs(asked, caption, &mut fused));
                }
            }
        }
        Ok(in_order(found))
    }

    /// Counters since the grounder was loaded.
    pub fn stats(&self) -> Stats {
        let graphs = self.model.engine.graph_counts();
        Stats {
            graph_captures: graphs.captures,
            graph_capture_failures: graphs.capture_failures,
            graph_replay_failures: graphs.replay_failures,
            ..self.counters.read()
        }
    }

    /// Tells `watcher` of plans that take long to make, until it returns false. A plan is given up once
    /// the watchers of all grounders that [share](Self::load_shared) the model have; who wanted it gets
    /// an error.
    pub fn watch_plans(&self, watcher: PlanWatcher) {
        self.model.engine.watch(watcher);
    }

    /// Whether plans are built while what asks for them waits, which may take minutes: for the first
    /// text and each new frame size.
    pub fn plans_take_long(&self) -> bool {
        self.model.engine.plans_take_long()
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
            overlap_threshold: load(&self.overlap_threshold),
            max_detections: self.max_detections.load(Ordering::Relaxed),
        }
    }

    /// The frame as the network sees it; `None` if nothing is asked.
    fn see(&self, frame: &Frame, standing: &Encoded) -> Result<Option<Seen>, Error> {
        self.counters.frames.add(1);
        if standing.captions.is_empty() {
            return Ok(None);
        }
        let Prepared { plan, memory, .. } = self.prepared((frame.width(), frame.height()))?;
        let share = memory.map(|(bytes, limit)| memory::BUDGET.take(bytes, limit));
        let (width, height) = plan.size;
        let image = self
            .counters
            .preprocess_time
            .measure(|| self.model.normalisation.tensor(frame, width, height));
        let seen = self
            .counters
            .vision_time
            .measure(|| self.model.network.see(plan, &image, share))?;
        self.counters.vision_runs.add(1);
        Ok(Some(seen))
    }

    /// Texts in one run of the fusion graph at most. In int8 activations of a run share a scale: one by
    /// one, so that answers do not depend on the other queries.
    fn texts_at_once(&self) -> usize {
        match self.manifest().precision.as_str() {
            "int8" => 1,
            _ => self.model.engine.texts_at_once().max(1),
        }
    }

    /// Captions that are fused in one run: of one padded length, and no more than the engine gains
    /// from.
    fn batches<'a>(
        &self,
        plan: &SizePlan,
        asked: &'a Encoded,
    ) -> impl Iterator<Item = &'a [Caption]> + use<'a> {
        let footprint = self.footprint(plan.size, plan.size);
        let most = footprint.texts_at_once(self.texts_at_once());
        let padded = |caption: &Caption| FusionShape::padded(caption.length());
        let alike = asked.captions.chunk_by(move |a, b| padded(a) == padded(b));
        alike.flat_map(move |captions| captions.chunks(most))
    }

    fn fuse(&self, seen: &Seen, captions: &[Caption]) -> Result<Vec<Fused>, EngineError> {
        let memories: Vec<Arc<TextMemory>> = captions.iter().map(|c| c.memory.clone()).collect();
        let shape = fusion_shape(&seen.plan, captions);
        self.counters.fusion_runs.add(captions.len() as u64);
        self.counters
            .fusion_time
            .measure(|| self.model.network.fuse(seen, &memories, shape))
    }

    /// What a caption's outputs say about each of its queries, with their places in the set. Logits and
    /// answers are taken out of `fused`.
    fn raw_outputs(
        &self,
        asked: &Encoded,
        caption: &Caption,
        fused: &mut Fused,
    ) -> Vec<(usize, RawOutputs)> {
        let slots = self.manifest().network.slots;
        let logits = std::mem::take(&mut fused.logits);
        let answers = std::mem::take(&mut fused.answers);
        let boxes: Vec<[f32; 4]> = fused
            .boxes
            .chunks_exact(4)
            .map(|b| [b[0], b[1], b[2], b[3]])
            .collect();
        let raw = |query: usize, logits, tokens: &[Option<Span>], answers| RawOutputs {
            query: asked.set.queries()[query].clone(),
            slots,
            logits,
            boxes: boxes.clone(),
            tokens: tokens.to_vec(),
            answers,
        };
        match &caption.queries {
            Asking::Same(queries) => {
                let Some(((last, tokens), others)) = queries.split_last() else {
                    return Vec::new();
                };
                let copied = |(query, tokens): &(usize, Vec<Option<Span>>)| {
                    let outputs = raw(*query, logits.clone(), tokens, answers.clone());
                    (*query, outputs)
                };
                let mut same: Vec<_> = others.iter().map(copied).collect();
                same.push((*last, raw(*last, logits, tokens, answers)));
                same
            }
            Asking::Parts(parts) => {
                let words: Vec<&Words> = parts.iter().map(|(_, words)| words).collect();
                let split = parts.iter().zip(split(&logits, slots, &words));
                let part = |((query, words), logits): (&(usize, Words), Vec<f32>)| {
                    let outputs = raw(*query, logits, &words.tokens, BTreeMap::new());
                    (*query, outputs)
                };
                split.map(part).collect()
            }
        }
    }
}

fn fusion_shape(plan: &SizePlan, captions: &[Caption]) -> FusionShape {
    let longest = captions.iter().map(Caption::length).max().unwrap_or(0);
    FusionShape::new(captions.len(), plan.tokens, longest)
}

/// What was found for each query, in the order of the queries.
fn in_order<T>(mut found: Vec<(usize, T)>) -> Vec<T> {
    found.sort_by_key(|(query, _)| *query);
    found.into_iter().map(|(_, found)| found).collect()
}

fn store(slot: &AtomicU32, threshold: f32) {
    if !threshold.is_nan() {
        slot.store(threshold.clamp(0.0, 1.0).to_bits(), Ordering::Relaxed);
    }
}
