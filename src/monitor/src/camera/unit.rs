//! Coded pictures on their way to clips.

use jiff::Timestamp;

/// A coded picture.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) buffer: gst::Buffer,
    pub(super) utc: Timestamp,
    /// Whether it can be decoded without others.
    pub(super) key: bool,
}
