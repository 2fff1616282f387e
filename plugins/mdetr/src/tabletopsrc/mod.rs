//! The element `tabletopsrc`: the tabletop world as video with its ground truth.

use gst::glib;
use gst::prelude::*;

mod imp;

glib::wrapper! {
    /// Renders a moving tabletop scene.
    pub struct TabletopSrc(ObjectSubclass<imp::TabletopSrc>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "tabletopsrc",
        gst::Rank::NONE,
        TabletopSrc::static_type(),
    )
}
