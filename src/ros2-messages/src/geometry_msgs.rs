//! `geometry_msgs`: points and poses. Lengths are in metres.

use serde::{Deserialize, Serialize};

use crate::definition::message;

/// A position.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Point {
    /// Along the frame's x axis.
    pub x: f64,
    /// Along its y axis.
    pub y: f64,
    /// Along its z axis.
    pub z: f64,
}

message!(
    Point, "geometry_msgs/msg/Point", [],
    "float64 x"
    "float64 y"
    "float64 z"
);

/// A direction with a length, or the sides of a box.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Vector3 {
    /// Along the frame's x axis.
    pub x: f64,
    /// Along its y axis.
    pub y: f64,
    /// Along its z axis.
    pub z: f64,
}

message!(
    Vector3, "geometry_msgs/msg/Vector3", [],
    "float64 x"
    "float64 y"
    "float64 z"
);

/// A rotation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quaternion {
    /// Factor of i.
    pub x: f64,
    /// Factor of j.
    pub y: f64,
    /// Factor of k.
    pub z: f64,
    /// The real part.
    pub w: f64,
}

message!(
    Quaternion, "geometry_msgs/msg/Quaternion", [],
    "float64 x"
    "float64 y"
    "float64 z"
    "float64 w"
);

impl Default for Quaternion {
    /// No rotation.
    fn default() -> Quaternion {
        let (x, y, z, w) = (0.0, 0.0, 0.0, 1.0);
        Quaternion { x, y, z, w }
    }
}

/// A position and a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Pose {
    /// The position.
    pub position: Point,
    /// The rotation.
    pub orientation: Quaternion,
}

message!(
    Pose, "geometry_msgs/msg/Pose", [Point, Quaternion],
    "geometry_msgs/Point position"
    "geometry_msgs/Quaternion orientation"
);

/// A pose that is not known exactly.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PoseWithCovariance {
    /// The most likely one.
    pub pose: Pose,
    /// Covariances of x, y, z and of the rotations about these axes, row by row.
    pub covariance: [[f64; 6]; 6],
}

message!(
    PoseWithCovariance, "geometry_msgs/msg/PoseWithCovariance", [Pose],
    "geometry_msgs/Pose pose"
    "float64[36] covariance"
);
