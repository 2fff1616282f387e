//! The element `mdetrros2src`: pictures of a topic of ROS 2 as buffers.

use gst::glib;
use gst::prelude::*;

mod imp;
mod times;

pub use times::Timestamps;

glib::wrapper! {
    /// Takes pictures from a topic.
    pub struct Ros2Src(ObjectSubclass<imp::Ros2Src>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

/// In what form pictures come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstMdetrRos2Transport")]
pub enum Transport {
    /// As the topic's name says.
    #[default]
    #[enum_value(
        name = "Files, if the topic ends in /compressed; else raw",
        nick = "auto"
    )]
    Auto,
    /// Raw pictures.
    #[enum_value(name = "Raw pictures: sensor_msgs/Image", nick = "raw")]
    Raw,
    /// Files.
    #[enum_value(
        name = "JPEG and PNG files: sensor_msgs/CompressedImage",
        nick = "compressed"
    )]
    Compressed,
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    Transport::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    Timestamps::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    gst::Element::register(
        Some(plugin),
        "mdetrros2src",
        gst::Rank::NONE,
        Ros2Src::static_type(),
    )
}
