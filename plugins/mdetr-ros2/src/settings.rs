//! Properties that both elements have.

use gst::glib;
use gst::prelude::*;
use mdetr_ros2_bus::{NodeName, QosProfile, best_effort, names, reliable};

/// How messages are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstMdetrRos2Reliability")]
pub enum Reliability {
    /// What gets lost is lost.
    #[default]
    #[enum_value(name = "What gets lost is lost", nick = "best-effort")]
    BestEffort,
    /// What gets lost is sent again.
    #[enum_value(name = "What gets lost is sent again", nick = "reliable")]
    Reliable,
}

impl Reliability {
    pub(crate) fn qos(self, depth: usize) -> QosProfile {
        match self {
            Reliability::BestEffort => best_effort(depth),
            Reliability::Reliable => reliable(depth),
        }
    }
}

/// Which node an element is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub name: String,
    pub namespace: String,
}

impl Identity {
    /// The node's name, or why it is none.
    pub fn node(&self) -> Result<NodeName, gst::ErrorMessage> {
        names::node(&self.namespace, &self.name).map_err(|error| {
            gst::error_msg!(
                gst::ResourceError::Settings,
                ("ros-namespace, ros-name: {error}")
            )
        })
    }
}

/// A property with a text.
pub(crate) fn text(
    name: &'static str,
    nick: &'static str,
    blurb: &'static str,
    default: &str,
) -> glib::ParamSpec {
    glib::ParamSpecString::builder(name)
        .nick(nick)
        .blurb(blurb)
        .default_value(Some(default))
        .mutable_ready()
        .build()
}

/// The property `reliability`.
pub(crate) fn reliability(blurb: &'static str, default: Reliability) -> glib::ParamSpec {
    glib::ParamSpecEnum::builder_with_default("reliability", default)
        .nick("Reliability")
        .blurb(blurb)
        .mutable_ready()
        .build()
}

/// A text that a property is set to; none is an empty one.
pub(crate) fn text_of(value: &glib::Value) -> String {
    let text: Option<String> = value.get().expect(mdetr_gst::element::TYPE_CHECKED);
    text.unwrap_or_default()
}
