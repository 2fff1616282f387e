"""How much a picture costs on its way into the node, beside a subscriber that does nothing.

Run it as tools/test-ros2 runs the tests:

    tools/test-ros2 -s tests/ros2/latency.py

Fast DDS sends raw pictures 30 times a second for ten seconds to the node, which has no queries, and
then to a subscriber in C++ that does nothing. Printed are the time from sending a picture to having
its result, and the processor time of both; then how far apart results are, while queries change
ten times a second and while they do not.
"""

import itertools
import json
import statistics
import threading
import time

import messages as m
import pytest
from conftest import header, matched, take_until
from test_control import Stream
from test_fast_dds import FastPeer, fast  # noqa: F401

SECONDS, RATE = 10, 30


def processor_time(process):
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def pump(fast, message):  # noqa: F811
    done = fast.repeated
    fast.say("repeat", "rt/image", SECONDS * RATE, RATE, message.serialize().hex())
    fast.wait(lambda: fast.repeated > done, 10 * SECONDS)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1920, 1080)])
@pytest.mark.parametrize("reliability", ["best_effort", "reliable"])
def test_latency(start, peer, fast, domain, width, height, reliability):  # noqa: F811
    node = start("--ros-args", "-p", f"reliability:={reliability}")
    results = matched(peer.subscriber("/mdetr/result", m.String))
    message = m.Image(header(0), height, width, "rgb8", 0, 3 * width, bytes(3 * width * height))
    fast.publisher("/image", m.Image)
    found = []
    spent = processor_time(node.process)
    done = fast.repeated
    fast.say("repeat", "rt/image", SECONDS * RATE, RATE, message.serialize().hex())
    while fast.repeated == done or results.read(1):
        for line in results.take(100):
            found.append((time.time_ns(), json.loads(line.data)))
        time.sleep(0.0005)
    ours = processor_time(node.process) - spent
    delays = sorted((now - line["pts_ns"]) / 1e6 for now, line in found)
    assert node.stop() == 0

    idle = FastPeer(domain)
    idle.say("counter", "rt/image", m.message("sensor_msgs/msg/Image"))
    idle.wait(lambda: idle.matched.get("rt/image"))
    spent = processor_time(idle.process)
    pump(fast, message)
    theirs = processor_time(idle.process) - spent
    print(f"\n{width}x{height}, {reliability}: {len(found)} of {SECONDS * RATE} pictures answered")
    median, most = statistics.median(delays), delays[int(0.95 * len(delays))]
    print(f"  sent to result: median {median:.1f} ms, 95 % below {most:.1f} ms")
    ours, theirs = 100 * ours / SECONDS, 100 * theirs / SECONDS
    print(f"  processor: the node {ours:.0f} %, a subscriber that does nothing {theirs:.0f} %")


def test_prompts(start, peer, scenes):
    parameters = ["queries:=[a red ball]", "reliability:=reliable", "short_side:=128"]
    start("--ros-args", *(word for parameter in parameters for word in ("-p", parameter)))
    set_queries = peer.client("/mdetr/set_queries", "mdetr_msgs/srv/SetQueries")

    def change(stopping):
        for number in range(SECONDS * 10):
            assert set_queries(queries=[f"the {number % 7} balls"]).success
            if stopping.wait(0.1):
                return

    with Stream(peer, scenes[0]) as stream:
        take_until(stream.results, lambda found: len(found) >= 30)
        for changes in (False, True):
            stopping = threading.Event()
            changing = threading.Thread(target=change, args=(stopping,))
            if changes:
                changing.start()
            arrived = []
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                if stream.results.read(1):
                    arrived += [time.monotonic()] * len(stream.results.take(100))
                time.sleep(0.0005)
            stopping.set()
            if changes:
                changing.join()
            pairs = itertools.pairwise(arrived)
            intervals = sorted(1e3 * (after - before) for before, after in pairs)
            median, most = statistics.median(intervals), intervals[int(0.95 * len(intervals))]
            what = "queries change" if changes else "queries stay"
            print(
                f"\n{what}: {len(arrived)} results, {median:.1f} ms apart, 95 % below {most:.1f} ms"
            )
