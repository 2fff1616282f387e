"""The program as a user starts it, with cameras, a broker and a page of its own.

`MDETR_BUILD` names the directory with mdetr-monitor and the plugin; target/debug, if not set.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = Path(os.environ.get("MDETR_BUILD", ROOT / "target" / "debug")).resolve()
# GStreamer's Python modules are Debian's.
SYSTEM_PYTHON = "/usr/bin/python3"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment():
    return {
        **os.environ,
        "GST_PLUGIN_PATH": str(BUILD),
        "GST_REGISTRY": str(BUILD / "gstreamer-registry-monitor.bin"),
        "MDETR_MODEL": str(ROOT / "models" / "tabletop"),
    }


def wait_for(what, seconds=90, every=0.05):
    """The first true value of `what()`; fails after `seconds`, which only a hang should take."""
    deadline = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < deadline, f"nothing after {seconds} s: {what.__doc__ or what}"
        time.sleep(every)


class Monitor:
    """A running mdetr-monitor."""

    def __init__(self, directory, config, env=None, wrap=(), arguments=()):
        self.wrap, self.arguments = wrap, arguments
        self.directory = Path(directory)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = self.directory / "monitor.toml"
        self.log = self.directory / "monitor.log"
        self.env = {**environment(), **(env or {})}
        self.process = None
        self.write(config)

    def write(self, config):
        head = (
            f'data = "data"\n[http]\nlisten = "127.0.0.1:{self.port}"\n'
            if "[http]" not in config
            else ""
        )
        self.config.write_text(head + config)

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrap, BUILD / "mdetr-monitor", *self.arguments, self.config],
                stdout=log,
                stderr=log,
                env=self.env,
                cwd=self.directory,
            )
        wait_for(self.answers)
        return self

    def answers(self):
        """the program answers"""
        assert self.process.poll() is None, self.text()
        try:
            return self.get("/healthz", raw=True) is not None
        except OSError:
            return False

    def text(self):
        return self.log.read_text()

    def request(self, method, path, body=None, headers=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, method=method, headers=headers or {}
        )
        if data is not None:
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def get(self, path, raw=False):
        answer = self.request("GET", path)
        return answer if raw else json.loads(answer)

    def put(self, path, body):
        return json.loads(self.request("PUT", path, body) or b"null")

    def camera(self, name):
        cameras = {camera["name"]: camera for camera in self.get("/api/status")["cameras"]}
        return cameras.get(name)

    def is_in_state(self, name, state, seconds=180):
        return wait_for(
            lambda: (self.camera(name) or {}).get("state") == state and self.camera(name), seconds
        )

    def events(self, **filters):
        query = "&".join(f"{key}={value}" for key, value in filters.items())
        return self.get(f"/api/events?{query}")["events"]

    def rss(self):
        """Resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024

    def cpu(self):
        """Seconds of processor time."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, sig=signal.SIGTERM):
        """Ends it; gives the seconds that took."""
        begin = time.monotonic()
        if self.process and self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        return time.monotonic() - begin


@pytest.fixture
def monitor(tmp_path):
    """Makes monitors from configurations, and ends them."""
    running = []

    def make(config, env=None, directory=None, wrap=(), arguments=()):
        found = Monitor(directory or tmp_path, config, env, wrap, arguments)
        running.append(found)
        return found.start()

    yield make
    for found in running:
        found.stop()


def server_sent(url, timeout=60):
    """Types and data of what a server tells, as it comes."""
    with urllib.request.urlopen(url, timeout=timeout) as stream:
        kind = None
        for line in stream:
            if line.startswith(b"event:"):
                kind = line[6:].strip().decode()
            elif line.startswith(b"data:"):
                yield kind, line[5:]


class Cameras:
    """RTSP cameras of rtsp.py."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [SYSTEM_PYTHON, HERE / "rtsp.py", "--port", "0", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        ready = self.process.stdout.readline().split()
        assert ready[:1] == ["ready"], "the RTSP server does not start"
        self.port = ready[1]

    def url(self, index=0, user=""):
        return f"rtsp://{user}127.0.0.1:{self.port}/{index}"

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def rtsp():
    """Makes RTSP cameras, and ends them."""
    running = []

    def make(*arguments):
        # Short clips: they are rendered anew for each test.
        running.append(Cameras("--frames", 90, *arguments))
        return running[-1]

    yield make
    for found in running:
        found.stop()


@pytest.fixture
def mosquitto(tmp_path):
    """Starts brokers on free ports, and ends them."""
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    running = []

    def make(port=None, extra="allow_anonymous true"):
        port = port or free_port()
        config = tmp_path / f"mosquitto-{port}.conf"
        config.write_text(f"listener {port} 127.0.0.1\n{extra}\npersistence false\n")
        process = subprocess.Popen([program, "-c", config], stdout=sys.stderr, stderr=sys.stderr)
        running.append(process)

        def is_up():
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True
            except OSError:
                return False

        wait_for(is_up)
        process.port = port
        return process

    yield make
    for process in running:
        process.kill()
        process.wait()


def http_error(action):
    """Status and text of the error that `action` must meet."""
    with pytest.raises(urllib.error.HTTPError) as raised:
        action()
    return raised.value.code, raised.value.read().decode()
