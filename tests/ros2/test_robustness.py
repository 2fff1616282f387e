"""Peers that come and go, and messages that are none."""

import itertools
import os
import random
import struct
import subprocess
import sys
import time

import messages as m
from conftest import OFFERED, Peer, header, matched, stamp, take_until
from cyclonedds.idl import make_idl_struct
from cyclonedds.idl.types import array, uint8
from cyclonedds.pub import DataWriter
from cyclonedds.topic import Topic
from test_images import raw

PARAMETERS = ["-p", "queries:=['a cone', 'all cubes']", "-p", "reliability:=reliable"]


def bytes_as(name, count):
    """A message that is these many bytes and claims to be of the type `name`."""
    return make_idl_struct(f"Bytes{count}", m.message(name), {"data": array[uint8, count]})


def write_bytes(peer, topic, name, data):
    """Sends bytes as a message of a type, whatever they are."""
    kind = bytes_as(name, len(data))
    writer = DataWriter(
        peer.participant, Topic(peer.participant, topic, kind, qos=OFFERED), qos=OFFERED
    )
    matched(writer)
    writer.write(kind(list(data)))
    return writer


def answered(found, path, number):
    wanted = stamp(raw(path, number))
    take_until(found, lambda arrays: any(stamp(array) == wanted for array in arrays))


def works(publisher, found, path, number):
    publisher.write(raw(path, number))
    answered(found, path, number)


def cdr(message):
    """The bytes of a message after the four that name the encoding."""
    return message.serialize()[4:]


def malformed():
    """Bytes that are no images, each with a name."""
    whole = cdr(m.Image(header(1), 4, 4, "rgb8", 0, 12, bytes(48)))
    yield "nothing", bytes(1)
    yield "cut", whole[:20]
    yield "cut in the data", whole[:-30]
    # The length of frame_id, at byte 8, and of the data.
    yield "a huge string", whole[:8] + struct.pack("<I", 0xFFFFFFFF) + whole[12:]
    at = len(whole) - 48 - 4
    assert struct.unpack_from("<I", whole, at) == (48,)
    yield "huge data", whole[:at] + struct.pack("<I", 0xFFFFFFF0) + whole[at + 4 :]
    yield "no UTF-8", whole[:12] + b"\xff\xfe" + whole[14:]
    rubbish = random.Random(3)
    for number in range(10):
        yield f"rubbish {number}", rubbish.randbytes(rubbish.randint(1, 200))


def test_malformed_images(start, peer, scenes):
    node = start("--ros-args", *PARAMETERS)
    publisher = matched(peer.publisher("/image", m.Image))
    found = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    works(publisher, found, scenes[0], 0)
    before = node.rss()
    for number, (name, data) in enumerate(malformed()):
        other = Peer(peer.domain)
        write_bytes(other, "rt/image", "sensor_msgs/msg/Image", data)
        time.sleep(0.1)
        assert node.process.poll() is None, name
        works(publisher, found, scenes[0], number + 1)
    assert node.rss() < before + 100
    assert "deserialization" in node.text()
    assert "panicked" not in node.text()


def test_images_that_claim_more_than_they_have(start, peer, scenes):
    node = start("--ros-args", *PARAMETERS)
    publisher = matched(peer.publisher("/image", m.Image))
    found = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    works(publisher, found, scenes[0], 0)
    before = node.rss()
    claims = [
        (
            m.Image(header(1), 240, 320, "rgb8", 0, 960, bytes(960 * 239)),
            "expected at least 230400",
        ),
        (m.Image(header(2), 2**32 - 1, 2**32 - 1, "rgb8", 0, 2**32 - 1, bytes(9)), "step"),
        (m.Image(header(3), 60000, 60000, "mono8", 0, 60000, bytes(9)), "60000x60000"),
        (m.Image(header(4), 0, 320, "rgb8", 0, 960, b""), "at least one pixel"),
        (m.Image(header(5), 240, 320, "rgb8", 0, 320, bytes(960 * 240)), "expected a step of"),
        (m.Image(header(6), 240, 320, "rgb8", 1, 960, bytes(960 * 240)), "is_bigendian"),
        (m.Image(header(7), 240, 320, "bayer_rggb8", 0, 320, bytes(320 * 240)), "bayer_rggb8"),
        (m.Image(header(8), 2, 20000, "mono8", 0, 20000, bytes(40000)), "20000"),
    ]
    for number, (claim, message) in enumerate(claims):
        publisher.write(claim)
        node.wait_for_log(message)
        works(publisher, found, scenes[0], 100 + number)
    assert found.take(100) == []
    assert node.rss() < before + 100


def test_compressed_images_that_are_none(start, peer, scenes):
    node = start("--ros-args", *PARAMETERS, "-p", "image_transport:=compressed")
    publisher = matched(peer.publisher("/image/compressed", m.CompressedImage))
    found = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    png = scenes[0].read_bytes()
    # The size of the picture stands 16 bytes after the beginning.
    huge = png[:16] + struct.pack(">II", 2**31 - 1, 2**31 - 1) + png[24:]
    for number, (format, data, message) in enumerate(
        [
            ("jpeg", png, "is not that of the file"),
            ("png", png[: len(png) // 2], "compressed image"),
            ("png", huge, "compressed image"),
            ("h264", bytes(100), '"h264"'),
            ("png", b"", "is not that of the file"),
        ]
    ):
        publisher.write(m.CompressedImage(header(number), format, data))
        node.wait_for_log(message)
    publisher.write(m.CompressedImage(header(50), "png", png))
    wanted = stamp(m.CompressedImage(header(50)))
    arrays = take_until(found, lambda arrays: arrays)
    assert [stamp(array) for array in arrays] == [wanted]


def test_malformed_requests(start, peer):
    node = start("--ros-args", *PARAMETERS)
    node.wait_for_log("listening to /image")
    services = {
        "set_prompt": "isaac_ros_grounding_dino_interfaces/srv/SetPrompt_Request",
        "set_queries": "mdetr_msgs/srv/SetQueries_Request",
        "set_parameters_atomically": "rcl_interfaces/srv/SetParametersAtomically_Request",
        "change_state": "lifecycle_msgs/srv/ChangeState_Request",
        "enable": "std_srvs/srv/SetBool_Request",
    }
    rubbish = random.Random(4)
    for service, kind in services.items():
        for data in [b"\xff" * 8, b"\xff", rubbish.randbytes(100)]:
            other = Peer(peer.domain)
            write_bytes(other, f"rq/mdetr/{service}Request", kind, data)
    time.sleep(0.5)
    assert node.process.poll() is None
    state = peer.client("/mdetr/get_state", "lifecycle_msgs/srv/GetState")
    assert state().current_state.label == "active"
    queries = peer.client("/mdetr/set_queries", "mdetr_msgs/srv/SetQueries")
    assert queries(queries=["a ball"]).success


# A camera and a viewer, of a domain's id, in a process of their own: a picture and its number.
COMES_AND_GOES = """
import sys, messages as m
from conftest import Peer, matched, take_until
from test_images import raw
peer = Peer(int(sys.argv[1]))
listener = matched(peer.subscriber("/mdetr/debug_image/compressed", m.CompressedImage))
publisher = matched(peer.publisher("/image", m.Image))
publisher.write(raw(sys.argv[2], int(sys.argv[3])))
take_until(listener, lambda images: images)
"""


def test_participants_come_and_go(start, peer, scenes):
    node = start("--ros-args", *PARAMETERS)
    found = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    memory, threads = [], []
    for number in range(30):
        arguments = map(str, (peer.domain, scenes[number], number))
        subprocess.run(
            [sys.executable, "-c", COMES_AND_GOES, *arguments],
            cwd=os.path.dirname(__file__),
            check=True,
            timeout=60,
        )
        answered(found, scenes[number], number)
        memory.append(node.rss())
        threads.append(len(os.listdir(f"/proc/{node.process.pid}/task")))
    assert threads[-1] <= threads[2]
    assert memory[-1] < memory[9] + 30, memory


def cut_network(seconds):
    try:
        subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
        time.sleep(seconds)
    finally:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "route", "replace", "224.0.0.0/4", "dev", "lo"], check=True)


def works_again(publisher, found, path):
    """Whether the last of pictures that are sent again and again is answered."""
    deadline = time.monotonic() + 30
    for number in itertools.count(1):
        publisher.write(raw(path, number))
        time.sleep(0.2)
        if any(stamp(array) == stamp(raw(path, number)) for array in found.take(1000)):
            return
        assert time.monotonic() < deadline, "nothing came after the network was restored"


def test_the_network_is_cut_for_a_moment(start, peer, scenes):
    start("--ros-args", *PARAMETERS)
    publisher = matched(peer.publisher("/image", m.Image))
    found = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    works(publisher, found, scenes[0], 0)
    cut_network(1)
    works_again(publisher, found, scenes[0])


def test_the_network_is_cut_for_longer_than_a_lease(start, peer, scenes):
    """The node is there for those who come after. CycloneDDS's lease is 10 s."""
    start("--ros-args", *PARAMETERS)
    publisher = matched(peer.publisher("/image", m.Image))
    found = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    works(publisher, found, scenes[0], 0)
    cut_network(15)
    other = Peer(peer.domain)
    publisher = matched(other.publisher("/image", m.Image))
    found = matched(other.subscriber("/mdetr/detections", m.Detection2DArray))
    works_again(publisher, found, scenes[0])


def test_a_subscriber_that_was_killed_holds_nobody_up(start, peer, scenes):
    """Its samples are kept until its lease is over; pictures are answered meanwhile."""
    start("--ros-args", *PARAMETERS)
    script = (
        "import time, conftest, messages as m\n"
        f"peer = conftest.Peer({peer.domain})\n"
        "reader = peer.subscriber('/mdetr/detections', m.Detection2DArray)\n"
        "conftest.matched(reader)\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    here = os.path.dirname(__file__)
    other = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=here
    )
    assert other.stdout.readline() == "ready\n"
    publisher = matched(peer.publisher("/image", m.Image))
    found = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    works(publisher, found, scenes[0], 0)
    other.kill()
    other.wait()
    begun = time.monotonic()
    for number in range(1, 60):
        works(publisher, found, scenes[number], number)
    assert time.monotonic() - begun < 20
