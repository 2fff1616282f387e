"""A fleet: two sites, their broker, two hubs with a database, and an operator."""

import re
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import BUILD, ROOT, free_port, http_error, wait_for
from selenium.webdriver.common.by import By

sys.path.insert(0, str(Path(__file__).parent / "page"))
from browser import WIDE, chromium

SITE = """
[mqtt]
url = "mqtt://127.0.0.1:{broker}"
client_id = "{name}"
topic_prefix = "mdetr/{name}"

[fleet]
device = "{name}"
group = "yards"
hub = true

[[camera]]
name = "yard"
url = "tabletop://?seed={seed}"
"""
HUB = """
[mqtt]
url = "mqtt://127.0.0.1:{broker}"
client_id = "hub"

[hub]
database = "postgres://mdetr@127.0.0.1:{database}/postgres"

[fleet]
device = "hub"
"""
WATCH = """
[[watch]]
camera = "*"

[[watch.query]]
id = "seen"
text = "{text}"

[[watch.rule]]
id = "seen"
when = {{ is = "present", query = "seen" }}
frames = 1
"""
for x in range(2, 9):
    WATCH += f"""
[[watch.line]]
id = "line-{x}"
from = [0.{x}, 0.0]
to = [0.{x}, 1.0]
[[watch.rule]]
id = "crossed-{x}"
frames = 1
when = {{{{ is = "crosses", query = "seen", line = "line-{x}" }}}}
"""


class Postgres:
    """A PostgreSQL server of the test's own."""

    def __init__(self, directory):
        self.directory = directory
        self.port = free_port()
        self.start()

    def run(self, *arguments):
        # What the server inherited of our output would be open as long as it runs.
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        subprocess.run([ROOT / "tools" / "postgres", *arguments], check=True, **streams)

    def start(self):
        self.run("start", self.directory, str(self.port))

    def kill(self):
        self.run("kill", self.directory)


@pytest.fixture
def postgres():
    # Folders of pytest are for root alone.
    with tempfile.TemporaryDirectory(prefix="mdetr-postgres-") as directory:
        server = Postgres(directory)
        yield server
        server.kill()


@pytest.fixture
def fleet(tmp_path, monitor, mosquitto, postgres):
    """Sites `north` and `south`, hubs `one` and `two`."""

    def make(name, text, **words):
        directory = tmp_path / name
        directory.mkdir()
        hub = ["--hub"] if text is HUB else []
        text = text.format(broker=broker.port, database=postgres.port, name=name, **words)
        return monitor(text, directory=directory, arguments=hub)

    broker = mosquitto(extra="allow_anonymous true")
    found = {name: make(name, HUB) for name in ("one", "two")}
    for seed, name in enumerate(("north", "south")):
        found[name] = make(name, SITE, seed=seed + 7)
    found["broker"], found["again"] = broker, mosquitto
    return found


def operate(hub, *arguments, status=0):
    """What an operator's command says."""
    command = [BUILD / "mdetr-monitor", "fleet", "--config", hub.config, "--group", "yards"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def publish(hub, text, *arguments):
    path = hub.directory / "yards.toml"
    path.write_text(WATCH.format(text=text))
    return operate(hub, "publish", path, *arguments)


def is_ready(hub):
    try:
        return hub.get("/readyz", raw=True) == b"ready\n"
    except urllib.error.HTTPError as error:
        assert error.code == 503
        return False


def texts(site):
    return [query["text"] for query in site.get("/api/cameras/yard").get("query", [])]


def test_a_fleet_is_told_what_to_watch_for_and_hubs_show_what_it_finds(fleet):
    one, two, north, south = (fleet[name] for name in ("one", "two", "north", "south"))
    assert "no document" in operate(one, "status")
    assert "publish one first" in operate(one, "rollback", status=1)
    assert publish(one, "all objects") == "document 1 is published\n"
    wait_for(lambda: texts(north) == texts(south) == ["all objects"])
    wait_for(lambda: "2 programs: 2 have taken it" in operate(one, "status"))
    publish(one, "a red cube", "--share", "1.0")
    wait_for(lambda: texts(north) == texts(south) == ["a red cube"])
    operate(one, "rollback")
    wait_for(lambda: texts(north) == texts(south) == ["all objects"])
    code, message = http_error(lambda: north.put("/api/cameras/yard/watch", {"queries": []}))
    assert code == 422 and "the fleet's group yards" in message

    def cameras(hub):
        return {event["camera"] for event in hub.events()}

    wait_for(lambda: cameras(one) == cameras(two) == {"north.yard", "south.yard"}, 60)
    event = wait_for(lambda: next((e for e in two.events() if e["has_picture"]), None), 60)
    address = f"{one.url}/api/events/{event['id']}/picture.jpg?drawn=true"
    with urllib.request.urlopen(address, timeout=30) as answer:
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert answer.read().startswith(b"\xff\xd8")
    assert one.request("DELETE", f"/api/events/{event['id']}") == b""
    code, _ = http_error(lambda: two.get(f"/api/events/{event['id']}"))
    assert code == 404
    code, message = http_error(
        lambda: one.put("/api/cameras/north.yard/enabled", {"enabled": False})
    )
    assert code == 422 and "its sites" in message
    assert re.search(
        r'mdetr_hub_steps_total{outcome="new"} [1-9]', one.get("/metrics", True).decode()
    )
    assert one.get("/readyz", raw=True) == b"ready\n"


def test_nothing_that_dies_loses_an_event_or_stops_a_camera(fleet, postgres):
    one, north = fleet["one"], fleet["north"]
    publish(one, "all objects")
    wait_for(lambda: one.events(), 60)

    def frames(site):
        text = site.get("/metrics", raw=True).decode()
        return float(re.search(r'mdetr_frames_total{camera="yard"} (\d+)', text).group(1))

    def goes_on(site):
        """the camera gives frames and finds events"""
        seen, found = frames(site), len(site.events(limit=1000))
        return lambda: frames(site) > seen + 20 and len(site.events(limit=1000)) > found

    postgres.kill()
    wait_for(goes_on(north), 60)
    wait_for(lambda: not is_ready(one))
    postgres.start()
    wait_for(lambda: is_ready(one))
    fleet["two"].stop(signal.SIGKILL)
    wait_for(goes_on(north), 60)
    fleet["broker"].kill()
    wait_for(goes_on(north), 60)
    north.put("/api/cameras/yard/enabled", {"enabled": False})
    known = {event["id"] for event in north.events(limit=1000)}
    fleet["broker"].wait()
    fleet["again"](fleet["broker"].port)

    def at_hub():
        """the hub has all that the site has"""
        events = one.events(limit=1000, camera="north.yard")
        ended = [event["id"] for event in events if event.get("end")]
        assert len(ended) == len(set(ended))
        return set(ended) >= {f"north.{event}" for event in known}

    wait_for(at_hub, 120)


def test_the_page_of_a_hub(fleet, tmp_path):
    one = fleet["one"]
    publish(one, "all objects")
    wait_for(lambda: any(event["has_picture"] for event in one.events()), 90)
    wait_for(lambda: one.camera("north.yard"), 90)
    with chromium() as driver:
        driver.set_window_size(*WIDE)

        def text():
            return driver.find_element(By.TAG_NAME, "body").text

        driver.get(f"{one.url}/")
        wait_for(lambda: "north.yard" in text() and "south.yard" in text(), 30)
        assert "This is a hub" in text() and "A hub has no live pictures." in text()
        assert "all objects" in text()
        driver.save_screenshot(str(tmp_path / "cameras.png"))
        driver.get(f"{one.url}/#/events")
        wait_for(
            lambda: driver.find_elements(By.CSS_SELECTOR, "[data-event], li.event, tr.event"), 30
        )
        wait_for(lambda: "seen" in text(), 30)
        driver.save_screenshot(str(tmp_path / "events.png"))
        driver.get(f"{one.url}/#/camera/north.yard")
        wait_for(lambda: "all objects" in text(), 30)
        driver.save_screenshot(str(tmp_path / "camera.png"))
        errors = [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
        assert errors == []


def test_what_is_no_hub_says_so(tmp_path):
    for text, arguments, expected in [
        ("", ["--hub"], "there is no [hub]"),
        (HUB.format(broker=1, database=1), [], "start it with --hub"),
        (
            HUB.format(broker=1, database=1).replace("postgres://", "mysql://"),
            ["--hub"],
            "hub.database: expected postgres://user@host/database",
        ),
        (
            HUB.format(broker=1, database=1) + '[[camera]]\nname = "a"\nurl = "tabletop://"\n',
            ["--hub"],
            "a hub has no cameras of its own",
        ),
    ]:
        config = tmp_path / "hub.toml"
        config.write_text(f'data = "{tmp_path}/data"\n' + text)
        command = [BUILD / "mdetr-monitor", *arguments, config]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and expected in done.stderr, done.stderr
