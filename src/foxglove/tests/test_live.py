"""The view as a client of Foxglove's protocol sees it.

`MDETR_BUILD` names the directory with examples/live; target/debug, if not set.
"""

import base64
import os
import subprocess
from pathlib import Path

import pytest
from client import Client
from foxglove_schemas_protobuf.ImageAnnotations_pb2 import ImageAnnotations
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("MDETR_BUILD", ROOT / "target" / "debug"))
QUERY = "[the red mug] left of the laptop"


@pytest.fixture
def address():
    command = [BUILD / "examples/live", "0"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()
        assert process.wait(timeout=10) == 0


def test_it_listens_on_this_machine_only_and_says_who_it_is(address):
    assert address.startswith("127.0.0.1:")
    with Client(address) as client:
        info = client.json("serverInfo")
        assert info["name"] == "mdetr"
        assert "parameters" in info["capabilities"]


def test_pictures_come_as_ros_sends_them(address):
    with Client(address) as client:
        client.wait_for_channels()
        channel = client.channels["/camera/image"]
        assert channel["encoding"] == "cdr"
        assert (channel["schemaName"], channel["schemaEncoding"]) == (
            "sensor_msgs/msg/Image",
            "ros2msg",
        )
        store = get_typestore(Stores.ROS2_JAZZY)
        ours = get_types_from_msg(channel["schema"], "sensor_msgs/msg/Image")
        known = ours["sensor_msgs/msg/Image"]
        assert known == store.fielddefs["sensor_msgs/msg/Image"]
        client.subscribe({"/camera/image": 5})
        numbers = []
        for _ in range(20):
            subscription, stamp, data = client.data()
            assert subscription == 5
            image = store.deserialize_cdr(data, "sensor_msgs/msg/Image")
            assert (image.width, image.height, image.encoding) == (64, 48, "mono8")
            number = (stamp - 1_700_000_000_000_000_000) // 10_000_000
            assert bytes(image.data) == bytes([number % 256]) * 64 * 48
            numbers.append(number)
        assert numbers == list(range(numbers[0], numbers[0] + 20))


def annotations(client):
    client.subscribe({"/mdetr/annotations": 9})
    while True:
        subscription, stamp, data = client.data()
        if subscription == 9:
            yield (
                (stamp - 1_700_000_000_000_000_000) // 10_000_000,
                ImageAnnotations.FromString(data),
            )


def test_boxes_come_with_their_words_and_go_again(address):
    with Client(address) as client:
        client.wait_for_channels()
        channel = client.channels["/mdetr/annotations"]
        assert (channel["encoding"], channel["schemaName"]) == (
            "protobuf",
            "foxglove.ImageAnnotations",
        )
        empty = 0
        for (number, found), _ in zip(annotations(client), range(20), strict=False):
            if number % 5 == 0:
                assert not found.points and not found.texts
                empty += 1
                continue
            (outline,), (label,) = found.points, found.texts
            assert outline.type == outline.LINE_LOOP
            left = number % 40
            corners = [(point.x, point.y) for point in outline.points]
            expected = [(left, 10.5), (left + 20, 10.5), (left + 20, 22.5), (left, 22.5)]
            assert corners == expected
            assert label.text == "the red mug left of the laptop #7 0.50"
            metadata = {pair.key: pair.value for pair in outline.metadata}
            assert metadata == {
                "query": "q1",
                "score": "0.5000",
                "track": "7",
                "phrase_0": "the red mug left of the laptop (0.7500)",
            }
        assert empty >= 3


def test_the_schema_of_boxes_describes_them(address):
    with Client(address) as client:
        client.wait_for_channels()
        schema = base64.b64decode(client.channels["/mdetr/annotations"]["schema"])
        names = {
            f"{file.package}.{message.name}"
            for file in FileDescriptorSet.FromString(schema).file
            for message in file.message_type
        }
        assert "foxglove.ImageAnnotations" in names


def test_the_queries_are_a_parameter(address):
    with Client(address) as client, Client(address) as other:
        for each in (client, other):
            each.wait_for_channels()
        client.send(op="getParameters", parameterNames=[], id="all")
        (parameter,) = client.json("parameterValues")["parameters"]
        assert (parameter["name"], parameter["value"]) == ("queries", [QUERY])
        other.send(op="subscribeParameterUpdates", parameterNames=["queries"])
        # What was sent before is done when this is answered.
        other.queries()

        assert client.set_queries(["a [ball]", "a cone"]) == ["a [ball]", "a cone"]
        (update,) = other.json("parameterValues")["parameters"]
        assert update["value"] == ["a [ball]", "a cone"]
        labels = (found.texts[0].text for _, found in annotations(client) if found.texts)
        assert next(labels) == "a ball #7 0.50"
        # A text is one sentence.
        assert client.set_queries("a blue cube") == ["a blue cube"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (["a [ball"], "write a target as [words]"),
        (7, "expected a text or a list of texts"),
        ([["a ball"]], "expected a list of texts"),
        (["a ball"] * 1000, "expected at most 256 sentences, found 1000"),
        (["a" * 100_000], "expected at most 65536"),
    ],
)
def test_what_is_no_query_changes_nothing_and_is_explained(address, value, reason):
    with Client(address) as client:
        client.wait_for_channels()
        client.send(op="setParameters", parameters=[{"name": "queries", "value": value}], id="set")
        status = client.json("status")
        assert reason in status["message"]
        assert status["level"] == 2
        assert client.queries() == [QUERY]


def test_another_parameter_is_refused_by_name(address):
    with Client(address) as client:
        parameters = [{"name": "model", "value": "/etc/passwd"}]
        client.send(op="setParameters", parameters=parameters, id="set")
        assert 'no parameter "model"' in client.json("status")["message"]


def test_a_viewer_that_does_not_read_holds_nobody_up(address):
    with Client(address) as slow, Client(address) as client:
        for each in (slow, client):
            each.wait_for_channels()
            each.subscribe({"/camera/image": 1})
        _, first, _ = client.data()
        for _ in range(300):
            _, last, _ = client.data()
        assert last - first == 300 * 10_000_000
