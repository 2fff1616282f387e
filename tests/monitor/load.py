"""Measures the monitor under load: many RTSP cameras with two rules each, a broker and a listener.

    python tests/monitor/load.py --cameras 16 --seconds 300
    python tests/monitor/load.py --cameras 16 --seconds 3600 --away 600

Prints lateness of frames (from the time a frame was taken to its report at a listener) and of
events (from the frame of a step to its message at a subscriber of the broker and at the listener),
fairness of inference, memory and processor time. Ends with 1 if steps of events were lost, reached
the broker in another order than the listener, or memory grew by more than --growth or was more than
--most.

MDETR_BUILD names the directory of mdetr-monitor and the plugin.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

from conftest import Cameras, Monitor, free_port, server_sent, wait_for


def configuration(cameras, url):
    parts = []
    for index in range(cameras):
        parts.append(
            f'[[camera]]\nname = "camera-{index}"\nurl = "{url(index)}"\n'
            '[[camera.query]]\nid = "objects"\ntext = "all objects"\n'
            '[[camera.query]]\nid = "cube"\ntext = "a green cube"\n'
            "[[camera.line]]\nid = 'middle'\nfrom = [0.5, 0.0]\nto = [0.5, 1.0]\n"
            "[[camera.rule]]\nid = 'crossed'\n"
            "when = { is = 'crosses', query = 'objects', line = 'middle' }\n"
            "[[camera.rule]]\nid = 'no-cube'\n"
            "when = { is = 'absent', query = 'cube' }\nfor = '5s'\n"
        )
    return "".join(parts)


def unix(time):
    return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()


class Broker:
    """A mosquitto that keeps its sessions when it is away, and a subscriber that does so too."""

    PROGRAM = shutil.which("mosquitto") or "/usr/sbin/mosquitto"

    def __init__(self, directory):
        self.port = free_port()
        self.directory = Path(directory)
        self.config = self.directory / "mosquitto.conf"
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
            f"persistence true\npersistence_location {self.directory}/\nlog_type error\n"
        )
        if os.geteuid() == 0:
            # Else it becomes another user, who may not write here.
            with open(self.config, "a") as config:
                config.write("user root\n")
        self.start()
        # Time of arrival and payload.
        command = ["mosquitto_sub", "-p", str(self.port), "-i", "load", "-c", "-q", "1"]
        command += ["-t", "mdetr/events", "-F", "%U %p"]
        self.subscriber = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.steps = []
        threading.Thread(target=self.read, daemon=True).start()

    def start(self):
        command = [self.PROGRAM, "-c", self.config]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for(self.answers)

    def answers(self):
        """the broker answers"""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)

    def read(self):
        for line in self.subscriber.stdout:
            at, payload = line.split(" ", 1)
            self.steps.append((float(at), json.loads(payload)["after"]))

    def end(self):
        self.subscriber.kill()
        self.subscriber.wait()
        self.stop()


class Feed:
    """What the page hears: when each report and each step of an event came, and of when it is."""

    def __init__(self, url):
        self.url = url
        self.reports = []
        self.steps = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for kind, data in server_sent(f"{self.url}/api/live?reports=true"):
            now = time.time()
            if kind == "report":
                self.reports.append((now, now - unix(json.loads(data)["utc"])))
            elif kind == "event":
                self.steps.append((now, json.loads(data)))


def milliseconds(late):
    """Percentiles of seconds."""
    every = sorted(value * 1000 for value in late)
    if not every:
        return None
    return {
        "median": round(statistics.median(every), 1),
        "95 %": round(every[int(0.95 * len(every))], 1),
        "99 %": round(every[int(0.99 * len(every))], 1),
        "worst": round(every[-1], 1),
    }


def late(steps, end):
    """How late steps were that came before a time."""
    return milliseconds(at - unix(step["time"]) for at, step in steps if at < end)


def measure(monitor, broker, cameras, seconds, away):
    for index in range(cameras):
        monitor.is_in_state(f"camera-{index}", "online", 120)
    time.sleep(10)
    feed = Feed(monitor.url)
    before, cpu, begin = inferences(monitor), monitor.cpu(), time.monotonic()
    began = time.time()
    leaves = begin + (seconds - away) / 4
    left = returned = None
    memory = []
    while time.monotonic() < begin + seconds:
        time.sleep(min(5, seconds / 20))
        memory.append(monitor.rss() / 2**20)
        if away and left is None and time.monotonic() > leaves:
            broker.stop()
            left = time.time()
        if left and returned is None and time.time() > left + away:
            broker.start()
            returned = time.time()
    passed = time.monotonic() - begin
    after = inferences(monitor)
    rates = {camera: (after[camera] - before[camera]) / passed for camera in after}
    mean = statistics.mean(rates.values())
    reports = list(feed.reports)
    heard = [(at, step) for at, step in broker.steps if at > began]
    tenths = [memory[round(index * (len(memory) - 1) / 10)] for index in range(11)]
    found = {
        "cameras": cameras,
        "seconds": round(passed, 1),
        "frames per second": round(len(feed.reports) / passed, 1),
        "lateness of frames, ms": milliseconds(late for _, late in reports),
        "the same by tenths of the time": [
            milliseconds(
                late for at, late in reports if index <= (at - began) / passed * 10 < index + 1
            )
            for index in range(10)
        ],
        "lateness of events in the feed, ms": late(list(feed.steps), time.time()),
        "lateness of events at the broker, ms": late(heard, left or time.time()),
        "steps of events": len(feed.steps),
        "inferences per second": round(sum(rates.values()), 1),
        "least and most of a camera, of the mean": [
            round(min(rates.values()) / mean, 3),
            round(max(rates.values()) / mean, 3),
        ],
        "resident MiB, by tenths of the time": [round(value) for value in tenths],
        "processors": round((monitor.cpu() - cpu) / passed, 2),
    }
    if away:
        wait_for(lambda: {key(step) for _, step in feed.steps} <= arrived(broker), 120)
        found |= {
            "broker away, s": round(returned - left, 1),
            "steps meanwhile": sum(left < at < returned for at, _ in feed.steps),
            "delivered after its return, s": round(
                max(at for at, step in broker.steps if unix(step["time"]) < returned) - returned, 1
            ),
        }
    return found, feed


def key(step):
    return step["id"], step["kind"], step["time"]


def arrived(broker):
    return {key(step) for _, step in broker.steps}


def faults(broker, feed, found, growth, most):
    """What must not be, in words."""
    told = list(dict.fromkeys(key(step) for _, step in feed.steps))
    wait_for(lambda: set(told) <= arrived(broker), 30)
    wanted = set(told)
    heard = [step for step in (key(step) for _, step in broker.steps) if step in wanted]
    if list(dict.fromkeys(heard)) != told:
        yield "steps reached the broker in another order than they were told in"
    if not told:
        yield "no event came"
    memory = found["resident MiB, by tenths of the time"]
    # Caches, and the seconds that are kept before events, fill in the first minutes.
    if memory[-1] > memory[1] + growth:
        yield f"resident memory grew from {memory[1]} to {memory[-1]} MiB"
    if max(memory) > most:
        yield f"resident memory was {max(memory)} MiB"


def inferences(monitor):
    counts = {}
    for line in monitor.get("/metrics", raw=True).decode().splitlines():
        if line.startswith("mdetr_inferences_total{"):
            labels, value = line.rsplit(" ", 1)
            counts[labels.split('camera="')[1].split('"')[0]] = float(value)
    return counts


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--away", type=float, default=0, help="seconds without a broker")
    parser.add_argument("--growth", type=float, default=60, help="of memory, in MiB")
    parser.add_argument("--most", type=float, default=600, help="resident memory, in MiB")
    options = parser.parse_args()
    cameras = Cameras("--cameras", options.cameras)
    try:
        with tempfile.TemporaryDirectory() as directory:
            broker = Broker(directory)
            head = f'[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\n'
            watched = configuration(options.cameras, cameras.url)
            monitor = Monitor(directory, head + watched).start()
            try:
                began = cameras.cpu(), time.monotonic()
                found, feed = measure(
                    monitor, broker, options.cameras, options.seconds, options.away
                )
                used = (cameras.cpu() - began[0]) / (time.monotonic() - began[1])
                print(json.dumps({**found, "processors of the cameras": round(used, 2)}, indent=2))
                wrong = list(faults(broker, feed, found, options.growth, options.most))
            finally:
                monitor.stop()
                broker.end()
    finally:
        cameras.stop()
    for fault in wrong:
        print(f"load: {fault}", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
