"""`mdetr serve`, asked by Triton's own client."""

import json
import os
import signal
import subprocess
import threading
import time

import grpc
import numpy
import pytest
import tritonclient.grpc as triton
from conftest import PATIENCE, ROOT, TARGET
from tritonclient.utils import InferenceServerException

QUERIES = ["all balls", "all cubes", "how many cones are there?"]
MODEL = "tabletop"


class Serving:
    """A running `mdetr serve`."""

    def __init__(self, *arguments: object, **environment: str) -> None:
        command = [TARGET / "debug/mdetr", "serve", "--grpc", "127.0.0.1:0", "--engine", "tract"]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        assert " on grpc" in line, line
        self.url = line.strip().rsplit("/", 1)[1]

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE)


@pytest.fixture
def serving():
    running = []

    def start(*arguments: object, **environment: str) -> Serving:
        running.append(Serving(*arguments, **environment))
        return running[-1]

    yield start
    for one in running:
        one.process.kill()
        one.process.wait()


def client(one: Serving, **options) -> triton.InferenceServerClient:
    return triton.InferenceServerClient(one.url, **options)


def texts(*queries: str) -> triton.InferInput:
    values = triton.InferInput("query", [len(queries)], "BYTES")
    values.set_data_from_numpy(numpy.array([query.encode() for query in queries], numpy.object_))
    return values


def file(bytes_: bytes) -> triton.InferInput:
    image = triton.InferInput("image", [1], "BYTES")
    image.set_data_from_numpy(numpy.array([bytes_], numpy.object_))
    return image


def pixels(array: numpy.ndarray) -> triton.InferInput:
    image = triton.InferInput("image", list(array.shape), "UINT8")
    image.set_data_from_numpy(array)
    return image


def test_tritons_client_finds_what_the_command_finds(serving, detect, picture):
    asked = client(serving())
    assert asked.is_server_live() and asked.is_server_ready() and asked.is_model_ready(MODEL)
    metadata = asked.get_model_metadata(MODEL)
    assert [one.name for one in metadata.inputs] == ["image", "query"]
    found = asked.infer(MODEL, [file(picture.read_bytes()), texts(*QUERIES)], request_id="7")
    [line] = detect("--engine", "tract", "--query", QUERIES[2]).lines
    result = json.loads(found.as_numpy("results")[0])
    assert result["schema"] == "mdetr/1" and result["size"] == line["size"]
    assert result["queries"] == line["queries"]
    boxes, scores = found.as_numpy("boxes"), found.as_numpy("scores")
    expected = [
        (index, detection)
        for index, query in enumerate(line["queries"])
        for detection in query.get("detections", [])
    ]
    assert len(expected) == len(boxes) == len(scores) > 0
    for (index, detection), box, score, phrases, query in zip(
        expected,
        boxes,
        scores,
        found.as_numpy("phrases"),
        found.as_numpy("query_index"),
        strict=True,
    ):
        assert query == index
        assert box.tolist() == pytest.approx(detection["box"], abs=0.1)
        assert score == pytest.approx(detection["score"], abs=0.001)
        words = ", ".join(phrase["text"] for phrase in detection["phrases"])
        assert phrases.decode() == words
    assert found.get_response().id == "7"


def test_pixels_and_chosen_outputs(serving):
    asked = client(serving())
    gray = numpy.full((96, 128, 3), 128, numpy.uint8)
    found = asked.infer(
        MODEL,
        [pixels(gray), texts("a red cube")],
        outputs=[triton.InferRequestedOutput("scores"), triton.InferRequestedOutput("boxes")],
    )
    assert [one.name for one in found.get_response().outputs] == ["scores", "boxes"]
    assert found.as_numpy("boxes").shape[1:] == (4,)


@pytest.mark.parametrize(
    ("inputs", "status", "words"),
    [
        (lambda _: [texts("a cube")], "INVALID_ARGUMENT", "the input image is missing"),
        (lambda f: [file(f)], "INVALID_ARGUMENT", "the input query is missing"),
        (lambda _: [file(b"GIF89a"), texts("a cube")], "INVALID_ARGUMENT", "expected PNG or JPEG"),
        (lambda f: [file(f[:99]), texts("a cube")], "INVALID_ARGUMENT", "input image: "),
        (lambda f: [file(f), texts("[a cube")], "INVALID_ARGUMENT", "'['"),
        (lambda f: [file(f), texts("a " * 999)], "INVALID_ARGUMENT", "shorten"),
        (lambda f: [file(f), texts(*["a cube"] * 65)], "INVALID_ARGUMENT", "1 to 64 sentences"),
        (
            lambda _: [pixels(numpy.zeros((4, 4, 4), numpy.uint8)), texts("a cube")],
            "INVALID_ARGUMENT",
            "of shape [4, 4, 4]",
        ),
    ],
)
def test_what_is_wrong_is_named(serving, picture, inputs, status, words):
    asked = client(serving())
    with pytest.raises(InferenceServerException) as error:
        asked.infer(MODEL, inputs(picture.read_bytes()))
    assert status in error.value.status() and words in error.value.message()
    assert asked.is_server_live()


def test_other_models_versions_and_sizes_are_refused(serving, picture):
    asked = client(serving("--max-request", 1))
    good = [file(picture.read_bytes()), texts("a cube")]
    for name, version in [("resnet", ""), (MODEL, "99")]:
        with pytest.raises(InferenceServerException) as error:
            asked.infer(name, good, model_version=version)
        assert "NOT_FOUND" in error.value.status() and "tabletop" in error.value.message()
    with pytest.raises(InferenceServerException) as error:
        asked.infer(MODEL, [pixels(numpy.zeros((1000, 1000, 3), numpy.uint8)), texts("a cube")])
    assert "OUT_OF_RANGE" in error.value.status()
    asked.infer(MODEL, good)


def test_a_token_over_tls(serving, picture, tmp_path):
    key, certificate, token = (tmp_path / name for name in ["key.pem", "cert.pem", "token"])
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    token.write_text("a-secret\n")
    one = serving(*("--require-token", token, "--tls-certificate", certificate, "--tls-key", key))
    asked = client(one, ssl=True, root_certificates=str(certificate))
    good = [file(picture.read_bytes()), texts("a cube")]
    for headers in [None, {"authorization": "Bearer another"}]:
        with pytest.raises(InferenceServerException) as error:
            asked.infer(MODEL, good, headers=headers)
        assert "UNAUTHENTICATED" in error.value.status()
        assert "a-secret" not in error.value.message()
    asked.infer(MODEL, good, headers={"authorization": "Bearer a-secret"})


def test_beyond_loopback_a_token_is_needed(mdetr):
    done = mdetr("serve", "--grpc", "0.0.0.0:0")
    assert done.returncode == 2 and "--require-token" in done.stderr


def test_more_calls_than_may_wait_are_refused(serving):
    asked = client(serving("--workers", 1, "--waiting", 1))
    inputs = [pixels(numpy.zeros((480, 640, 3), numpy.uint8)), texts(*QUERIES)]
    outcomes = []

    def ask() -> None:
        try:
            asked.infer(MODEL, inputs)
            outcomes.append("OK")
        except InferenceServerException as error:
            outcomes.append(error.status())

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(outcomes) == 12 and "OK" in outcomes
    assert set(outcomes) == {"OK", "StatusCode.RESOURCE_EXHAUSTED"}


def test_it_finishes_what_it_has_begun(serving):
    one = serving("--workers", 1)
    asked = client(one)
    # It takes some seconds in a debug build.
    sentences = [f"the red cube left of {number} balls" for number in range(64)]
    inputs = [pixels(numpy.zeros((480, 640, 3), numpy.uint8)), texts(*sentences)]
    answers = []
    thread = threading.Thread(target=lambda: answers.append(asked.infer(MODEL, inputs)))
    thread.start()
    time.sleep(0.5)
    assert not answers
    one.process.send_signal(signal.SIGTERM)
    thread.join(PATIENCE)
    assert len(answers) == 1
    asked.close()
    assert one.process.wait(PATIENCE) == 0


def test_probes_are_answered_without_a_token(serving, tmp_path):
    token = tmp_path / "token"
    token.write_text("a-secret")
    with grpc.insecure_channel(serving("--require-token", token).url) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        # An empty request; an answer whose only field is 1: it serves.
        assert check(b"", timeout=PATIENCE) == b"\x08\x01"
