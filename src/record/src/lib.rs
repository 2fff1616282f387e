//! Recordings of ROS 2 topics: MCAP files that `ros2 bag`, Foxglove and rosbags open.
//!
//! [`Recorder`] writes, and [`Recording`] does so on a thread of its own; a file that was not finished, as its program was
//! killed, is read as far as it goes by [`recover`], which gives it an index again.

mod error;
mod recorder;
mod recording;
mod recover;
mod topics;

pub use error::RecordError;
pub use recorder::{RecordOptions, Recorder};
pub use recording::Recording;
pub use recover::{Recovered, recover};
pub use topics::Topic;
