//! What all elements share.

use gst::prelude::*;
use gst::subclass::ElementMetadata;

/// Why `value.get()` in `set_property` cannot fail.
pub const TYPE_CHECKED: &str = "GObject checks the type against the specification";

/// A category of GStreamer's log, named after an element.
pub fn debug_category(name: &str, description: &str) -> gst::DebugCategory {
    gst::DebugCategory::new(name, gst::DebugColorFlags::empty(), Some(description))
}

/// What `gst-inspect-1.0` shows of an element.
pub fn metadata(long_name: &str, class: &str, description: &str) -> ElementMetadata {
    ElementMetadata::new(long_name, class, description, "The mdetr developers")
}

/// Templates of the pads `sink` and `src`, which are always there.
pub fn pad_templates(sink: &gst::Caps, src: &gst::Caps) -> Vec<gst::PadTemplate> {
    vec![
        pad_template("sink", gst::PadDirection::Sink, sink),
        pad_template("src", gst::PadDirection::Src, src),
    ]
}

/// Template of a pad that is always there.
pub fn pad_template(
    name: &str,
    direction: gst::PadDirection,
    caps: &gst::Caps,
) -> gst::PadTemplate {
    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps)
        .expect("the caps are valid")
}

/// Adds the pads of an element that is being constructed.
pub fn add_pads(element: &gst::Element, pads: [&gst::Pad; 2]) {
    for pad in pads {
        element
            .add_pad(pad)
            .expect("a new element has no pads of these names");
    }
}
