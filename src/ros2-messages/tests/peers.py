"""The messages as two peers know them: rosbags, and CycloneDDS with ros2_pyterfaces.

`python peers.py` writes fixtures/messages.json: for each message of fixtures/definitions.json
values, and the bytes that both peers make of them.
"""

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ros2_pyterfaces.cyclone import all_msgs, all_srvs
from ros2_pyterfaces.cyclone.idl import IdlStruct, types
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

FIXTURES = Path(__file__).parent / "fixtures"
NUMPY = {
    "bool": np.bool_,
    "byte": np.uint8,
    "float32": np.float32,
    "float64": np.float64,
    "int64": np.int64,
    "uint8": np.uint8,
}
BYTES = {"uint8", "byte"}
# The field of structs without fields, which IDL does not allow.
PLACEHOLDER = "structure_needs_at_least_one_member"


# What ros2_pyterfaces lacks.


@dataclass
class Point2D(IdlStruct, typename="vision_msgs/msg/Point2D"):
    x: types.float64 = 0.0
    y: types.float64 = 0.0


@dataclass
class Pose2D(IdlStruct, typename="vision_msgs/msg/Pose2D"):
    position: Point2D = field(default_factory=Point2D)
    theta: types.float64 = 0.0


@dataclass
class BoundingBox2D(IdlStruct, typename="vision_msgs/msg/BoundingBox2D"):
    center: Pose2D = field(default_factory=Pose2D)
    size_x: types.float64 = 0.0
    size_y: types.float64 = 0.0


@dataclass
class BoundingBox3D(IdlStruct, typename="vision_msgs/msg/BoundingBox3D"):
    center: all_msgs.Pose = field(default_factory=all_msgs.Pose)
    size: all_msgs.Vector3 = field(default_factory=all_msgs.Vector3)


@dataclass
class ObjectHypothesis(IdlStruct, typename="vision_msgs/msg/ObjectHypothesis"):
    class_id: str = ""
    score: types.float64 = 0.0


@dataclass
class ObjectHypothesisWithPose(IdlStruct, typename="vision_msgs/msg/ObjectHypothesisWithPose"):
    hypothesis: ObjectHypothesis = field(default_factory=ObjectHypothesis)
    pose: all_msgs.PoseWithCovariance = field(default_factory=all_msgs.PoseWithCovariance)


@dataclass
class Detection2D(IdlStruct, typename="vision_msgs/msg/Detection2D"):
    header: all_msgs.Header = field(default_factory=all_msgs.Header)
    results: types.sequence[ObjectHypothesisWithPose] = field(default_factory=list)
    bbox: BoundingBox2D = field(default_factory=BoundingBox2D)
    id: str = ""


@dataclass
class Detection2DArray(IdlStruct, typename="vision_msgs/msg/Detection2DArray"):
    header: all_msgs.Header = field(default_factory=all_msgs.Header)
    detections: types.sequence[Detection2D] = field(default_factory=list)


@dataclass
class Detection3D(IdlStruct, typename="vision_msgs/msg/Detection3D"):
    header: all_msgs.Header = field(default_factory=all_msgs.Header)
    results: types.sequence[ObjectHypothesisWithPose] = field(default_factory=list)
    bbox: BoundingBox3D = field(default_factory=BoundingBox3D)
    id: str = ""


@dataclass
class Detection3DArray(IdlStruct, typename="vision_msgs/msg/Detection3DArray"):
    header: all_msgs.Header = field(default_factory=all_msgs.Header)
    detections: types.sequence[Detection3D] = field(default_factory=list)


@dataclass
class VisionClass(IdlStruct, typename="vision_msgs/msg/VisionClass"):
    class_id: types.uint16 = 0
    class_name: str = ""


@dataclass
class LabelInfo(IdlStruct, typename="vision_msgs/msg/LabelInfo"):
    header: all_msgs.Header = field(default_factory=all_msgs.Header)
    class_map: types.sequence[VisionClass] = field(default_factory=list)
    threshold: types.float32 = 0.0


@dataclass
class VisionInfo(IdlStruct, typename="vision_msgs/msg/VisionInfo"):
    header: all_msgs.Header = field(default_factory=all_msgs.Header)
    method: str = ""
    database_location: str = ""
    database_version: types.int32 = 0


@dataclass
class SetPromptRequest(
    IdlStruct, typename="isaac_ros_grounding_dino_interfaces/srv/SetPrompt_Request"
):
    prompt: str = ""


@dataclass
class SetPromptResponse(
    IdlStruct, typename="isaac_ros_grounding_dino_interfaces/srv/SetPrompt_Response"
):
    success: bool = False


@dataclass
class SetQueriesRequest(IdlStruct, typename="mdetr_msgs/srv/SetQueries_Request"):
    queries: types.sequence[str] = field(default_factory=list)


@dataclass
class SetQueriesResponse(IdlStruct, typename="mdetr_msgs/srv/SetQueries_Response"):
    success: bool = False
    message: str = ""
    revision: types.uint64 = 0


def definitions() -> dict[str, str]:
    """Name to text of every message of the crate."""
    return json.loads((FIXTURES / "definitions.json").read_text())


def typestore() -> Typestore:
    """A store of rosbags that knows the crate's definitions and no others."""
    store = get_typestore(Stores.EMPTY)
    for name, text in definitions().items():
        # rosbags writes /msg/ into the names of requests and responses.
        parsed = get_types_from_msg(text, name.replace("/srv/", "/msg/"))
        ((_, fields),) = parsed.items()
        store.register({name: fields})
    return store


def cyclone_types() -> dict[str, type[IdlStruct]]:
    """The messages that ros2_pyterfaces has, and those above."""
    known = itertools.chain(vars(all_msgs).values(), vars(all_srvs).values(), globals().values())
    structs = (each for each in known if isinstance(each, type) and issubclass(each, IdlStruct))
    return {each.__idl_typename__: each for each in structs if each.__idl_typename__}


class Values:
    """Values of messages, each another one, as JSON has them."""

    def __init__(self, store: Typestore):
        self.store = store
        self.count = itertools.count(1)

    def message(self, name: str) -> dict:
        fields = self.store.fielddefs[name][1]
        return {key: 0 if key == PLACEHOLDER else self.value(kind) for key, kind in fields}

    def value(self, kind):
        node, detail = kind
        match node.name:
            case "BASE":
                return self.base(detail[0])
            case "NAME":
                return self.message(detail)
            case "ARRAY":
                return [self.value(detail[0]) for _ in range(detail[1])]
            case "SEQUENCE":
                long = 5 if detail[0][1][0] in BYTES else 2
                return [self.value(detail[0]) for _ in range(long)]
        raise AssertionError(f"no values of {kind}")

    def base(self, name: str):
        count = next(self.count)
        match name:
            case "string":
                return f"é{count}" + "x" * (count % 3)
            case "bool":
                return count % 2 == 1
            case "float32" | "float64":
                return count + 0.25
            case "uint8" | "byte":
                return count % 100 + (100 if name == "uint8" else 0)
            case "uint16":
                return 60000 + count
            case "uint32":
                return 4_000_000_000 + count
            case "uint64":
                return 2**63 + count
            case "int32" | "int64":
                return -count
        raise AssertionError(f"no values of {name}")


def rosbags_bytes(store: Typestore, name: str, values: dict, little_endian: bool) -> bytes:
    """What rosbags makes of the values."""
    message = rosbags_message(store, name, values)
    return bytes(store.serialize_cdr(message, name, little_endian=little_endian))


def rosbags_message(store: Typestore, name: str, values: dict):
    fields = store.fielddefs[name][1]
    values = {key: rosbags_value(store, kind, values[key]) for key, kind in fields}
    return store.types[name](**values)


def rosbags_value(store: Typestore, kind, value):
    node, detail = kind
    if node.name == "NAME":
        return rosbags_message(store, detail, value)
    if node.name in ("ARRAY", "SEQUENCE"):
        element = detail[0]
        if element[0].name == "BASE" and element[1][0] in NUMPY:
            return np.array(value, dtype=NUMPY[element[1][0]])
        return [rosbags_value(store, element, each) for each in value]
    return value


def fixtures() -> dict[str, dict]:
    """For each message values, and their bytes in both byte orders."""
    store, cyclone, values = typestore(), cyclone_types(), Values(typestore())
    made = {}
    for name in definitions():
        message = values.message(name)
        little = rosbags_bytes(store, name, message, True)
        other = cyclone[name].from_core_message(message).serialize()
        assert little == other, f"{name}: rosbags {little.hex()}, CycloneDDS {other.hex()}"
        big = rosbags_bytes(store, name, message, False)
        made[name] = {"values": message, "little": little.hex(), "big": big.hex()}
    return made


def written() -> str:
    """The fixtures as the file has them: one message a line."""
    lines = (f"{json.dumps(name)}: {json.dumps(each)}" for name, each in fixtures().items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    (FIXTURES / "messages.json").write_text(written())
