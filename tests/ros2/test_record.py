"""Recordings of the node, read by rosbags and mcap."""

import ctypes
import json
import os
import resource
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import messages as m
import pytest
from conftest import ASKED, BUILD, RELIABLE, Node, header, matched, run, stamp, take_until, wait_for
from cyclonedds.core import Policy, Qos
from mcap.reader import make_reader
from mcap_ros2.reader import read_ros2_messages
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from test_control import Stream, parameter, rcl
from test_images import compressed, exchange, raw
from test_outputs import RULES, depth_image, info
from test_start import refused

ALL_LATCHED = Qos(RELIABLE, Policy.Durability.TransientLocal, Policy.History.KeepAll)
QUERIES = ["all cubes", "all balls", "all cones"]
PARAMETERS = [
    *["-p", f"queries:={json.dumps(QUERIES)}", "-p", "reliability:=reliable"],
    *["-p", "queue_size:=100"],
]
TYPES = {
    "/mdetr/detections": "vision_msgs/msg/Detection2DArray",
    "/mdetr/result": "std_msgs/msg/String",
    "/mdetr/label_info": "vision_msgs/msg/LabelInfo",
    "/mdetr/transition_event": "lifecycle_msgs/msg/TransitionEvent",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
    "/rosout": "rcl_interfaces/msg/Log",
}


def nanos(time):
    return time.sec * 10**9 + time.nanosec


class Recording:
    """What rosbags reads of a file: for each topic its type, and messages with bytes and times."""

    def __init__(self, path):
        store = get_typestore(Stores.ROS2_JAZZY)
        self.types, self.messages, self.bytes = {}, {}, {}
        with Reader(path) as reader:
            for each in reader.connections:
                # What it has no definition of is defined in the recording.
                types = get_types_from_msg(each.msgdef.data, each.msgtype)
                store.register(
                    {name: kind for name, kind in types.items() if name not in store.types}
                )
                self.types[each.topic] = each.msgtype
            for each, received, data in reader.messages():
                message = store.deserialize_cdr(data, each.msgtype)
                self.messages.setdefault(each.topic, []).append((received, message))
                self.bytes.setdefault(each.topic, []).append(bytes(data))
        self.path = path
        self.agree()

    def agree(self):
        """mcap's readers find the same, by the index and without."""
        with self.path.open("rb") as file:
            reader = make_reader(file)
            assert reader.get_header().profile == "ros2"
            statistics = reader.get_summary().statistics
        counts = {topic: len(found) for topic, found in self.messages.items()}
        assert statistics.message_count == sum(counts.values())
        read = dict.fromkeys(counts, 0)
        for each in read_ros2_messages(self.path):
            read[each.channel.topic] += 1
        assert read == counts

    def stamps(self, topic):
        return [stamp(message) for _, message in self.messages.get(topic, [])]


def assert_same_bytes(recorded, received):
    """The bytes of a recording against messages that CycloneDDS got; it pads them."""
    assert len(recorded) == len(received)
    for ours, message in zip(recorded, received, strict=True):
        theirs = message.serialize()
        assert ours[:2] == b"\0\1" and theirs[4 : len(ours)] == ours[4:]
        assert len(theirs) - len(ours) < 8


def test_a_recording_has_what_subscribers_got(start, peer, scenes, tmp_path):
    path, rules = tmp_path / "run.mcap", tmp_path / "rules.toml"
    asked = [word for query in QUERIES for word in ("--query", query)]
    seen = json.loads(run("mdetr", "detect", "--json", *asked, scenes[0]))["queries"]
    present = next(query["id"] for query in seen if query["present"])
    rules.write_text(RULES.replace("q1", present))
    node = start("--record", path, "--record-images", "--ros-args", *PARAMETERS,
                 "-p", f"rules:={rules}")  # fmt: skip
    publisher = matched(peer.publisher("/image", m.Image))
    kinds = {
        "/mdetr/detections": m.Detection2DArray,
        "/mdetr/result": m.String,
        "/mdetr/masks": m.Image,
        "/mdetr/debug_image/compressed": m.CompressedImage,
        "/mdetr/events": m.String,
        "/mdetr/label_info": m.LabelInfo,
        "/diagnostics": m.DiagnosticArray,
        "/parameter_events": m.ParameterEvent,
        "/rosout": m.Log,
    }
    qos = {"/mdetr/label_info": ALL_LATCHED}
    readers = {
        topic: matched(peer.subscriber(topic, kind, qos.get(topic, ASKED)))
        for topic, kind in kinds.items()
    }
    node.wait_for_log("revision 1")
    sent = [raw(scene, number) for number, scene in enumerate(scenes[:40])]
    begun = time.time_ns()
    arrays, lines = exchange(
        publisher, readers["/mdetr/detections"], readers["/mdetr/result"], sent[:20]
    )
    at_once = rcl(peer, "set_parameters_atomically")
    assert at_once(parameters=[parameter("queries", [*QUERIES, "a cube"])]).result.successful
    more, more_lines = exchange(
        publisher, readers["/mdetr/detections"], readers["/mdetr/result"], sent[20:]
    )
    ended = time.time_ns()
    found = {topic: [] for topic in kinds}
    for topic, count in (("/diagnostics", 2), ("/mdetr/masks", 40), ("/mdetr/label_info", 2),
                         ("/mdetr/debug_image/compressed", 40), ("/parameter_events", 1),
                         ("/rosout", 1)):  # fmt: skip
        found[topic] += take_until(readers[topic], lambda found, count=count: len(found) >= count)
    assert node.stop() == 0
    for topic, reader in readers.items():
        # With the last messages it says that the writer is gone.
        found[topic] += [each for each in reader.take(1000) if isinstance(each, kinds[topic])]

    recording = Recording(path)
    expected = {
        **TYPES,
        "/image": "sensor_msgs/msg/Image",
        "/mdetr/masks": "sensor_msgs/msg/Image",
        "/mdetr/debug_image/compressed": "sensor_msgs/msg/CompressedImage",
        "/mdetr/events": "std_msgs/msg/String",
        "/parameter_events": "rcl_interfaces/msg/ParameterEvent",
    }
    assert recording.types == expected
    found["/mdetr/detections"] += arrays + more
    # Every picture and every message on it, in order, bit by bit.
    assert_same_bytes(recording.bytes["/image"], sent)
    for topic in ("/mdetr/detections", "/mdetr/masks", "/mdetr/debug_image/compressed",
                  "/mdetr/events", "/mdetr/label_info", "/parameter_events"):  # fmt: skip
        assert_same_bytes(recording.bytes[topic], found[topic])
    assert recording.stamps("/mdetr/detections") == [stamp(each) for each in sent]
    results = [json.loads(message.data) for _, message in recording.messages["/mdetr/result"]]
    assert results == lines + more_lines
    assert [line["revision"] for line in results] == [1] * 20 + [2] * 20
    assert found["/mdetr/events"]
    # Of what began before the subscriber came it has the rest.
    for topic in ("/diagnostics", "/rosout"):
        rest = recording.bytes[topic][-len(found[topic]) :]
        assert_same_bytes(rest, found[topic])
    # Reception times are the machine's.
    times = [received for received, _ in recording.messages["/image"]]
    assert times == sorted(times)
    assert begun <= times[0] and times[-1] <= ended
    for picture, (answered, _) in zip(times, recording.messages["/mdetr/result"], strict=True):
        assert picture <= answered
    with path.open("rb") as file:
        pictures = list(make_reader(file).iter_messages(topics=["/image"]))
    for _, _, message in pictures:
        # When its publisher says that it was sent.
        assert begun <= message.publish_time <= message.log_time + 1_000_000


def test_pictures_are_recorded_if_asked_for(start, peer, scenes, tmp_path):
    for number, options in enumerate([[], ["--record-images"]]):
        path = tmp_path / f"run-{number}.mcap"
        node = start("--record", path, *options, "--ros-args", *PARAMETERS,
                     "-p", "image_transport:=compressed")  # fmt: skip
        publisher = matched(peer.publisher("/image/compressed", m.CompressedImage))
        detections = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
        results = matched(peer.subscriber("/mdetr/result", m.String))
        sent = [compressed(scene, number) for number, scene in enumerate(scenes[:5])]
        exchange(publisher, detections, results, sent)
        assert node.stop() == 0
        recording = Recording(path)
        assert len(recording.messages["/mdetr/result"]) == 5
        if options:
            assert_same_bytes(recording.bytes["/image/compressed"], sent)
        else:
            assert recording.types == TYPES


def test_depth_that_is_used_is_recorded(start, peer, scenes, tmp_path):
    path = tmp_path / "run.mcap"
    node = start("--record", path, "--record-images", "--ros-args", *PARAMETERS,
                 "-p", "depth:=true")  # fmt: skip
    publishers = {
        topic: matched(peer.publisher(topic, kind))
        for topic, kind in (
            ("/image", m.Image),
            ("/depth", m.Image),
            ("/camera_info", m.CameraInfo),
        )
    }
    placed = matched(peer.subscriber("/mdetr/detections_3d", m.Detection3DArray))
    depths = [depth_image(number, 2.0, "16UC1") for number in range(4)]
    publishers["/camera_info"].write(info(0))
    got = []
    for number in range(4):
        publishers["/depth"].write(depths[number])
        # One depth image has no picture.
        if number != 2:
            publishers["/image"].write(raw(scenes[0], number))
            got += take_until(placed, lambda found: found)
    assert node.stop() == 0
    recording = Recording(path)
    assert_same_bytes(recording.bytes["/mdetr/detections_3d"], got)
    assert_same_bytes(recording.bytes["/depth"], [depths[number] for number in (0, 1, 3)])
    assert_same_bytes(recording.bytes["/camera_info"], [info(0)])


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_file(start, peer, scenes, tmp_path, name):
    path = tmp_path / "run.mcap"
    node = start("--record", path, "--ros-args", *PARAMETERS)
    with Stream(peer, scenes[0]) as stream:
        stream.next_line()
        node.process.send_signal(getattr(signal, name))
        assert node.process.wait(15) == 0
    recording = Recording(path)
    assert len(recording.messages["/mdetr/result"]) == len(recording.messages["/mdetr/detections"])
    assert f"recorded {sum(map(len, recording.messages.values()))} messages" in node.text()


def test_a_killed_recording_is_recovered(peer, scenes, tmp_path, domain):
    path, recovered = tmp_path / "run.mcap", tmp_path / "recovered.mcap"
    log = tmp_path / "node.log"
    args = ["--record", path, "--record-images", "--ros-args", *PARAMETERS]
    node = Node(log, args, env={"ROS_DOMAIN_ID": str(domain)})
    with Stream(peer, scenes[0]) as stream:
        lines = take_until(stream.results, lambda found: len(found) >= 60)
        # What was there this long ago is written.
        time.sleep(1.5)
        node.process.kill()
        node.process.wait()
    with pytest.raises(ReaderError):
        Recording(path)
    command = [BUILD / "mdetr-ros2", "--recover", path, recovered]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and f"{recovered}: " in done.stdout, done
    recording = Recording(recovered)
    results = [message.data for _, message in recording.messages["/mdetr/result"]]
    assert results[: len(lines)] == [line.data for line in lines]
    assert (
        recording.stamps("/image")[: len(lines)]
        == recording.stamps("/mdetr/detections")[: len(lines)]
    )
    # The new file is not overwritten.
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "there is a file of this name" in done.stderr


def test_where_nothing_can_be_recorded_the_node_does_not_start(tmp_path):
    missing = tmp_path / "no" / "run.mcap"
    assert f"there is no directory {tmp_path / 'no'}" in refused("--record", str(missing))
    there = tmp_path / "run.mcap"
    there.write_text("mine")
    assert f"{there}: there is a file of this name" in refused("--record", str(there))
    assert there.read_text() == "mine"
    assert "there is a file of this name" in refused("--record", "/")
    # Nothing is left where something else is wrong.
    fresh = tmp_path / "fresh.mcap"
    refused("--record", str(fresh), "--ros-args", "-p", "engine:=cuda")
    refused("--record", str(fresh), env={"ROS_DOMAIN_ID": "x"})
    assert not fresh.exists()


def statuses(reader):
    """The newest diagnostics: by name level, message and values."""
    array = take_until(reader, lambda found: found)[-1]
    return {
        status.name: (status.level, status.message, {v.key: v.value for v in status.values})
        for status in array.status
    }


def test_a_full_disk_ends_the_recording_and_not_the_node(peer, scenes, tmp_path, domain):
    path = tmp_path / "run.mcap"
    limits = {
        # Files of at most 20 MiB; Python ignores the signal at their end, and so does its child.
        "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20 << 20, 20 << 20)),
        "restore_signals": False,
    }
    args = ["--record", path, "--record-images", "--ros-args", *PARAMETERS]
    node = Node(tmp_path / "node.log", args, env={"ROS_DOMAIN_ID": str(domain)}, **limits)
    diagnostics = matched(peer.subscriber("/diagnostics", m.DiagnosticArray))
    with Stream(peer, scenes[0]) as stream:
        node.wait_for_log("the recording has ended")
        assert stream.next_line()["queries"]
        time.sleep(2.5)
        assert stream.next_line()["queries"]
        level, message, values = statuses(diagnostics)["/mdetr: recording"]
        assert level == 2 and str(path) in message and int(values["left_out"]) > 30
    text = node.text()
    assert text.count("the recording has ended") == 1 and text.count(str(path)) == 2, text
    # The recording is not whole, which whoever started the node may want to know.
    assert node.stop() == 1
    assert "panicked" not in node.text()
    recovered = tmp_path / "recovered.mcap"
    subprocess.run([BUILD / "mdetr-ros2", "--recover", path, recovered], check=True)
    recording = Recording(recovered)
    assert len(recording.messages["/mdetr/result"]) > 30
    assert len(recording.messages["/image"]) > 30


class Halted:
    """A thread of a process that stands still, as one does that waits for a disk."""

    SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17

    def __init__(self, pid, name):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        (self.thread,) = (
            int(task.name) for task in tasks if (task / "comm").read_text().strip() == name
        )
        self.ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        self.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def call(self, request):
        if self.ptrace(request, self.thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def __enter__(self):
        self.call(self.SEIZE)
        self.call(self.INTERRUPT)
        os.waitpid(self.thread, 0x40000000)
        return self

    def __exit__(self, *_):
        # Its process may have ended.
        with suppress(ProcessLookupError):
            self.call(self.DETACH)

    def wait_for_end(self):
        """Its process is not gone before this thread is known to be."""
        os.waitpid(self.thread, 0x40000000)


def test_a_disk_that_hangs_holds_up_no_answer(start, peer, scenes, tmp_path):
    path = tmp_path / "run.mcap"
    node = start("--record", path, "--record-images", "--ros-args", *PARAMETERS)
    publisher = matched(peer.publisher("/image", m.Image))
    detections = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    results = matched(peer.subscriber("/mdetr/result", m.String))
    diagnostics = matched(peer.subscriber("/diagnostics", m.DiagnosticArray))
    large = [
        m.Image(header(number), 1080, 1920, "rgb8", 0, 5760, bytes(5760 * 1080))
        for number in range(50)
    ]
    exchange(publisher, detections, results, large[:5])
    with Halted(node.process.pid, "record"):
        exchange(publisher, detections, results, large[5:])
        node.wait_for_log("were not recorded, as the disk is too slow")

        def told():
            _, _, values = statuses(diagnostics)["/mdetr: recording"]
            return int(values["left_out"]) > 0 and values

        values = wait_for(told)
        assert node.rss() < 700
    exchange(publisher, detections, results, [raw(scenes[0], 60)])
    assert node.stop() == 0
    recording = Recording(path)
    lost = int(node.text().split(" were left out")[0].rsplit(" ", 1)[1])
    assert lost >= int(values["left_out"])
    pictures = recording.stamps("/image")
    assert 30 < len(pictures) < 51
    every = [stamp(raw(scenes[0], number)) for number in (*range(50), 60)]
    assert pictures == [each for each in every if each in set(pictures)]
    assert pictures[-1] == every[-1]


def test_a_second_signal_does_not_wait_for_the_disk(peer, scenes, tmp_path, domain):
    path = tmp_path / "run.mcap"
    args = ["--record", path, "--ros-args", *PARAMETERS]
    node = Node(tmp_path / "node.log", args, env={"ROS_DOMAIN_ID": str(domain)})
    with Stream(peer, scenes[0]) as stream:
        stream.next_line()
        time.sleep(2)
    with Halted(node.process.pid, "record") as halted:
        node.process.send_signal(signal.SIGINT)
        node.wait_for_log("stopping")
        time.sleep(2)
        assert node.process.poll() is None
        node.process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        halted.wait_for_end()
        assert node.process.wait(10) == 1
        assert time.monotonic() - begun < 8
    assert "what was written can be read after --recover" in node.text()
    recovered = tmp_path / "recovered.mcap"
    subprocess.run([BUILD / "mdetr-ros2", "--recover", path, recovered], check=True)
    assert Recording(recovered).messages["/mdetr/result"]
