//! The element `mdetr`: grounds sentences in video.

use gst::glib;
use gst::prelude::*;

mod catch_panic;
mod config;
mod enums;
mod imp;
mod messages;
mod plans;
mod properties;
mod request;
mod scheduler;
mod session;
mod settings;
mod source;
mod start;
mod stats;
mod threads;
mod updater;

glib::wrapper! {
    /// Grounds the standing queries in every frame or in as many as it can.
    pub struct Mdetr(ObjectSubclass<imp::Mdetr>) @extends gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    enums::register();
    gst::Element::register(Some(plugin), "mdetr", gst::Rank::NONE, Mdetr::static_type())
}
