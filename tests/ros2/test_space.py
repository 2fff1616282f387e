"""Positions of what the model finds in rendered pictures, by their rendered depth."""

import json
import statistics

import messages as m
import numpy as np
import pytest
from conftest import header, run, stamp, take_until
from PIL import Image as Picture
from test_images import boxes_of_array
from test_outputs import PARAMETERS, Cameras, info

SIZE = WIDTH, HEIGHT = 640, 480
SCENES = 12


class View:
    """A rendered scene: a picture, its depth, and what is in it. A world unit is a metre."""

    def __init__(self, directory, seed, *options):
        picture, depth = directory / f"{seed}.png", directory / f"{seed}-depth.png"
        size = ["--size", f"{WIDTH}x{HEIGHT}", "--seed", seed]
        told = run("mdetr", "scenes", "show", *size, *options, "--out", picture, "--depth", depth)
        self.rgb = np.asarray(Picture.open(picture).convert("RGB"))
        self.millimetres = np.asarray(Picture.open(depth)).astype("<u2")
        told = json.loads(told)
        self.objects, self.focal = told["objects"], told["camera"]["focal"]

    def image(self, number):
        return m.Image(header(number), HEIGHT, WIDTH, "rgb8", 0, 3 * WIDTH, self.rgb.tobytes())

    def depth(self, number):
        data = self.millimetres.tobytes()
        return m.Image(header(number), HEIGHT, WIDTH, "16UC1", 0, 2 * WIDTH, data)

    def info(self, number):
        """In ROS the middle of the first pixel is at 0, in the scene its corner is."""
        centre = WIDTH / 2 - 0.5, HEIGHT / 2 - 0.5
        return info(number, WIDTH, HEIGHT, self.focal, centre)

    def points(self):
        """What each pixel shows, in the optical frame, in metres."""
        z = self.millimetres / 1000
        rows, columns = np.indices(z.shape)
        x = (columns - (WIDTH / 2 - 0.5)) / self.focal * z
        y = (rows - (HEIGHT / 2 - 0.5)) / self.focal * z
        return np.stack([x, y, z], axis=-1)

    def alone(self):
        """Boxes of objects whose boxes touch neither another nor the edge, with their pixels.

        An object's pixels are those before the ground, a plane: 1/z is linear in the picture.
        """
        taken = np.zeros((HEIGHT, WIDTH), int)
        boxes = [each["bbox"] for each in self.objects]
        for x, y, width, height in boxes:
            taken[max(y - 3, 0) : y + height + 3, max(x - 3, 0) : x + width + 3] += 1
        valid = self.millimetres > 0
        inverse = np.zeros((HEIGHT, WIDTH))
        inverse[valid] = 1000 / self.millimetres[valid]
        rows, columns = np.nonzero((taken == 0) & valid)
        known = np.stack([columns, rows, np.ones_like(rows)], axis=1)
        plane, *_ = np.linalg.lstsq(known, inverse[rows, columns], rcond=None)
        rows, columns = np.indices(taken.shape)
        ground = 1 / (plane[0] * columns + plane[1] * rows + plane[2])
        before = valid & (self.millimetres / 1000 < ground - 0.03)
        found = []
        for x, y, width, height in boxes:
            place = slice(y, y + height), slice(x, x + width)
            inside = 0 < x and 0 < y and x + width < WIDTH and y + height < HEIGHT
            if inside and taken[place].max() == 1:
                found.append(((x, y, width, height), self.millimetres[place][before[place]] / 1000))
        return found


def overlap(a, b):
    """Intersection over union."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def place(cameras, view, number):
    """What is found in a view, and where."""
    cameras.tell(view.info(number))
    cameras.depth.write(view.depth(number))
    cameras.image.write(view.image(number))
    flat = take_until(cameras.found, lambda found: found)[0]
    placed = take_until(cameras.placed, lambda found: found)[0]
    assert stamp(placed) == stamp(flat)
    assert len(placed.detections) == len(flat.detections)
    return flat, placed.detections


@pytest.fixture
def depth_node(start):
    return start("--ros-args", *PARAMETERS, "-p", "depth:=true")


def test_rendered_objects_are_where_they_were_put(depth_node, peer, tmp_path):
    cameras = Cameras(peer)
    errors, offsets, objects = [], [], 0
    for seed in range(SCENES):
        view = View(tmp_path, seed)
        flat, placed = place(cameras, view, seed)
        places = [box for box, _ in boxes_of_array(flat)]
        alone = view.alone()
        objects += len(alone)
        for box, depths in alone:
            for found, solid in zip(places, placed, strict=True):
                if overlap(found, box) > 0.5:
                    position, extent = solid.bbox.center.position, solid.bbox.size
                    z = statistics.median(depths)
                    errors.append(abs(position.z - z))
                    # Along the picture's axes it is the middle of the box.
                    x = (box[0] + box[2] / 2 - WIDTH / 2) / view.focal * z
                    offsets.append(abs(position.x - x))
                    assert 0.5 * box[2] / view.focal * z < extent.x < 1.1 * box[2] / view.focal * z
    cm = [100 * f(each) for f in (statistics.median, max) for each in (errors, offsets)]
    print(
        f"{len(errors)} of {objects} objects found; depth is {cm[0]:.2f} cm off (median),"
        f" {cm[2]:.1f} (worst); to the side {cm[1]:.2f} and {cm[3]:.1f}"
    )
    assert objects >= 20
    assert len(errors) >= 0.9 * objects
    assert statistics.median(errors) < 0.02
    assert statistics.median(offsets) < 0.05
