//! The element `mdetr`: grounds sentences in video.

use gst::glib;
use gst::prelude::*;
use mdetr::{EngineKind, Packing};

mod config;
mod imp;
mod properties;
mod queue;
mod request;
mod session;
mod settings;
mod stats;
mod turns;
mod updater;

glib::wrapper! {
    /// Grounds the standing queries in every frame or in as many as it can.
    pub struct Mdetr(ObjectSubclass<imp::Mdetr>) @extends gst::Element, gst::Object;
}

/// What happens to frames while inference runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstMdetrMode")]
pub enum Mode {
    /// Frames wait for their own result.
    #[default]
    #[enum_value(name = "Every frame waits for its own result", nick = "every-frame")]
    EveryFrame,
    /// Frames go on with the newest finished result.
    #[enum_value(
        name = "No frame waits: each carries the newest finished result and its age",
        nick = "live"
    )]
    Live,
}

/// What runs the graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstMdetrEngine")]
pub enum Engine {
    /// The fastest that is available.
    #[default]
    #[enum_value(name = "The fastest that is available here", nick = "auto")]
    Auto,
    /// ONNX Runtime.
    #[enum_value(name = "ONNX Runtime: faster than tract on CPUs", nick = "onnxruntime")]
    Onnxruntime,
    /// tract.
    #[enum_value(name = "tract: pure Rust, on the CPU", nick = "tract")]
    Tract,
}

impl From<Engine> for EngineKind {
    fn from(engine: Engine) -> EngineKind {
        match engine {
            Engine::Auto => EngineKind::Auto,
            Engine::Onnxruntime => EngineKind::OnnxRuntime,
            Engine::Tract => EngineKind::Tract,
        }
    }
}

/// Which queries are fused as one caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstMdetrPackQueries")]
pub enum PackQueries {
    /// None.
    #[default]
    #[enum_value(
        name = "None: each query is fused with the frame by itself",
        nick = "none"
    )]
    None,
    /// Those that only name things.
    #[enum_value(
        name = "Queries that only name things: no words of relation, no text outside the target",
        nick = "simple"
    )]
    Simple,
    /// All but questions.
    #[enum_value(name = "All but questions", nick = "all")]
    All,
}

impl From<PackQueries> for Packing {
    fn from(packing: PackQueries) -> Packing {
        match packing {
            PackQueries::None => Packing::None,
            PackQueries::Simple => Packing::Simple,
            PackQueries::All => Packing::All,
        }
    }
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    Mode::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    Engine::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    PackQueries::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    gst::Element::register(Some(plugin), "mdetr", gst::Rank::NONE, Mdetr::static_type())
}
