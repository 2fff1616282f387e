//! Detections as GstAnalyticsRelationMeta, which GStreamer has since 1.24.
//!
//! The library with it, `libgstanalytics-1.0`, is opened when a program runs, so that one build serves every GStreamer
//! from 1.20 on: [`Analytics::open`] says whether it is there.
//!
//! A buffer has one relation metadata, which all elements share; what is in it is known by its number. Of a detection
//! there are
//!
//! | metadata | since | content |
//! |---|---|---|
//! | object detection | 1.24 | the query's id as its type, the box in pixels, the score |
//! | tracking | 1.24 | the track; the detection relates to it (`RELATE_TO`) |
//! | segmentation | 1.26 | the mask; the detection contains it (`CONTAIN`) |
//! | text | 1.30 | each phrase with its score; the detection contains it |
//!
//! Types are GQuarks, which are never freed: that is why a phrase does not become one.

mod ffi;
mod library;
mod mask;
mod read;
mod symbols;
#[cfg(test)]
mod tests;
mod write;

pub use library::{Analytics, Unavailable};
pub(crate) use read::length;
pub use read::{Object, attach_tracks, objects, remove};
pub use write::{Found, Writer};
