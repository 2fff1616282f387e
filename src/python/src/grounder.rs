//! The class `mdetr._native.Grounder`.

use std::path::PathBuf;
use std::time::Duration;

use mdetr::bundle::{Bundle, MODEL_VARIABLE, Models, named_by_environment};
use mdetr::engine::{KServeOptions, TensorRtOptions, plan_cache};
use mdetr::query::QueryEntry;
use mdetr::{GrounderOptions, Query};
use pyo3::prelude::*;

use crate::errors::{Kind, exception, raise};
use crate::picture::{Failure, Picture};
use crate::results;

/// A loaded model with its standing queries.
#[pyclass(frozen, module = "mdetr._native")]
pub struct Grounder(mdetr::Grounder);

/// What is remembered of one stream of frames.
#[pyclass(frozen, module = "mdetr._native")]
#[derive(Default)]
pub struct Past(mdetr::Past);

#[pymethods]
impl Past {
    #[new]
    fn new() -> Past {
        Past::default()
    }

    /// Forgets everything.
    fn forget(&self) {
        self.0.forget();
    }
}

/// Id, text with brackets, score threshold, phrase threshold.
type Entry = (String, String, Option<f32>, Option<f32>);

#[pymethods]
impl Grounder {
    /// `model` is a name or a directory; the bundled model may lie near the file `program`.
    #[new]
    #[pyo3(signature = (
        program, model, *, engine, score_threshold, phrase_threshold, overlap_threshold, max_detections, short_side, masks,
        pack_queries, text_cache_dir, device_id, precision, plan_cache_dir, endpoints, token_file, ca_file,
        remote_deadline, fallback
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python passes them by name")]
    fn new(
        py: Python,
        program: PathBuf,
        model: Option<PathBuf>,
        engine: &str,
        score_threshold: Option<f32>,
        phrase_threshold: Option<f32>,
        overlap_threshold: Option<f32>,
        max_detections: usize,
        short_side: Option<u32>,
        masks: bool,
        pack_queries: &str,
        text_cache_dir: Option<PathBuf>,
        device_id: u32,
        precision: &str,
        plan_cache_dir: Option<PathBuf>,
        endpoints: Vec<String>,
        token_file: Option<PathBuf>,
        ca_file: Option<PathBuf>,
        remote_deadline: f64,
        fallback: &str,
    ) -> PyResult<Grounder> {
        let options = GrounderOptions {
            engine: engine.parse().map_err(|error| raise(py, error))?,
            score_threshold,
            phrase_threshold,
            overlap_threshold,
            max_detections,
            short_side,
            masks,
            packing: pack_queries.parse().map_err(|error| raise(py, error))?,
            text_cache_dir,
            kserve: KServeOptions {
                endpoints,
                token_file,
                ca_file,
                // What is no time is refused as none.
                deadline: Duration::try_from_secs_f64(remote_deadline).unwrap_or_default(),
                fallback: fallback.parse().map_err(|error| raise(py, error))?,
            },
            tensorrt: TensorRtOptions {
                device_id,
                precision: precision.parse().map_err(|error| raise(py, error))?,
                plan_cache_dir: plan_cache_dir.or_else(plan_cache::default_plan_cache_dir),
                ..TensorRtOptions::default()
            },
            ..GrounderOptions::default()
        };
        let named = named_by_environment().filter(|_| model.is_none());
        let load = || {
            let models = Models::of_program(Some(&program));
            let model = model.unwrap_or_else(|| models.default_model());
            let bundle = Bundle::open(models.find(model)?)?;
            mdetr::Grounder::from_bundle(bundle, options)
        };
        match (py.detach(load), named) {
            (Ok(grounder), _) => Ok(Grounder(grounder)),
            (Err(mdetr::Error::Bundle(error)), Some(named)) => {
                let named = named.display();
                let message = format!("{MODEL_VARIABLE} names {named}: {error}");
                Err(exception(py, Kind::Bundle, message))
            }
            (Err(error), _) => Err(raise(py, error)),
        }
    }

    /// Replaces the standing queries, and gives their revision.
    fn set_queries(&self, py: Python, entries: Vec<Entry>) -> PyResult<u64> {
        let query = |(id, text, score_threshold, phrase_threshold)| {
            Query::from_entry(&QueryEntry {
                id,
                text,
                score_threshold,
                phrase_threshold,
            })
        };
        let set = || {
            let queries = entries.into_iter().map(query).collect::<Result<_, _>>()?;
            self.0.set_queries(queries)
        };
        py.detach(set).map_err(|error| raise(py, error))
    }

    /// The standing queries, and their revision.
    fn queries(&self) -> (Vec<Entry>, u64) {
        let set = self.0.queries();
        let entry = |query: &Query| {
            let (id, text) = (query.id().to_owned(), query.source().to_owned());
            (id, text, query.score_threshold(), query.phrase_threshold())
        };
        let queries = set.queries().iter().map(|query| entry(query));
        (queries.collect(), set.revision())
    }

    /// Answers the standing queries for an array of RGB pixels, of a stream if its past is given and when in seconds.
    #[pyo3(signature = (frame, past=None, at=0.0))]
    fn ground<'py>(
        &self,
        py: Python<'py>,
        frame: &Bound<'py, PyAny>,
        past: Option<&Past>,
        at: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let at = Duration::try_from_secs_f64(at).map_err(|error| {
            let message = format!("at: expected seconds of at least 0, found {at}: {error}");
            exception(py, Kind::Option, message)
        })?;
        let picture = Picture::new(frame)?;
        let pixels = picture.pixels();
        let ground = |frame: &mdetr::Frame| match past {
            Some(Past(past)) => self.0.ground_in(past, at, frame),
            None => self.0.ground(frame),
        };
        let found = py.detach(|| pixels.with(ground));
        results::to_python(py, &found.map_err(|error: Failure| error.raise(py))?, None)
    }

    /// Makes ready for frames of this size.
    fn prepare(&self, py: Python, width: u32, height: u32) -> PyResult<()> {
        py.detach(|| self.0.prepare(width, height))
            .map_err(|error| raise(py, error))
    }

    /// Name and version of the engine, and why it was taken.
    fn engine(&self) -> (String, String, String) {
        let info = self.0.engine();
        (info.name, info.version, info.reason)
    }

    /// Whether the model knows what sentences say about time.
    fn remembers(&self) -> bool {
        self.0.remembers()
    }

    /// Name, version, licence and tasks of the model.
    fn model(&self) -> (&str, &str, &str, &[String]) {
        let manifest = self.0.manifest();
        let (name, version) = (&manifest.name, &manifest.version);
        (name, version, &manifest.licence, &manifest.tasks)
    }
}
