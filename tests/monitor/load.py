"""Measures the monitor under load: many RTSP cameras with two rules each.

    python tests/monitor/load.py --cameras 16 --seconds 300

Prints lateness of frames (from the time a frame was taken to its report at a listener), fairness of
inference, memory and processor time.

MDETR_BUILD names the directory of mdetr-monitor and the plugin.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
import urllib.request
from datetime import datetime

from conftest import Cameras, Monitor, wait_for


def configuration(cameras, url):
    parts = []
    for index in range(cameras):
        parts.append(
            f'[[camera]]\nname = "camera-{index}"\nurl = "{url(index)}"\n'
            '[[camera.query]]\nid = "balls"\ntext = "all balls"\n'
            '[[camera.query]]\nid = "cube"\ntext = "a green cube"\n'
            "[[camera.line]]\nid = 'middle'\nfrom = [0.5, 0.0]\nto = [0.5, 1.0]\n"
            "[[camera.rule]]\nid = 'crossed'\n"
            "when = { is = 'crosses', query = 'balls', line = 'middle' }\n"
            "[[camera.rule]]\nid = 'no-cube'\n"
            "when = { is = 'absent', query = 'cube' }\nfor = '5s'\n"
        )
    return "".join(parts)


def lateness(url, seconds, found):
    """Milliseconds from frame to listener, by camera."""
    end = time.monotonic() + seconds
    with urllib.request.urlopen(f"{url}/api/live?reports=true", timeout=30) as stream:
        kind = None
        for line in stream:
            if time.monotonic() > end:
                return
            if line.startswith(b"event:"):
                kind = line[6:].strip()
            elif line.startswith(b"data:") and kind == b"report":
                report = json.loads(line[5:])
                taken = datetime.fromisoformat(report["utc"].replace("Z", "+00:00")).timestamp()
                found.setdefault(report["source"], []).append((time.time() - taken) * 1000)


def measure(monitor, cameras, seconds):
    for index in range(cameras):
        monitor.is_in_state(f"camera-{index}", "online", 120)
    time.sleep(10)
    late = {}
    listener = threading.Thread(target=lateness, args=(monitor.url, seconds, late), daemon=True)
    before, cpu, begin = inferences(monitor), monitor.cpu(), time.monotonic()
    listener.start()
    memory = []
    while time.monotonic() < begin + seconds:
        time.sleep(min(5, seconds / 10))
        memory.append(monitor.rss() / 2**20)
    passed = time.monotonic() - begin
    after = inferences(monitor)
    rates = {camera: (after[camera] - before[camera]) / passed for camera in after}
    every = sorted(value for values in late.values() for value in values)
    mean = statistics.mean(rates.values())
    return {
        "cameras": cameras,
        "seconds": round(passed, 1),
        "frames per second": round(len(every) / passed, 1),
        "lateness ms": {
            "median": round(statistics.median(every), 1),
            "95 %": round(every[int(0.95 * len(every))], 1),
            "99 %": round(every[int(0.99 * len(every))], 1),
            "worst": round(every[-1], 1),
        },
        "inferences per second": round(sum(rates.values()), 1),
        "least and most of a camera, of the mean": [
            round(min(rates.values()) / mean, 3),
            round(max(rates.values()) / mean, 3),
        ],
        "resident MiB": {
            "first": round(memory[0]),
            "last": round(memory[-1]),
            "most": round(max(memory)),
        },
        "processors": round((monitor.cpu() - cpu) / passed, 2),
    }


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
    options = parser.parse_args()
    cameras = Cameras("--cameras", options.cameras)
    try:
        with tempfile.TemporaryDirectory() as directory:
            monitor = Monitor(directory, configuration(options.cameras, cameras.url)).start()
            try:
                began = cameras.cpu(), time.monotonic()
                found = measure(monitor, options.cameras, options.seconds)
                used = (cameras.cpu() - began[0]) / (time.monotonic() - began[1])
                print(json.dumps({**found, "processors of the cameras": round(used, 2)}, indent=2))
                wait_for(lambda: monitor.events(limit=1))
            finally:
                monitor.stop()
    finally:
        cameras.stop()


if __name__ == "__main__":
    main()
