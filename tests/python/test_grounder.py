"""Frames and sentences in, results out."""

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from itertools import pairwise

import conftest
import numpy as np
import pytest
from conftest import BUILD, ENGINE, ROOT, detect, picture, reported
from PIL import Image

import mdetr

QUERIES = (
    "[a sphere] left of a cube",
    "all cones",
    "a purple cylinder behind a small thing",
    "how many cubes are there?",
)


@pytest.mark.parametrize("number", range(4))
def test_finds_what_the_command_finds(grounder, number):
    grounder.set_queries(QUERIES)
    found = grounder.ground(picture(number))
    expected = detect(number, *QUERIES)
    for name in ("schema", "source", "frame"):
        del expected[name]
    assert reported(found.to_dict()) == expected
    assert any("mask" in d for q in expected["queries"] for d in q.get("detections", []))


def test_results_say_what_is_absent_and_where_words_stand(grounder, frame):
    grounder.set_queries({"ball": "[a sphere] left of a cube", "none": "a yellow cone"})
    found = grounder.ground(frame)
    assert found.size == (256, 192)
    assert found.revision == grounder.revision == 1
    ball, none = found.queries
    assert found["ball"] is ball
    assert ball.text == "a sphere left of a cube"
    assert ball.present
    assert ball.answer is None
    (phrase,) = ball.detections[0].phrases
    assert ball.text[slice(*phrase.span)] == phrase.text == "a sphere"
    assert (none.present, none.detections) == (False, ())
    with pytest.raises(KeyError, match="nobody"):
        found["nobody"]


def test_results_are_values(grounder, frame):
    grounder.set_queries("all cones")
    found, again = grounder.ground(frame), grounder.ground(frame)
    assert found == again
    assert hash(found) == hash(again)
    assert pickle.loads(pickle.dumps(found)) == found
    detection = found["q1"].detections[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        detection.score = 1.0
    x, y, width, height = detection.box
    assert detection.box == (x, y, width, height)
    assert all(type(value) is float for value in detection.box)


def test_masks_are_arrays(grounder, frame):
    grounder.set_queries("all cones")
    for detection in grounder.ground(frame)["q1"].detections:
        mask = detection.mask.to_numpy()
        assert (mask.shape, mask.dtype) == (frame.shape[:2], np.dtype(bool))
        rows, columns = np.nonzero(mask)
        x, y, width, height = detection.box
        assert abs(columns.mean() - (x + width / 2)) < width / 4
        assert abs(rows.mean() - (y + height / 2)) < height / 4
        assert (np.asarray(detection.mask, dtype=np.uint8) == mask).all()
    none = mdetr.Grounder(engine=ENGINE, masks=False)
    none.set_queries("all cones")
    assert {found.mask for found in none.ground(frame)["q1"].detections} == {None}


def test_run_lengths_go_down_the_columns():
    mask = mdetr.Mask((2, 3), "222").to_numpy()
    assert mask.tolist() == [[False, True, False], [False, True, False]]
    for size, counts in (((2, 3), "22"), ((2, 3), "\0"), ((1 << 31, 1), "222")):
        with pytest.raises(ValueError, match="run lengths"):
            mdetr.Mask(size, counts).to_numpy()


def padded(frame):
    height, width, _ = frame.shape
    rows = np.full((height, width + 7, 3), 77, np.uint8)
    rows[:, :width] = frame
    return rows[:, :width]


def of_a_reversed_picture(frame):
    bgr = np.ascontiguousarray(frame[..., ::-1])
    return bgr[..., ::-1]


def of_bgr_with_padding(frame):
    return padded(np.ascontiguousarray(frame[..., ::-1]))[..., ::-1]


def of_four_channels(frame):
    return np.dstack([frame, frame[..., 0]])[..., :3]


def read_only(frame):
    copy = frame.copy()
    copy.flags.writeable = False
    return copy


VIEWS = [
    np.ascontiguousarray,
    np.asfortranarray,
    of_a_reversed_picture,
    of_bgr_with_padding,
    of_four_channels,
    padded,
    read_only,
    lambda frame: frame[::-1].copy()[::-1],
    lambda frame: frame[:, ::-1].copy()[:, ::-1],
    lambda frame: np.repeat(np.repeat(frame, 2, 0), 2, 1)[::2, ::2],
    lambda frame: frame.transpose(2, 0, 1).copy().transpose(1, 2, 0),
]


@pytest.mark.parametrize("view", VIEWS)
def test_any_strides_are_the_same_picture(grounder, frame, view):
    grounder.set_queries("all cones")
    expected = grounder.ground(frame)
    viewed = view(frame)
    assert (viewed == frame).all()
    references = sys.getrefcount(viewed)
    assert grounder.ground(viewed) == expected
    assert sys.getrefcount(viewed) == references


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (3, 2000)])
@pytest.mark.parametrize("order", ["kept", "reversed", "first of many"])
def test_odd_shapes(grounder, shape, order):
    grounder.set_queries("all cones")
    frame = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    expected = grounder.ground(frame)
    height, width = shape
    if order == "reversed":
        frame = np.ascontiguousarray(frame[..., ::-1])[..., ::-1]
    if order == "first of many":
        many = np.zeros((2 * height, 2 * width, 3), np.uint8)
        many[:height, :width] = frame
        frame = many[:height, :width]
    assert grounder.ground(frame) == expected


def test_a_view_of_one_row_repeated(grounder, frame):
    grounder.set_queries("all cones")
    row = np.broadcast_to(frame[90], frame.shape)
    assert grounder.ground(row) == grounder.ground(row.copy())


MEMORY = """
import pathlib, re, sys
import numpy as np, mdetr
grounder = mdetr.Grounder(engine="tract", masks=False)
grounder.set_queries("all cones")
def kibibytes(name):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(name + r":\\s+(\\d+) kB", status)[1])
pixels = np.zeros((6000, 6001, 3), np.uint8)
pixels.fill(9)
views = {"rows": pixels[:, :6000], "bgr": pixels[..., ::-1], "columns": pixels[:, ::-1]}
# What the network takes, before memory is measured.
grounder.ground(pixels[:5999, :5999])
pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak is what it takes now
before = kibibytes("VmRSS")
grounder.ground(views[sys.argv[1]])
print(kibibytes("VmHWM") - before)
"""


@pytest.mark.parametrize(("view", "copied"), [("rows", 0), ("bgr", 0), ("columns", 1)])
def test_only_what_must_be_is_copied(view, copied):
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, view], capture_output=True, text=True, check=True
    )
    more = int(done.stdout) * 1024 / (6000 * 6001 * 3)
    assert abs(more - copied) < 0.3, f"{more:.2f} times the picture"


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (np.zeros((4, 4), np.uint8), r"the shape \(4, 4\) and the type uint8"),
        (np.zeros((4, 4, 4), np.uint8), r"the shape \(4, 4, 4\)"),
        (np.zeros((3, 4, 4), np.uint8), r"the shape \(3, 4, 4\)"),
        (np.zeros((4, 4, 3)), "the type float64"),
        (np.zeros((4, 4, 3), bool), "the type bool"),
        (np.zeros((4, 4, 3), np.int8), "the type int8"),
        (np.zeros(3, np.uint8), r"the shape \(3,\)"),
        ([[[1, 2, 3]]], "list: convert it with numpy.asarray"),
        (None, "NoneType"),
        (np.zeros((0, 4, 3), np.uint8), "frame of 4x0"),
        (np.zeros((4, 0, 3), np.uint8), "frame of 0x4"),
        (np.zeros((1, 20000, 3), np.uint8), "frame of 20000x1"),
        (np.broadcast_to(np.uint8(7), (1 << 20, 1 << 33, 3)), "frame of 4294967295x1048576"),
    ],
)
def test_what_is_no_frame_is_refused(grounder, wrong, found):
    grounder.set_queries("all cones")
    with pytest.raises(mdetr.FrameError, match=found) as raised:
        grounder.ground(wrong)
    assert isinstance(raised.value, ValueError)


def test_queries_in_all_forms(grounder):
    Query = mdetr.Query
    assert (grounder.queries, grounder.revision) == ((), 0)
    cases = [
        ("a [red] ball", (Query("a [red] ball", "q1"),)),
        (["a ball", Query("a cone", "c")], (Query("a ball", "q1"), Query("a cone", "c"))),
        ({"b": "a ball"}, (Query("a ball", "b"),)),
        ({"b": Query("a ball", score_threshold=0.5)}, (Query("a ball", "b", 0.5),)),
        ((text for text in ("a ball", "a cube")), (Query("a ball", "q1"), Query("a cube", "q2"))),
        (
            Query("a ball", "x", 0.25, 0.125),
            (Query("a ball", "x", score_threshold=0.25, phrase_threshold=0.125),),
        ),
        ([], ()),
    ]
    for revision, (given, expected) in enumerate(cases, start=1):
        assert grounder.set_queries(given) == grounder.revision == revision
        assert grounder.queries == expected


def test_a_fault_in_queries_keeps_the_old_ones(grounder, frame):
    grounder.set_queries("all cones")
    for wrong, error, message in [
        ("[a ball", mdetr.QueryError, "without ']'"),
        ("", mdetr.QueryError, "q1"),
        (["a", mdetr.Query("b", "q1")], mdetr.QueryError, "q1"),
        (mdetr.Query("a ball", score_threshold=2.0), mdetr.QueryError, "score threshold"),
        ("a ball " * 2000, mdetr.QueryError, "4096"),
        ([3], TypeError, "expected a str or a mdetr.Query, found int"),
        ({"a": mdetr.Query("a ball", "b")}, ValueError, "expected no other id, found 'b'"),
        ({3: "a ball"}, TypeError, "int"),
    ]:
        with pytest.raises(error, match=message):
            grounder.set_queries(wrong)
    assert grounder.revision == 1
    assert grounder.ground(frame)["q1"].present


def test_thresholds_decide(frame):
    strict = mdetr.Grounder(engine=ENGINE, score_threshold=1.0)
    strict.set_queries({"no": "all cones", "yes": mdetr.Query("all cones", score_threshold=0.5)})
    found = strict.ground(frame)
    assert (found["no"].present, found["yes"].present) == (False, True)
    one = mdetr.Grounder(engine=ENGINE, max_detections=1)
    one.set_queries("all objects")
    assert len(one.ground(frame)["q1"].detections) == 1


def test_models_by_name_and_path(monkeypatch, tmp_path):
    models = mdetr.models()
    assert models["tabletop"].joinpath("model.toml").is_file()
    assert models["tabletop"].parent.parent.joinpath("py.typed").is_file()
    for model in ("tabletop", models["tabletop"], str(models["tabletop"])):
        grounder = mdetr.Grounder(model, engine=ENGINE)
        assert grounder.model.name == "tabletop"
        assert "questions" in grounder.model.tasks
        assert grounder.engine.name == ENGINE
        assert repr(grounder).startswith("<mdetr.Grounder tabletop 0.1.0 on tract ")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    own = tmp_path / "mdetr/models/mine"
    own.parent.mkdir(parents=True)
    own.symlink_to(ROOT / "models/tabletop")
    assert mdetr.models()["mine"] == own
    mdetr.Grounder("mine", engine=ENGINE)
    monkeypatch.setenv("MDETR_MODEL", "/nowhere")
    with pytest.raises(mdetr.BundleError, match="MDETR_MODEL names /nowhere: "):
        mdetr.Grounder(engine=ENGINE)
    with pytest.raises(mdetr.BundleError, match="there are mine, tabletop"):
        mdetr.Grounder("eb9")
    with pytest.raises(mdetr.BundleError, match=str(tmp_path)):
        mdetr.Grounder(tmp_path)


SERVER = {"engine": "kserve", "endpoints": ["grpc://127.0.0.1:9"]}


def test_options_are_checked(tmp_path):
    for wrong, error, message in [
        ({"engine": "best"}, mdetr.OptionError, "tract or kserve, found best"),
        ({"engine": "kserve"}, mdetr.EngineError, "no server is named"),
        ({"engine": "kserve", "endpoints": ["gpu"]}, mdetr.EngineError, "grpc://HOST:PORT"),
        ({"remote_deadline": -1, **SERVER}, mdetr.EngineError, "expected 1 ms to 600 s"),
        ({"fallback": "gpu"}, mdetr.OptionError, "auto, onnxruntime, tract or none"),
        ({"score_threshold": 2.0}, mdetr.OptionError, "score_threshold"),
        ({"short_side": 0}, mdetr.OptionError, "short_side"),
        ({"pack_queries": "some"}, mdetr.OptionError, "none, simple or all"),
        ({"precision": "fp8"}, mdetr.OptionError, "fp32 or fp16"),
        ({"max_detections": -1}, OverflowError, "negative"),
        ({"model": 3}, TypeError, "int"),
        ({"text_cache_dir": "/proc/no"}, mdetr.CacheError, "/proc/no"),
    ]:
        with pytest.raises(error, match=message):
            mdetr.Grounder(**wrong)
    for error in (mdetr.OptionError, mdetr.CacheError):
        assert issubclass(error, mdetr.MdetrError)
    kept = mdetr.Grounder(engine=ENGINE, text_cache_dir=tmp_path / "texts")
    kept.set_queries("all cones")
    assert any((tmp_path / "texts").iterdir())


def test_onnxruntime_is_found_in_its_package(frame):
    """In a process of its own: a library that is open stays open."""
    script = """
        import sys, numpy, mdetr
        from PIL import Image
        assert "onnxruntime" not in sys.modules
        grounder = mdetr.Grounder(engine="onnxruntime")
        grounder.set_queries("all cones")
        frame = numpy.asarray(Image.open(sys.argv[1]).convert("RGB"))
        print(len(grounder.ground(frame)["q1"].detections), mdetr.Grounder().engine.name)
        print({line.split()[-1] for line in open("/proc/self/maps") if "libonnxruntime" in line})
    """
    env = {name: value for name, value in os.environ.items() if name != "ORT_DYLIB_PATH"}
    command = [sys.executable, "-c", textwrap.dedent(script), conftest.PICTURES / "00.png"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cones, automatic, opened = done.stdout.split(maxsplit=2)
    assert (cones, automatic) == ("2", "onnxruntime")
    assert "/onnxruntime/capi/libonnxruntime.so" in opened
    assert opened.count(".so") == 1


def test_threads_share_a_grounder(grounder, frame):
    """Each result is of one set of queries, whole, whoever changes them meanwhile."""
    sets = [{"a": "all cones", "b": "a sphere"}, {"c": "all cubes"}]
    expected = []
    for queries in sets:
        grounder.set_queries(queries)
        expected.append(grounder.ground(frame).queries)
    end, failures = time.monotonic() + 3, []
    counts = [0] * 4

    def ground(index):
        while time.monotonic() < end:
            found = grounder.ground(frame)
            if found.queries != expected[(found.revision - 1) % 2]:
                failures.append(found)
            counts[index] += 1

    threads = [threading.Thread(target=ground, args=(index,)) for index in range(len(counts))]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        for queries in sets:
            grounder.set_queries(queries)
    for thread in threads:
        thread.join()
    assert failures == []
    assert min(counts) > 0
    assert grounder.revision > 4


def test_python_runs_while_a_frame_is_looked_at(grounder, frame):
    grounder.set_queries([f"{count} cones" for count in ("one", "two", "three", "four", "all")] * 8)
    took = []

    def ground():
        start = time.perf_counter()
        grounder.ground(frame)
        took.extend((start, time.perf_counter()))

    thread = threading.Thread(target=ground)
    thread.start()
    times = [time.perf_counter()]
    while thread.is_alive():
        times.append(time.perf_counter())
    start, end = took
    assert end - start > 0.05, "too short to tell"
    inside = [moment for moment in times if start < moment < end]
    gaps = [after - before for before, after in pairwise(inside)]
    assert len(inside) > 1000
    assert max(gaps) < (end - start) / 2


def test_ctrl_c_ends_a_loop():
    script = """
        import signal, numpy, mdetr
        # What a shell starts in the background ignores it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        grounder = mdetr.Grounder(engine="tract")
        grounder.set_queries("all cones")
        frame = numpy.zeros((480, 640, 3), numpy.uint8)
        frames = 0
        try:
            while True:
                grounder.ground(frame)
                frames += 1
                print("a frame", flush=True)
        except KeyboardInterrupt:
            print("interrupted after", frames)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for _ in range(3):
            assert child.stdout.readline() == "a frame\n"
        child.send_signal(signal.SIGINT)
        start = time.monotonic()
        try:
            rest, _ = child.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
        assert time.monotonic() - start < 10
    assert child.returncode == 0
    assert "interrupted after" in rest


def test_prepare_takes_sizes_of_frames(grounder, frame):
    grounder.set_queries("all cones")
    grounder.prepare(256, 192)
    assert grounder.ground(frame)["q1"].present
    with pytest.raises(mdetr.FrameError, match="0x192"):
        grounder.prepare(0, 192)


def test_a_stream_is_remembered(grounder, tmp_path):
    """What moves is known of later frames of a stream, and of no frame by itself."""
    command = [BUILD / "mdetr", "scenes", "clips", "--count", "3", "--fps", "5", "--out", tmp_path]
    subprocess.run(command, check=True, capture_output=True)
    assert grounder.remembers
    grounder.set_queries("all moving objects")
    later = 0
    for line in (tmp_path / "clips.jsonl").read_text().splitlines():
        past = mdetr.Past()
        for entry in json.loads(line)["frames"][:12]:
            pixels = np.asarray(Image.open(tmp_path / entry["file"]))
            alone = grounder.ground(pixels)
            found = grounder.ground(pixels, past=past, at=entry["time"])
            assert not alone.queries[0].present
            assert entry["time"] > 0 or found.queries == alone.queries
            later += found.queries[0].present
        past.forget()
        again = grounder.ground(pixels, past=past, at=entry["time"])
        assert again.queries == grounder.ground(pixels).queries
    assert later >= 5
    with pytest.raises(mdetr.OptionError, match="at: expected seconds"):
        grounder.ground(pixels, past=mdetr.Past(), at=-1.0)


def test_a_model_of_single_pictures_remembers_nothing(frame):
    model = ROOT / "src/mdetr/tests/data/official/resnet101"
    grounder = mdetr.Grounder(model, engine=ENGINE)
    assert not grounder.remembers
    grounder.set_queries("all cones")
    past = mdetr.Past()
    twice = [grounder.ground(frame, past=past, at=at) for at in (0.0, 0.5)]
    assert twice[0].queries == twice[1].queries == grounder.ground(frame).queries
