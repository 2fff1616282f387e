"""The engine kserve against MLServer, which runs the bundled model's graphs on ONNX Runtime."""

import json
import os
import subprocess
import time

import pytest
from conftest import MODEL, PATIENCE, ROLES, ROOT, TARGET, version

# Boxes are those around masks, whose edges may fall on the next pixel.
A_PIXEL = 1.01
SPLIT = "text:tract,vision:tract,fusion:kserve,mask:tract"


def alike(found, expected, tolerance) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=tolerance)


@pytest.fixture(scope="module")
def local(detect):
    return detect("--engine", "tract").boxes()


def remote(server, *arguments, engine="kserve", deadline=20_000, fallback="none"):
    return [
        *("--engine", engine, "--endpoint", server.endpoint),
        *("--remote-deadline", deadline, "--fallback", fallback),
        *arguments,
    ]


@pytest.mark.parametrize("test", ["parity", "official", "grounder"])
def test_the_tests_of_engines(serve, test):
    """Those that run on tract, ONNX Runtime and TensorRT.

    Two of the official bundles have the same name.
    """
    official = sorted((ROOT / "src/mdetr/tests/data/official").glob("*/model.toml"))
    bundles = [manifest.parent for manifest in official] if test == "official" else [MODEL]
    server = serve(bundles=bundles)
    environment = {
        **os.environ,
        "MDETR_TEST_ENGINE": "kserve",
        "MDETR_TEST_ENDPOINTS": server.endpoint,
    }
    command = ["cargo", "test", "-q", "-p", "mdetr", "--test", test]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_finds_the_same_on_a_server(serve, detect, local):
    server = serve()
    found = detect(*remote(server))
    assert found.code == 0, found.errors
    alike(found.boxes(), local, 0.05)
    alike(detect(*remote(server, engine=SPLIT)).boxes(), local, 0.05)


def test_sentences_about_time_mean_the_same_on_a_server(serve, mdetr, tmp_path):
    clips = tmp_path / "clips"
    told = ["--frames", 8, "--captions", 4, "--seed", 5, "--out", clips]
    done = mdetr("scenes", "clips", "--count", 1, *told)
    assert done.returncode == 0, done.stderr
    server = serve()
    here, there = (
        mdetr("eval", clips, "--model", MODEL, "--json", *options)
        for options in (["--engine", "tract"], remote(server))
    )
    assert here.returncode == there.returncode == 0, here.stderr + there.stderr
    here, there = json.loads(here.stdout), json.loads(there.stdout)
    assert here["summary"]["phrases"] > 0
    assert there["summary"] == pytest.approx(here["summary"], abs=0.02, nan_ok=True)


def test_half_precision_on_the_wire_moves_boxes_by_a_pixel_at_most(serve, detect, local):
    found = detect(*remote(serve(floats="FP16")))
    assert found.code == 0, found.errors
    alike(found.boxes(), local, A_PIXEL)


def test_graphs_that_take_half_precision_themselves(serve, mdetr, detect, local, tmp_path):
    repository = tmp_path / "repository"
    done = mdetr("bundle", "triton", MODEL, "--out", repository, "--half")
    assert done.returncode == 0, done.stderr
    found = detect(*remote(serve(floats="FP16", repository=repository)))
    assert found.code == 0, found.errors
    alike(found.boxes(), local, A_PIXEL)


def test_the_version_made_of_the_hash_is_asked_for(serve, detect, local):
    server = serve(versions={role: version(MODEL / f"{role}.onnx") for role in ROLES})
    alike(detect(*remote(server)).boxes(), local, 0.05)


def test_another_version_is_named(serve, detect):
    server = serve(versions={role: "3000000000" for role in ROLES})
    found = detect(*remote(server))
    assert found.code != 0
    expected = (
        f"model tabletop-text: expected version {version(MODEL / 'text.onnx')}, found 3000000000"
    )
    assert expected in found.errors


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("memory", "out of memory"),
        ("shapes", "expected shape [1, any, 128]"),
        ("numbers", "expected finite numbers, found NaN"),
    ],
)
def test_what_goes_wrong_there_is_named_or_answered_here(serve, detect, local, fault, words):
    server = serve()
    server.fail(fault)
    found = detect(*remote(server, engine="vision:kserve,text:tract,fusion:tract,mask:tract"))
    assert found.code != 0
    assert words in found.errors and server.endpoint in found.errors
    found = detect(*remote(server, fallback="tract"))
    assert found.code == 0, found.errors
    assert "tract answers until a server does" in found.errors
    alike(found.boxes(), local, 0.05)


def test_a_server_that_stands_still_is_given_up(serve, detect, local):
    server = serve()
    server.freeze()
    begun = time.monotonic()
    found = detect(*remote(server, deadline=1000))
    assert found.code != 0 and "no answer within" in found.errors
    assert time.monotonic() - begun < PATIENCE / 4
    found = detect(*remote(server, deadline=1000, fallback="tract"))
    assert found.code == 0 and "no answer within" in found.errors
    alike(found.boxes(), local, 0.05)


def test_another_server_answers_for_one_that_is_killed(serve, detect, local):
    first, second = serve(), serve()
    first.kill()
    found = detect(*remote(first, "--endpoint", second.endpoint))
    assert found.code == 0, found.errors
    alike(found.boxes(), local, 0.05)


@pytest.mark.parametrize("mode", ["live", "every-frame"])
def test_a_stream_goes_on_while_its_server_is_killed_frozen_and_restarted(serve, tmp_path, mode):
    server = serve()
    lines = tmp_path / "lines"
    frames = 400
    pipeline = (
        f"tabletopsrc is-live=true num-buffers={frames} ! video/x-raw,width=256,height=192,"
        f'framerate=20/1 ! mdetr name=m mode={mode} query="all cubes" workers=2 model={MODEL} '
        f"engine={SPLIT} endpoints={server.endpoint} remote-deadline=500 fallback=tract "
        f"! mdetr2json ! filesink location={lines} buffer-mode=unbuffered"
    )
    environment = {
        **os.environ,
        "GST_PLUGIN_PATH": str(TARGET / "debug"),
        "GST_REGISTRY": str(tmp_path / "registry"),
        "GST_DEBUG": "mdetrengine:5",
        "GST_DEBUG_NO_COLOR": "1",
    }
    running = subprocess.Popen(
        ["gst-launch-1.0", "-m", *pipeline.split(" ")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def written(count):
        end = time.monotonic() + PATIENCE
        while not lines.exists() or lines.read_bytes().count(b"\n") < count:
            assert running.poll() is None and time.monotonic() < end, running.communicate()
            time.sleep(0.02)

    written(40)
    server.kill()
    written(80)
    server.start()
    written(140)
    server.freeze()
    written(180)
    server.thaw()
    said, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, said
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [line["frame"] for line in found] == list(range(frames))
    assert "tract answers until a server does" in said
    assert "servers answer again" in said
    if mode == "every-frame":
        assert all(line["queries"][0].get("detections") is not None for line in found)
