"""The monitor itself with three cameras that show the tabletop world."""

import json
import socket
import subprocess
import time
import urllib.request

import recording
from documents import first_document

START_S = 60
PARTS = {"queries": "query", "zones": "zone", "lines": "line", "rules": "rule"}


class Program:
    """Starts the program; `reset` puts what it watches for back."""

    def __init__(self, path, directory, extra=""):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        config = directory / "monitor.toml"
        config.write_text(toml(directory, port, extra))
        self.log = (directory / "log").open("w")
        self.process = subprocess.Popen(
            [path, config],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env=recording.environment(directory / "registry.bin"),
        )
        end = time.monotonic() + START_S
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(
                    f"the program does not start: {(directory / 'log').read_text()[-2000:]}"
                )
            time.sleep(0.2)
        self.given = {camera["name"]: camera for camera in first_document()["camera"]}

    def is_ready(self):
        try:
            self.ask("GET", "/readyz")
        except OSError:
            return False
        return True

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            text = response.read()
        return json.loads(text) if text.startswith((b"{", b"[")) else None

    @property
    def document(self):
        return self.ask("GET", "/api/config")

    def reset(self):
        for camera in self.document["camera"]:
            name = camera["name"]
            if name not in self.given:
                self.ask("DELETE", f"/api/cameras/{name}")
                continue
            watch = {key: self.given[name].get(part, []) for key, part in PARTS.items()}
            self.ask("PUT", f"/api/cameras/{name}/watch", watch)
            self.ask("PUT", f"/api/cameras/{name}/enabled", {"enabled": True})

    def have_events(self):
        """Waits for an event of the rule red-seen and ends it; another one is open then."""
        rule = "/api/cameras/table/rules/red-seen/enabled"
        end = time.monotonic() + START_S
        while not self.events(rule="red-seen", open="false"):
            if self.events(rule="red-seen", open="true"):
                for enabled in (False, True):
                    self.ask("PUT", rule, {"enabled": enabled})
            self.rest_until(end, "no event of the rule red-seen ended")
        while not self.events(open="true"):
            self.rest_until(end, "no rule finds anything")

    def events(self, **filters):
        query = "&".join(f"{key}={value}" for key, value in filters.items())
        return self.ask("GET", f"/api/events?{query}")["events"]

    def rest_until(self, end, words):
        if time.monotonic() > end:
            raise TimeoutError(words)
        time.sleep(0.5)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def toml(directory, port, extra):
    """The document of the stand-in as a configuration file, with extra tables."""
    lines = [
        f"model = {json.dumps(str(recording.ROOT / 'models/tabletop'))}",
        f"data = {json.dumps(str(directory / 'data'))}",
        f'[http]\nlisten = "127.0.0.1:{port}"',
        extra,
    ]
    for camera in first_document()["camera"]:
        name, url = json.dumps(camera["name"]), json.dumps(camera["url"])
        lines.append(f"[[camera]]\nname = {name}\nurl = {url}\nfps = 5")
        for part in PARTS.values():
            for table in camera.get(part, []):
                lines.append(f"[[camera.{part}]]")
                lines += [f"{json.dumps(key)} = {value(one)}" for key, one in table.items()]
    return "\n".join(lines) + "\n"


def value(one):
    """A value of JSON as one of TOML."""
    if isinstance(one, dict):
        return (
            "{ "
            + ", ".join(f"{json.dumps(key)} = {value(part)}" for key, part in one.items())
            + " }"
        )
    return json.dumps(one)
