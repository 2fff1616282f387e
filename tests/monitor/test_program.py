"""The program that is killed, and events on their way."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest
from conftest import server_sent, wait_for

LINES = "".join(
    f"[[camera.line]]\nid = 'line-{x}'\nfrom = [0.{x}, 0.0]\nto = [0.{x}, 1.0]\n"
    f"[[camera.rule]]\nid = 'crossed-{x}'\nframes = 1\n"
    f"when = {{ is = 'crosses', query = 'objects', line = 'line-{x}' }}\n"
    for x in range(1, 10)
)
CAMERA = (
    '[[camera]]\nname = "table"\nurl = "tabletop://?seed=7"\n'
    '[[camera.query]]\nid = "objects"\ntext = "all objects"\n'
    '[[camera.rule]]\nid = "seen"\nwhen = { is = "present", query = "objects" }\n'
) + LINES


def listen(url, told):
    """Takes down the id and the step of each event that is told, until the program ends."""
    try:
        for kind, data in server_sent(f"{url}/api/live", timeout=30):
            if kind == "event":
                event = json.loads(data)
                told.append((event["id"], event["kind"]))
    except OSError:
        pass


def test_what_was_told_survives_being_killed(monitor):
    running = monitor(CAMERA)
    told = []
    for _ in range(4):
        running.is_in_state("table", "online")
        listener = threading.Thread(target=listen, args=(running.url, told), daemon=True)
        listener.start()
        before = len(told)
        wait_for(lambda before=before: len(told) > before + 1, 60)
        time.sleep(random.uniform(0, 1.5))
        running.stop(signal.SIGKILL)
        listener.join(5)
        running.start()
    events = {}
    after = None
    while True:
        page = running.get("/api/events?limit=1000" + (f"&after={after}" if after else ""))
        events.update({event["id"]: event for event in page["events"]})
        after = page.get("next")
        if not after:
            break
    missing = [step for step in told if step[0] not in events]
    assert not missing
    ended = {identity for identity, kind in told if kind == "end"}
    assert all("end" in events[identity] for identity in ended)
    interrupted = [event for event in events.values() if event.get("reason") == "interrupted"]
    assert len(interrupted) >= 3
    open_events = [event for event in events.values() if "end" not in event]
    assert len([event for event in open_events if event["rule"] == "seen"]) <= 1
    running.stop()
    with sqlite3.connect(running.directory / "data" / "events.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_events_reach_a_real_broker(monitor, mosquitto):
    broker = mosquitto()
    topics = [
        "mosquitto_sub",
        "-p",
        str(broker.port),
        "-t",
        "mdetr/events",
        "-t",
        "mdetr/available",
    ]
    subscriber = subprocess.Popen(topics, stdout=subprocess.PIPE, text=True)
    arrived = []

    def read():
        for line in subscriber.stdout:
            arrived.append((time.time(), line.strip()))

    threading.Thread(target=read, daemon=True).start()
    head = f'[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\n'
    running = monitor(head + CAMERA)
    try:
        wait_for(lambda: sum(line.startswith("{") for _, line in arrived) > 10, 60)
        assert "online" in [line for _, line in arrived]
        events = [json.loads(line) for _, line in arrived if line.startswith("{")]
        assert {event["type"] for event in events} >= {"new", "end"}
        seen = [event["after"] for event in events if event["after"]["rule"] == "seen"]
        assert seen[0]["phrases"][0]["text"] == "all objects"
        running.stop()
        wait_for(lambda: arrived[-1][1] in ("stopped", "offline"))
        ends = [json.loads(line)["after"] for _, line in arrived if line.startswith("{")]
        assert [
            event["reason"] for event in ends if event["rule"] == "seen" and event["kind"] == "end"
        ] == ["stopped"]
    finally:
        subscriber.kill()


def can_mount():
    command = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="no user namespaces to mount a small disk in")
def test_it_watches_on_with_a_full_disk(monitor):
    # Kept small, so that what is free is all that matters.
    running = monitor(
        CAMERA, wrap=["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK]
    )
    running.is_in_state("table", "online")
    wait_for(lambda: running.events(limit=1))
    # As the program sees it.
    disk = Path(f"/proc/{running.process.pid}/root") / str(running.directory / "data").lstrip("/")
    filled = disk / "filled"
    full = threading.Event()

    def fill():
        with open(filled, "ab", buffering=0) as file:
            while not full.is_set():
                try:
                    file.write(b"\0" * 4096)
                except OSError:
                    time.sleep(0.05)

    filling = threading.Thread(target=fill, daemon=True)
    filling.start()
    told = []
    threading.Thread(target=listen, args=(running.url, told), daemon=True).start()
    try:
        status = wait_for(
            lambda: not (found := running.get("/api/status")["store"])["writable"] and found, 60
        )
        assert "full" in status["message"] or "space" in status["message"], status
        begin = running.camera("table")
        time.sleep(FULL_SECONDS)
        assert running.camera("table")["state"] == "online"
        assert running.camera("table")["fps"] > 1, begin
        assert running.text().count("they wait in memory") == 1
    finally:
        full.set()
        filling.join()
        os.remove(filled)
    wait_for(lambda: running.get("/api/status")["store"]["writable"], 90)
    # What happened meanwhile is told late, not lost.
    wait_for(lambda: running.get("/api/status")["store"]["waiting"] == 0)
    seen = len(told)
    wait_for(lambda: len(told) > seen)


FULL_SECONDS = float(os.environ.get("MDETR_FULL_SECONDS", "10"))
SMALL_DISK = 'mkdir -p data && mount -t tmpfs -o size=24m disk data && exec "$0" "$@"'
