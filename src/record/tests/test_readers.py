"""Recordings in readers that others wrote: rosbags, and mcap with mcap-ros2-support.

`MDETR_BUILD` names the directory with examples/numbered; target/debug, if not set.
"""

import os
import subprocess
from pathlib import Path

import pytest
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from mcap_ros2.reader import read_ros2_messages
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("MDETR_BUILD", ROOT / "target" / "debug"))
COUNT = 1000
TOPICS = {
    "/camera/image_raw": "sensor_msgs/msg/Image",
    "/mdetr/detections": "vision_msgs/msg/Detection2DArray",
    "/mdetr/result": "std_msgs/msg/String",
}


def nanoseconds(number):
    return 1_700_000_000_000_000_000 + number * 33_333_333


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "run.mcap"
    subprocess.run([BUILD / "examples/numbered", path, str(COUNT), "100000"], check=True)
    return path


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A recording of a program that was killed, and how many of its messages were written."""
    path = tmp_path_factory.mktemp("killed") / "run.mcap"
    command = [BUILD / "examples/numbered", path, "0", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        written = [int(process.stdout.readline()) for _ in range(50)][-1]
        process.kill()
    return path, written


def check(number, topic, message):
    """One message, whichever reader gives it."""
    if topic == "/mdetr/result":
        assert message.data == f"frame {number}"
        return
    stamp = message.header.stamp
    assert stamp.sec * 10**9 + stamp.nanosec == nanoseconds(number)
    assert message.header.frame_id == "camera_optical"
    if topic == "/camera/image_raw":
        assert (message.width, message.height, message.step) == (16, 12, 48)
        assert message.encoding == "rgb8"
        assert bytes(message.data) == bytes([number % 256]) * 48 * 12
        return
    assert len(message.detections) == (number % 3 != 0)
    for detection in message.detections:
        assert detection.id == str(number)
        assert detection.bbox.center.position.x == number
        (result,) = detection.results
        assert result.hypothesis.class_id == "the red mug"
        assert result.hypothesis.score == 0.75
        assert result.pose.pose.orientation.w == 1


def test_rosbags_reads_all_messages(recording):
    assert read_with_rosbags(recording) == dict.fromkeys(TOPICS, COUNT)


def read_with_rosbags(path):
    """Checks every message; gives their numbers."""
    store = get_typestore(Stores.ROS2_JAZZY)
    seen = dict.fromkeys(TOPICS, 0)
    with Reader(path) as reader:
        assert {each.topic: each.msgtype for each in reader.connections} == TOPICS
        for connection in reader.connections:
            # What it has no definition of is defined in the recording.
            types = get_types_from_msg(connection.msgdef.data, connection.msgtype)
            store.register({name: each for name, each in types.items() if name not in store.types})
        for connection, received, data in reader.messages():
            number = seen[connection.topic]
            assert received == nanoseconds(number) + 5_000_000
            check(number, connection.topic, store.deserialize_cdr(data, connection.msgtype))
            seen[connection.topic] += 1
        assert sum(seen.values()) == reader.message_count
    return seen


def test_mcap_ros2_support_reads_all_messages(recording):
    seen = dict.fromkeys(TOPICS, 0)
    for each in read_ros2_messages(recording):
        topic = each.channel.topic
        assert each.schema.name == TOPICS[topic]
        assert each.publish_time_ns == nanoseconds(seen[topic])
        check(seen[topic], topic, each.ros_msg)
        seen[topic] += 1
    assert seen == dict.fromkeys(TOPICS, COUNT)


def test_the_index_finds_a_moment_without_reading_all(recording):
    with recording.open("rb") as file:
        reader = make_reader(file)
        assert reader.get_header().profile == "ros2"
        summary = reader.get_summary()
        assert summary.statistics.message_count == 3 * COUNT
        assert len(summary.chunk_indexes) > 5
        first = nanoseconds(500)
        found = reader.iter_messages(topics=["/mdetr/result"], start_time=first)
        _, _, message = next(iter(found))
        assert message.publish_time == nanoseconds(500)


def records(path):
    """What mcap reads of a file without an index, and the error at its end."""
    found = []
    with path.open("rb") as file:
        try:
            for record in StreamReader(file).records:
                found.append(record)
        except Exception as error:
            return found, error
    return found, None


def test_a_killed_recording_is_read_without_an_index(killed):
    path, written = killed
    found, _ = records(path)
    messages = [record for record in found if type(record).__name__ == "Message"]
    assert len(messages) >= 3 * written
    for record in messages[::3]:
        assert record.publish_time == nanoseconds(record.sequence)


def test_what_is_recovered_of_a_killed_recording_has_an_index(killed, tmp_path):
    path, written = killed
    recovered = tmp_path / "recovered.mcap"
    subprocess.run([BUILD / "examples/recover", path, recovered], check=True)
    seen = read_with_rosbags(recovered)
    assert min(seen.values()) >= written
    with recovered.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary.statistics.message_count == sum(seen.values())
