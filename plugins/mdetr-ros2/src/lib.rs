//! GStreamer elements that carry pictures and detections from and to ROS 2.
//!
//! | element | does |
//! |---|---|
//! | `mdetrros2src` | pictures of a topic as buffers |
//! | `mdetrros2sink` | detections of buffers to topics |
//!
//! They need no installation of ROS: each is a node that speaks DDS itself, in the domain that `ROS_DOMAIN_ID` names.
//! Names of properties are those of ros-gst-bridge. The plugin `mdetr`, which finds what is published, is a library of
//! its own; this one reads the metadata that it attaches ([`mdetr_gst::meta`]).
//!
//! # mdetrros2src
//!
//! ```sh
//! gst-launch-1.0 mdetrros2src ros-topic=/camera/image_raw ! videoconvert ! mdetr query="a red ball" ! mdetrros2sink
//! gst-launch-1.0 mdetrros2src ros-topic=/camera/image_raw/compressed ! jpegdec ! videoconvert ! autovideosink
//! ```
//!
//! A live source. Raw pictures (`sensor_msgs/Image`) become `video/x-raw` of the same bytes, files
//! (`sensor_msgs/CompressedImage`) `image/jpeg` or `image/png`, to be decoded downstream. Caps are those of the pictures
//! and change with them. Of pictures that come while downstream is busy the newest `queue-size` wait. A malformed picture
//! is left out, and counted in `stats`; a warning names what is wrong.
//!
//! A buffer's timestamp follows `timestamps`. The stamp of the message is a reference timestamp `timestamp/x-unix` in any
//! case, whose caps say the coordinate frame in a field `frame-id`.
//!
//! # mdetrros2sink
//!
//! ```sh
//! gst-launch-1.0 tabletopsrc is-live=true num-buffers=100 ! mdetr query="all balls" ! mdetrtrack ! mdetrros2sink ros-name=eyes
//! gst-launch-1.0 v4l2src ! videoconvert ! mdetr mode=live query="a red ball" ! mdetrros2sink ros-topic=/camera/image_raw ros-frame-id=camera
//! ```
//!
//! Publishes on `~/detections`, `~/result`, `~/masks`, `~/label_info` and `~/events` what the node `mdetr-ros2` publishes
//! there, `~` being the node's name. Nothing is made while nobody listens, but for labels.
//!
//! Each result is published once, an empty one too, with the stamp of the frame that it was found in. With `repeat` each
//! frame's results are published with its own stamp: for boxes that `mdetrtrack` carries to frames that were not inferred.
//! Regions of interest of other detectors are published where no `mdetr` has answered; they do not tell of absence.
//!
//! The stamp is that of the reference timestamp (`timestamp/x-unix`, `timestamp/x-ntp`) on the buffer. Without one, it is
//! the system's time at the frame's running time: of a live source, when the frame was captured. What system time and
//! running time are to each other is measured at the first frame of a segment, and stays until the next segment.

mod log;
mod mdetrros2sink;
mod mdetrros2src;
mod node;
mod picture;
mod settings;
mod stamp;

use gst::glib;
use gst::prelude::*;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    settings::Reliability::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    mdetrros2src::register(plugin)?;
    mdetrros2sink::register(plugin)
}

pub use descriptor::plugin_register_static;

#[allow(missing_docs, reason = "the macro documents nothing of what it makes")]
mod descriptor {
    use super::plugin_init;

    gst::plugin_define!(
        mdetrros2,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
        // The spelling GStreamer knows.
        "Apache 2.0",
        env!("CARGO_PKG_NAME"),
        "mdetr",
        "Unknown package origin",
        env!("BUILD_REL_DATE")
    );
}
