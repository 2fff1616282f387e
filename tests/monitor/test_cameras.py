"""Cameras that come, go, freeze, change and lie."""

import json
import subprocess
import time

from conftest import http_error, wait_for

QUERY = '[[camera.query]]\nid = "objects"\ntext = "all objects"\n'
RULE = '[[camera.rule]]\nid = "seen"\nwhen = { is = "present", query = "objects" }\n'


def camera(name, url, more="", fps=15):
    return f'[[camera]]\nname = "{name}"\nurl = "{url}"\nfps = {fps}\n{more}{QUERY}{RULE}'


def streams(path):
    shown = [
        "ffprobe",
        "-v",
        "error",
        "-show_entries",
        "stream=codec_name,width,height:format=duration",
        "-of",
        "json",
    ]
    return json.loads(subprocess.run([*shown, path], check=True, capture_output=True).stdout)


def test_a_camera_that_is_cut_off_comes_back(monitor, rtsp):
    cameras = rtsp()
    running = monitor(camera("gate", cameras.url()))
    running.is_in_state("gate", "online")
    wait_for(lambda: running.events(rule="seen", open="true"))
    cameras.tell("remove 0")
    cameras.tell("drop")
    lost = running.is_in_state("gate", "offline")
    assert lost["message"]
    assert "127.0.0.1" not in lost["message"] or "@" not in lost["message"]
    ended = wait_for(lambda: running.events(rule="seen", open="false"))
    assert ended[0]["reason"] == "camera-lost"
    cameras.tell("add 0")
    back = running.is_in_state("gate", "online")
    assert back["reconnects"] >= 1
    wait_for(lambda: running.events(rule="seen", open="true"))


def test_a_frozen_camera_is_stalled_and_others_are_not(monitor, rtsp):
    cameras = rtsp("--cameras", 2)
    running = monitor(camera("first", cameras.url(0)) + camera("second", cameras.url(1)))
    running.is_in_state("first", "online")
    running.is_in_state("second", "online")
    cameras.tell("freeze 0")
    running.is_in_state("first", "stalled")
    assert running.camera("second")["state"] == "online"
    cameras.tell("thaw 0")
    running.is_in_state("first", "online")


def test_a_wrong_password_is_told_and_not_shown(monitor, rtsp):
    cameras = rtsp("--user", "me:secret-word")
    wrong = camera("gate", cameras.url(), 'username = "me"\npassword = { env = "GATE" }\n')
    in_url = camera("door", cameras.url(user="me:other-word@"))
    running = monitor(wrong + in_url, env={"GATE": "wrong-word"})
    for name in ["gate", "door"]:
        lost = running.is_in_state(name, "offline")
        assert "nauthori" in lost["message"], lost
    config = running.get("/api/config", raw=True).decode()
    for word in ["wrong-word", "other-word", "secret-word"]:
        assert word not in running.text()
        assert word not in config
    # The right one.
    running.write(camera("gate", cameras.url(user="me:secret-word@")))
    running.process.send_signal(1)
    running.is_in_state("gate", "online")


def test_frames_may_change_their_size(monitor, rtsp):
    cameras = rtsp()
    running = monitor(camera("gate", cameras.url()))
    wait_for(lambda: (running.camera("gate") or {}).get("size") == [640, 480])
    cameras.tell("resize 0 320x240")
    wait_for(lambda: running.camera("gate")["size"] == [320, 240])
    running.is_in_state("gate", "online")


def test_clips_are_copied_with_what_was_before(monitor, rtsp):
    cameras = rtsp()
    config = camera("gate", cameras.url(), "record = { before = '3s', after = '1s' }\n").replace(
        "seen", "later", 0
    )
    running = monitor(config.replace(RULE, ""))
    running.is_in_state("gate", "online")
    time.sleep(5)
    rule = {"id": "seen", "when": {"is": "present", "query": "objects"}, "frames": 1}
    running.put("/api/cameras/gate/watch", {"rules": [rule]})
    event = wait_for(lambda: running.events(rule="seen", open="true"))[0]
    running.put("/api/cameras/gate/watch", {"rules": []})
    ended = wait_for(lambda: [e for e in running.events(rule="seen") if e["has_clip"]])[0]
    assert ended["id"] == event["id"]
    assert ended["reason"] == "rule-changed"
    clip = running.directory / "clip.mp4"
    clip.write_bytes(running.get(f"/api/events/{event['id']}/clip", raw=True))
    shown = streams(clip)
    assert shown["streams"][0]["codec_name"] == "h264"
    assert (shown["streams"][0]["width"], shown["streams"][0]["height"]) == (640, 480)
    # Three seconds before, at most one group of pictures more, and one behind.
    assert 3.5 < float(shown["format"]["duration"]) < 20
    subprocess.run(["ffmpeg", "-v", "error", "-xerror", "-i", clip, "-f", "null", "-"], check=True)
    for drawn in ["true", "false"]:
        picture = running.get(f"/api/events/{event['id']}/picture.jpg?drawn={drawn}", raw=True)
        assert picture.startswith(b"\xff\xd8")


def test_a_change_takes_all_or_nothing(monitor):
    running = monitor(camera("table", "tabletop://?seed=7"))
    running.is_in_state("table", "online")
    before = running.get("/api/status")["revision"]
    wrong = {
        "queries": [{"id": "balls", "text": "all balls"}],
        "rules": [{"id": "bad", "when": {"is": "present", "query": "no-such-query"}}],
    }
    status, text = http_error(lambda: running.put("/api/cameras/table/watch", wrong))
    assert status in (400, 422)
    assert "no-such-query" in text
    assert running.get("/api/status")["revision"] == before
    right = {**wrong, "rules": [{"id": "balls", "when": {"is": "present", "query": "balls"}}]}
    revision = running.put("/api/cameras/table/watch", right)["revision"]
    assert revision == before + 1
    wait_for(lambda: running.camera("table")["revision"] == revision)
    # The file knows nothing of it; a restart does.
    running.stop()
    running.start()
    assert running.get("/api/status")["revision"] == revision
    # A file that changed wins.
    running.write(camera("table", "tabletop://?seed=8"))
    running.process.send_signal(1)
    wait_for(lambda: running.get("/api/status")["revision"] == revision + 1)
    assert "seed=8" in running.get("/api/config", raw=True).decode()


def test_it_ends_within_two_seconds(monitor, rtsp):
    cameras = rtsp()
    running = monitor(camera("gate", cameras.url()) + camera("gone", "rtsp://127.0.0.1:9/none"))
    running.is_in_state("gate", "online")
    wait_for(lambda: running.events(rule="seen", open="true"))
    assert running.stop() < 3
    assert running.process.returncode == 0
    running.start()
    assert all(event["reason"] == "stopped" for event in running.events(rule="seen", open="false"))
