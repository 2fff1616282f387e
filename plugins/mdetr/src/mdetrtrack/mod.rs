//! The element `mdetrtrack`: identities over time.

use gst::glib;
use gst::prelude::*;

mod imp;
mod others;
mod seen;

glib::wrapper! {
    /// Gives detections an identity and carries them over frames that were not inferred.
    pub struct Track(ObjectSubclass<imp::Track>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "mdetrtrack",
        gst::Rank::NONE,
        Track::static_type(),
    )
}
