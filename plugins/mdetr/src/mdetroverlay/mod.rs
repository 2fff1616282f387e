//! The element `mdetroverlay`: draws what was found.

use gst::glib;
use gst::prelude::*;

mod formats;
mod imp;
mod shapes;

glib::wrapper! {
    /// Draws boxes, phrases and scores over video.
    pub struct Overlay(ObjectSubclass<imp::Overlay>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Which regions of interest of other elements are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstMdetrOverlayRegions")]
pub enum Regions {
    /// None.
    #[enum_value(name = "Never draw regions of other elements", nick = "never")]
    Never,
    /// Those on frames that no `mdetr` has answered.
    #[default]
    #[enum_value(
        name = "Draw them on frames without a result of mdetr",
        nick = "fallback"
    )]
    Fallback,
    /// All.
    #[enum_value(name = "Draw them always", nick = "always")]
    Always,
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    Regions::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    gst::Element::register(
        Some(plugin),
        "mdetroverlay",
        gst::Rank::NONE,
        Overlay::static_type(),
    )
}
