"""What cameras saw is kept as tokens, and asked later."""

import json
import re
import signal
import urllib.request

from conftest import wait_for

CAMERA = (
    '[[camera]]\nname = "table"\nurl = "tabletop://?seed=7"\n'
    '[[camera.query]]\nid = "objects"\ntext = "all objects"\n'
    '[[camera.rule]]\nid = "seen"\nwhen = { is = "present", query = "objects" }\n'
)
PAST = '[past]\nevery = "200ms"\nchange_threshold = 0\n'


def search(monitor, **asked):
    """All lines of an answer; a search gives way to whatever else the machine does."""
    request = urllib.request.Request(
        f"{monitor.url}/api/search",
        data=json.dumps(asked).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return [json.loads(line) for line in answer]


def kept(monitor):
    """Frames that were kept since the program began."""
    text = monitor.get("/metrics", raw=True).decode()
    found = re.search(r'^mdetr_past_frames_total\{camera="table"\} (\d+)', text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def files(monitor):
    return [path for path in (monitor.directory / "data").rglob("*") if path.is_file()]


def test_what_a_camera_saw_is_found_later_and_no_picture_is_kept(monitor):
    running = monitor(PAST + "[store]\npictures = false\n" + CAMERA)
    wait_for(lambda: kept(running) >= 12, 60)
    wait_for(lambda: running.events(), 60)
    outcome = search(running, query="all objects", limit=5)[-1]["outcome"]
    assert outcome["frames"] >= 12 and outcome["unreadable"] == 0
    hit = outcome["hits"][0]
    assert hit["camera"] == "table" and hit["detections"][0]["score"] > 0.5
    # What is told live of the same words has boxes of the same size.
    width, height = hit["size"]
    for detection in hit["detections"]:
        x, y, w, h = detection["box"]
        assert 0 <= x <= x + w <= width + 0.1 and 0 <= y <= y + h <= height + 0.1
    curve = search(running, query="how many things are there?")[-1]["outcome"]["curve"]
    assert curve and curve[0]["answer"]["text"].isdigit()
    assert running.camera("table")["state"] == "online"
    suffixes = {path.suffix for path in files(running)}
    assert not suffixes & {".jpg", ".mp4", ".webm"}, suffixes
    assert {".seg", ".idx"} <= suffixes


def test_what_was_kept_survives_being_killed(monitor):
    running = monitor(PAST + CAMERA)
    wait_for(lambda: kept(running) >= 8, 60)
    running.stop(signal.SIGKILL)
    running.start()
    wait_for(lambda: kept(running) >= 3, 60)
    outcome = search(running, query="all objects", exhaustive=True)[-1]["outcome"]
    assert outcome["frames"] >= 11 and outcome["asked"] == outcome["frames"]
    assert len([path for path in files(running) if path.suffix == ".seg"]) == 2
