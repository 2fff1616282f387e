"""How much a picture costs on its way into the node, beside a subscriber that does nothing.

Run it as tools/test-ros2 runs the tests:

    tools/test-ros2 -s tests/ros2/latency.py

Pictures of 1920 x 1080 are sent 30 times a second for ten seconds, to the node without queries and to a subscriber in
Python that does nothing. Printed are the time from sending to the result, less the node's own inference, and the
processor time of both.
"""

import json
import statistics
import subprocess
import sys
import time

import messages as m
from conftest import HERE, RELIABLE, header, matched, take_until
from cyclonedds.core import Policy, Qos

SECONDS, RATE, WIDTH, HEIGHT = 10, 30, 1920, 1080
QOS = Qos(RELIABLE, Policy.History.KeepLast(5))

IDLE = """
import sys, time
import conftest, messages as m
reader = conftest.Peer(int(sys.argv[1])).subscriber("/image", m.Image)
conftest.matched(reader)
print("ready", flush=True)
end = time.monotonic() + float(sys.argv[2])
count = 0
while time.monotonic() < end:
    count += len(reader.take(10))
    time.sleep(0.002)
print(count, time.process_time(), flush=True)
"""


def processor_time(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_latency(start, peer):
    node = start("--ros-args", "-p", "reliability:=reliable")
    publisher = matched(peer.publisher("/image", m.Image, QOS))
    results = matched(peer.subscriber("/mdetr/result", m.String))
    message = m.Image(header(0), HEIGHT, WIDTH, "rgb8", 0, 3 * WIDTH, bytes(3 * WIDTH * HEIGHT))
    publisher.write(message)
    take_until(results, lambda found: found)
    spent = processor_time(node.process.pid)
    delays, ages = [], []
    begun = time.monotonic()
    for number in range(1, SECONDS * RATE + 1):
        message.header = header(number)
        sent = time.monotonic()
        publisher.write(message)
        written = time.monotonic()
        line = take_until(results, lambda found: found)[0]
        delays.append(1e3 * (time.monotonic() - sent))
        ages.append((1e3 * (written - sent), json.loads(line.data)["age_ms"]))
        time.sleep(max(begun + number / RATE - time.monotonic(), 0))
    lasted = time.monotonic() - begun
    ours = processor_time(node.process.pid) - spent
    writing = statistics.median(written for written, _ in ages)
    age = statistics.median(age for _, age in ages)
    print(f"\n{len(delays)} pictures in {lasted:.1f} s")
    print(f"sent to result: median {statistics.median(delays):.1f} ms")
    print(f"of which: the publisher's write {writing:.1f} ms, received to result {age:.2f} ms")
    print(f"the node: {100 * ours / lasted:.1f} % of a processor")
    assert node.stop() == 0

    idle = subprocess.Popen(
        [sys.executable, "-c", IDLE, str(peer.domain), str(SECONDS + 2)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE,
    )
    assert idle.stdout.readline() == "ready\n"
    matched(publisher)
    begun = time.monotonic()
    for number in range(SECONDS * RATE):
        publisher.write(message)
        time.sleep(max(begun + (number + 1) / RATE - time.monotonic(), 0))
    count, spent = idle.stdout.read().split()
    print(f"a subscriber that does nothing: {count} pictures, {100 * float(spent) / SECONDS:.1f} %")
