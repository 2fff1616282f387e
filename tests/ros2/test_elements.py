"""The elements mdetrros2src and mdetrros2sink in pipelines of gst-launch-1.0."""

import io
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time

import messages as m
import pytest
from conftest import BEST_EFFORT, BUILD, ROOT, header, matched, stamp, take_until, wait_for
from cyclonedds.core import Policy, Qos
from cyclonedds.util import duration
from PIL import Image as Picture
from test_images import (
    QUERIES,
    assert_same,
    boxes_of_array,
    boxes_of_line,
    encoded,
    exchange,
    expected,
    raw,
)

LAUNCH = shutil.which("gst-launch-1.0")
SOURCE = "mdetrros2src ros-topic=/camera/image_raw reliability=reliable"
LATCHED = Qos(
    Policy.Reliability.Reliable(duration(seconds=10)),
    Policy.Durability.TransientLocal,
    Policy.History.KeepLast(1),
)


class Pipeline:
    """A pipeline that gst-launch-1.0 plays."""

    def __init__(self, directory, number, description, env):
        self.log = directory / f"pipeline-{number}.log"
        plugins = directory / "plugins"
        if not plugins.exists():
            plugins.mkdir()
            for plugin in ["libgstmdetr.so", "libgstmdetrros2.so"]:
                (plugins / plugin).symlink_to(BUILD / plugin)
        self.env = {
            **os.environ,
            "GST_PLUGIN_PATH": str(plugins),
            "GST_REGISTRY": str(directory / "registry"),
            "G_DEBUG": "fatal_criticals",
            "MDETR_MODEL": str(ROOT / "models" / "tabletop"),
            **env,
        }
        with open(self.log, "wb") as output:
            self.process = subprocess.Popen(
                [LAUNCH, *shlex.split(description)], stdout=output, stderr=output, env=self.env
            )

    def text(self):
        return re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text(errors="replace"))

    def wait_for_log(self, text, seconds=90):
        def logged():
            return text in self.text()

        logged.__doc__ = f"{text!r} in {self.text()}"
        wait_for(logged, seconds)

    def interrupt(self, seconds=15):
        """How long it takes to end by SIGINT, in seconds."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"does not end: {self.text()[-3000:]}") from None
        return time.monotonic() - begun

    def wait(self, seconds=120):
        """Waits for its end of stream."""
        code = self.process.wait(seconds)
        assert code == 0, self.text()


def ready(*entities):
    """Waits until each has met its other side, who may learn of that a little later."""
    for entity in entities:
        matched(entity)
    time.sleep(0.3)


@pytest.fixture
def launch(tmp_path, domain):
    """Plays pipelines, and ends them; none may crash, or end by an error unless a test says so."""
    pipelines = []

    def play(description, fails=False, **env):
        env = {"ROS_DOMAIN_ID": str(domain), **env}
        pipeline = Pipeline(tmp_path, len(pipelines), description, env)
        pipelines.append((pipeline, fails))
        return pipeline

    yield play
    for pipeline, fails in pipelines:
        if pipeline.process.poll() is None:
            pipeline.interrupt()
        assert pipeline.process.returncode >= 0, pipeline.text()
        assert "panicked" not in pipeline.text(), pipeline.text()
        assert "CRITICAL" not in pipeline.text(), pipeline.text()
        assert fails or "ERROR" not in pipeline.text(), pipeline.text()


@pytest.fixture
def queries(tmp_path):
    """The queries of the other tests, as the file that `mdetr config=` reads."""
    path = tmp_path / "queries.toml"
    entries = [
        f"[[query]]\nid = \"q{number}\"\ntext = '{query}'\n"
        for number, query in enumerate(QUERIES, 1)
    ]
    path.write_text("\n".join(entries))
    return path


def jpeg(path, number):
    data = io.BytesIO()
    Picture.open(path).convert("RGB").save(data, "JPEG", quality=90)
    return m.CompressedImage(header(number), "rgb8; jpeg compressed bgr8", data.getvalue())


def png(path, number):
    return m.CompressedImage(header(number), "rgb8; png compressed ", path.read_bytes())


@pytest.mark.parametrize("transport", ["raw", "png", "jpeg"])
def test_every_picture_is_answered_as_the_command_answers_it(
    launch, peer, scenes, queries, tmp_path, transport
):
    topic, kind, make, decoder = {
        "raw": ("/camera/image_raw", m.Image, raw, ""),
        "png": ("/camera/image_raw/compressed", m.CompressedImage, png, "! pngdec"),
        "jpeg": ("/camera/image_raw/compressed", m.CompressedImage, jpeg, "! jpegdec"),
    }[transport]
    paths = scenes[:100]
    publisher = peer.publisher(topic, kind)
    detections = peer.subscriber("/mdetr/detections", m.Detection2DArray)
    results = peer.subscriber("/mdetr/result", m.String)
    source = f"mdetrros2src ros-topic={topic} reliability=reliable {decoder}"
    launch(f"{source} ! videoconvert ! mdetr config={queries} ! mdetrros2sink")
    ready(publisher, detections, results)
    sent = [make(path, number) for number, path in enumerate(paths)]
    arrays, lines = exchange(publisher, detections, results, sent)

    assert [stamp(array) for array in arrays] == [stamp(message) for message in sent]
    assert {array.header.frame_id for array in arrays} == {"camera_optical_frame"}
    assert {d.header.frame_id for array in arrays for d in array.detections} == {
        "camera_optical_frame"
    }
    if transport == "jpeg":
        files = []
        for number, message in enumerate(sent):
            files.append(tmp_path / f"{number:03}.jpg")
            files[-1].write_bytes(bytes(message.data))
        near = [boxes_of_line(line) for line in expected(files)]
        # Decoders of JPEG differ by a little; almost all boxes are the same to a pixel.
        found = [boxes_of_array(array) for array in arrays]
        same = sum(
            any(max(abs(a - b) for a, b in zip(box, other, strict=True)) < 1.5 for other, _ in some)
            for some, want in zip(found, near, strict=True)
            for box, _ in want
        )
        assert same >= 0.95 * sum(map(len, near)) > 0
        return
    wanted = expected(paths)
    for array, line, want in zip(arrays, lines, wanted, strict=True):
        assert_same(boxes_of_array(array), boxes_of_line(want))
        assert line["schema"] == "mdetr/1"
        assert line["source"] == "camera_optical_frame"
        assert line["pts_ns"] == array.header.stamp.sec * 10**9 + array.header.stamp.nanosec
        assert boxes_of_line(line) == boxes_of_line(want)
        assert [q["present"] for q in line["queries"]] == [q["present"] for q in want["queries"]]
    # Pictures in which there is nothing have an array, too.
    counts = [len(array.detections) for array in arrays]
    assert max(counts) > 0
    assert any(not q["present"] for line in lines for q in line["queries"])


def test_a_stream_keeps_its_order_and_stamps(launch, peer, scenes, queries):
    """100 pictures at 20 a second, which nobody waits for."""
    publisher = peer.publisher("/camera/image_raw", m.Image)
    detections = peer.subscriber("/mdetr/detections", m.Detection2DArray)
    launch(f"{SOURCE} queue-size=100 ! videoconvert ! mdetr config={queries} ! mdetrros2sink")
    ready(publisher, detections)
    sent = [raw(path, number) for number, path in enumerate(scenes[:100])]
    # The model is loaded meanwhile.
    for message in sent:
        publisher.write(message)
        time.sleep(0.05)
    arrays = take_until(detections, lambda found: len(found) >= 100, 60)
    assert [stamp(array) for array in arrays] == [stamp(message) for message in sent]


def test_best_effort_and_the_newest_picture_are_the_default(launch, peer, scenes):
    sensor = Qos(BEST_EFFORT, Policy.History.KeepLast(5))
    publisher = peer.publisher("/image", m.Image, sensor)
    images = peer.subscriber("/out", m.Image)
    # Each frame takes 0.5 s here.
    launch("mdetrros2src ! identity sleep-time=500000 ! mdetrros2sink ros-topic=/out sync=false")
    ready(publisher, images)
    for number in range(10):
        publisher.write(raw(scenes[0], number))
        time.sleep(0.02)
    found = take_until(images, lambda found: len(found) >= 2)
    time.sleep(1)
    found += images.take(10)
    # The first, and the last; of those between, one that waited before the last came.
    numbers = [(stamp(image)[1] - stamp(raw(scenes[0], 0))[1]) // 33_333_333 for image in found]
    assert numbers[0] == 0 and numbers[-1] == 9 and len(numbers) == 2


@pytest.mark.parametrize(
    "encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8", "yuv422_yuy2", "nv12"]
)
def test_pictures_go_through_unchanged(launch, peer, scenes, encoding):
    """Out comes what went in, without padding."""
    publisher = peer.publisher("/camera/image_raw", m.Image)
    images = peer.subscriber("/out", m.Image)
    launch(f"{SOURCE} ! mdetrros2sink ros-topic=/out")
    ready(publisher, images)
    picture = Picture.open(scenes[0]).convert("RGB")
    step, data = encoded(picture, encoding)
    sent = m.Image(header(3), 240, 320, encoding, 0, step, data)
    publisher.write(sent)
    found = take_until(images, lambda found: found)[0]
    assert found.header == sent.header
    assert (found.width, found.height, found.encoding) == (320, 240, encoding)
    assert found.step == step - 8
    rows = range(0, len(data), step)
    tight = b"".join(data[start : start + found.step] for start in rows)
    assert bytes(found.data) == tight


def test_size_and_encoding_change_in_the_middle(launch, peer, scenes, queries):
    publisher = peer.publisher("/camera/image_raw", m.Image)
    detections = peer.subscriber("/mdetr/detections", m.Detection2DArray)
    results = peer.subscriber("/mdetr/result", m.String)
    launch(f"{SOURCE} ! videoconvert ! mdetr config={queries} ! mdetrros2sink")
    ready(publisher, detections, results)
    sent = [raw(path, number) for number, path in enumerate(scenes[:6])]
    whole = Picture.open(scenes[6]).convert("RGB")
    for number, (size, encoding) in enumerate(
        [((240, 180), "rgb8"), ((322, 238), "bgr8"), ((320, 240), "rgba8"), ((640, 480), "rgb8")],
        len(sent),
    ):
        picture = whole.resize(size)
        step, data = encoded(picture, encoding)
        sent.append(m.Image(header(number), size[1], size[0], encoding, 0, step, data))
    arrays, lines = exchange(publisher, detections, results, sent)
    assert [stamp(array) for array in arrays] == [stamp(message) for message in sent]
    assert [tuple(line["size"]) for line in lines] == [(s.width, s.height) for s in sent]
    # The same picture at its own size, before and after.
    assert any(array.detections for array in arrays)


def test_nobody_publishes(launch, peer):
    for source in [SOURCE, SOURCE + " ! videoconvert", SOURCE + " ! mdetr query=balls"]:
        pipeline = launch(f"{source} ! mdetrros2sink")
        matched(peer.publisher("/camera/image_raw", m.Image))
        assert pipeline.process.poll() is None
        assert pipeline.interrupt() < 2
    pipeline = launch(f"-e {SOURCE} ! fakesink")
    time.sleep(1)
    assert pipeline.interrupt() < 2


def test_malformed_pictures_are_warned_of_and_left_out(launch, peer, scenes):
    publisher = peer.publisher("/camera/image_raw", m.Image)
    images = peer.subscriber("/out", m.Image)
    pipeline = launch(f"{SOURCE} queue-size=50 ! mdetrros2sink ros-topic=/out sync=false")
    ready(publisher, images)
    good = raw(scenes[0], 0)
    bad = [
        ("expected at least 230400 bytes of data", {"data": bytes(1000)}),
        ("bayer_rggb8", {"encoding": "bayer_rggb8"}),
        ("expected at least one pixel", {"width": 0, "height": 0}),
        ("expected a step of at least 960", {"step": 959}),
        ("is_bigendian", {"is_bigendian": 1}),
        ("step", {"width": 2**32 - 1}),
        ("data", {"height": 2**32 - 1}),
    ]
    for number, (expects, fields) in enumerate(bad, 1):
        message = raw(scenes[0], number)
        for name, value in fields.items():
            setattr(message, name, value)
        for _ in range(3):
            publisher.write(message)
        pipeline.wait_for_log(expects)
    publisher.write(good)
    found = take_until(images, lambda found: found)
    assert [stamp(image) for image in found] == [stamp(good)]
    text = pipeline.text()
    assert "/camera/image_raw: " in text
    # What stays the same is told once.
    assert text.count("bayer_rggb8") == 1, text


def test_cut_files_are_left_out(launch, peer, scenes):
    topic = "/camera/image_raw/compressed"
    publisher = peer.publisher(topic, m.CompressedImage)
    images = peer.subscriber("/out", m.Image)
    pipeline = launch(
        f"mdetrros2src ros-topic={topic} reliability=reliable ! jpegdec ! videoconvert"
        " ! video/x-raw,format=RGB ! mdetrros2sink ros-topic=/out"
    )
    ready(publisher, images)
    for data, expects in [(jpeg(scenes[0], 0).data[:3000], "ends too early"), (b"", "begins with")]:
        publisher.write(m.CompressedImage(header(0), "jpeg", data))
        pipeline.wait_for_log(expects)
    publisher.write(jpeg(scenes[1], 1))
    found = take_until(images, lambda found: found)
    assert [stamp(image) for image in found] == [stamp(raw(scenes[1], 1))]
    sent = Picture.open(scenes[1]).convert("RGB")
    back = Picture.frombytes("RGB", (found[0].width, found[0].height), bytes(found[0].data))
    differences = [abs(a - b) for a, b in zip(sent.tobytes(), back.tobytes(), strict=True)]
    assert sum(differences) / len(differences) < 6


def test_two_sinks_of_the_same_name(launch, peer):
    """Nodes of the same name are allowed in ROS: each publishes its own."""
    detections = peer.subscriber("/mdetr/detections", m.Detection2DArray)
    sink = "queue ! mdetrros2sink"
    launch(
        "tabletopsrc is-live=true num-buffers=60 ! video/x-raw,width=320,height=240,framerate=20/1"
        f" ! mdetr query=balls ! tee name=t t. ! {sink} t. ! {sink}"
    )
    matched(detections, 2)
    time.sleep(0.3)
    found = take_until(detections, lambda found: len(found) >= 60)
    stamps = [stamp(array) for array in found]
    for each in set(stamps[10:40]):
        # Both begin at running time 0, at the same system time but for what measuring it takes.
        near = [s for s in stamps if abs((s[0] - each[0]) * 10**9 + s[1] - each[1]) < 20_000_000]
        assert len(near) == 2, near


def test_stamps_without_reference_are_system_time(launch, peer):
    detections = peer.subscriber("/eyes/detections", m.Detection2DArray)
    results = peer.subscriber("/eyes/result", m.String)
    launch(
        "tabletopsrc is-live=true num-buffers=80 ! video/x-raw,width=320,height=240,framerate=20/1"
        " ! mdetr query=balls ! mdetrros2sink ros-name=eyes ros-frame-id=camera_link"
    )
    ready(detections, results)
    found, late = [], []
    while len(found) < 30:
        some = take_until(detections, lambda found: found)
        now = time.time_ns()
        late += [
            now - array.header.stamp.sec * 10**9 - array.header.stamp.nanosec for array in some
        ]
        found += some
    assert {array.header.frame_id for array in found} == {"camera_link"}
    # Captured before they were answered, and not long before.
    assert all(0 < age < 2_000_000_000 for age in late), late
    nanos = [array.header.stamp.sec * 10**9 + array.header.stamp.nanosec for array in found]
    gaps = {b - a for a, b in itertools.pairwise(nanos)}
    # As far apart as the frames, to the nanosecond.
    assert all(gap % 50_000_000 == 0 for gap in gaps), gaps
    line = json.loads(take_until(results, lambda found: found)[0].data)
    assert line["source"] == "camera_link" and "utc" in line


def test_a_live_result_has_the_stamp_of_its_frame(launch, peer, scenes):
    """Each result once, though later frames repeat it."""
    publisher = peer.publisher("/camera/image_raw", m.Image)
    detections = peer.subscriber("/mdetr/detections", m.Detection2DArray)
    results = peer.subscriber("/mdetr/result", m.String)
    pipeline = launch(
        f"{SOURCE} queue-size=30 ! videoconvert ! mdetr mode=live inference-interval=4 query=balls"
        " ! mdetrros2sink sync=false"
    )
    ready(publisher, detections, results)
    found, sent = [], []
    deadline = time.monotonic() + 60
    while len(found) < 8:
        sent.append(raw(scenes[len(sent) % 300], len(sent)))
        publisher.write(sent[-1])
        time.sleep(0.04)
        found += detections.take(10)
        assert time.monotonic() < deadline, pipeline.text()
    stamps = [stamp(array) for array in found]
    assert len(set(stamps)) == len(stamps)
    assert set(stamps) <= {stamp(message) for message in sent}
    ages = [json.loads(line.data)["age_ms"] for line in results.take(100)]
    assert max(ages) > 0, "no result was late; the test shows nothing"


def test_repeated_results_have_the_stamps_of_their_frames(launch, peer, scenes):
    publisher = peer.publisher("/camera/image_raw", m.Image)
    detections = peer.subscriber("/mdetr/detections", m.Detection2DArray)
    results = peer.subscriber("/mdetr/result", m.String)
    launch(
        f"{SOURCE} ! videoconvert ! mdetr inference-interval=3 query=balls ! mdetrtrack"
        " ! mdetrros2sink repeat=true"
    )
    ready(publisher, detections, results)
    sent = [raw(path, number) for number, path in enumerate(scenes[:12])]
    arrays, lines = exchange(publisher, detections, results, sent)
    assert [stamp(array) for array in arrays] == [stamp(message) for message in sent]
    assert [line["age_ms"] > 0 for line in lines] == [n % 3 > 0 for n in range(12)]


def test_events_labels_and_masks(launch, peer, scenes, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rule]]\nid = "there"\nwhen = { is = "present", query = "q1" }\n'
        '[[rule]]\nid = "none"\nwhen = { is = "absent", query = "q1" }\n'
    )
    publisher = peer.publisher("/camera/image_raw", m.Image)
    events = peer.subscriber("/mdetr/events", m.String)
    masks = peer.subscriber("/mdetr/masks", m.Image)
    launch(
        f"{SOURCE} ! videoconvert ! mdetr query=balls ! mdetrrules rules={rules} camera=table"
        " ! mdetrros2sink"
    )
    ready(publisher, events, masks)
    seen = []
    for number, path in enumerate(scenes[:40]):
        publisher.write(raw(path, number))
        mask = take_until(masks, lambda found: len(found) == 1)[0]
        assert stamp(mask) == stamp(raw(path, number))
        assert (mask.width, mask.height, mask.encoding) == (320, 240, "mono8")
        seen += [json.loads(event.data) for event in events.take(10)]
    wait_for(lambda: seen or seen.extend(json.loads(e.data) for e in events.take(10)) or seen)
    assert {event["camera"] for event in seen} == {"table"}
    assert {event["rule"] for event in seen} <= {"there", "none"}
    # Who comes later gets the labels.
    labels = peer.subscriber("/mdetr/label_info", m.LabelInfo, LATCHED)
    info = take_until(labels, lambda found: found)[0]
    assert [(c.class_id, c.class_name) for c in info.class_map] == [(1, "balls")]


def test_results_of_several_elements_are_one_message(launch, peer, scenes):
    publisher = peer.publisher("/camera/image_raw", m.Image)
    detections = peer.subscriber("/mdetr/detections", m.Detection2DArray)
    results = peer.subscriber("/mdetr/result", m.String)
    launch(
        f"{SOURCE} ! videoconvert ! mdetr name=a query=balls ! mdetr name=b query=cubes"
        " ! mdetrros2sink"
    )
    ready(publisher, detections, results)
    arrays, lines = exchange(publisher, detections, results, [raw(scenes[0], 1)])
    assert [query["element"] for query in lines[0]["queries"]] == ["a", "b"]
    assert len(arrays[0].detections) == sum(len(q["detections"]) for q in lines[0]["queries"]) > 0


def test_regions_of_other_detectors(launch, peer):
    """The ground truth of tabletopsrc stands for what another detector finds."""
    detections = peer.subscriber("/mdetr/detections", m.Detection2DArray)
    launch(
        "tabletopsrc is-live=true seed=3 ! video/x-raw,width=320,height=240,framerate=10/1"
        " ! mdetrros2sink"
    )
    array = take_until(detections, lambda found: found)[0]
    words = {r.hypothesis.class_id.split()[-1] for d in array.detections for r in d.results}
    assert words and words <= {"cube", "sphere", "cylinder", "cone"}


def test_times_follow_stamps(launch, peer, scenes):
    """A pipeline at the pace of the stamps, which begin anew in the middle."""
    publisher = peer.publisher("/camera/image_raw", m.Image)
    pipeline = launch(
        f"-v {SOURCE} queue-size=50 timestamps=stamps ! identity silent=false ! fakesink"
    )
    ready(publisher)
    for number in [100, 101, 103, 0, 1]:
        publisher.write(raw(scenes[0], number))
        time.sleep(0.03)

    def times():
        found = re.findall(r"pts: (\d+):(\d+):(\d+)\.(\d+)", pipeline.text())
        return [((int(h) * 60 + int(n)) * 60 + int(s)) * 10**9 + int(f) for h, n, s, f in found]

    wait_for(lambda: len(times()) >= 5)
    a, b, c, d, e = times()[:5]
    assert (b - a, c - b, e - d) == (33_333_333, 66_666_666, 33_333_333)
    assert 0 <= d - c < 10**9


def test_quality_of_service_that_does_not_fit_is_told(launch, peer):
    sensor = Qos(BEST_EFFORT, Policy.History.KeepLast(5))
    publisher = peer.publisher("/camera/image_raw", m.Image, sensor)
    pipeline = launch(f"{SOURCE} ! fakesink")
    pipeline.wait_for_log(
        "/camera/image_raw: nothing is heard of a publisher: it asks for reliable"
    )
    assert publisher.get_matched_subscriptions() == []


def test_caps_before_the_first_picture(launch, peer):
    pipeline = launch(
        f"-v {SOURCE} init-caps=video/x-raw,format=RGB,width=320,height=240,framerate=0/1"
        " ! identity ! fakesink"
    )
    pipeline.wait_for_log("width=(int)320")
    assert pipeline.interrupt() < 2


def test_caps_that_are_not_taken_end_with_a_remedy(launch, peer, scenes):
    publisher = peer.publisher("/camera/image_raw", m.Image)
    pipeline = launch(f"{SOURCE} ! video/x-raw,format=NV12 ! fakesink", fails=True)
    ready(publisher)
    publisher.write(raw(scenes[0], 0))
    pipeline.wait_for_log("put videoconvert behind this one")
    assert pipeline.process.wait(10) != 0


def test_wrong_names_are_refused(launch):
    for description, expects in [
        ("mdetrros2src ros-topic=/a//b ! fakesink", "'/a//b' is no name".replace("'", '"')),
        ("mdetrros2src ros-topic= ! fakesink", "is no name of a topic"),
        ("videotestsrc ! mdetrros2sink ros-topic=7", '"7" is no name of a topic'),
    ]:
        pipeline = launch(description, fails=True)
        assert pipeline.process.wait(20) != 0
        assert expects in pipeline.text(), pipeline.text()
    pipeline = launch("mdetrros2src ! fakesink", fails=True, ROS_DOMAIN_ID="many")
    assert pipeline.process.wait(20) != 0
    assert "ROS_DOMAIN_ID=many: expected a whole number" in pipeline.text()


def test_who_subscribes_late_gets_what_comes_from_then_on(launch, peer, scenes):
    publisher = peer.publisher("/camera/image_raw", m.Image)
    pipeline = launch(f"{SOURCE} queue-size=200 ! mdetrros2sink ros-topic=/out sync=false")
    ready(publisher)
    message = raw(scenes[0], 0)
    for _ in range(50):
        publisher.write(message)
        time.sleep(0.01)
    images = matched(peer.subscriber("/out", m.Image))
    publisher.write(raw(scenes[0], 1))
    found = take_until(images, lambda found: found)
    assert [stamp(image) for image in found] == [stamp(raw(scenes[0], 1))]
    assert pipeline.process.poll() is None


def test_pipelines_of_the_documentation_play(launch):
    """With stand-ins for a camera and a screen, and with nobody on the network."""
    page = (ROOT / "docs/src/ros2.md").read_text()
    lines = re.findall(r"^gst-launch-1.0 (.*)$", page, re.M)
    assert len(lines) >= 3
    for line in lines:
        line = line.replace("v4l2src", "videotestsrc is-live=true num-buffers=30")
        line = line.replace("autovideosink", "fakesink")
        pipeline = launch(line)
        time.sleep(2)
        assert pipeline.interrupt() < 2
