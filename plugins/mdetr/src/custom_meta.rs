//! Metadata of our own: what they have in common.

use std::ops::ControlFlow;

use gst::glib;
use gst::meta::CustomMeta;

/// Tags of what their content depends on: elements ask `transform` before they copy one.
pub(crate) const TAGS: [&str; 3] = ["video", "size", "orientation"];

/// Whether metadata stays on a frame that is transformed in this way: it is copied or scaled, not cropped or rotated.
pub(crate) fn stays(kind: glib::Quark) -> bool {
    matches!(kind.as_str().as_str(), "gst-copy" | "gst-video-scale")
}

/// The contents of all metadata of this name on a buffer, in their order.
pub(crate) fn read<T>(
    buffer: &gst::BufferRef,
    name: &str,
    content: impl Fn(&CustomMeta) -> Option<T>,
) -> Vec<T> {
    buffer
        .iter_meta::<gst::Meta>()
        .filter_map(|meta| {
            let custom = meta.try_as_custom_meta()?;
            custom.has_name(name).then(|| content(custom)).flatten()
        })
        .collect()
}

/// Takes all metadata of this name off a buffer.
pub(crate) fn remove(buffer: &mut gst::BufferRef, name: &str) {
    buffer.foreach_meta_mut(|meta| {
        let ours = meta.try_as_custom_meta().is_some_and(|m| m.has_name(name));
        match ours {
            true => ControlFlow::Continue(gst::buffer::BufferMetaForeachAction::Remove),
            false => ControlFlow::Continue(gst::buffer::BufferMetaForeachAction::Keep),
        }
    });
}
