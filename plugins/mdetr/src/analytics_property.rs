//! The property `analytics` of elements that attach detections.

use gst::glib;
use gst::prelude::*;
use mdetr_gst::analytics::Analytics;

/// Whether detections are attached as GstAnalyticsRelationMeta, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstMdetrAnalytics")]
pub enum UseAnalytics {
    /// Where GStreamer has it.
    #[default]
    #[enum_value(name = "Where GStreamer has it, from 1.24 on", nick = "auto")]
    Auto,
    /// Always.
    #[enum_value(name = "Always; an error where GStreamer has it not", nick = "on")]
    On,
    /// Never.
    #[enum_value(name = "Never: as regions of interest only", nick = "off")]
    Off,
}

impl UseAnalytics {
    /// The property.
    pub fn spec() -> glib::ParamSpec {
        glib::ParamSpecEnum::builder_with_default("analytics", UseAnalytics::default())
            .nick("Analytics")
            .blurb("Whether detections are also attached as GstAnalyticsRelationMeta")
            .mutable_ready()
            .build()
    }

    /// Opens the library if it is to be used.
    ///
    /// # Errors
    /// It must be used, and is not there.
    pub fn open(
        self,
        category: gst::DebugCategory,
        element: &gst::Element,
    ) -> Result<Option<Analytics>, gst::ErrorMessage> {
        if self == UseAnalytics::Off {
            return Ok(None);
        }
        match (Analytics::open(), self) {
            (Ok(analytics), _) => Ok(Some(analytics)),
            (Err(unavailable), UseAnalytics::On) => Err(gst::error_msg!(
                gst::LibraryError::Init,
                ("analytics=on: {unavailable}. With analytics=auto the element goes on without")
            )),
            (Err(unavailable), _) => {
                gst::debug!(
                    category,
                    obj = element,
                    "detections are regions of interest only: {unavailable}"
                );
                Ok(None)
            }
        }
    }
}

/// Lists the type as part of the plugin's API.
pub fn register() {
    UseAnalytics::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
}
