"""The node as a viewer of Foxglove sees it."""

import io
import json
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import messages as m
import pytest
from client import PROTOCOL, Client
from conftest import BEGIN, PERIOD, matched, stamp, take_until
from foxglove_schemas_protobuf.ImageAnnotations_pb2 import ImageAnnotations
from PIL import Image as Picture
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from test_control import Stream, parameter, rcl, texts
from test_images import boxes_of_array, compressed, exchange, raw
from test_record import Recording
from test_start import refused
from websockets.exceptions import ConnectionClosed, InvalidHandshake

QUERIES = ["all cubes", "all balls"]
PARAMETERS = ["-p", f"queries:={json.dumps(QUERIES)}", "-p", "reliability:=reliable"]
IMAGE, BOXES, ARRAYS = "/image/compressed", "/mdetr/annotations", "/mdetr/detections"


def listening(process):
    """Addresses on which a process listens for connections."""
    links = []
    for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(str(descriptor.readlink()))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process.pid}/net/{table}").read_text().splitlines()[1:]:
            (
                _,
                address,
                _,
                state,
                *_,
            ) = fields = line.split()
            if state == "0A" and f"socket:[{fields[9]}]" in links:
                found.append(address)
    return found


@pytest.fixture
def view(start):
    """Starts a node with a view, on any port; the node and the address."""

    def begin(*args, options=(), parameters=PARAMETERS):
        node = start("--foxglove", "127.0.0.1:0", *options, "--ros-args", *parameters, *args)
        node.wait_for_log("revision 1")
        return node, node.text().split("ws://")[1].split()[0]

    return begin


class Pictures:
    """Sends pictures and waits for what the node answers."""

    def __init__(self, peer, topic="/image", kind=m.Image, make=raw):
        self.publisher = matched(peer.publisher(topic, kind))
        self.detections = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
        self.results = matched(peer.subscriber("/mdetr/result", m.String))
        self.make = make

    def send(self, paths, first=0):
        sent = [self.make(path, first + number) for number, path in enumerate(paths)]
        return sent, *exchange(self.publisher, self.detections, self.results, sent)


def number_of(nanos):
    return round((nanos - BEGIN) / PERIOD)


@contextmanager
def collecting(client, topics, count):
    """Reads the first `count` messages of each topic beside other work: numbers and bytes."""
    client.wait_for_channels(*topics)
    client.subscribe({topic: number for number, topic in enumerate(topics)})
    # What was sent before is done when this is answered.
    client.queries()
    found = {topic: [] for topic in topics}

    def read():
        while any(len(each) < count for each in found.values()):
            subscription, nanos, data = client.data(120)
            found[topics[subscription]].append((number_of(nanos), data))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        yield found
        reading.result()


def decoded(client, topic, data):
    """A message of ROS by the definition that the node sends."""
    channel = client.channels[topic]
    assert (channel["encoding"], channel["schemaEncoding"]) == ("cdr", "ros2msg")
    store = get_typestore(Stores.ROS2_JAZZY)
    kinds = get_types_from_msg(channel["schema"], channel["schemaName"])
    store.register({name: kind for name, kind in kinds.items() if name not in store.types})
    return store.deserialize_cdr(data, channel["schemaName"])


def boxes(annotations):
    """Corner and size of every outline."""
    found = []
    for outline in annotations.points:
        (left, top), _, (right, bottom), _ = ((p.x, p.y) for p in outline.points)
        found.append([left, top, right - left, bottom - top])
    return found


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_pictures_boxes_and_detections_have_the_same_stamps(view, peer, scenes, transport):
    _, address = view("-p", f"image_transport:={transport}")
    topic, kind, make = {
        "raw": ("/image", m.Image, raw),
        "compressed": (IMAGE, m.CompressedImage, compressed),
    }[transport]
    pictures = Pictures(peer, topic, kind, make)
    with Client(address) as client:
        assert client.json("serverInfo")["name"] == "/mdetr"
        with collecting(client, [IMAGE, BOXES, ARRAYS], 10) as found:
            sent, arrays, _ = pictures.send(scenes[:10])
    assert [[number for number, _ in each] for each in found.values()] == [list(range(10))] * 3
    for (_, image), (_, annotations), (_, array), message, own in zip(
        *found.values(), sent, arrays, strict=True
    ):
        image = decoded(client, IMAGE, image)
        annotations = ImageAnnotations.FromString(annotations)
        assert stamp(image) == stamp(message)
        assert (annotations.timestamp.seconds, annotations.timestamp.nanos) == stamp(message)
        assert array[4:] == own.serialize()[4 : len(array)]
        shown, whole = boxes(annotations), [box for box, _ in boxes_of_array(own)]
        assert len(shown) == len(annotations.texts) == len(whole)
        for a, b in zip(shown, whole, strict=True):
            assert a == pytest.approx(b, abs=0.01)
        if transport == "compressed":
            assert bytes(image.data) == bytes(message.data) and image.format == message.format
            continue
        picture = Picture.open(io.BytesIO(bytes(image.data)))
        assert (picture.format, picture.size) == ("JPEG", (message.width, message.height))
        pixels = zip(picture.convert("RGB").tobytes(), bytes(message.data), strict=True)
        assert sum(abs(a - b) for a, b in pixels) < 8 * len(message.data)
    assert any(boxes(ImageAnnotations.FromString(data)) for _, data in found[BOXES])


def test_what_is_made_for_listeners_is_made_for_viewers(view, peer, scenes):
    _, address = view()
    pictures = Pictures(peer)
    topics = ["/mdetr/masks", "/mdetr/debug_image/compressed"]
    with Client(address) as client:
        client.wait_for_channels(*topics)
        pictures.send(scenes[:2])
        with collecting(client, topics, 3) as found:
            sent, _, _ = pictures.send(scenes[2:5], 2)
        for topic, each in found.items():
            # The first two were sent before it was asked for.
            assert [number for number, _ in each] == [2, 3, 4]
            for (_, data), message in zip(each, sent, strict=True):
                assert stamp(decoded(client, topic, data)) == stamp(message)


def test_a_viewer_sets_the_queries(view, peer, scenes):
    _, address = view()
    with Stream(peer, scenes[0]) as stream, Client(address) as client, Client(address) as other:
        first = stream.next_line()
        assert (first["revision"], texts(first)) == (1, QUERIES)
        assert client.queries() == QUERIES
        other.send(op="subscribeParameterUpdates", parameterNames=["queries"])
        other.queries()
        assert client.set_queries(["[a cone] on the left", "a ball"]) == [
            "[a cone] on the left",
            "a ball",
        ]
        line = stream.next_line()
        assert (line["revision"], texts(line)) == (2, ["a cone on the left", "a ball"])
        (update,) = other.json("parameterValues")["parameters"]
        assert update["value"] == ["[a cone] on the left", "a ball"]
        values = rcl(peer, "get_parameters")(names=["queries"]).values
        assert list(values[0].string_array_value) == ["[a cone] on the left", "a ball"]
        # An entry may be a JSON object, as in the parameter.
        entry = json.dumps({"id": "mug", "text": "a cube", "score_threshold": 0.9})
        assert client.set_queries([entry]) == [entry]
        line = stream.next_line()
        assert (line["revision"], line["queries"][0]["id"]) == (3, "mug")


def test_queries_that_others_set_appear(view, peer, scenes):
    _, address = view()
    prompt = peer.client("/mdetr/set_prompt", "isaac_ros_grounding_dino_interfaces/srv/SetPrompt")
    at_once = rcl(peer, "set_parameters_atomically")
    with Client(address) as client:
        client.send(op="subscribeParameterUpdates", parameterNames=["queries"])
        client.queries()
        assert prompt(prompt="a blue cube").success
        (update,) = client.json("parameterValues")["parameters"]
        assert update["value"] == ["a blue cube"]
        assert at_once(parameters=[parameter("queries", ["a", "b"])]).result.successful
        (update,) = client.json("parameterValues")["parameters"]
        assert update["value"] == ["a", "b"]
        assert client.queries() == ["a", "b"]


def test_queries_that_are_none_are_refused_with_the_reason(view, peer, scenes):
    node, address = view()
    with Stream(peer, scenes[0]) as stream, Client(address) as client:
        for value, reason in [
            (["a [cone"], "write a target as [words]"),
            (["{"], "no JSON object of a query"),
            (['{"id": "a", "text": "b"}'] * 2, 'two queries have the id "a"'),
            ([" ".join(["cone"] * 600)], "words"),
            (7, "expected a text or a list of texts"),
        ]:
            client.send(
                op="setParameters", parameters=[{"name": "queries", "value": value}], id="x"
            )
            status = client.json("status")
            assert status["level"] == 2, value
            assert reason in status["message"] or reason == "words", status
            assert client.queries() == QUERIES
        assert stream.next_line()["revision"] == 1
        # There is no model to answer them.
        change = peer.client("/mdetr/change_state", "lifecycle_msgs/srv/ChangeState")
        assert change(transition=m.Transition(4, "")).success
        assert change(transition=m.Transition(2, "")).success
        client.send(op="setParameters", parameters=[{"name": "queries", "value": ["a"]}], id="x")
        assert "configure the node" in client.json("status")["message"]
    node.wait_for_log("Foxglove: queries: refused: ")


def test_topics_come_and_go_with_the_cameras(view, peer):
    _, address = view("-p", "cameras:=[front, rear]")
    own = {f"/{camera}/image/compressed" for camera in ("front", "rear")}
    own |= {f"/mdetr/{camera}/annotations" for camera in ("front", "rear")}
    change = peer.client("/mdetr/change_state", "lifecycle_msgs/srv/ChangeState")
    with Client(address) as client:
        client.wait_for_channels(*own)
        numbers = {client.channels[topic]["id"] for topic in own}
        assert change(transition=m.Transition(4, "")).success
        assert change(transition=m.Transition(2, "")).success
        while numbers:
            numbers -= set(client.json("unadvertise")["channelIds"])
        set_one = rcl(peer, "set_parameters_atomically")
        assert set_one(parameters=[parameter("cameras", ["top"])]).result.successful
        assert change(transition=m.Transition(1, "")).success
        client.wait_for_channels("/top/image/compressed", "/mdetr/top/annotations")


def test_nothing_listens_unless_asked(start, view):
    node = start("--ros-args", *PARAMETERS)
    node.wait_for_log("revision 1")
    assert listening(node.process) == []
    node, address = view()
    (found,) = listening(node.process)
    host, port = address.split(":")
    # The address is in the machine's byte order.
    assert found == f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{int(port):04X}"
    assert host == "127.0.0.1"
    assert "can be reached from other machines" not in node.text()


def test_other_machines_are_let_in_with_a_warning_only(start):
    node = start("--foxglove", "0.0.0.0:0", "--ros-args", *PARAMETERS)
    node.wait_for_log("can be reached from other machines")


def test_without_an_address_it_is_foxgloves_own(start):
    node = start("--foxglove", "--ros-args", *PARAMETERS)
    node.wait_for_log("ws://127.0.0.1:8765")


def test_a_port_that_is_taken_is_named(tmp_path):
    path = tmp_path / "run.mcap"
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        error = refused("--foxglove", address, "--record", str(path))
    assert address in error and "choose another port" in error
    assert not path.exists()
    assert "expected an IP address and a port" in refused("--foxglove", "8765")


class Deaf:
    """A viewer that subscribes and never reads."""

    def __init__(self, address, topics):
        with Client(address) as client:
            client.wait_for_channels(*topics)
            channels = [client.channels[topic]["id"] for topic in topics]
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.sendall(
            f"GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n".encode()
        )
        time.sleep(0.3)
        self.send({"op": "subscribe", "subscriptions": [
            {"id": number, "channelId": channel} for number, channel in enumerate(channels)
        ]})  # fmt: skip

    def send(self, message, opcode=1):
        self.write(json.dumps(message).encode(), opcode)

    def write(self, data, opcode):
        """A frame, masked with nothing."""
        length = len(data)
        size = bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack(">H", length)
        self.socket.sendall(bytes([0x80 | opcode]) + size + bytes(4) + data)

    def close(self):
        self.socket.close()


def test_a_viewer_that_never_reads_holds_nobody_up(view, peer, scenes):
    node, address = view()
    pictures = Pictures(peer)
    pictures.send(scenes[:10])
    deaf = Deaf(address, ["/mdetr/masks", "/mdetr/debug_image/compressed", IMAGE, BOXES])
    try:
        pictures.send(scenes[:10])
        before = node.rss()
        begun = time.monotonic()
        with (
            Client(address) as client,
            collecting(client, [IMAGE, BOXES], 200) as found,
        ):
            pictures.send(scenes[:200], 100)
        # Another one has everything.
        for topic in (IMAGE, BOXES):
            numbers = [number for number, _ in found[topic] if number >= 100]
            assert numbers == list(range(100, 100 + len(numbers))) and len(numbers) >= 199
        assert time.monotonic() - begun < 30
        # A mask has 76800 bytes; 32 messages may wait.
        assert node.rss() < before + 60
        # Replies to what it asks pile up; it may be cut off for that, and nobody else.
        for number in range(2000):
            try:
                deaf.send({"op": "getParameters", "parameterNames": [], "id": f"{number}" * 50})
            except OSError:
                break
        pictures.send(scenes[:5], 400)
        with Client(address) as client:
            assert client.queries() == QUERIES
    finally:
        deaf.close()
    assert node.rss() < before + 60


MALFORMED = [
    "",
    "{",
    "null",
    "[]",
    '{"op": 7}',
    '{"op": "no such"}',
    '{"op": "subscribe"}',
    '{"op": "subscribe", "subscriptions": [{"id": 1, "channelId": 999999}]}',
    '{"op": "subscribe", "subscriptions": [{"id": -1, "channelId": "x"}]}',
    '{"op": "unsubscribe", "subscriptionIds": [1, 2, 3]}',
    '{"op": "setParameters", "parameters": [{"name": "queries"}]}',
    '{"op": "setParameters", "parameters": [{"name": "queries", "value": {"a": 1}}]}',
    '{"op": "setParameters", "parameters": []}',
    '{"op": "setParameters", "parameters": [{"name": "\\u0000", "value": 1e400}]}',
    '{"op": "advertise", "channels": [{"id": 1, "topic": "/a", "encoding": "x"}]}',
    "[" * 100_000,
    b"",
    b"\x01",
    b"\x01\xff\xff\xff\xff",
    b"\xff" * 1000,
    bytes(5_000_000),
]


def test_viewers_that_send_rubbish(view, peer, scenes):
    node, address = view()
    pictures = Pictures(peer)
    pictures.send(scenes[:3])
    before = node.rss()
    host, port = address.split(":")
    for number, rubbish in enumerate(MALFORMED):
        try:
            with Client(address) as client:
                client.socket.send(rubbish)
                client.queries()
        except ConnectionClosed:
            # It may be cut off for that.
            pass
        pictures.send(scenes[:1], 10 + number)
    for data in (
        b"\x00" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET " + b"a" * 100_000,
        b"\x16\x03\x01",
    ):
        with socket.create_connection((host, int(port))) as raw_socket:
            try:
                raw_socket.sendall(data)
                raw_socket.shutdown(socket.SHUT_WR)
                raw_socket.settimeout(5)
                raw_socket.recv(100)
            except OSError:
                pass
    with pytest.raises((InvalidHandshake, AssertionError)):
        Client(address, subprotocols=["no.such"])
    # Frames that are none, after a handshake.
    for opcode, data in ((3, b"a"), (1, b"\xff\xfe"), (9, b"a" * 60000), (0, b"a")):
        deaf = Deaf(address, [BOXES])
        deaf.write(data, opcode)
        deaf.close()
    pictures.send(scenes[:5], 100)
    with Client(address) as client:
        with collecting(client, [IMAGE, BOXES], 3) as found:
            pictures.send(scenes[:3], 200)
        assert [number for number, _ in found[IMAGE]] == [200, 201, 202]
    assert node.rss() < before + 60


def test_recording_and_looking_lose_no_picture(view, peer, scenes, tmp_path):
    """300 pictures, 30 a second, with both. Pictures wait where the machine has other work or is
    slow, in the queue first, and before they are sent where that is filling."""
    path = tmp_path / "run.mcap"
    node, address = view("-p", "queue_size:=100", options=["--record", path, "--record-images"])
    publisher = matched(peer.publisher("/image", m.Image))
    detections = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    sent = [raw(scene, number) for number, scene in enumerate(scenes)]
    with Client(address) as client:
        with collecting(client, [IMAGE, BOXES, ARRAYS], len(sent)) as found:
            begun, arrays = time.monotonic(), []
            for number, message in enumerate(sent):
                waits = time.monotonic()
                if number - len(arrays) >= 80:
                    arrays += take_until(detections, lambda found: found)
                else:
                    arrays += detections.take(100)
                begun += time.monotonic() - waits
                time.sleep(max(begun + number / 30 - time.monotonic(), 0))
                publisher.write(message)
            took = time.monotonic() - begun
        rest = len(sent) - len(arrays)
        arrays += take_until(detections, lambda arrays: len(arrays) == rest)
    # Nothing holds up who sends; reliable writers wait for ten seconds.
    assert took < len(sent) / 30 + 5
    every = [stamp(message) for message in sent]
    assert [stamp(array) for array in arrays] == every
    for topic, each in found.items():
        assert [number for number, _ in each] == list(range(len(sent))), topic
    assert node.stop() == 0
    recording = Recording(path)
    for topic in ("/image", "/mdetr/detections"):
        assert recording.stamps(topic) == every
    assert len(recording.messages["/mdetr/result"]) == len(sent)
    assert "left out" not in node.text()
