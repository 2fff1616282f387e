//! Properties of the element `mdetr`.

use std::path::PathBuf;
use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;
use mdetr_gst::element::TYPE_CHECKED;

use super::enums::{Fallback, Mode, PackQueries, Precision};
use super::settings::{
    BY_MODEL, MAX_DEADLINE, MAX_DEVICE_ID, MAX_IN_FLIGHT, MAX_WORKERS, Settings,
};
use crate::analytics_property::UseAnalytics;

/// What a change of a property asks of a running element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Taken up at the next start.
    NextStart,
    /// New standing queries.
    Queries,
    /// Thresholds, limits, interval.
    Limits,
}

pub(super) static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
    let defaults = Settings::default();
    let mut specs = model(&defaults);
    specs.extend(queries(&defaults));
    specs.extend(timing(&defaults));
    specs
});

fn model(defaults: &Settings) -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecString::builder("model")
            .nick("Model")
            .blurb(
                "Name of a model (mdetr models lists them) or directory of a bundle; default: $MDETR_MODEL, else the bundled model near the plugin, else models/tabletop in the working directory",
            )
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("engine")
            .nick("Engine")
            .blurb("What runs the model: auto (the fastest that is available here), tensorrt (NVIDIA GPUs), onnxruntime (CPUs), tract (CPUs, always there) or kserve (servers, see endpoints); or for each graph, as vision:tract,fusion:kserve, of text, vision, fusion and mask")
            .default_value(defaults.engine.as_str())
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("endpoints")
            .nick("Endpoints")
            .blurb("Servers with the model, for the engine kserve, as grpc://HOST:PORT or, with TLS, grpcs://HOST:PORT; several with commas: they take turns, and one answers for another")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("token-file")
            .nick("Token file")
            .blurb("File with the token that the endpoints ask for; default: what is in MDETR_KSERVE_TOKEN")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("ca-file")
            .nick("CA file")
            .blurb("Certificates, in PEM, of the authorities that the endpoints are known by; default: those of the system")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("remote-deadline")
            .nick("Remote deadline")
            .blurb("Milliseconds that a graph may take on the endpoints, all attempts together")
            .minimum(1)
            .maximum(MAX_DEADLINE)
            .default_value(defaults.remote_deadline)
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("fallback", defaults.fallback)
            .nick("Fallback")
            .blurb("What answers when no endpoint does")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("device-id")
            .nick("Device")
            .blurb("Number of the GPU that TensorRT uses")
            .maximum(MAX_DEVICE_ID)
            .default_value(defaults.device_id)
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("precision", defaults.precision)
            .nick("Precision")
            .blurb("How TensorRT computes floats")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("plan-cache-dir")
            .nick("Plan cache directory")
            .blurb("Directory in which TensorRT's plans are kept between runs; default: mdetr/plans in the user's cache directory")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("workspace")
            .nick("Workspace")
            .blurb("Most memory of the GPU for intermediate results of a TensorRT plan, in MiB; 0: as TensorRT chooses")
            .default_value(defaults.workspace)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("answer-while-building")
            .nick("Answer while building")
            .blurb("Let tract answer while TensorRT's plans are built in the background; without it frames pass without detections in mode live until they are there, and wait in mode every-frame")
            .default_value(defaults.answer_while_building)
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("text-cache-dir")
            .nick("Text cache directory")
            .blurb("Directory in which encoded queries are kept between runs; default: in memory only")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("short-side")
            .nick("Short side")
            .blurb("Scale frames to this short side in pixels for the network; 0: the model's. A smaller one is faster and sees less")
            .maximum(mdetr::frame::MAX_SIDE)
            .default_value(defaults.short_side)
            .mutable_ready()
            .build(),
        glib::ParamSpecDouble::builder("target-fps")
            .nick("Target rate")
            .blurb("Measure before the first frame, and scale frames to the largest short side with which so many in a second are answered one after the other; 0: do not. Not with TensorRT")
            .minimum(0.0)
            .maximum(1000.0)
            .default_value(defaults.target_fps)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb("Counters of this run: frames, inferences, text encodings, cache hits, times, engine")
            .read_only()
            .build(),
    ]
}

fn queries(defaults: &Settings) -> Vec<glib::ParamSpec> {
    let threshold = |name| {
        glib::ParamSpecFloat::builder(name)
            .minimum(BY_MODEL)
            .maximum(1.0)
            .default_value(BY_MODEL)
            .mutable_playing()
    };
    vec![
        glib::ParamSpecString::builder("query")
            .nick("Query")
            .blurb("A sentence to ground, with id q1; [square brackets] report only boxes of these words")
            .mutable_playing()
            .build(),
        gst::ParamSpecArray::builder("queries")
            .nick("Queries")
            .blurb(
                "Sentences to ground: strings, or structures with text, id, score-threshold, phrase-threshold; in gst-launch-1.0 with escaped spaces: queries='<\"a\\ red\\ cube\",[query,id=balls,text=\"all\\ balls\"]>'",
            )
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("config")
            .nick("Configuration")
            .blurb("TOML file with [[query]] tables: id, text, score_threshold, phrase_threshold")
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("pack-queries", defaults.pack_queries)
            .nick("Pack queries")
            .blurb("Which queries are joined into one caption and fused with the frame once for all: less time for many queries, at a price in accuracy")
            .mutable_playing()
            .build(),
        threshold("score-threshold")
            .nick("Score threshold")
            .blurb("Report boxes with a score above this, for queries without their own; -1: the model's")
            .build(),
        threshold("phrase-threshold")
            .nick("Phrase threshold")
            .blurb("A box answers to words with a probability above this; -1: the model's")
            .build(),
        threshold("overlap-threshold")
            .nick("Overlap threshold")
            .blurb("Drop a box that overlaps another of its query with a greater score by more than this intersection over union, if it answers to no other words; 1: keep all; -1: the model's")
            .build(),
        glib::ParamSpecUInt::builder("max-detections")
            .nick("Maximum of detections")
            .blurb("Most boxes reported for one query")
            .minimum(1)
            .default_value(defaults.max_detections)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("masks")
            .nick("Masks")
            .blurb("Draw the mask of every detection, if the model can; without them frames take less time, and boxes of some models are looser")
            .default_value(defaults.masks)
            .mutable_playing()
            .build(),
        UseAnalytics::spec(),
    ]
}

fn timing(defaults: &Settings) -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecEnum::builder_with_default("mode", defaults.mode)
            .nick("Mode")
            .blurb("Whether frames wait for their result")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("inference-interval")
            .nick("Inference interval")
            .blurb("Infer one frame in so many; the others carry its result and their distance from it")
            .minimum(1)
            .default_value(defaults.inference_interval)
            .mutable_playing()
            .build(),
        glib::ParamSpecFloat::builder("change-threshold")
            .nick("Change threshold")
            .blurb("Infer a frame only if the brightness of some cell of a 32 x 24 grid differs by more than this from the last inferred frame, 0 to 1 of full scale; 0: infer unchanged frames too. Models that remember see a still scene every 0.4 s, or as their bundle says")
            .minimum(0.0)
            .maximum(1.0)
            .default_value(defaults.change_threshold)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("max-in-flight")
            .nick("Maximum in flight")
            .blurb("Frames held at once in mode every-frame; 0: one more than workers")
            .maximum(MAX_IN_FLIGHT)
            .default_value(defaults.max_in_flight)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("workers")
            .nick("Workers")
            .blurb("Frames inferred at once, each on a thread of its own; 0: one for each processor, two with TensorRT. Elements of a process take turns on its processors")
            .maximum(MAX_WORKERS)
            .default_value(defaults.workers)
            .mutable_ready()
            .build(),
    ]
}

impl Settings {
    /// Takes a property's value over.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> Change {
        let string = || value.get::<Option<String>>().expect(TYPE_CHECKED);
        let path = || string().filter(|path| !path.is_empty()).map(PathBuf::from);
        let float = || value.get::<f32>().expect(TYPE_CHECKED);
        let uint = || value.get::<u32>().expect(TYPE_CHECKED);
        match name {
            "model" => self.model = path(),
            "engine" => {
                self.engine = string().unwrap_or_else(|| Settings::default().engine);
            }
            "endpoints" => self.endpoints = string(),
            "token-file" => self.token_file = path(),
            "ca-file" => self.ca_file = path(),
            "remote-deadline" => self.remote_deadline = uint(),
            "fallback" => self.fallback = value.get::<Fallback>().expect(TYPE_CHECKED),
            "device-id" => self.device_id = uint(),
            "precision" => self.precision = value.get::<Precision>().expect(TYPE_CHECKED),
            "plan-cache-dir" => self.plan_cache_dir = path(),
            "workspace" => self.workspace = uint(),
            "answer-while-building" => {
                self.answer_while_building = value.get::<bool>().expect(TYPE_CHECKED);
            }
            "text-cache-dir" => self.text_cache_dir = path(),
            "short-side" => self.short_side = uint(),
            "target-fps" => self.target_fps = value.get::<f64>().expect(TYPE_CHECKED),
            "mode" => self.mode = value.get::<Mode>().expect(TYPE_CHECKED),
            "max-in-flight" => self.max_in_flight = uint(),
            "workers" => self.workers = uint(),
            "query" => self.query = string(),
            "queries" => self.queries = value.get().expect(TYPE_CHECKED),
            "config" => self.config = path(),
            "pack-queries" => {
                self.pack_queries = value.get::<PackQueries>().expect(TYPE_CHECKED);
            }
            "score-threshold" => self.score_threshold = float(),
            "phrase-threshold" => self.phrase_threshold = float(),
            "overlap-threshold" => self.overlap_threshold = float(),
            "max-detections" => self.max_detections = uint(),
            "masks" => self.masks = value.get::<bool>().expect(TYPE_CHECKED),
            "analytics" => self.analytics = value.get::<UseAnalytics>().expect(TYPE_CHECKED),
            "inference-interval" => self.inference_interval = uint(),
            "change-threshold" => self.change_threshold = float(),
            _ => unreachable!("GObject knows only the properties of SPECS"),
        }
        match name {
            "query" | "queries" | "config" | "pack-queries" => {
                self.queries_version += 1;
                Change::Queries
            }
            "score-threshold" | "phrase-threshold" | "overlap-threshold" | "max-detections"
            | "inference-interval" | "change-threshold" | "masks" => Change::Limits,
            _ => Change::NextStart,
        }
    }

    /// A property's value.
    pub fn get(&self, name: &str) -> glib::Value {
        match name {
            "model" => self.model.to_value(),
            "engine" => self.engine.to_value(),
            "endpoints" => self.endpoints.to_value(),
            "token-file" => self.token_file.to_value(),
            "ca-file" => self.ca_file.to_value(),
            "remote-deadline" => self.remote_deadline.to_value(),
            "fallback" => self.fallback.to_value(),
            "device-id" => self.device_id.to_value(),
            "precision" => self.precision.to_value(),
            "plan-cache-dir" => self.plan_cache_dir.to_value(),
            "workspace" => self.workspace.to_value(),
            "answer-while-building" => self.answer_while_building.to_value(),
            "text-cache-dir" => self.text_cache_dir.to_value(),
            "short-side" => self.short_side.to_value(),
            "target-fps" => self.target_fps.to_value(),
            "mode" => self.mode.to_value(),
            "max-in-flight" => self.max_in_flight.to_value(),
            "workers" => self.workers.to_value(),
            "query" => self.query.to_value(),
            "queries" => self.queries.to_value(),
            "config" => self.config.to_value(),
            "pack-queries" => self.pack_queries.to_value(),
            "score-threshold" => self.score_threshold.to_value(),
            "phrase-threshold" => self.phrase_threshold.to_value(),
            "overlap-threshold" => self.overlap_threshold.to_value(),
            "max-detections" => self.max_detections.to_value(),
            "masks" => self.masks.to_value(),
            "analytics" => self.analytics.to_value(),
            "inference-interval" => self.inference_interval.to_value(),
            "change-threshold" => self.change_threshold.to_value(),
            _ => unreachable!("GObject knows only the properties of SPECS"),
        }
    }
}
