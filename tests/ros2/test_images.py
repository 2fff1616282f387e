"""Pictures in, detections out."""

import io
import json

import messages as m
import pytest
from conftest import BEST_EFFORT, header, matched, run, stamp, take_until
from cyclonedds.core import Policy, Qos
from PIL import Image as Picture

QUERIES = ["[a red ball] left of a cube", "all cones", "a purple sphere"]
PARAMETERS = ["-p", f"queries:={json.dumps(QUERIES)}", "-p", "reliability:=reliable"]


APART = 1000
"""Between numbers of pictures of which one is not remembered with the next: half a minute."""


def raw(path, number):
    picture = Picture.open(path).convert("RGB")
    width, height = picture.size
    return m.Image(header(number), height, width, "rgb8", 0, 3 * width, picture.tobytes())


def compressed(path, number):
    data = path.read_bytes()
    return m.CompressedImage(header(number), "png" if path.suffix == ".png" else "jpeg", data)


ANSWERS = {}


def expected(paths):
    """What the command finds in pictures; it is asked once for each."""
    new = [path for path in paths if path not in ANSWERS]
    if new:
        queries = [argument for query in QUERIES for argument in ("--query", query)]
        lines = run("mdetr", "detect", "--json", *queries, *new).splitlines()
        ANSWERS.update(zip(new, map(json.loads, lines), strict=True))
    return [ANSWERS[path] for path in paths]


def boxes_of_line(line):
    """Boxes with their words of a line of JSON: corner and size, to 0.01."""
    return [
        (detection["box"], [(p["text"], p["score"]) for p in detection["phrases"]])
        for query in line["queries"]
        for detection in query["detections"]
    ]


def boxes_of_array(array):
    def box(bbox):
        x, y = bbox.center.position.x, bbox.center.position.y
        return [x - bbox.size_x / 2, y - bbox.size_y / 2, bbox.size_x, bbox.size_y]

    return [
        (box(d.bbox), [(r.hypothesis.class_id, r.hypothesis.score) for r in d.results])
        for d in array.detections
    ]


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for (box, words), (wanted_box, wanted_words) in zip(found, wanted, strict=True):
        assert box == pytest.approx(wanted_box, abs=0.006)
        assert [text for text, _ in words] == [text for text, _ in wanted_words]
        assert [s for _, s in words] == pytest.approx([s for _, s in wanted_words], abs=6e-5)


def exchange(publisher, detections, results, messages):
    """Sends each message when the one before was answered; the arrays and lines of all."""
    arrays, lines = [], []
    for message in messages:
        publisher.write(message)
        arrays += take_until(detections, lambda found: len(found) == 1)
        lines += take_until(results, lambda found: len(found) == 1)
    return arrays, [json.loads(line.data) for line in lines]


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_every_picture_is_answered_as_the_command_answers_it(start, peer, scenes, transport):
    node = start("--ros-args", *PARAMETERS, "-p", f"image_transport:={transport}")
    detections = peer.subscriber("/mdetr/detections", m.Detection2DArray)
    results = peer.subscriber("/mdetr/result", m.String)
    topic, kind, make = {
        "raw": ("/image", m.Image, raw),
        "compressed": ("/image/compressed", m.CompressedImage, compressed),
    }[transport]
    publisher = matched(peer.publisher(topic, kind))
    matched(detections)
    matched(results)
    messages = [make(path, APART * number) for number, path in enumerate(scenes)]
    arrays, lines = exchange(publisher, detections, results, messages)

    assert [stamp(array) for array in arrays] == [stamp(message) for message in messages]
    assert {array.header.frame_id for array in arrays} == {"camera_optical_frame"}
    wanted = expected(scenes)
    for array, line, want in zip(arrays, lines, wanted, strict=True):
        assert_same(boxes_of_array(array), boxes_of_line(want))
        assert line["schema"] == "mdetr/1"
        assert boxes_of_line(line) == boxes_of_line(want)
        assert [q["present"] for q in line["queries"]] == [q["present"] for q in want["queries"]]
    # Both kinds of pictures are among them: with something, and with nothing in them.
    counts = [len(array.detections) for array in arrays]
    assert max(counts) > 0 and any(not q["present"] for line in lines for q in line["queries"])
    assert node.process.poll() is None


def test_a_picture_with_nothing_in_it_has_an_empty_array(start, peer):
    start("--ros-args", *PARAMETERS)
    detections = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    results = matched(peer.subscriber("/mdetr/result", m.String))
    publisher = matched(peer.publisher("/image", m.Image))
    blank = m.Image(header(1), 240, 320, "mono8", 0, 320, bytes([128]) * 320 * 240)
    arrays, lines = exchange(publisher, detections, results, [blank])
    assert stamp(arrays[0]) == stamp(blank)
    assert arrays[0].detections == []
    assert [query["present"] for query in lines[0]["queries"]] == [False] * 3


def test_best_effort_is_the_default(start, peer, scenes):
    start("--ros-args", "-p", f"queries:={json.dumps(QUERIES)}")
    detections = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    sensor = Qos(BEST_EFFORT, Policy.History.KeepLast(5))
    publisher = matched(peer.publisher("/image", m.Image, sensor))
    publisher.write(raw(scenes[0], 7))
    found = take_until(detections, lambda found: found)
    assert stamp(found[0]) == stamp(raw(scenes[0], 7))


def encoded(picture, encoding):
    """Pixels of a picture in an encoding, rows padded by 5 bytes (by a pair of pixels, of YUV)."""
    width, height = picture.size
    rgb = picture.convert("RGB")
    order = {"rgb8": "RGB", "bgr8": "BGR", "rgba8": "RGBA", "bgra8": "BGRA"}.get(encoding)
    if order:
        bands = dict(zip("RGBA", [*rgb.split(), Picture.new("L", rgb.size, 9)], strict=True))
        rows = Picture.merge("RGBA"[: len(order)], [bands[band] for band in order]).tobytes()
        return padded(rows, len(order) * width)
    if encoding == "mono8":
        return padded(rgb.convert("L").tobytes(), width)
    # Full range to limited range, of BT.601.
    y, cb, cr = (list(band.get_flattened_data()) for band in rgb.convert("YCbCr").split())
    y = [round(16 + v * 219 / 255) for v in y]
    cb, cr = ([round(128 + (v - 128) * 224 / 255) for v in band] for band in (cb, cr))
    if encoding == "yuv422_yuy2":
        pairs = (b for i in range(0, len(y), 2) for b in (y[i], cb[i], y[i + 1], cr[i]))
        return padded(bytes(pairs), 2 * width)
    chroma = bytes(
        b
        for row in range(0, height, 2)
        for column in range(0, width, 2)
        for b in (cb[row * width + column], cr[row * width + column])
    )
    return padded(bytes(y) + chroma, width)


def padded(data, row):
    rows = (data[start : start + row] for start in range(0, len(data), row))
    return row + 8, b"".join(line + bytes(8) for line in rows)


@pytest.mark.parametrize(
    "encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8", "yuv422_yuy2", "nv12"]
)
def test_encodings_and_steps(start, peer, scenes, encoding):
    start("--ros-args", *PARAMETERS)
    detections = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    results = matched(peer.subscriber("/mdetr/result", m.String))
    publisher = matched(peer.publisher("/image", m.Image))
    pictures = [Picture.open(path).convert("RGB") for path in scenes[::60]]
    messages = []
    for number, picture in enumerate(pictures):
        step, data = encoded(picture, encoding)
        messages.append(m.Image(header(APART * number), 240, 320, encoding, 0, step, data))
    arrays, _ = exchange(publisher, detections, results, messages)
    wanted = [boxes_of_line(line) for line in expected(scenes[::60])]
    assert sum(map(len, wanted)) > 0
    if encoding in ("rgb8", "bgr8", "rgba8", "bgra8"):
        for array, want in zip(arrays, wanted, strict=True):
            assert_same(boxes_of_array(array), want)
    elif encoding != "mono8":
        # Chroma of half the size moves boxes by little.
        found = [boxes_of_array(array) for array in arrays]
        near = sum(
            any(sum(abs(a - b) for a, b in zip(box, other, strict=True)) < 12 for other, _ in some)
            for some, want in zip(found, wanted, strict=True)
            for box, _ in want
        )
        assert near >= 0.7 * sum(map(len, wanted))
    else:
        assert [stamp(array) for array in arrays] == [stamp(message) for message in messages]


def test_the_newest_picture_wins(start, peer, scenes):
    start("--ros-args", "-p", f"queries:={json.dumps(QUERIES)}", "-p", "max_rate:=2.0")
    detections = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    publisher = matched(peer.publisher("/image", m.Image))
    sent = [raw(scenes[number], number) for number in range(10)]
    publisher.write(sent[0])
    found = take_until(detections, lambda found: found)
    for message in sent[1:]:
        publisher.write(message)
    found += take_until(detections, lambda found: found)
    # The second answer is that of the last picture that came; those between were dropped.
    assert [stamp(array) for array in found] == [stamp(sent[0]), stamp(sent[9])]


def test_jpeg_files(start, peer, scenes, tmp_path):
    start("--ros-args", *PARAMETERS, "-p", "image_transport:=compressed")
    detections = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    results = matched(peer.subscriber("/mdetr/result", m.String))
    publisher = matched(peer.publisher("/image/compressed", m.CompressedImage))
    paths, messages = [], []
    for number, path in enumerate(scenes[::30]):
        data = io.BytesIO()
        Picture.open(path).convert("RGB").save(data, "JPEG", quality=90)
        paths.append(tmp_path / f"{number:02}.jpg")
        paths[-1].write_bytes(data.getvalue())
        messages.append(
            m.CompressedImage(header(APART * number), "rgb8; jpeg compressed bgr8", data.getvalue())
        )
    arrays, _lines = exchange(publisher, detections, results, messages)
    for array, want in zip(arrays, expected(paths), strict=True):
        assert_same(boxes_of_array(array), boxes_of_line(want))


def test_ids_begin_anew_with_time(start, peer, scenes):
    """Ids outlive stamps in disorder, and end when a recording is played again."""
    start("--ros-args", *PARAMETERS, "-p", "queries:=['all balls', 'all cubes', 'all cylinders']")
    detections = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    publisher = matched(peer.publisher("/image", m.Image))

    def ids(number):
        publisher.write(raw(scenes[0], number))
        array = take_until(detections, lambda found: found)[0]
        assert stamp(array) == stamp(raw(scenes[0], number))
        assert array.detections
        return {d.id for d in array.detections} - {""}

    first = [ids(number) for number in (100, 101, 102)]
    assert first[0] == set() and first[1] == first[2] != set()
    ids(99)
    assert ids(103) == first[2]
    begun_anew = [ids(number) for number in (0, 1, 2)]
    assert begun_anew[0] == set() and begun_anew[2] and not begun_anew[2] & first[2]
