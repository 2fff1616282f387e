//! What rules say of a frame: their states and the steps of events, as metadata and as messages.
//!
//! `mdetrrules` attaches a [`FrameEvents`] to each frame. Like the results themselves ([`crate::meta`]), it is copied
//! with its buffer and kept when the frame is scaled or converted; what moves pixels in other ways drops it.
//!
//! Each step of an event is an element message [`MESSAGE`], too, with the fields `kind` (`new`, `update`, `end`), `id`,
//! `camera`, `rule` and `json`, the whole step as JSON ([`mdetr_rules::event::SCHEMA`]).

pub use crate::mdetrrules::{end, set};
pub use mdetr_gst::events::{FrameEvents, MESSAGE, NAME, attach, read, register, remove};
