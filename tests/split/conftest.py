"""MLServer with the bundled model's graphs, and what asks it."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
MODEL = ROOT / "models/tabletop"
ROLES = ["text", "vision", "fusion", "mask"]
PATIENCE = 60


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def version(graph: Path) -> str:
    """As the engine has it for a graph."""
    return str(1 << 31 | int(sha256(graph)[:8], 16))


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Server:
    """A process of MLServer."""

    def __init__(
        self, folder: Path, *, floats="FP32", versions=None, bundles=(MODEL,), repository=None
    ) -> None:
        """`versions`: of each role; by default those that are made of the graphs' hashes if there
        are several bundles, which may have the same name, else none. `repository`: as
        `mdetr bundle triton` writes it, whose graphs are served instead of the bundle's.
        """
        self.folder = folder
        self.http, self.grpc, metrics = free_ports(3)
        self.process = None
        settings = {
            "host": "127.0.0.1",
            "http_port": self.http,
            "grpc_port": self.grpc,
            "metrics_port": metrics,
            "parallel_workers": 0,
            "grpc_max_message_length": 256 << 20,
            "debug": False,
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        self.fault_file = folder / "fault"
        models = [
            (tomllib.loads((bundle / "model.toml").read_text())["name"], bundle, role)
            for bundle in bundles
            for role in ROLES
            if (bundle / f"{role}.onnx").exists()
        ]
        if len(bundles) > 1:
            versions = {}
            for name, bundle, role in models:
                found = versions.setdefault((name, role), [])
                found.append(version(bundle / f"{role}.onnx"))
        for number, (name, bundle, role) in enumerate(models):
            model = folder / str(number)
            model.mkdir()
            graph = bundle / f"{role}.onnx"
            if repository:
                [graph] = repository.glob(f"{name}-{role}/*/model.onnx")
            extra = {"graph": str(graph), "fault": str(self.fault_file), "floats": floats}
            settings = {
                "name": f"{name}-{role}",
                "implementation": "graph.Graph",
                "parameters": {"extra": extra},
            }
            if len(bundles) > 1:
                settings["parameters"]["version"] = version(graph)
                settings["versions"] = versions[name, role]
            elif versions:
                settings["parameters"]["version"] = versions[role]
                settings["versions"] = [versions[role]]
            if bundle == MODEL:
                settings |= _interface(role, floats)
            (model / "model-settings.json").write_text(json.dumps(settings))
        self.start()

    @property
    def endpoint(self) -> str:
        return f"grpc://127.0.0.1:{self.grpc}"

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(HERE)}
        self.process = subprocess.Popen(
            [TARGET / "split-python/bin/mlserver", "start", self.folder],
            env=environment,
            stdout=(self.folder / "log").open("a"),
            stderr=subprocess.STDOUT,
        )
        end = time.monotonic() + PATIENCE
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > end:
                pytest.fail((self.folder / "log").read_text())
            time.sleep(0.1)

    def _ready(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self.http}/v2/health/ready"
            return urllib.request.urlopen(url, timeout=2).status == 200
        except OSError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def fail(self, fault: str) -> None:
        self.fault_file.write_text(fault)


def _interface(role: str, floats: str) -> dict:
    def tensor(name, datatype, *shape):
        return {"name": name, "datatype": datatype, "shape": list(shape)}

    inputs = {
        "text": [
            tensor("input_ids", "INT64", 1, -1),
            tensor("attention_mask", "INT64", 1, -1),
        ],
        "vision": [tensor("image", floats, -1, 3, -1, -1)],
        "fusion": [
            tensor("tokens", floats, -1, -1, 128),
            tensor("position", floats, 1, -1, 128),
            tensor("text_memory", floats, -1, -1, 128),
            tensor("text_mask", "INT64", -1, -1),
            tensor("past", floats, -1, 8, 20, 128),
            tensor("past_boxes", floats, -1, 8, 20, 4),
            tensor("past_age", floats, -1, 8),
        ],
        "mask": [
            tensor("hidden", floats, 1, -1, 128),
            tensor("memory", floats, 1, -1, 128),
            tensor("tokens", floats, 1, -1, 128),
            tensor("pyramid_8", floats, 1, 96, -1, -1),
            tensor("pyramid_4", floats, 1, 48, -1, -1),
        ],
    }
    return {"inputs": inputs[role]}


@pytest.fixture
def serve(tmp_path):
    """Starts servers, and ends them."""
    servers = []

    def start(**options) -> Server:
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        servers.append(Server(folder, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.thaw()
        server.kill()


class Run:
    """What the command said."""

    def __init__(self, done: subprocess.CompletedProcess) -> None:
        self.code = done.returncode
        self.errors = done.stderr
        self.lines = [json.loads(line) for line in done.stdout.splitlines()]

    def boxes(self) -> list:
        return [
            detection["box"]
            for line in self.lines
            for query in line["queries"]
            for detection in query["detections"]
        ]


@pytest.fixture(scope="session")
def mdetr():
    """Runs the command."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
        command = [TARGET / "debug/mdetr", *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    return run


@pytest.fixture(scope="session")
def picture(mdetr, tmp_path_factory) -> Path:
    """A scene with things in it."""
    folder = tmp_path_factory.mktemp("scene")
    done = mdetr("scenes", "show", "--seed", 7, "--out", folder / "scene.png")
    assert done.returncode == 0, done.stderr
    return folder / "scene.png"


@pytest.fixture(scope="session")
def detect(mdetr, picture):
    """Looks for balls and cubes in the picture."""

    def run(*arguments: object, **environment: str) -> Run:
        queries = ["--query", "all balls", "--query", "all cubes"]
        return Run(mdetr("detect", picture, *queries, "--json", *arguments, **environment))

    return run
