//! `sensor_msgs`: pictures and cameras.

use serde::{Deserialize, Serialize};

use crate::definition::message;
use crate::std_msgs::Header;

/// A picture as it lies in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Image {
    /// When it was taken, and the camera's optical frame.
    pub header: Header,
    /// Rows of pixels.
    pub height: u32,
    /// Pixels in a row.
    pub width: u32,
    /// How pixels lie: `rgb8`, `16UC1`, ...
    pub encoding: String,
    /// Whether values of several bytes begin with the most significant one; 0 or 1.
    pub is_bigendian: u8,
    /// Bytes from the start of a row to the start of the next.
    pub step: u32,
    /// The bytes, `step` x `height` of them.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

message!(
    Image, "sensor_msgs/msg/Image", [Header],
    "std_msgs/Header header"
    "uint32 height"
    "uint32 width"
    "string encoding"
    "uint8 is_bigendian"
    "uint32 step"
    "uint8[] data"
);

/// A picture in a file format.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CompressedImage {
    /// When it was taken, and the camera's optical frame.
    pub header: Header,
    /// `jpeg`, `png`, or what image transports write: `rgb8; jpeg compressed bgr8`.
    pub format: String,
    /// The file.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

message!(
    CompressedImage, "sensor_msgs/msg/CompressedImage", [Header],
    "std_msgs/Header header"
    "string format"
    "uint8[] data"
);

/// A part of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RegionOfInterest {
    /// Its leftmost pixel.
    pub x_offset: u32,
    /// Its topmost pixel.
    pub y_offset: u32,
    /// Its height; 0 with all else 0 is the whole picture.
    pub height: u32,
    /// Its width.
    pub width: u32,
    /// Whether it is to be cut out of the rectified picture.
    pub do_rectify: bool,
}

message!(
    RegionOfInterest, "sensor_msgs/msg/RegionOfInterest", [],
    "uint32 x_offset"
    "uint32 y_offset"
    "uint32 height"
    "uint32 width"
    "bool do_rectify"
);

/// How a camera sees.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CameraInfo {
    /// When the picture that it belongs to was taken, and the camera's optical frame.
    pub header: Header,
    /// Height of the pictures it was calibrated with.
    pub height: u32,
    /// Their width.
    pub width: u32,
    /// The model of its distortion, such as `plumb_bob`.
    pub distortion_model: String,
    /// The parameters of the distortion.
    pub d: Vec<f64>,
    /// The intrinsic matrix, row by row: fx 0 cx, 0 fy cy, 0 0 1. Of the pictures as they come.
    pub k: [f64; 9],
    /// The rotation that rectifies, row by row.
    pub r: [f64; 9],
    /// The projection of rectified pictures, row by row: fx' 0 cx' Tx, 0 fy' cy' Ty, 0 0 1 0.
    pub p: [f64; 12],
    /// Pixels of the sensor that were joined into one, across; 0 and 1 are one.
    pub binning_x: u32,
    /// The same, down.
    pub binning_y: u32,
    /// The part of the sensor that was read, in pixels before binning.
    pub roi: RegionOfInterest,
}

message!(
    CameraInfo, "sensor_msgs/msg/CameraInfo", [Header, RegionOfInterest],
    "std_msgs/Header header"
    "uint32 height"
    "uint32 width"
    "string distortion_model"
    "float64[] d"
    "float64[9] k"
    "float64[9] r"
    "float64[12] p"
    "uint32 binning_x"
    "uint32 binning_y"
    "sensor_msgs/RegionOfInterest roi"
);
