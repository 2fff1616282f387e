//! What grounders of the same bundle can share: graphs, plans, tokenizer and encoded texts.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mdetr_engine::registry::Registry;
use mdetr_engine::{Engine, EngineOptions, TensorRtOptions};

use super::memory::Footprint;
use super::network::{MOST_OBJECTS, Network};
use super::options::GrounderOptions;
use crate::bundle::{Bundle, Manifest};
use crate::decode::answers::Answering;
use crate::error::Error;
use crate::frame::Normalisation;
use crate::seen::Identity;
use crate::text::TextEncoder;

/// A loaded bundle.
#[derive(Debug)]
pub(super) struct Model {
    /// Another for each that this process loads; never 0.
    pub number: u64,
    pub bundle: Bundle,
    pub identity: Identity,
    pub engine: Box<dyn Engine>,
    pub normalisation: Normalisation,
    pub text: TextEncoder,
    pub network: Network,
    pub answering: Option<Answering>,
}

impl Model {
    pub(super) fn load(bundle: Bundle, options: &GrounderOptions) -> Result<Model, Error> {
        let precision = &bundle.manifest().precision;
        let engines = EngineOptions {
            tensorrt: &options.tensorrt,
            kserve: &options.kserve,
        };
        let engine = mdetr_engine::open(options.engine, precision, engines)?;
        let text = TextEncoder::new(
            bundle.clone(),
            options.text_cache_entries,
            options.text_cache_dir.as_deref(),
            options.text_cache_bytes,
        )?;
        let words = bundle.answer_words()?;
        let answers = bundle.manifest().answers.as_ref();
        let answering = answers.map(|answers| Answering::new(answers, words));
        let input = &bundle.manifest().input;
        static LOADED: AtomicU64 = AtomicU64::new(0);
        Ok(Model {
            number: LOADED.fetch_add(1, Ordering::Relaxed) + 1,
            normalisation: Normalisation::new(input.mean, input.std),
            text,
            network: Network::load(&bundle, engine.as_ref())?,
            answering,
            engine,
            identity: Identity::of(&bundle),
            bundle,
        })
    }

    /// The model of this bundle and these options that is loaded already, else a new one.
    pub(super) fn shared(bundle: Bundle, options: &GrounderOptions) -> Result<Arc<Model>, Error> {
        static MODELS: Registry<Key, Model> = Registry::new();
        let key = Key::new(&bundle, options);
        MODELS.get_or_make(key, || Model::load(bundle, options))
    }

    /// Texts in one run of the fusion graph at most. In int8 activations of a run share a scale: one by
    /// one, so that answers do not depend on the other queries.
    pub(super) fn texts_at_once(&self) -> usize {
        match self.bundle.manifest().precision.as_str() {
            "int8" => 1,
            _ => self.engine.texts_at_once().max(1),
        }
    }

    /// What a frame of which the network is fed `input` takes; `masks`: masks are drawn.
    pub(super) fn footprint(&self, frame: (u32, u32), input: (u32, u32), masks: bool) -> Footprint {
        let objects = if masks { MOST_OBJECTS } else { 0 };
        Footprint::new(&self.bundle.manifest().network, frame, input, objects)
    }
}

/// What a model depends on.
#[derive(Debug, PartialEq)]
struct Key {
    dir: PathBuf,
    /// With the hashes of all files.
    manifest: Manifest,
    options: GrounderOptions,
}

impl Key {
    fn new(bundle: &Bundle, options: &GrounderOptions) -> Key {
        let by_grounder = GrounderOptions::default();
        Key {
            dir: bundle
                .dir()
                .canonicalize()
                .unwrap_or_else(|_| bundle.dir().to_owned()),
            manifest: bundle.manifest().clone(),
            options: GrounderOptions {
                score_threshold: by_grounder.score_threshold,
                phrase_threshold: by_grounder.phrase_threshold,
                overlap_threshold: by_grounder.overlap_threshold,
                max_detections: by_grounder.max_detections,
                short_side: by_grounder.short_side,
                memory_limit: by_grounder.memory_limit,
                masks: by_grounder.masks,
                packing: by_grounder.packing,
                tensorrt: TensorRtOptions {
                    lanes: by_grounder.tensorrt.lanes,
                    ..options.tensorrt.clone()
                },
                ..options.clone()
            },
        }
    }
}
