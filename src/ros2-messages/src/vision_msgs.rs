//! `vision_msgs` 4: what was seen. Humble and all later distributions have the same.

use serde::{Deserialize, Serialize};

use crate::definition::message;
use crate::geometry_msgs::{Pose, PoseWithCovariance, Vector3};
use crate::std_msgs::Header;

/// A position in a picture, in pixels from the top left corner.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Point2D {
    /// To the right.
    pub x: f64,
    /// Down.
    pub y: f64,
}

message!(
    Point2D, "vision_msgs/msg/Point2D", [],
    "float64 x"
    "float64 y"
);

/// A position in a picture, and a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Pose2D {
    /// The position.
    pub position: Point2D,
    /// The rotation in radians.
    pub theta: f64,
}

message!(
    Pose2D, "vision_msgs/msg/Pose2D", [Point2D],
    "vision_msgs/Point2D position"
    "float64 theta"
);

/// A box in a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct BoundingBox2D {
    /// Its centre.
    pub center: Pose2D,
    /// Its width.
    pub size_x: f64,
    /// Its height.
    pub size_y: f64,
}

message!(
    BoundingBox2D, "vision_msgs/msg/BoundingBox2D", [Pose2D],
    "vision_msgs/Pose2D center"
    "float64 size_x"
    "float64 size_y"
);

/// A box in space, in metres.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct BoundingBox3D {
    /// Its centre and rotation.
    pub center: Pose,
    /// Its sides, before the rotation.
    pub size: Vector3,
}

message!(
    BoundingBox3D, "vision_msgs/msg/BoundingBox3D", [Pose, Vector3],
    "geometry_msgs/Pose center"
    "geometry_msgs/Vector3 size"
);

/// What an object may be.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ObjectHypothesis {
    /// The name of the class; of ours the words that an object answers to.
    pub class_id: String,
    /// How likely, 0 to 1.
    pub score: f64,
}

message!(
    ObjectHypothesis, "vision_msgs/msg/ObjectHypothesis", [],
    "string class_id"
    "float64 score"
);

/// What an object may be, and its pose then.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ObjectHypothesisWithPose {
    /// What it may be.
    pub hypothesis: ObjectHypothesis,
    /// Its pose.
    pub pose: PoseWithCovariance,
}

message!(
    ObjectHypothesisWithPose, "vision_msgs/msg/ObjectHypothesisWithPose", [ObjectHypothesis, PoseWithCovariance],
    "vision_msgs/ObjectHypothesis hypothesis"
    "geometry_msgs/PoseWithCovariance pose"
);

/// An object in a picture.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Detection2D {
    /// That of the picture.
    pub header: Header,
    /// What it may be.
    pub results: Vec<ObjectHypothesisWithPose>,
    /// Where it is.
    pub bbox: BoundingBox2D,
    /// Its identity over time; empty if it has none.
    pub id: String,
}

message!(
    Detection2D, "vision_msgs/msg/Detection2D", [Header, ObjectHypothesisWithPose, BoundingBox2D],
    "std_msgs/Header header"
    "vision_msgs/ObjectHypothesisWithPose[] results"
    "vision_msgs/BoundingBox2D bbox"
    "string id"
);

/// The objects in a picture.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Detection2DArray {
    /// That of the picture.
    pub header: Header,
    /// The objects.
    pub detections: Vec<Detection2D>,
}

message!(
    Detection2DArray, "vision_msgs/msg/Detection2DArray", [Header, Detection2D],
    "std_msgs/Header header"
    "vision_msgs/Detection2D[] detections"
);

/// An object in space.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Detection3D {
    /// When it was seen, and the frame of its box.
    pub header: Header,
    /// What it may be.
    pub results: Vec<ObjectHypothesisWithPose>,
    /// Where it is.
    pub bbox: BoundingBox3D,
    /// Its identity over time; empty if it has none.
    pub id: String,
}

message!(
    Detection3D, "vision_msgs/msg/Detection3D", [Header, ObjectHypothesisWithPose, BoundingBox3D],
    "std_msgs/Header header"
    "vision_msgs/ObjectHypothesisWithPose[] results"
    "vision_msgs/BoundingBox3D bbox"
    "string id"
);

/// The objects in space.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Detection3DArray {
    /// When they were seen, and the frame of their boxes.
    pub header: Header,
    /// The objects.
    pub detections: Vec<Detection3D>,
}

message!(
    Detection3DArray, "vision_msgs/msg/Detection3DArray", [Header, Detection3D],
    "std_msgs/Header header"
    "vision_msgs/Detection3D[] detections"
);

/// A value of a mask and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VisionClass {
    /// The value of the pixels.
    pub class_id: u16,
    /// What they show.
    pub class_name: String,
}

message!(
    VisionClass, "vision_msgs/msg/VisionClass", [],
    "uint16 class_id"
    "string class_name"
);

/// What the values of a mask stand for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LabelInfo {
    /// That of the mask.
    pub header: Header,
    /// A class for each value.
    pub class_map: Vec<VisionClass>,
    /// The lowest score that counts.
    pub threshold: f32,
}

message!(
    LabelInfo, "vision_msgs/msg/LabelInfo", [Header, VisionClass],
    "std_msgs/Header header"
    "vision_msgs/VisionClass[] class_map"
    "float32 threshold"
);

/// What finds the objects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VisionInfo {
    /// Since when.
    pub header: Header,
    /// The method.
    pub method: String,
    /// Where the names of the classes are found: a parameter, for instance.
    pub database_location: String,
    /// Rises with each change of them.
    pub database_version: i32,
}

message!(
    VisionInfo, "vision_msgs/msg/VisionInfo", [Header],
    "std_msgs/Header header"
    "string method"
    "string database_location"
    "int32 database_version"
);
