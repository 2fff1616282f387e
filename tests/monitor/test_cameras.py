"""Cameras that come, go, freeze, change and lie."""

import http.server
import json
import subprocess
import threading
import time

from conftest import environment, http_error, wait_for

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


def test_a_clip_shows_what_was_before_a_rule_with_for(monitor, rtsp):
    cameras = rtsp()
    rule = (
        '[[camera.rule]]\nid = "missing"\nwhen = { is = "absent", query = "none" }\nfor = "6s"\n'
        '[[camera.query]]\nid = "none"\ntext = "a purple horse"\nscore_threshold = 0.99\n'
    )
    more = "record = { before = '1s', after = '1s' }\n"
    running = monitor(camera("gate", cameras.url(), more) + rule)
    event = wait_for(lambda: running.events(rule="missing", open="true"))[0]
    running.put("/api/cameras/gate/watch", {"rules": []})
    wait_for(lambda: running.events(rule="missing")[0]["has_clip"])
    clip = running.directory / "clip.mp4"
    clip.write_bytes(running.get(f"/api/events/{event['id']}/clip", raw=True))
    # The seconds for which nothing was told, and what there was before them.
    assert float(streams(clip)["format"]["duration"]) > 6


def test_pictures_come_by_udp(monitor, rtsp):
    cameras = rtsp()
    running = monitor(camera("gate", cameras.url(), 'transport = "udp"\n'))
    running.is_in_state("gate", "online")
    wait_for(lambda: running.events(rule="seen", open="true"))


def test_clips_of_a_second_stream_that_comes_and_goes(monitor, rtsp):
    cameras = rtsp("--cameras", 2)
    cameras.tell("resize 1 800x600")
    time.sleep(2)
    more = f'record_url = "{cameras.url(1)}"\nrecord = {{ before = "1s", after = "1s" }}\n'
    running = monitor(camera("gate", cameras.url(0), more).replace(RULE, ""))
    running.is_in_state("gate", "online")
    rule = {"id": "seen", "when": {"is": "present", "query": "objects"}, "frames": 1}

    def clip():
        time.sleep(3)
        running.put("/api/cameras/gate/watch", {"rules": [rule]})
        event = wait_for(lambda: running.events(rule="seen", open="true"))[0]["id"]
        running.put("/api/cameras/gate/watch", {"rules": []})
        wait_for(lambda: "end" in stored(event))
        return event

    def stored(event):
        return next(e for e in running.events(rule="seen") if e["id"] == event)

    def has_clip(event):
        return stored(event)["has_clip"]

    def has_another():
        event = clip()
        time.sleep(3)
        return has_clip(event)

    event = clip()
    wait_for(lambda: has_clip(event))
    path = running.directory / "clip.mp4"
    path.write_bytes(running.get(f"/api/events/{event}/clip", raw=True))
    shown = streams(path)["streams"][0]
    assert (shown["width"], shown["height"]) == (800, 600)
    # Without it events go on, and it comes back by itself.
    cameras.tell("remove 1")
    cameras.tell("drop")
    wait_for(lambda: "record_url is lost" in running.text())
    running.is_in_state("gate", "online")
    event = clip()
    time.sleep(2)
    assert not has_clip(event)
    cameras.tell("add 1")
    wait_for(has_another, 60)


def test_motion_jpeg_by_http(monitor, tmp_path):
    launch = (
        "gst-launch-1.0 -q tabletopsrc seed=7 num-buffers=45 "
        "! video/x-raw,width=640,height=480,framerate=15/1 ! videoconvert ! jpegenc ! multifilesink"
    )
    made = [*launch.split(), f"location={tmp_path}/%03d.jpg"]
    subprocess.run(made, check=True, env=environment())
    pictures = [path.read_bytes() for path in sorted(tmp_path.glob("*.jpg"))]
    assert len(pictures) == 45
    asked = []

    class Camera(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get("Authorization"))
            if not asked[-1]:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for index in range(100_000):
                picture = pictures[index % len(pictures)]
                head = (
                    f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                )
                try:
                    self.wfile.write(head.encode() + picture + b"\r\n")
                except OSError:
                    return
                time.sleep(1 / 15)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://me:secret-word@127.0.0.1:{server.server_port}/video"
        more = 'record = { before = "2s", after = "1s" }\n'
        running = monitor(camera("gate", url, more))
        running.is_in_state("gate", "online")
        event = wait_for(lambda: running.events(rule="seen", open="true"))[0]
        assert running.camera("gate")["size"] == [640, 480]
        running.put("/api/cameras/gate/watch", {"rules": []})
        wait_for(lambda: running.events(rule="seen")[0]["has_clip"])
        clip = running.directory / "clip.webm"
        clip.write_bytes(running.get(f"/api/events/{event['id']}/clip", raw=True))
        assert streams(clip)["streams"][0]["codec_name"] == "vp8"
        assert "secret-word" not in running.text()
    finally:
        server.shutdown()


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
    ended = running.events(rule="seen", open="false")
    assert [event["reason"] for event in ended] == ["stopped"]
    # The clip of what went on is not lost.
    assert ended[0]["has_clip"]
