//! What cameras saw, kept on disk as tokens, and asked later.
//!
//! A directory holds segment files, which are only appended to. A [`Writer`] adds frames: what
//! [`mdetr::Seen::to_bytes`] gave, with the camera and the time, and a small picture if wanted. A scene that stays as it
//! was costs a few bytes a minute. [`Past`] reads the directory, while one writes it or later, and [`search`] asks it.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//!
//! use mdetr::{Grounder, GrounderOptions, Query};
//! use mdetr_past::{Event, Past, Search, Selection, search};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let grounder = Grounder::load("models/tabletop", GrounderOptions::default())?;
//! let past = Past::open("past".as_ref(), None, &Selection::default())?;
//! let wanted = Search::new(Query::parse("q", "a red cube left of a ball")?, &grounder);
//! search(&past, &grounder, &wanted, &AtomicBool::new(false), &mut |event| {
//!     if let Event::Hit(hit) = event {
//!         println!("{} {} {:.2}", hit.camera, hit.time, hit.score);
//!     }
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! Times are nanoseconds since 1970-01-01, UTC.

mod error;
mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
mod key;
mod reader;
mod sampler;
mod search;
mod segment;
mod writer;

pub use error::PastError;
pub use key::Key;
pub use reader::{Frame, Past, Selection};
pub use sampler::{Keep, Sampler};
pub use search::{CurvePoint, Event, Hit, Mode, Moment, Outcome, Search, search};
pub use writer::{Writer, WriterOptions};
