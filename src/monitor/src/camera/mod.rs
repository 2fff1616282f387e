//! Cameras: a pipeline for each, connected again when it fails, and what its frames show.

mod analysis;
mod clip;
mod model;
mod pace;
mod pictures;
mod pipeline;
mod queries;
mod rates;
mod recorder;
mod run;
mod second;
mod source;
mod supervise;
mod unit;
mod video;

pub use model::Model;
pub(crate) use pictures::Painter;
pub use supervise::{Cameras, Context};
