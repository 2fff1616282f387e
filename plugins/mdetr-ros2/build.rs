//! Gives the commit and release date to the plugin's description.

fn main() {
    gst_plugin_version_helper::info()
}
