//! What the properties say.

use std::collections::HashSet;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use gst::glib;
use mdetr::engine::plan_cache::default_plan_cache_dir;
use mdetr::engine::{EngineChoice, KServeOptions, OptionError, TensorRtOptions};
use mdetr::query::QueryError;
use mdetr::{Grounder, GrounderOptions, Query};

use super::catch_panic::catch_panic;
use super::config::{self, ConfigError};
use super::enums::{Fallback, Mode, PackQueries, Precision};
use crate::analytics_property::UseAnalytics;

/// Most worker threads; more than any machine this runs on has use for.
pub(super) const MAX_WORKERS: u32 = 64;
/// Longest deadline, in milliseconds.
pub(super) const MAX_DEADLINE: u32 = KServeOptions::MAX_DEADLINE.as_millis() as u32;
/// Greatest number of a GPU.
pub(super) const MAX_DEVICE_ID: u32 = 1023;
/// Most frames in flight.
pub(super) const MAX_IN_FLIGHT: u32 = 256;
/// Value of a threshold property that leaves the choice to the model.
pub(super) const BY_MODEL: f32 = -1.0;

/// Values of the properties.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub model: Option<PathBuf>,
    pub engine: String,
    pub endpoints: Option<String>,
    pub token_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    /// Milliseconds.
    pub remote_deadline: u32,
    pub fallback: Fallback,
    pub device_id: u32,
    pub precision: Precision,
    pub plan_cache_dir: Option<PathBuf>,
    /// MiB; 0: as TensorRT chooses.
    pub workspace: u32,
    pub answer_while_building: bool,
    pub mode: Mode,
    pub query: Option<String>,
    pub queries: gst::Array,
    pub config: Option<PathBuf>,
    pub pack_queries: PackQueries,
    pub score_threshold: f32,
    pub phrase_threshold: f32,
    pub overlap_threshold: f32,
    pub max_detections: u32,
    pub inference_interval: u32,
    /// 0: every picture counts as changed.
    pub change_threshold: f32,
    pub workers: u32,
    pub max_in_flight: u32,
    pub text_cache_dir: Option<PathBuf>,
    /// 0: the model's.
    pub short_side: u32,
    /// 0: the short side is not chosen by measuring.
    pub target_fps: f64,
    pub masks: bool,
    pub analytics: UseAnalytics,
    /// Rises when `query`, `queries`, `config` or `pack-queries` is set.
    pub queries_version: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            model: None,
            engine: EngineChoice::default().to_string(),
            endpoints: None,
            token_file: None,
            ca_file: None,
            remote_deadline: KServeOptions::default().deadline.as_millis() as u32,
            fallback: Fallback::default(),
            device_id: 0,
            precision: Precision::default(),
            plan_cache_dir: None,
            workspace: 0,
            answer_while_building: false,
            mode: Mode::default(),
            query: None,
            queries: gst::Array::default(),
            config: None,
            pack_queries: PackQueries::default(),
            score_threshold: BY_MODEL,
            phrase_threshold: BY_MODEL,
            overlap_threshold: BY_MODEL,
            max_detections: 100,
            inference_interval: 1,
            change_threshold: 0.0,
            workers: 0,
            max_in_flight: 0,
            text_cache_dir: None,
            short_side: 0,
            target_fps: 0.0,
            masks: true,
            analytics: UseAnalytics::default(),
            queries_version: 0,
        }
    }
}

/// Why the standing queries cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "queries: item {item} is a {found}; expected a string or a structure like [query,id=cones,text=\"all cones\"]"
    )]
    ItemType { item: usize, found: String },
    #[error(
        "queries: item {item}: unknown or ill-typed field {field:?}; expected text (string), id (string), score-threshold or phrase-threshold (0 to 1)"
    )]
    ItemField { item: usize, field: String },
    #[error("queries: item {item}: no field \"text\"; say what to look for")]
    ItemText { item: usize },
}

impl Settings {
    /// Whether any property names a query.
    pub fn has_queries(&self) -> bool {
        self.query.is_some() || !self.queries.is_empty() || self.config.is_some()
    }

    /// The standing queries: `query`, then those of `queries`, then those of `config`.
    ///
    /// Queries without an id are called q1, q2 ... by their place.
    pub fn standing(&self) -> Result<Vec<Query>, SettingsError> {
        let mut standing = Vec::new();
        if let Some(text) = &self.query {
            standing.push(Query::parse(nth_id(0), text)?);
        }
        for (index, item) in self.queries.iter().enumerate() {
            standing.push(array_item(index + 1, item, nth_id(standing.len()))?);
        }
        if let Some(path) = &self.config {
            standing.extend(config::read(path)?);
        }
        Ok(standing)
    }

    /// Makes `queries` the only ones, if they can be; else nothing changes.
    pub fn set_queries(&mut self, queries: gst::Array) -> Result<(), SettingsError> {
        let wanted = Settings {
            query: None,
            config: None,
            queries,
            queries_version: self.queries_version + 1,
            ..self.clone()
        };
        let mut ids = HashSet::new();
        for query in wanted.standing()? {
            if !ids.insert(query.id().to_owned()) {
                let id = query.id().to_owned();
                return Err(QueryError::DuplicateId { id }.into());
            }
        }
        *self = wanted;
        Ok(())
    }

    /// Number of worker threads to start for an engine, by its name.
    pub fn worker_count(&self, engine: &str) -> usize {
        let processors = || thread::available_parallelism().map_or(1, |n| n.get());
        match (self.workers, engine) {
            // One frame is copied while another is computed; each more takes memory of the GPU.
            (0, "tensorrt") => processors().min(2),
            (0, _) => processors().min(MAX_WORKERS as usize),
            (workers, _) => workers as usize,
        }
    }

    /// Number of frames held at once: by default one for each worker and one that waits.
    pub fn in_flight(&self, engine: &str) -> usize {
        match self.max_in_flight {
            0 => self.worker_count(engine) + 1,
            frames => frames as usize,
        }
    }

    /// How the model is loaded.
    ///
    /// # Errors
    /// `engine` names none.
    pub fn grounder_options(&self) -> Result<GrounderOptions, OptionError> {
        let threshold = |value: f32| (value >= 0.0).then_some(value);
        Ok(GrounderOptions {
            engine: self.engine.parse()?,
            share_model: true,
            kserve: KServeOptions {
                endpoints: KServeOptions::endpoints_in(self.endpoints.as_deref().unwrap_or("")),
                token_file: self.token_file.clone(),
                ca_file: self.ca_file.clone(),
                deadline: Duration::from_millis(self.remote_deadline.into()),
                fallback: self.fallback.into(),
            },
            tensorrt: TensorRtOptions {
                device_id: self.device_id,
                precision: self.precision.into(),
                plan_cache_dir: self.plan_cache_dir.clone().or_else(default_plan_cache_dir),
                workspace: (self.workspace > 0).then(|| u64::from(self.workspace) << 20),
                answer_while_building: self.answer_while_building,
                lanes: self.worker_count("tensorrt"),
                ..TensorRtOptions::default()
            },
            text_cache_dir: self.text_cache_dir.clone(),
            score_threshold: threshold(self.score_threshold),
            phrase_threshold: threshold(self.phrase_threshold),
            overlap_threshold: threshold(self.overlap_threshold),
            max_detections: self.max_detections as usize,
            short_side: (self.short_side > 0).then_some(self.short_side),
            masks: self.masks,
            packing: self.pack_queries.into(),
            ..GrounderOptions::default()
        })
    }

    /// Encodes the queries and makes them the standing ones; gives their revision.
    pub fn apply_queries(&self, grounder: &Grounder) -> Result<u64, String> {
        let standing = self.standing().map_err(|error| error.to_string())?;
        let packing = self.pack_queries.into();
        grounder.change_settings(|settings| settings.packing = packing);
        catch_panic(|| grounder.set_queries(standing))
    }

    /// Takes over what may change while playing, apart from the queries.
    pub fn apply_limits(&self, grounder: &Grounder) {
        let by_model = grounder.manifest().thresholds;
        let or = |value: f32, default: f32| if value < 0.0 { default } else { value };
        grounder.change_settings(|settings| {
            settings.score_threshold = or(self.score_threshold, by_model.score);
            settings.phrase_threshold = or(self.phrase_threshold, by_model.phrase);
            settings.overlap_threshold = or(self.overlap_threshold, by_model.overlap);
            settings.max_detections = self.max_detections as usize;
            settings.masks = self.masks;
        });
    }
}

fn nth_id(index: usize) -> String {
    format!("q{}", index + 1)
}

/// A string, or a structure with `text` and perhaps `id` and thresholds. `item` counts from 1.
fn array_item(item: usize, value: &glib::Value, id: String) -> Result<Query, SettingsError> {
    if let Ok(Some(text)) = value.get::<Option<String>>() {
        return Ok(Query::parse(id, &text)?);
    }
    let structure = value
        .get::<gst::Structure>()
        .map_err(|_| SettingsError::ItemType {
            item,
            found: value.type_().name().to_owned(),
        })?;
    structure_item(item, &structure, id)
}

fn structure_item(
    item: usize,
    structure: &gst::StructureRef,
    mut id: String,
) -> Result<Query, SettingsError> {
    let (mut text, mut score, mut phrase) = (None, None, None);
    for (field, value) in structure.iter() {
        let known = match field.as_str() {
            "id" => value.get().map(|value| id = value).is_ok(),
            "text" => value
                .get::<String>()
                .map(|value| text = Some(value))
                .is_ok(),
            "score-threshold" => number(value).map(|value| score = Some(value)).is_some(),
            "phrase-threshold" => number(value).map(|value| phrase = Some(value)).is_some(),
            _ => false,
        };
        if !known {
            return Err(SettingsError::ItemField {
                item,
                field: field.to_string(),
            });
        }
    }
    let mut query = Query::parse(id, &text.ok_or(SettingsError::ItemText { item })?)?;
    if let Some(threshold) = score {
        query = query.with_score_threshold(threshold)?;
    }
    if let Some(threshold) = phrase {
        query = query.with_phrase_threshold(threshold)?;
    }
    Ok(query)
}

/// A float, a double, or the integer that gst-launch makes of `1`.
fn number(value: &glib::Value) -> Option<f32> {
    let double = || value.get::<f64>().ok().map(|value| value as f32);
    let integer = || value.get::<i32>().ok().map(|value| value as f32);
    value.get::<f32>().ok().or_else(double).or_else(integer)
}

#[cfg(test)]
mod tests {
    use gst::prelude::*;

    use super::*;

    fn with_queries(text: &str) -> Settings {
        gst::init().expect("GStreamer is installed");
        let value = glib::Value::deserialize(text, gst::Array::static_type()).expect("an array");
        Settings {
            queries: value.get().expect("an array"),
            ..Settings::default()
        }
    }

    fn ids_and_texts(settings: &Settings) -> Vec<(String, String)> {
        let standing = settings.standing().expect("valid queries");
        let pair = |q: &Query| (q.id().to_owned(), q.text().to_owned());
        standing.iter().map(pair).collect()
    }

    #[test]
    fn strings_and_structures_mix() {
        let mut settings = with_queries(
            r#"<"a red cube", (GstStructure)"query,id=cones,text=(string)\"all\ cones\",score-threshold=0.25", "all balls">"#,
        );
        settings.query = Some("[a ball] behind a cube".into());
        let expected = [
            ("q1", "a ball behind a cube"),
            ("q2", "a red cube"),
            ("cones", "all cones"),
            ("q4", "all balls"),
        ]
        .map(|(id, text)| (id.to_owned(), text.to_owned()));
        assert_eq!(ids_and_texts(&settings), expected);
        let standing = settings.standing().expect("valid queries");
        assert_eq!(standing[2].score_threshold(), Some(0.25));
    }

    #[test]
    fn faulty_items_are_named() {
        for (text, expected) in [
            (r#"<"a cube", 5>"#, "item 2 is a gint"),
            (
                r#"<(GstStructure)"query,id=a">"#,
                "item 1: no field \"text\"",
            ),
            (r#"<(GstStructure)"query,txt=a">"#, "\"txt\""),
            (
                r#"<(GstStructure)"query,text=a,score-threshold=high">"#,
                "\"score-threshold\"",
            ),
            (
                r#"<(GstStructure)"query,text=a,score-threshold=2">"#,
                "threshold",
            ),
            (r#"<" ">"#, "empty"),
            (r#"<"[a cube">"#, "'['"),
        ] {
            let error = with_queries(text).standing().expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_gpu_gets_two_workers_unless_told_otherwise() {
        let mut settings = Settings::default();
        assert!((1..=2).contains(&settings.worker_count("tensorrt")));
        assert_eq!(
            settings.in_flight("tensorrt"),
            settings.worker_count("tensorrt") + 1
        );
        let processors = thread::available_parallelism().map_or(1, |n| n.get());
        assert_eq!(
            settings.worker_count("tract"),
            processors.min(MAX_WORKERS as usize)
        );
        settings.workers = 5;
        assert_eq!(settings.worker_count("tensorrt"), 5);
    }

    #[test]
    fn nothing_given_is_no_query() {
        let settings = Settings::default();
        assert!(!settings.has_queries());
        assert!(settings.standing().expect("nothing to refuse").is_empty());
    }
}
