//! Values that properties of the element `mdetr` choose from.

use gst::glib;
use gst::prelude::*;
use mdetr::Packing;

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

/// What answers when no server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstMdetrFallback")]
pub enum Fallback {
    /// The fastest that is available on the CPU.
    #[default]
    #[enum_value(
        name = "ONNX Runtime if its library is there, else tract",
        nick = "auto"
    )]
    Auto,
    /// ONNX Runtime.
    #[enum_value(name = "ONNX Runtime", nick = "onnxruntime")]
    Onnxruntime,
    /// tract.
    #[enum_value(name = "tract", nick = "tract")]
    Tract,
    /// Nothing.
    #[enum_value(name = "Nothing: it is an error", nick = "none")]
    None,
}

impl From<Fallback> for mdetr::engine::Fallback {
    fn from(fallback: Fallback) -> mdetr::engine::Fallback {
        match fallback {
            Fallback::Auto => mdetr::engine::Fallback::Auto,
            Fallback::Onnxruntime => mdetr::engine::Fallback::OnnxRuntime,
            Fallback::Tract => mdetr::engine::Fallback::Tract,
            Fallback::None => mdetr::engine::Fallback::None,
        }
    }
}

/// How TensorRT computes floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstMdetrPrecision")]
pub enum Precision {
    /// As the model says.
    #[default]
    #[enum_value(
        name = "As the model says; products of fp32 may use TF32",
        nick = "auto"
    )]
    Auto,
    /// fp32.
    #[enum_value(name = "fp32 without TF32; of an fp16 model an error", nick = "fp32")]
    Fp32,
    /// fp16.
    #[enum_value(
        name = "fp16; of an fp32 model an error, except with TensorRT before version 10",
        nick = "fp16"
    )]
    Fp16,
}

impl From<Precision> for mdetr::engine::Precision {
    fn from(precision: Precision) -> mdetr::engine::Precision {
        match precision {
            Precision::Auto => mdetr::engine::Precision::Auto,
            Precision::Fp32 => mdetr::engine::Precision::Fp32,
            Precision::Fp16 => mdetr::engine::Precision::Fp16,
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

/// Lists the types as part of the plugin's API.
pub(super) fn register() {
    for kind in [
        Mode::static_type(),
        Fallback::static_type(),
        Precision::static_type(),
        PackQueries::static_type(),
    ] {
        kind.mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
}
