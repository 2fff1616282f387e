"""Messages of ROS 2 for CycloneDDS, written after the .msg files and not after the node."""

from dataclasses import dataclass, field

from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import (
    array,
    byte,
    float32,
    float64,
    int32,
    int64,
    sequence,
    uint8,
    uint16,
    uint32,
    uint64,
)


def message(name):
    """The name on DDS of `package/msg/Name`."""
    package, kind, name = name.split("/")
    return f"{package}::{kind}::dds_::{name}_"


@dataclass
class Time(IdlStruct, typename=message("builtin_interfaces/msg/Time")):
    sec: int32 = 0
    nanosec: uint32 = 0


@dataclass
class Clock(IdlStruct, typename=message("rosgraph_msgs/msg/Clock")):
    clock: Time = field(default_factory=Time)


@dataclass
class Header(IdlStruct, typename=message("std_msgs/msg/Header")):
    stamp: Time = field(default_factory=Time)
    frame_id: str = ""


@dataclass
class String(IdlStruct, typename=message("std_msgs/msg/String")):
    data: str = ""


@dataclass
class Image(IdlStruct, typename=message("sensor_msgs/msg/Image")):
    header: Header = field(default_factory=Header)
    height: uint32 = 0
    width: uint32 = 0
    encoding: str = ""
    is_bigendian: uint8 = 0
    step: uint32 = 0
    data: sequence[uint8] = b""


@dataclass
class CompressedImage(IdlStruct, typename=message("sensor_msgs/msg/CompressedImage")):
    header: Header = field(default_factory=Header)
    format: str = ""
    data: sequence[uint8] = b""


@dataclass
class RegionOfInterest(IdlStruct, typename=message("sensor_msgs/msg/RegionOfInterest")):
    x_offset: uint32 = 0
    y_offset: uint32 = 0
    height: uint32 = 0
    width: uint32 = 0
    do_rectify: bool = False


@dataclass
class CameraInfo(IdlStruct, typename=message("sensor_msgs/msg/CameraInfo")):
    header: Header = field(default_factory=Header)
    height: uint32 = 0
    width: uint32 = 0
    distortion_model: str = "plumb_bob"
    d: sequence[float64] = field(default_factory=list)
    k: array[float64, 9] = field(default_factory=lambda: [0.0] * 9)
    r: array[float64, 9] = field(default_factory=lambda: [0.0] * 9)
    p: array[float64, 12] = field(default_factory=lambda: [0.0] * 12)
    binning_x: uint32 = 0
    binning_y: uint32 = 0
    roi: RegionOfInterest = field(default_factory=RegionOfInterest)


@dataclass
class Point(IdlStruct, typename=message("geometry_msgs/msg/Point")):
    x: float64 = 0.0
    y: float64 = 0.0
    z: float64 = 0.0


@dataclass
class Vector3(IdlStruct, typename=message("geometry_msgs/msg/Vector3")):
    x: float64 = 0.0
    y: float64 = 0.0
    z: float64 = 0.0


@dataclass
class Quaternion(IdlStruct, typename=message("geometry_msgs/msg/Quaternion")):
    x: float64 = 0.0
    y: float64 = 0.0
    z: float64 = 0.0
    w: float64 = 1.0


@dataclass
class Pose(IdlStruct, typename=message("geometry_msgs/msg/Pose")):
    position: Point = field(default_factory=Point)
    orientation: Quaternion = field(default_factory=Quaternion)


@dataclass
class PoseWithCovariance(IdlStruct, typename=message("geometry_msgs/msg/PoseWithCovariance")):
    pose: Pose = field(default_factory=Pose)
    covariance: array[float64, 36] = field(default_factory=lambda: [0.0] * 36)


@dataclass
class ObjectHypothesis(IdlStruct, typename=message("vision_msgs/msg/ObjectHypothesis")):
    class_id: str = ""
    score: float64 = 0.0


@dataclass
class ObjectHypothesisWithPose(
    IdlStruct, typename=message("vision_msgs/msg/ObjectHypothesisWithPose")
):
    hypothesis: ObjectHypothesis = field(default_factory=ObjectHypothesis)
    pose: PoseWithCovariance = field(default_factory=PoseWithCovariance)


@dataclass
class Point2D(IdlStruct, typename=message("vision_msgs/msg/Point2D")):
    x: float64 = 0.0
    y: float64 = 0.0


@dataclass
class Pose2D(IdlStruct, typename=message("vision_msgs/msg/Pose2D")):
    position: Point2D = field(default_factory=Point2D)
    theta: float64 = 0.0


@dataclass
class BoundingBox2D(IdlStruct, typename=message("vision_msgs/msg/BoundingBox2D")):
    center: Pose2D = field(default_factory=Pose2D)
    size_x: float64 = 0.0
    size_y: float64 = 0.0


@dataclass
class BoundingBox3D(IdlStruct, typename=message("vision_msgs/msg/BoundingBox3D")):
    center: Pose = field(default_factory=Pose)
    size: Vector3 = field(default_factory=Vector3)


@dataclass
class Detection2D(IdlStruct, typename=message("vision_msgs/msg/Detection2D")):
    header: Header = field(default_factory=Header)
    results: sequence[ObjectHypothesisWithPose] = field(default_factory=list)
    bbox: BoundingBox2D = field(default_factory=BoundingBox2D)
    id: str = ""


@dataclass
class Detection2DArray(IdlStruct, typename=message("vision_msgs/msg/Detection2DArray")):
    header: Header = field(default_factory=Header)
    detections: sequence[Detection2D] = field(default_factory=list)


@dataclass
class Detection3D(IdlStruct, typename=message("vision_msgs/msg/Detection3D")):
    header: Header = field(default_factory=Header)
    results: sequence[ObjectHypothesisWithPose] = field(default_factory=list)
    bbox: BoundingBox3D = field(default_factory=BoundingBox3D)
    id: str = ""


@dataclass
class Detection3DArray(IdlStruct, typename=message("vision_msgs/msg/Detection3DArray")):
    header: Header = field(default_factory=Header)
    detections: sequence[Detection3D] = field(default_factory=list)


@dataclass
class VisionClass(IdlStruct, typename=message("vision_msgs/msg/VisionClass")):
    class_id: uint16 = 0
    class_name: str = ""


@dataclass
class LabelInfo(IdlStruct, typename=message("vision_msgs/msg/LabelInfo")):
    header: Header = field(default_factory=Header)
    class_map: sequence[VisionClass] = field(default_factory=list)
    threshold: float32 = 0.0


@dataclass
class KeyValue(IdlStruct, typename=message("diagnostic_msgs/msg/KeyValue")):
    key: str = ""
    value: str = ""


@dataclass
class DiagnosticStatus(IdlStruct, typename=message("diagnostic_msgs/msg/DiagnosticStatus")):
    level: byte = 0
    name: str = ""
    message: str = ""
    hardware_id: str = ""
    values: sequence[KeyValue] = field(default_factory=list)


@dataclass
class DiagnosticArray(IdlStruct, typename=message("diagnostic_msgs/msg/DiagnosticArray")):
    header: Header = field(default_factory=Header)
    status: sequence[DiagnosticStatus] = field(default_factory=list)


@dataclass
class Log(IdlStruct, typename=message("rcl_interfaces/msg/Log")):
    stamp: Time = field(default_factory=Time)
    level: uint8 = 0
    name: str = ""
    msg: str = ""
    file: str = ""
    function: str = ""
    line: uint32 = 0


@dataclass
class State(IdlStruct, typename=message("lifecycle_msgs/msg/State")):
    id: uint8 = 0
    label: str = ""


@dataclass
class Transition(IdlStruct, typename=message("lifecycle_msgs/msg/Transition")):
    id: uint8 = 0
    label: str = ""


@dataclass
class TransitionDescription(
    IdlStruct, typename=message("lifecycle_msgs/msg/TransitionDescription")
):
    transition: Transition = field(default_factory=Transition)
    start_state: State = field(default_factory=State)
    goal_state: State = field(default_factory=State)


@dataclass
class TransitionEvent(IdlStruct, typename=message("lifecycle_msgs/msg/TransitionEvent")):
    timestamp: uint64 = 0
    transition: Transition = field(default_factory=Transition)
    start_state: State = field(default_factory=State)
    goal_state: State = field(default_factory=State)


@dataclass
class ParameterValue(IdlStruct, typename=message("rcl_interfaces/msg/ParameterValue")):
    type: uint8 = 0
    bool_value: bool = False
    integer_value: int64 = 0
    double_value: float64 = 0.0
    string_value: str = ""
    byte_array_value: sequence[byte] = field(default_factory=list)
    bool_array_value: sequence[bool] = field(default_factory=list)
    integer_array_value: sequence[int64] = field(default_factory=list)
    double_array_value: sequence[float64] = field(default_factory=list)
    string_array_value: sequence[str] = field(default_factory=list)


@dataclass
class Parameter(IdlStruct, typename=message("rcl_interfaces/msg/Parameter")):
    name: str = ""
    value: ParameterValue = field(default_factory=ParameterValue)


@dataclass
class ParameterEvent(IdlStruct, typename=message("rcl_interfaces/msg/ParameterEvent")):
    stamp: Time = field(default_factory=Time)
    node: str = ""
    new_parameters: sequence[Parameter] = field(default_factory=list)
    changed_parameters: sequence[Parameter] = field(default_factory=list)
    deleted_parameters: sequence[Parameter] = field(default_factory=list)


@dataclass
class FloatingPointRange(IdlStruct, typename=message("rcl_interfaces/msg/FloatingPointRange")):
    from_value: float64 = 0.0
    to_value: float64 = 0.0
    step: float64 = 0.0


@dataclass
class IntegerRange(IdlStruct, typename=message("rcl_interfaces/msg/IntegerRange")):
    from_value: int64 = 0
    to_value: int64 = 0
    step: uint64 = 0


@dataclass
class ParameterDescriptor(IdlStruct, typename=message("rcl_interfaces/msg/ParameterDescriptor")):
    name: str = ""
    type: uint8 = 0
    description: str = ""
    additional_constraints: str = ""
    read_only: bool = False
    dynamic_typing: bool = False
    floating_point_range: sequence[FloatingPointRange] = field(default_factory=list)
    integer_range: sequence[IntegerRange] = field(default_factory=list)


@dataclass
class SetParametersResult(IdlStruct, typename=message("rcl_interfaces/msg/SetParametersResult")):
    successful: bool = False
    reason: str = ""


@dataclass
class ListParametersResult(IdlStruct, typename=message("rcl_interfaces/msg/ListParametersResult")):
    names: sequence[str] = field(default_factory=list)
    prefixes: sequence[str] = field(default_factory=list)
