//! Names of a camera's topics.

use mdetr_ros2_bus::{Bus, BusError};

/// The topics of a camera, with their whole names.
#[derive(Debug, Clone)]
pub(crate) struct Topics {
    /// Pictures.
    pub image: String,
    /// Whether they are compressed.
    pub compressed: bool,
    /// Depth images.
    pub depth: String,
    /// How the camera sees.
    pub camera_info: String,
}

/// The name of a topic of a camera; `camera` is empty, if there is one only.
pub(crate) fn within(camera: &str, topic: &str) -> String {
    match (camera, topic.strip_prefix('~')) {
        ("", _) => topic.to_owned(),
        (camera, Some(topic)) => format!("~/{camera}{topic}"),
        (camera, None) => format!("{camera}/{topic}"),
    }
}

impl Topics {
    /// Those of `camera`. Compressed pictures are on the topic `compressed` under that of raw ones, as image transports
    /// have it, unless they are remapped themselves.
    pub fn new(bus: &Bus, camera: &str, transport: &str) -> Result<Topics, BusError> {
        let raw = bus.resolve(&within(camera, "image"))?;
        let compressed = transport == "compressed";
        let image = match compressed {
            false => raw,
            true => {
                let own = within(camera, "image/compressed");
                let remapped = bus.resolve(&own)?;
                match remapped == bus.expand(&own)? {
                    true => format!("{raw}/compressed"),
                    false => remapped,
                }
            }
        };
        Ok(Topics {
            image,
            compressed,
            depth: bus.resolve(&within(camera, "depth"))?,
            camera_info: bus.resolve(&within(camera, "camera_info"))?,
        })
    }
}
