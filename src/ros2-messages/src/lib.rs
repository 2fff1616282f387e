//! Messages and services of ROS 2, and what was found as such messages.
//!
//! The messages are plain structs with a [`Message::DEFINITION`], in modules named after their packages. There is no DDS
//! here: `ros2-client`, MCAP files or [`cdr`] take them as serde gives them.

pub mod builtin_interfaces;
pub mod cdr;
pub mod definition;
pub mod depth;
pub mod detections;
pub mod diagnostic_msgs;
pub mod geometry_msgs;
pub mod image;
pub mod lifecycle_msgs;
pub mod prompt;
pub mod rcl_interfaces;
pub mod sensor_msgs;
pub mod std_msgs;
pub mod std_srvs;
pub mod sync;
pub mod vision_msgs;

pub use cdr::{CdrError, from_cdr, to_cdr};
pub use definition::{Definition, Message, Service};

/// The definitions of all messages of this crate, those of requests and responses among them.
pub const ALL: &[&Definition] = &[
    builtin_interfaces::Time::DEFINITION,
    builtin_interfaces::Duration::DEFINITION,
    std_msgs::Header::DEFINITION,
    std_msgs::String::DEFINITION,
    geometry_msgs::Point::DEFINITION,
    geometry_msgs::Vector3::DEFINITION,
    geometry_msgs::Quaternion::DEFINITION,
    geometry_msgs::Pose::DEFINITION,
    geometry_msgs::PoseWithCovariance::DEFINITION,
    sensor_msgs::Image::DEFINITION,
    sensor_msgs::CompressedImage::DEFINITION,
    sensor_msgs::RegionOfInterest::DEFINITION,
    sensor_msgs::CameraInfo::DEFINITION,
    vision_msgs::Point2D::DEFINITION,
    vision_msgs::Pose2D::DEFINITION,
    vision_msgs::BoundingBox2D::DEFINITION,
    vision_msgs::BoundingBox3D::DEFINITION,
    vision_msgs::ObjectHypothesis::DEFINITION,
    vision_msgs::ObjectHypothesisWithPose::DEFINITION,
    vision_msgs::Detection2D::DEFINITION,
    vision_msgs::Detection2DArray::DEFINITION,
    vision_msgs::Detection3D::DEFINITION,
    vision_msgs::Detection3DArray::DEFINITION,
    vision_msgs::VisionClass::DEFINITION,
    vision_msgs::LabelInfo::DEFINITION,
    vision_msgs::VisionInfo::DEFINITION,
    diagnostic_msgs::KeyValue::DEFINITION,
    diagnostic_msgs::DiagnosticStatus::DEFINITION,
    diagnostic_msgs::DiagnosticArray::DEFINITION,
    rcl_interfaces::Log::DEFINITION,
    rcl_interfaces::ParameterValue::DEFINITION,
    rcl_interfaces::Parameter::DEFINITION,
    rcl_interfaces::ParameterEvent::DEFINITION,
    lifecycle_msgs::State::DEFINITION,
    lifecycle_msgs::Transition::DEFINITION,
    lifecycle_msgs::TransitionDescription::DEFINITION,
    lifecycle_msgs::TransitionEvent::DEFINITION,
    lifecycle_msgs::ChangeStateRequest::DEFINITION,
    lifecycle_msgs::ChangeStateResponse::DEFINITION,
    lifecycle_msgs::GetStateRequest::DEFINITION,
    lifecycle_msgs::GetStateResponse::DEFINITION,
    lifecycle_msgs::GetAvailableStatesRequest::DEFINITION,
    lifecycle_msgs::GetAvailableStatesResponse::DEFINITION,
    lifecycle_msgs::GetAvailableTransitionsRequest::DEFINITION,
    lifecycle_msgs::GetAvailableTransitionsResponse::DEFINITION,
    std_srvs::SetBoolRequest::DEFINITION,
    std_srvs::SetBoolResponse::DEFINITION,
    std_srvs::TriggerRequest::DEFINITION,
    std_srvs::TriggerResponse::DEFINITION,
    prompt::isaac::SetPromptRequest::DEFINITION,
    prompt::isaac::SetPromptResponse::DEFINITION,
    prompt::SetQueriesRequest::DEFINITION,
    prompt::SetQueriesResponse::DEFINITION,
];
