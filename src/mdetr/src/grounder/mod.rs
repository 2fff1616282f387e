//! The public face: load a bundle, register standing queries, ground frames.

mod bound;
mod encoded;
mod memory;
mod model;
mod network;
mod options;
mod past;
mod positions;
mod run;
mod seen;
mod settings;
mod sizes;
pub(crate) mod speed;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use mdetr_engine::{EngineInfo, OptionError, PlanWatcher, locked};
use mdetr_grounding::{Grounding, Query, QueryResult, QuerySet};

use crate::bundle::{Bundle, Manifest};
use crate::counters::{Counters, Stats};
use crate::decode::RawOutputs;
use crate::error::Error;
use crate::frame::{Frame, MAX_SIDE, check_size};
use crate::pack::Pack;
use crate::seen::{SeenError, SeenHeader, decode};
use crate::text::{Normalised, TextMemory};
pub use encoded::Encoded;
use encoded::{Caption, packs};
use model::Model;
pub use options::GrounderOptions;
pub use past::Past;
use positions::grid;
use run::{Run, fusion_shape};
pub use seen::Seen;
pub use settings::Settings;
use sizes::Sizes;
pub use trial::{TriedPlan, try_plans};

/// Standing queries and the loaded model that answers them.
///
/// Threads share it as `Arc<Grounder>`: any number may ground frames at once, each on its own
/// thread, while another changes the queries.
#[derive(Debug)]
pub struct Grounder {
    model: Arc<Model>,
    sizes: Sizes,
    standing: RwLock<Arc<Encoded>>,
    /// Held while queries change, so that revisions rise in order.
    changing: Mutex<()>,
    settings: RwLock<Settings>,
    given_up: AtomicBool,
    counters: Counters,
}

impl Grounder {
    /// Loads the bundle in `dir`, or the one of this name, as [`Bundle::open`] finds it. There are no
    /// standing queries yet.
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
        let settings = options.settings(&manifest.thresholds)?;
        let model = match options.share_model {
            true => Model::shared(bundle, &options)?,
            false => Arc::new(Model::load(bundle, &options)?),
        };
        Ok(Grounder {
            model,
            sizes: Sizes::new(policy, options.memory_limit),
            standing: RwLock::default(),
            changing: Mutex::default(),
            settings: RwLock::new(settings),
            given_up: AtomicBool::new(false),
            counters: Counters::default(),
        })
    }

    /// How many grounders use this one's loaded model; 1 unless it is
    /// [shared](GrounderOptions::share_model).
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
        let old = self.standing();
        let set = Arc::new(QuerySet::new(old.set.revision() + 1, queries)?);
        let captions = old.captions.iter();
        let in_use = captions.map(|caption| (caption.text.as_str(), caption.memory.clone()));
        let standing = self.encode_sets(vec![set], in_use.collect())?.remove(0);
        if let Some(frame) = self.sizes.latest() {
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
        self.standing().set.clone()
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
        let packing = self.settings().packing;
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

    /// The standing queries with their encoded texts.
    pub fn standing(&self) -> Arc<Encoded> {
        self.standing
            .read()
            .unwrap_or_else(|e| e.into_inner())
            .clone()
    }

    /// Makes everything that depends on the frame size and the standing queries, so that the first
    /// frame takes no longer than the others.
    ///
    /// # Errors
    /// A frame cannot have this size, the network would take too much memory for it, or the engine
    /// refuses the shapes.
    pub fn prepare(&self, width: u32, height: u32) -> Result<(), Error> {
        check_size(width, height)?;
        self.prepare_for((width, height), &self.standing())
    }

    /// The width and height that frames of a size are scaled to for the network. Frames that have it already are not scaled.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn input_size(&self, width: u32, height: u32) -> Result<(u32, u32), Error> {
        check_size(width, height)?;
        Ok(self.run().prepared((width, height))?.plan.grid.size)
    }

    fn prepare_for(&self, frame: (u32, u32), standing: &Encoded) -> Result<(), Error> {
        let run = self.run();
        let grid = run.prepared(frame)?.plan.grid.clone();
        for captions in run.batches(&grid, standing) {
            self.model
                .network
                .fusion_plan(fusion_shape(&grid, captions))?;
        }
        Ok(())
    }

    /// Makes everything that a frame of this size can need, whatever is asked, and runs it once.
    ///
    /// # Errors
    /// A frame cannot have this size, the network would take too much memory for it, or the engine fails.
    pub fn rehearse(&self, width: u32, height: u32) -> Result<(), Error> {
        check_size(width, height)?;
        let run = self.run();
        run.prepared((width, height))?;
        let asked = self.encode(vec![Query::parse("rehearsal", "a thing")?])?;
        let gray = vec![128; width as usize * height as usize * 3];
        let frame = Frame::rgb(width, height, &gray)?;
        let seen = run.see(&frame, false)?.features;
        for fused in run.fuse(&seen, &asked.captions)? {
            self.model.network.masks(&seen, &fused, &[0])?;
        }
        Ok(())
    }

    /// Answers the standing queries for one frame, on the calling thread.
    ///
    /// # Errors
    /// The network would take too much memory for the frame, or the engine fails.
    pub fn ground(&self, frame: &Frame) -> Result<Grounding, Error> {
        self.grounded(&self.run(), frame)
    }

    fn grounded(&self, run: &Run, frame: &Frame) -> Result<Grounding, Error> {
        let standing = self.standing();
        let found = run.ground(frame, &standing)?;
        Ok(Grounding {
            revision: standing.set.revision(),
            width: frame.width(),
            height: frame.height(),
            queries: found.into_iter().map(|(result, _)| result).collect(),
        })
    }

    /// Whether the model knows what sentences say about time, and [`ground_in`](Self::ground_in) gives it a past.
    pub fn remembers(&self) -> bool {
        self.past_interval().is_some()
    }

    /// How long after an instant that [`ground_in`](Self::ground_in) remembers the next one is remembered, at least; `None`
    /// with a model that remembers nothing.
    pub fn past_interval(&self) -> Option<Duration> {
        self.model.network.past_interval()
    }

    /// As [`ground`](Self::ground), of a frame of a stream, which is `at` this time of it: a model that knows what
    /// sentences say about time hears what it remembers of earlier frames, and remembers this one.
    ///
    /// # Errors
    /// As [`ground`](Self::ground).
    pub fn ground_in(&self, past: &Past, at: Duration, frame: &Frame) -> Result<Grounding, Error> {
        self.grounded(&self.run_in(past, at), frame)
    }

    /// Answers encoded queries for one frame, each with the outputs that its result was decoded from.
    ///
    /// # Errors
    /// As [`ground`](Self::ground).
    pub fn ground_encoded(
        &self,
        frame: &Frame,
        asked: &Encoded,
    ) -> Result<Vec<(QueryResult, RawOutputs)>, Error> {
        self.run().ground(frame, asked)
    }

    /// As [`ground_encoded`](Self::ground_encoded), of a frame of a stream, as [`ground_in`](Self::ground_in).
    ///
    /// # Errors
    /// As [`ground`](Self::ground).
    pub fn ground_encoded_in(
        &self,
        past: &Past,
        at: Duration,
        frame: &Frame,
        asked: &Encoded,
    ) -> Result<Vec<(QueryResult, RawOutputs)>, Error> {
        self.run_in(past, at).ground(frame, asked)
    }

    /// The network's outputs for encoded queries, before they are decoded.
    ///
    /// # Errors
    /// As [`ground`](Self::ground).
    pub fn outputs(&self, frame: &Frame, asked: &Encoded) -> Result<Vec<RawOutputs>, Error> {
        self.run().outputs(frame, asked)
    }

    /// Sees a frame once, to be asked later. Standing queries are not concerned.
    ///
    /// # Errors
    /// As [`ground`](Self::ground).
    pub fn see(&self, frame: &Frame) -> Result<Seen, Error> {
        self.run().see(frame, true)
    }

    /// Answers encoded queries for a frame that was seen, as [`ground_encoded`](Self::ground_encoded) does for
    /// one that is there. One that was stored has no masks.
    ///
    /// # Errors
    /// Another vision graph saw it, the network would take too much memory, or the engine fails.
    pub fn ask(
        &self,
        seen: &Seen,
        asked: &Encoded,
    ) -> Result<Vec<(QueryResult, RawOutputs)>, Error> {
        self.model.identity.check(&seen.by)?;
        self.run().ask(seen, asked)
    }

    /// A frame that [`Seen::to_bytes`] wrote.
    ///
    /// # Errors
    /// The bytes are damaged, or those of a frame that another vision graph saw.
    pub fn restore(&self, bytes: &[u8]) -> Result<Seen, Error> {
        let header = SeenHeader::read(bytes)?;
        self.model.identity.check(&header.by)?;
        let sizes = &self.manifest().network;
        let (rows, columns) = grid(header.input, sizes.stride);
        let expected = (rows, columns, sizes.d_model);
        let found = (
            header.rows as usize,
            header.columns as usize,
            header.d as usize,
        );
        if expected != found {
            let text = |(rows, columns, d)| format!("{rows} x {columns} of {d}");
            return Err(SeenError::value("tokens", text(expected), text(found)).into());
        }
        let (header, values) = decode(bytes)?;
        Ok(Seen {
            frame: header.frame_size(),
            by: header.by,
            features: self.model.network.features(header.input, values),
        })
    }

    fn run(&self) -> Run<'_> {
        Run {
            model: &self.model,
            sizes: &self.sizes,
            counters: &self.counters,
            settings: self.settings(),
            past: None,
        }
    }

    fn run_in<'a>(&'a self, past: &'a Past, at: Duration) -> Run<'a> {
        Run {
            past: Some((past, at)),
            ..self.run()
        }
    }

    /// What holds for the next frame.
    pub fn settings(&self) -> Settings {
        *self.settings.read().unwrap_or_else(|e| e.into_inner())
    }

    /// Changes what holds for frames from now on. Thresholds are clamped to 0 to 1; NaN changes nothing.
    pub fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        let mut slot = self.settings.write().unwrap_or_else(|e| e.into_inner());
        let mut changed = *slot;
        change(&mut changed);
        *slot = changed.sound(&slot);
    }

    /// Counters since the grounder was loaded.
    pub fn stats(&self) -> Stats {
        let graphs = self.model.engine.graph_counts();
        let remote = self.model.engine.remote_counts();
        Stats {
            remote_runs: remote.answers,
            remote_failures: remote.failures,
            fallback_runs: remote.fallbacks,
            graph_captures: graphs.captures,
            graph_capture_failures: graphs.capture_failures,
            graph_replay_failures: graphs.replay_failures,
            ..self.counters.read()
        }
    }

    /// Tells `watcher` of plans that take long to make, until it returns false. A plan is given up once
    /// the watchers of all grounders that [share](GrounderOptions::share_model) the model have; who wanted it gets
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
}
