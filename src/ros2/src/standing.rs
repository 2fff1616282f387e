//! The model and the standing queries that pictures are answered with, under one revision.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use mdetr::bundle::Models;
use mdetr::engine::KServeOptions;
use mdetr::{Encoded, EngineChoice, Grounder, GrounderOptions, Grounding, Past, Query};

use crate::parameters::Values;
use crate::prompt;

/// What pictures are to be answered with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    model: PathBuf,
    engine: EngineChoice,
    kserve: KServeOptions,
    short_side: Option<u32>,
    text_cache_dir: Option<PathBuf>,
    queries: Vec<Query>,
    overlap_threshold: Option<f32>,
    max_detections: usize,
    masks: bool,
}

impl Wanted {
    /// What the parameters say.
    ///
    /// # Errors
    /// A query is none, or there is no such model: says why.
    pub fn new(values: &Values) -> Result<Wanted, String> {
        let (score, phrase) = (
            values.threshold("score_threshold"),
            values.threshold("phrase_threshold"),
        );
        // The thresholds are part of the queries, so that they change together with them.
        let with_thresholds = |mut query: Query| {
            if let (None, Some(score)) = (query.score_threshold(), score) {
                query = query.with_score_threshold(score)?;
            }
            if let (None, Some(phrase)) = (query.phrase_threshold(), phrase) {
                query = query.with_phrase_threshold(phrase)?;
            }
            Ok::<_, mdetr::query::QueryError>(query)
        };
        let queries = prompt::parse_entries(values.strings("queries"))?;
        let queries = queries
            .into_iter()
            .map(with_thresholds)
            .collect::<Result<_, _>>();
        let path = |name: &str| match values.string(name) {
            "" => None,
            path => Some(PathBuf::from(path)),
        };
        let program = std::env::current_exe().ok();
        let models = Models::of_program(program.as_deref());
        let model = path("model").unwrap_or_else(|| models.default_model());
        Ok(Wanted {
            model: models.find(model).map_err(|error| error.to_string())?,
            engine: values.engine(),
            kserve: KServeOptions {
                endpoints: values.strings("endpoints").to_vec(),
                token_file: path("token_file"),
                ca_file: path("ca_file"),
                deadline: Duration::from_secs_f64(values.double("remote_deadline")),
                fallback: values.fallback(),
            },
            short_side: Some(values.integer("short_side")).filter(|side| *side > 0),
            text_cache_dir: path("text_cache_dir"),
            queries: queries.map_err(|error| error.to_string())?,
            overlap_threshold: values.threshold("overlap_threshold"),
            max_detections: values.integer("max_detections") as usize,
            masks: values.boolean("masks"),
        })
    }

    fn options(&self) -> GrounderOptions {
        GrounderOptions {
            engine: self.engine,
            kserve: self.kserve.clone(),
            // What changes with the settings is the grounder; the model is loaded once.
            share_model: true,
            short_side: self.short_side,
            text_cache_dir: self.text_cache_dir.clone(),
            overlap_threshold: self.overlap_threshold,
            max_detections: self.max_detections,
            masks: self.masks,
            ..GrounderOptions::default()
        }
    }

    /// Makes it ready: loads the model, unless `before` has it, and encodes the queries. Takes its time.
    ///
    /// # Errors
    /// The model cannot be used, or a query is too long for it.
    pub fn stand(self, before: Option<&Standing>, revision: u64) -> Result<Standing, String> {
        let options = self.options();
        let same = before.filter(|before| {
            before.wanted.model == self.model && before.wanted.options() == options
        });
        let grounder = match same {
            Some(before) => before.grounder.clone(),
            None => {
                let loaded = Grounder::load(&self.model, options);
                Arc::new(loaded.map_err(|error| error.to_string())?)
            }
        };
        let set = grounder.set_queries(self.queries.clone());
        set.map_err(|error| error.to_string())?;
        Ok(Standing {
            encoded: grounder.standing(),
            grounder,
            revision,
            wanted: self,
        })
    }
}

/// A model and encoded queries. Pictures are answered with all of one or all of the next.
#[derive(Debug)]
pub(crate) struct Standing {
    grounder: Arc<Grounder>,
    encoded: Arc<Encoded>,
    revision: u64,
    wanted: Wanted,
}

impl Standing {
    /// Whether it is what is wanted.
    pub fn is(&self, wanted: &Wanted) -> bool {
        self.wanted == *wanted
    }

    /// Its number; each that follows has a higher one.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What runs the model.
    pub fn engine(&self) -> String {
        self.grounder.engine().name
    }

    /// The model's name and version.
    pub fn model(&self) -> String {
        let manifest = self.grounder.manifest();
        format!("{} {}", manifest.name, manifest.version)
    }

    /// How many queries there are.
    pub fn queries(&self) -> usize {
        self.encoded.queries().queries().len()
    }

    /// Least score of a detection of queries without a threshold of their own.
    pub fn score_threshold(&self) -> f32 {
        self.grounder.settings().score_threshold
    }

    /// Answers the queries for a picture of a stream, taken `at` this time, on the calling thread.
    ///
    /// # Errors
    /// The picture takes too much memory, or the engine fails.
    pub fn ground(
        &self,
        past: &Past,
        at: Duration,
        frame: &mdetr::Frame<'_>,
    ) -> Result<Grounding, mdetr::Error> {
        let found = self
            .grounder
            .ground_encoded_in(past, at, frame, &self.encoded)?;
        Ok(Grounding {
            revision: self.revision,
            width: frame.width(),
            height: frame.height(),
            queries: found.into_iter().map(|(result, _)| result).collect(),
        })
    }
}

/// Where those who answer pictures find what to answer them with. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slot(Arc<RwLock<Option<Arc<Standing>>>>);

impl Slot {
    /// What stands now.
    pub fn get(&self) -> Option<Arc<Standing>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts it in force, from the next picture on.
    pub fn set(&self, standing: Option<Arc<Standing>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}
