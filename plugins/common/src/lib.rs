//! What was found as metadata on GStreamer's buffers, and what the elements of all plugins share.
//!
//! [`meta`] has results whole, [`regions`] and [`analytics`] as other elements read them, [`events`] what rules say of a
//! frame. Whoever reads them needs no engine. Plugins are libraries of their own in one process, which may have been built apart: they
//! read each other's metadata by [`custom_meta::Shared`].

pub mod analytics;
pub mod custom_meta;
pub mod element;
pub mod events;
pub mod meta;
pub mod pixels;
pub mod regions;
pub mod time;
