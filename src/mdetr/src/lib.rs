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
//! [`report`] writes what was found as JSON lines; [`eval`] measures a bundle on a data set.

pub mod bundle;
mod disk;
pub mod engine;
pub mod error;
pub mod eval;
pub mod frame;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod ground;
pub mod grounder;
pub mod query;
mod registry;
pub mod report;
mod sync;
mod text;
pub mod track;

pub use bundle::{Bundle, Manifest};
pub use engine::{
    EngineInfo, EngineKind, EngineLog, EngineMessage, LogLevel, PlanEvent, PlanWatcher, Precision,
    TensorRtOptions, set_engine_log,
};
pub use error::{BundleError, CacheError, EngineError, Error, FrameError, QueryError};
pub use frame::{Colorimetry, Frame, PixelFormat, Plane, YuvMatrix, YuvRange};
pub use ground::{Answer, BBox, Detection, Grounding, Phrase, QueryResult, RawOutputs};
pub use grounder::{Encoded, Grounder, GrounderOptions, Stats, TriedPlan, try_plans};
pub use mdetr_rle::Rle;
pub use query::{Packing, Query, QuerySet, Span};
pub use report::FrameInfo;
