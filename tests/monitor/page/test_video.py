"""Video of a camera that gives H.264, decoded by the browser."""

import subprocess
import time

import pytest
import recording

KIND = "return document.querySelector('.screen')?.dataset.kind"


class Street:
    """An RTSP camera with H.264 that the program watches."""

    name = "street"

    def __init__(self, monitor, directory):
        self.monitor = monitor
        here = recording.ROOT / "tests/monitor"
        self.process = subprocess.Popen(
            # GStreamer's Python modules are Debian's.
            ["/usr/bin/python3", here / "rtsp.py", "--frames", "90", "--port", "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=recording.environment(directory / "registry.bin"),
        )
        port = self.process.stdout.readline().split()[1]
        monitor.ask(
            "POST",
            "/api/cameras",
            {
                "name": self.name,
                "url": f"rtsp://127.0.0.1:{port}/0",
                "query": [{"id": "objects", "text": "all objects"}],
                "rule": [{"id": "seen", "when": {"is": "present", "query": "objects"}}],
            },
        )

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def status(self):
        cameras = self.monitor.ask("GET", "/api/status")["cameras"]
        return next((camera for camera in cameras if camera["name"] == self.name), {})

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture
def street(page, request, tmp_path):
    if not request.config.getoption("--monitor"):
        pytest.skip("needs the program, which has the camera's pictures")
    camera = Street(page.monitor, tmp_path)
    page.wait(lambda: camera.status().get("video"), 60)
    yield camera
    page.leave()
    camera.end()


def test_h264_is_shown_as_video_with_boxes_of_the_same_frame(page, street):
    page.open("#/cameras/street")
    page.wait(lambda: page.script(KIND) == "video")
    # All of it, not a small picture.
    size = "const p = document.querySelector('.picture'); return [p.width, p.height]"
    assert page.script(size) == [640, 480]
    page.wait(lambda: page.ink() > 1000)
    numbers = []
    end = time.monotonic() + 4
    while time.monotonic() < end:
        numbers.append(page.frames())
        time.sleep(0.02)
    # Each picture has the results of its own frame, and most frames are shown.
    assert None not in numbers
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 20


def test_video_comes_back_when_the_camera_does(page, street):
    page.open("#/cameras/street")
    page.wait(lambda: page.script(KIND) == "video")
    street.tell("remove 0")
    street.tell("drop")
    page.wait(lambda: street.status()["state"] == "offline")
    assert not street.status()["video"]
    street.tell("add 0")
    page.wait(lambda: street.status().get("video"), 60)
    first = page.frames()
    page.wait(lambda: page.script(KIND) == "video" and page.frames() != first, 30)


def test_clips_of_h264_play(page, street):
    monitor = page.monitor
    event = page.wait(lambda: monitor.events(camera=street.name, open="true"), 60)[0]
    time.sleep(2)
    monitor.ask("PUT", f"/api/cameras/{street.name}/rules/seen/enabled", {"enabled": False})
    page.wait(lambda: monitor.ask("GET", f"/api/events/{event['id']}")["has_clip"], 60)
    page.open(f"#/events/{event['id']}")
    video = page.find("video")
    page.wait(lambda: page.script("return arguments[0].readyState >= 1", video))
    page.script("arguments[0].muted = true; return arguments[0].play()", video)
    page.wait(lambda: page.script("return arguments[0].currentTime > 0.5", video))
    assert page.script("return [arguments[0].videoWidth, arguments[0].videoHeight]", video) == [
        640,
        480,
    ]
