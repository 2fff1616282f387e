"""Draws what viewers show of the node: a picture for docs/src/ros2.md.

Run it as tools/test-ros2 runs the tests:

    MDETR_LOOK=docs/src/ros2.png tools/test-ros2 tests/ros2/look.py

Left is what Foxglove's image panel shows: the picture that the node sends to viewers, and over it
the outlines and texts of the annotations that it sends. Right is what RViz shows of
`~/detections_3d` among the points of the depth image, seen from above the camera's right side.
"""

import io
import itertools
import os
from pathlib import Path

import numpy as np
from client import Client
from foxglove_schemas_protobuf.ImageAnnotations_pb2 import ImageAnnotations
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont
from test_foxglove import decoded
from test_outputs import PARAMETERS, Cameras
from test_space import HEIGHT, SIZE, WIDTH, View, place

FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
BACKGROUND, GRID = (48, 48, 48), (96, 96, 96)
SEED = 11


def colour(value):
    return tuple(round(255 * each) for each in (value.r, value.g, value.b, value.a))


def foxglove_panel(data, annotations):
    """The picture with its annotations, as the messages say: positions, colours and sizes."""
    picture = Picture.open(io.BytesIO(data)).convert("RGB")
    draw = ImageDraw.Draw(picture, "RGBA")
    for outline in annotations.points:
        points = [(point.x, point.y) for point in outline.points]
        draw.line([*points, points[0]], colour(outline.outline_color), round(outline.thickness))
    for text in annotations.texts:
        font = ImageFont.truetype(FONT, text.font_size)
        place = (text.position.x, text.position.y)
        draw.rectangle(
            draw.textbbox(place, text.text, font, anchor="ls"), colour(text.background_color)
        )
        draw.text(place, text.text, colour(text.text_color), font, anchor="ls")
    return picture


class Eye:
    """Looks at a point of the optical frame from above and from the right."""

    def __init__(self, target, distance, side=0.5, above=-0.35):
        self.target, self.distance = np.asarray(target), distance
        cos, sin = np.cos(side), np.sin(side)
        around = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        cos, sin = np.cos(above), np.sin(above)
        self.turn = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]) @ around

    def project(self, points):
        """Pixels, and how far away they are."""
        turned = (np.asarray(points) - self.target) @ self.turn.T
        z = turned[..., 2] + self.distance
        scale = 0.95 * WIDTH / z[..., None]
        return turned[..., :2] * scale + np.array(SIZE) / 2, z


def space_panel(view, detections):
    """Points of the depth image, and boxes with their words."""
    points, colours = view.points().reshape(-1, 3), view.rgb.reshape(-1, 3)
    near = (points[:, 2] > 0) & (points[:, 2] < 1.6 * np.median(points[:, 2]))
    points, colours = points[near], colours[near]
    middles = [(p.x, p.y, p.z) for p in (each.bbox.center.position for each in detections)]
    target = np.mean(middles, axis=0)
    eye = Eye(target, 0.95 * target[2])
    pixels, distance = eye.project(points)
    canvas = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)
    order = np.argsort(-distance)
    for dx, dy in itertools.product(range(2), range(2)):
        x, y = (pixels[order] + (dx, dy)).astype(int).T
        seen = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
        canvas[y[seen], x[seen]] = colours[order][seen]
    picture = Picture.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.truetype(FONT, 13)
    for found in detections:
        centre, size = found.bbox.center.position, found.bbox.size
        corners = [
            (centre.x + a * size.x / 2, centre.y + b * size.y / 2, centre.z + c * size.z / 2)
            for a, b, c in itertools.product((-1, 1), repeat=3)
        ]
        ends, _ = eye.project(corners)
        for one, other in itertools.combinations(range(8), 2):
            # Ends of an edge differ in one bit.
            if (one ^ other).bit_count() == 1:
                draw.line([*ends[one], *ends[other]], (120, 255, 120), 2)
        words = found.results[0].hypothesis.class_id
        place = (ends[:, 0].mean(), ends[:, 1].min() - 4)
        label = f"{words}  {centre.z:.2f} m"
        draw.rectangle(draw.textbbox(place, label, font, anchor="mb"), (0, 0, 0))
        draw.text(place, label, (120, 255, 120), font, anchor="mb")
    # Axes of the optical frame where the camera is, if that is in sight: red x, green y, blue z.
    origin, _ = eye.project([0.0, 0.0, 0.0])
    for axis, hue in zip(
        0.4 * np.eye(3), ((255, 80, 80), (80, 255, 80), (80, 80, 255)), strict=True
    ):
        end, _ = eye.project(axis)
        draw.line([*origin, *end], hue, 3)
    return picture


def test_look(start, peer, tmp_path):
    node = start("--foxglove", "127.0.0.1:0", "--ros-args", *PARAMETERS, "-p", "depth:=true")
    node.wait_for_log("revision 1")
    address = node.text().split("ws://")[1].split()[0]
    cameras = Cameras(peer)
    view = View(tmp_path, SEED, "--min-objects", 5)
    topics = {"/image/compressed": 1, "/mdetr/annotations": 2}
    with Client(address) as client:
        client.wait_for_channels(*topics)
        client.subscribe(topics)
        client.queries()
        _, placed = place(cameras, view, 0)
        got = {}
        while len(got) < 2:
            subscription, _, data = client.data()
            got[subscription] = data
        picture = bytes(decoded(client, "/image/compressed", got[1]).data)
    annotations = ImageAnnotations()
    annotations.ParseFromString(got[2])
    assert len(annotations.texts) == len(placed) > 2
    both = Picture.new("RGB", (2 * WIDTH + 8, HEIGHT), "white")
    both.paste(foxglove_panel(picture, annotations), (0, 0))
    both.paste(space_panel(view, placed), (WIDTH + 8, 0))
    both.save(Path(os.environ.get("MDETR_LOOK", tmp_path / "ros2.png")), optimize=True)
