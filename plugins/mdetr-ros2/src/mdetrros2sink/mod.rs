//! The element `mdetrros2sink`: detections of buffers to topics of ROS 2.

use gst::glib;
use gst::prelude::*;

mod imp;
mod results;

glib::wrapper! {
    /// Publishes what was found in frames.
    pub struct Ros2Sink(ObjectSubclass<imp::Ros2Sink>)
        @extends gst_base::BaseSink, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "mdetrros2sink",
        gst::Rank::NONE,
        Ros2Sink::static_type(),
    )
}
