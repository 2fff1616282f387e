"""Services of ROS 2 on DDS: their types, and clients for the two ways in which they are marked.

Fast DDS marks requests and answers beside the message, which Python's CycloneDDS cannot; a client
alone with its service takes the next answer. CycloneDDS's layer of ROS writes a client's number and
that of the request before the message ("cyclone" here).
"""

import random
import time

import messages as m
from cyclonedds.core import Policy, Qos
from cyclonedds.idl import make_idl_struct
from cyclonedds.idl.types import int64, sequence, uint8, uint64
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

QOS = Qos(Policy.Reliability.Reliable(duration(seconds=10)), Policy.History.KeepAll)

# What ROS sends where a message has no members.
NOTHING = {"structure_needs_at_least_one_member": uint8}
STRINGS = sequence[str]
TYPES = {
    "std_srvs/srv/SetBool": ({"data": bool}, {"success": bool, "message": str}),
    "isaac_ros_grounding_dino_interfaces/srv/SetPrompt": ({"prompt": str}, {"success": bool}),
    "mdetr_msgs/srv/SetQueries": (
        {"queries": STRINGS},
        {"success": bool, "message": str, "revision": uint64},
    ),
    "lifecycle_msgs/srv/ChangeState": ({"transition": m.Transition}, {"success": bool}),
    "lifecycle_msgs/srv/GetState": (NOTHING, {"current_state": m.State}),
    "lifecycle_msgs/srv/GetAvailableStates": (NOTHING, {"available_states": sequence[m.State]}),
    "lifecycle_msgs/srv/GetAvailableTransitions": (
        NOTHING,
        {"available_transitions": sequence[m.TransitionDescription]},
    ),
    "rcl_interfaces/srv/GetParameters": (
        {"names": STRINGS},
        {"values": sequence[m.ParameterValue]},
    ),
    "rcl_interfaces/srv/GetParameterTypes": ({"names": STRINGS}, {"types": sequence[uint8]}),
    "rcl_interfaces/srv/ListParameters": (
        {"prefixes": STRINGS, "depth": uint64},
        {"result": m.ListParametersResult},
    ),
    "rcl_interfaces/srv/DescribeParameters": (
        {"names": STRINGS},
        {"descriptors": sequence[m.ParameterDescriptor]},
    ),
    "rcl_interfaces/srv/SetParameters": (
        {"parameters": sequence[m.Parameter]},
        {"results": sequence[m.SetParametersResult]},
    ),
    "rcl_interfaces/srv/SetParametersAtomically": (
        {"parameters": sequence[m.Parameter]},
        {"result": m.SetParametersResult},
    ),
}


class Client:
    """Calls a service."""

    def __init__(self, participant, service, kind, cyclone=False):
        request, response = TYPES[kind]
        self.fields = list(request)
        self.cyclone = cyclone
        header = {"client": int64, "number": int64} if cyclone else {}
        suffix = "Cyclone" if cyclone else ""
        name = kind.rsplit("/", 1)[1]
        self.request = make_idl_struct(
            f"{name}Request{suffix}", m.message(f"{kind}_Request"), {**header, **request}
        )
        self.response = make_idl_struct(
            f"{name}Response{suffix}", m.message(f"{kind}_Response"), {**header, **response}
        )
        asking = Topic(participant, f"rq{service}Request", self.request, qos=QOS)
        answers = Topic(participant, f"rr{service}Reply", self.response, qos=QOS)
        self.service = service
        self.writer = DataWriter(participant, asking, qos=QOS)
        self.reader = DataReader(participant, answers, qos=QOS)
        self.number = 0
        self.identity = random.getrandbits(62)

    def wait_for_service(self, seconds=10):
        deadline = time.monotonic() + seconds
        while not (
            self.writer.get_matched_subscriptions() and self.reader.get_matched_publications()
        ):
            assert time.monotonic() < deadline, f"{self.service}: not there after {seconds} s"
            time.sleep(0.02)
        return self

    def __call__(self, *values, seconds=20, **named):
        """The answer to a request with these members."""
        self.number += 1
        header = {"client": self.identity, "number": self.number} if self.cyclone else {}
        members = {**dict(zip(self.fields, values, strict=False)), **named}
        for member in self.fields:
            members.setdefault(member, 0)
        self.writer.write(self.request(**header, **members))
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for answer in self.reader.take(10):
                if not self.cyclone:
                    return answer
                if (answer.client, answer.number) == (self.identity, self.number):
                    return answer
            time.sleep(0.002)
        raise AssertionError(f"{self.service}: no answer after {seconds} s")
