//! Text-conditioned grounding: frames and sentences in, boxes and phrases out.
//!
//! The network is MDETR (text-modulated DETR, ICCV 2021): text and image go through one
//! transformer, so a query is a sentence, and every box knows which words it answers to.
//!
//! ```
//! use mdetr::{Frame, Grounder, GrounderOptions, Query};
//!
//! # let dir = std::env::var("MDETR_TEST_BUNDLE")
//! #     .unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tabletop").to_owned());
//! let grounder = Grounder::load(dir, GrounderOptions::default())?;
//! grounder.set_queries(vec![
//!     Query::parse("ball", "[a red ball] left of a cube")?,
//!     Query::parse("cones", "all cones")?,
//! ])?;
//!
//! let rgb = vec![128; 320 * 240 * 3];
//! let grounding = grounder.ground(&Frame::rgb(320, 240, &rgb)?)?;
//! for result in &grounding.queries {
//!     println!("{}: {}", result.query.text(), if result.present() { "yes" } else { "no" });
//!     for detection in &result.detections {
//!         println!("  {:?} {:.2} {:?}", detection.bbox, detection.score, detection.phrases);
//!     }
//! }
//! # assert_eq!(grounding.queries.len(), 2);
//! # Ok::<(), mdetr::Error>(())
//! ```
//!
//! A [`Frame`] borrows the pixels of a video frame as they lie. A [`Bundle`] is a directory with a
//! model. [`Query`] explains brackets. A [`Grounder`] holds the standing queries: their texts are
//! encoded once, when they are set, and the picture is seen once for all of them.
//!
//! What is used less lies in modules: [`bundle`] has what a model says about itself, [`engine`] the engines'
//! options, plans and logs, [`frame`] colours and changes of frames, [`query`] sets of queries,
//! [`report`] writes what was found as JSON lines, and [`seen`] how frames are kept to be asked later.

pub mod bundle;
mod check;
mod counters;
mod decode;
mod error;
pub mod frame;
#[cfg(fuzzing)]
pub mod fuzzing;
mod grounder;
mod pack;
pub mod seen;
mod text;

pub use bundle::Bundle;
pub use counters::Stats;
pub use decode::RawOutputs;
pub use error::Error;
pub use frame::{Frame, PixelFormat, Plane};
pub use grounder::speed::SpeedChoice;
pub use grounder::{Encoded, Grounder, GrounderOptions, Past, Seen, Settings};
#[doc(inline)]
pub use mdetr_engine::{EngineChoice, EngineKind};
#[doc(inline)]
pub use mdetr_grounding::{
    Answer, BBox, Detection, Grounding, Phrase, Query, QueryResult, Rle, Span, query, report,
};
pub use pack::Packing;

/// What runs a model: options, plans, logs, errors.
pub mod engine {
    pub use crate::grounder::{TriedPlan, try_plans};
    #[doc(inline)]
    pub use mdetr_engine::{
        CacheError, Dimension, EngineChoice, EngineError, EngineInfo, EngineKind, EngineLog,
        EngineMessage, Fallback, GraphRole, InputType, KServeOptions, LogLevel, MODEL_HASH,
        OptionError, PlanEvent, PlanWatcher, Precision, TensorRtOptions, add_onnxruntime_library,
        model_name, model_version, plan_cache, set_engine_log,
    };
}
