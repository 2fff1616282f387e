"""What is published beside detections and results: pictures, masks, labels, positions, events."""

import io
import json
import struct
import time

import messages as m
import pytest
from conftest import ASKED, OFFERED, RELIABLE, header, matched, run, stamp, take_until
from cyclonedds.core import Policy, Qos
from PIL import Image as Picture
from test_control import Stream, parameter, rcl
from test_images import boxes_of_array, raw

LATCHED = Qos(RELIABLE, Policy.Durability.TransientLocal, Policy.History.KeepLast(1))
QUERIES = ["all cubes", "all balls", "all cylinders", "all cones"]
PARAMETERS = ["-p", f"queries:={json.dumps(QUERIES)}", "-p", "reliability:=reliable"]


def test_a_picture_is_drawn_while_somebody_listens(start, peer, scenes):
    start("--ros-args", *PARAMETERS)
    with Stream(peer, scenes[0]) as stream:
        listener = matched(peer.subscriber("/mdetr/debug_image/compressed", m.CompressedImage))
        line = stream.next_line()
        drawn = take_until(listener, lambda found: found)[-1]
    assert drawn.format == "rgb8; jpeg compressed bgr8"
    assert drawn.header.frame_id == "camera_optical_frame"
    picture = Picture.open(io.BytesIO(bytes(drawn.data))).convert("RGB")
    plain = Picture.open(scenes[0]).convert("RGB")
    assert picture.size == plain.size
    x, y, width, _ = next(d["box"] for q in line["queries"] for d in q["detections"])
    middle = (round(x + width / 2), round(y))
    difference = [
        abs(a - b) for a, b in zip(picture.getpixel(middle), plain.getpixel(middle), strict=True)
    ]
    assert max(difference) > 40


def test_masks_and_labels(start, peer, scenes):
    start("--ros-args", *PARAMETERS)
    with Stream(peer, scenes[0]) as stream:
        line = stream.next_line()
        # Who comes later gets the labels too.
        labels = peer.subscriber("/mdetr/label_info", m.LabelInfo, LATCHED)
        info = take_until(labels, lambda found: found)[-1]
        assert [(c.class_id, c.class_name) for c in info.class_map] == [
            (number + 1, text) for number, text in enumerate(QUERIES)
        ]
        assert 0 < info.threshold < 1
        listener = matched(peer.subscriber("/mdetr/masks", m.Image))
        masks = take_until(listener, lambda found: found)[-1]
        assert (masks.width, masks.height, masks.encoding, masks.step) == (320, 240, "mono8", 320)
        pixels = bytes(masks.data)
        assert len(pixels) == 320 * 240
        segmented = [q for q in line["queries"] if any("mask" in d for d in q["detections"])]
        values = {number + 1 for number, q in enumerate(line["queries"]) if q in segmented}
        assert set(pixels) - {0} <= set(range(1, len(QUERIES) + 1))
        assert set(pixels) - {0} == values
        # Other queries have other labels.
        at_once = rcl(peer, "set_parameters_atomically")
        assert at_once(parameters=[parameter("queries", ["a ball"])]).result.successful
        info = take_until(labels, lambda found: found)[-1]
        assert [c.class_name for c in info.class_map] == ["a ball"]


def info(number, width=320, height=240, focal=300.0, centre=(160.0, 120.0), d=()):
    cx, cy = centre
    k = [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0]
    identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    p = [*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0]
    return m.CameraInfo(header(number), height, width, "plumb_bob", list(d), k, identity, p)


def depth_image(number, metres, encoding, width=320, height=240):
    """A wall at this distance."""
    pixel = (
        struct.pack("<f", metres) if encoding == "32FC1" else struct.pack("<H", int(metres * 1000))
    )
    data = pixel * (width * height)
    return m.Image(header(number), height, width, encoding, 0, len(pixel) * width, data)


class Cameras:
    """Pictures, depth and camera_info."""

    def __init__(self, peer):
        self.image = matched(peer.publisher("/image", m.Image))
        self.depth = matched(peer.publisher("/depth", m.Image))
        self.info = matched(peer.publisher("/camera_info", m.CameraInfo))
        self.found = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
        self.placed = matched(peer.subscriber("/mdetr/detections_3d", m.Detection3DArray))

    def tell(self, info):
        """Sends a camera_info, which comes on another way than the depth that needs it."""
        self.info.write(info)
        time.sleep(0.2)


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_depth_places_what_is_found(start, peer, scenes, encoding):
    start("--ros-args", *PARAMETERS, "-p", "depth:=true")
    cameras = Cameras(peer)
    cameras.tell(info(0))
    for number, metres in enumerate([2.0, 3.5, 0.75]):
        # Depth comes before the picture, after it, and 30 ms beside it.
        depth = depth_image(number, metres, encoding)
        if number == 2:
            depth.header.stamp.nanosec += 30_000_000
        if number == 0:
            cameras.depth.write(depth)
        cameras.image.write(raw(scenes[0], number))
        flat = take_until(cameras.found, lambda found: found)[0]
        if number != 0:
            cameras.depth.write(depth)
        placed = take_until(cameras.placed, lambda found: found)[0]
        assert stamp(placed) == stamp(flat)
        assert placed.header.frame_id == "camera_optical_frame"
        assert len(placed.detections) == len(flat.detections) > 0
        for solid, (box, words) in zip(placed.detections, boxes_of_array(flat), strict=True):
            position, size = solid.bbox.center.position, solid.bbox.size
            assert position.z == pytest.approx(metres, abs=1e-3)
            x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
            # The middle of what is seen lies near that of the box: within a quarter of it.
            assert abs(position.x - (x - 160) / 300 * metres) < box[2] / 4 / 300 * metres
            assert abs(position.y - (y - 120) / 300 * metres) < box[3] / 4 / 300 * metres
            assert 0.3 * box[2] / 300 * metres < size.x <= 1.01 * box[2] / 300 * metres
            assert size.z == pytest.approx(0, abs=1e-3)
            assert [r.hypothesis.class_id for r in solid.results] == [text for text, _ in words]


def test_depth_that_cannot_be_used_is_named(start, peer, scenes):
    node = start("--ros-args", *PARAMETERS, "-p", "depth:=true")
    cameras = Cameras(peer)

    def picture(number):
        cameras.image.write(raw(scenes[0], number))
        take_until(cameras.found, lambda found: found)

    cameras.depth.write(depth_image(0, 2.0, "32FC1"))
    picture(0)
    node.wait_for_log("no camera_info came yet")
    cameras.tell(info(1, d=[0.1, -0.2, 0.0, 0.0, 0.0]))
    cameras.depth.write(depth_image(1, 2.0, "32FC1"))
    picture(1)
    node.wait_for_log("expected pictures without distortion")
    cameras.tell(info(2))
    cameras.depth.write(depth_image(2, 2.0, "32FC1", width=160, height=120))
    picture(2)
    node.wait_for_log("160x120")
    cameras.depth.write(depth_image(9, 2.0, "32FC1"))
    picture(6)
    node.wait_for_log("no depth image came whose stamp is near")
    assert cameras.placed.take(10) == []
    # And then it works.
    cameras.depth.write(depth_image(10, 2.0, "32FC1"))
    picture(10)
    take_until(cameras.placed, lambda found: found)


RULES = """
[[rule]]
id = "cubes"
when = { is = "present", query = "q1" }
for = "0s"
"""


def test_events_of_rules(start, peer, scenes, tmp_path):
    args = [word for query in QUERIES for word in ("--query", query)]
    found = json.loads(run("mdetr", "detect", "--json", *args, scenes[0]))["queries"]
    present = next(query for query in found if query["present"])
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES.replace("q1", present["id"]))
    start("--ros-args", *PARAMETERS, "-p", f"rules:={rules}")
    events = matched(peer.subscriber("/mdetr/events", m.String))
    with Stream(peer, scenes[0]) as stream:
        stream.next_line()
        event = json.loads(take_until(events, lambda found: found)[0].data)
    assert (event["kind"], event["rule"], event["query"], event["text"]) == (
        "new",
        "cubes",
        present["id"],
        present["text"],
    )
    # Once the node is cleaned up, the event is over.
    change = peer.client("/mdetr/change_state", "lifecycle_msgs/srv/ChangeState")
    assert change(transition=m.Transition(4, "")).success
    assert change(transition=m.Transition(2, "")).success
    last = json.loads(take_until(events, lambda found: found)[-1].data)
    assert (last["kind"], last["id"], last["reason"]) == ("end", event["id"], "stopped")


def test_rules_that_are_wrong_are_named(start, peer, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES.replace("q1", "q9"))
    node = start("--ros-args", *PARAMETERS, "-p", f"rules:={rules}")
    node.wait_for_log(f"rules {rules}")
    node.wait_for_log("q9")
    state = peer.client("/mdetr/get_state", "lifecycle_msgs/srv/GetState")
    assert state().current_state.label == "unconfigured"


def test_several_cameras(start, peer, scenes):
    start(
        "--ros-args",
        *PARAMETERS,
        "-p",
        "cameras:=[front, rear]",
        "-r",
        "rear/image:=/back/image_raw",
    )
    topics = {"front": "/front/image", "rear": "/back/image_raw"}
    inputs, arrays, results = {}, {}, {}
    for camera, topic in topics.items():
        inputs[camera] = matched(peer.publisher(topic, m.Image))
        arrays[camera] = matched(peer.subscriber(f"/mdetr/{camera}/detections", m.Detection2DArray))
        results[camera] = matched(peer.subscriber(f"/mdetr/{camera}/result", m.String))
    for number in range(20):
        for at, camera in enumerate(topics):
            message = raw(scenes[100 * at + number], number)
            message.header.frame_id = camera
            inputs[camera].write(message)
        for camera in topics:
            array = take_until(arrays[camera], lambda found: found)[0]
            line = json.loads(take_until(results[camera], lambda found: found)[0].data)
            assert (array.header.frame_id, line["source"]) == (camera, camera)
            assert line["frame"] == number
            assert len(array.detections) == sum(len(q["detections"]) for q in line["queries"])
    diagnostics = matched(peer.subscriber("/diagnostics", m.DiagnosticArray))
    status = take_until(diagnostics, lambda found: found)[-1].status
    assert [s.name for s in status] == ["/mdetr: front", "/mdetr: rear"]


def test_nobody_pays_for_what_nobody_wants(start, peer, scenes):
    """Without a listener there is no picture with boxes, not even for one who comes soon after."""
    start("--ros-args", *PARAMETERS)
    publisher = matched(peer.publisher("/image", m.Image, OFFERED))
    found = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray, ASKED))
    publisher.write(raw(scenes[0], 0))
    take_until(found, lambda found: found)
    listener = matched(
        peer.subscriber(
            "/mdetr/debug_image/compressed",
            m.CompressedImage,
            Qos(RELIABLE, Policy.History.KeepAll),
        )
    )
    time.sleep(0.5)
    assert listener.take(10) == []
    publisher.write(raw(scenes[0], 1))
    assert stamp(take_until(listener, lambda found: found)[0]) == stamp(raw(scenes[0], 1))
