//! The words of grounding: queries, spans, boxes, detections, results, masks, and the report of a frame.
//!
//! Whoever asks questions or reads results needs this crate and no more: there is no engine in it, no
//! video and no file. [`Query`] explains brackets; [`Grounding`] is what was found in a frame;
//! [`report`] writes it as a line of JSON, and [`lines`] reads such lines.

pub mod bbox;
mod identity;
pub mod lines;
pub mod query;
pub mod report;
pub mod result;
pub mod rle;
pub mod span;

pub use bbox::BBox;
pub use identity::Identity;
pub use query::{Query, QueryError, QuerySet};
pub use report::FrameInfo;
pub use result::{Answer, Carried, Detection, Grounding, Phrase, QueryResult};
pub use rle::{CompressedRle, Rle};
pub use span::Span;
