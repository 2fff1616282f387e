//! Video frames as they come: pixel formats, planes, strides; the network's input made of them, and
//! how much they change.

mod change;
mod error;
mod format;
mod input;
mod pixels;
mod resize;

pub use change::LumaGrid;
pub use error::FrameError;
pub use format::{Colorimetry, PixelFormat, YuvMatrix, YuvRange};
pub(crate) use input::{InputPolicy, Normalisation};
pub(crate) use pixels::check_size;
pub use pixels::{Frame, MAX_SIDE, Plane};
