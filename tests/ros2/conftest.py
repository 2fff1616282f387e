"""The node as a user starts it, and CycloneDDS as its peers, in a network of their own.

`tools/test-ros2` makes that network: loopback alone, with multicast, so that nothing leaves the
machine. `MDETR_BUILD` names the directory with mdetr-ros2 and mdetr; target/debug, if not set.
"""

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import messages as m
import pytest
from cyclonedds.core import Policy, Qos
from cyclonedds.domain import DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration
from services import Client

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = Path(os.environ.get("MDETR_BUILD", ROOT / "target" / "debug")).resolve()

# The client of Foxglove.
sys.path.append(str(ROOT / "src/foxglove/tests"))

RELIABLE = Policy.Reliability.Reliable(duration(seconds=10))
BEST_EFFORT = Policy.Reliability.BestEffort
# What a driver of a camera offers, and what a consumer of detections asks for.
OFFERED = Qos(RELIABLE, Policy.History.KeepLast(10))
ASKED = Qos(RELIABLE, Policy.History.KeepAll)


def pytest_sessionstart(session):
    if os.environ.get("MDETR_ANY_NETWORK") != "1":
        links = [name for _, name in socket.if_nameindex()]
        if links != ["lo"]:
            pytest.exit(
                f"run tools/test-ros2: this network has {links}, and DDS announces itself", 2
            )


def wait_for(what, seconds=90, every=0.02):
    """The first true value of `what()`; fails after `seconds`, which only a hang should take."""
    deadline = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < deadline, f"nothing after {seconds} s: {what.__doc__ or what}"
        time.sleep(every)


class Node:
    """A running mdetr-ros2."""

    def __init__(self, log, args=(), env=None, binary="mdetr-ros2", **options):
        self.log = log
        self.env = {**os.environ, "MDETR_MODEL": str(ROOT / "models" / "tabletop"), **(env or {})}
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [BUILD / binary, *map(str, args)],
                stdout=output,
                stderr=output,
                env=self.env,
                **options,
            )

    def text(self):
        return re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text(errors="replace"))

    def wait_for_log(self, text, seconds=90):
        def logged():
            assert self.process.poll() is None or text in self.text(), self.text()
            return text in self.text()

        logged.__doc__ = f"{text!r} in the log"
        return wait_for(logged, seconds)

    def rss(self):
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024

    def stop(self, seconds=15):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"does not stop: {self.text()[-3000:]}") from None


class Peer:
    """A participant of CycloneDDS."""

    def __init__(self, domain=0):
        self.domain = domain
        self.participant = DomainParticipant(domain)

    def publisher(self, topic, kind, qos=OFFERED):
        return DataWriter(
            self.participant, Topic(self.participant, "rt" + topic, kind, qos=qos), qos=qos
        )

    def subscriber(self, topic, kind, qos=ASKED):
        return DataReader(
            self.participant, Topic(self.participant, "rt" + topic, kind, qos=qos), qos=qos
        )

    def client(self, service, kind, cyclone=False):
        return Client(self.participant, service, kind, cyclone).wait_for_service()


def matched(writer_or_reader, count=1):
    """Waits until `count` are on the other side."""

    def met():
        if isinstance(writer_or_reader, DataWriter):
            return len(writer_or_reader.get_matched_subscriptions()) >= count
        return len(writer_or_reader.get_matched_publications()) >= count

    met.__doc__ = f"a match for {writer_or_reader.topic.name}"
    wait_for(met)
    return writer_or_reader


def take_until(reader, done, seconds=120):
    """Messages of `reader` until `done(messages)`."""
    found = []
    deadline = time.monotonic() + seconds
    while not done(found):
        found += reader.take(100)
        assert time.monotonic() < deadline, f"{reader.topic.name}: {len(found)} in {seconds} s"
        time.sleep(0.002)
    return found


# Stamps: nanoseconds of the first, in 2026, and between them.
BEGIN = 1_790_000_000_000_000_000
PERIOD = 33_333_333


def header(number, frame_id="camera_optical_frame"):
    """A stamp for each number."""
    nanos = BEGIN + number * PERIOD
    return m.Header(m.Time(nanos // 10**9, nanos % 10**9), frame_id)


def stamp(message):
    return (message.header.stamp.sec, message.header.stamp.nanosec)


DOMAINS = itertools.count(1)


@pytest.fixture
def domain():
    """A domain for each test, which those before do not disturb."""
    return next(DOMAINS)


@pytest.fixture
def start(tmp_path, domain):
    """Starts nodes, and stops them at the end; whoever stopped before must have ended well."""
    nodes = []

    def begin(*args, env=None, **named):
        env = {"ROS_DOMAIN_ID": str(domain), **(env or {})}
        node = Node(tmp_path / f"node-{len(nodes)}.log", args, env=env, **named)
        nodes.append(node)
        return node

    yield begin
    for node in nodes:
        code = node.stop()
        assert "panicked" not in node.text(), node.text()
        assert code == 0, node.text()


@pytest.fixture
def peer(domain):
    return Peer(domain)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Rendered pictures of the tabletop world: 300, as PNG files."""
    return render(tmp_path_factory.mktemp("scenes"), 300)


def render(directory, count, size="320x240", seed=5):
    args = ["scenes", "video", "--seconds", count / 30, "--fps", 30, "--seed", seed]
    run("mdetr", *args, "--size", size, "--min-objects", 3, "--out", directory / "pictures")
    pictures = sorted((directory / "pictures").glob("*.png"))
    assert len(pictures) == count
    return pictures


def run(binary, *args):
    """What a program of ours writes to standard output."""
    env = {**os.environ, "MDETR_MODEL": str(ROOT / "models" / "tabletop")}
    done = subprocess.run(
        [BUILD / binary, *map(str, args)], capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
