//! The element `mdetr2json`: one JSON line per frame.

use gst::glib;
use gst::prelude::*;

mod imp;

glib::wrapper! {
    /// Turns the results on video frames into lines of JSON, schema `mdetr/1`.
    pub struct ToJson(ObjectSubclass<imp::ToJson>) @extends gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "mdetr2json",
        gst::Rank::NONE,
        ToJson::static_type(),
    )
}
