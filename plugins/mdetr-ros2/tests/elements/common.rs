//! What the tests share.

use std::sync::Once;

use gst::glib;

/// Registers the plugin; from here on any warning of GLib or GStreamer's checks ends the test.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().expect("GStreamer is installed");
        glib::log_set_always_fatal(
            glib::LogLevels::LEVEL_CRITICAL | glib::LogLevels::LEVEL_WARNING,
        );
        gstmdetrros2::plugin_register_static().expect("the plugin registers");
    });
}
